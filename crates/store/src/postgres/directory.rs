//! The directory on Postgres.

use std::collections::{BTreeMap, HashMap, HashSet};

use async_trait::async_trait;
use jiff::Timestamp;
use serde_json::Value;
use sqlx::postgres::PgConnection;
use usher_model::{AccountKey, ConnectionName, CrmOwner};

use super::PostgresStore;
use super::column;
use super::intake::move_cursor;
use crate::codec::{from_json, json, maybe_instant, ms, text};
use crate::directory::{AccountRow, DirectoryStore, OWNERS};
use crate::error::StoreError;
use crate::fault::Fault;

#[async_trait]
impl DirectoryStore for PostgresStore {
    async fn put_owners(
        &self,
        connection: &ConnectionName,
        owners: &[CrmOwner],
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let (connection, owners) = (connection.clone(), owners.to_vec());
        self.write("stores owners", move |conn| Box::pin(put_owners(conn, connection, owners, now))).await
    }

    async fn owners(
        &self,
        connection: &ConnectionName,
    ) -> Result<(Vec<CrmOwner>, Option<Timestamp>), StoreError> {
        let connection = text(connection);
        self.read("reads owners", move |conn| Box::pin(owners(conn, connection))).await
    }

    async fn put_accounts(
        &self,
        connection: &ConnectionName,
        stream: &str,
        cursor: &Value,
        accounts: Vec<AccountRow>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let (connection, stream, cursor) = (connection.clone(), stream.to_owned(), cursor.clone());
        self.write("stores accounts", move |conn| {
            Box::pin(async move {
                put_accounts(conn, &connection, &accounts, now).await?;
                move_cursor(conn, &connection, &stream, &cursor, now).await
            })
        })
        .await
    }

    async fn forget_accounts(
        &self,
        connection: &ConnectionName,
        unseen_since: Timestamp,
    ) -> Result<u64, StoreError> {
        let connection = text(connection);
        self.write("forgets accounts", move |conn| {
            Box::pin(async move {
                sqlx::query(
                    "DELETE FROM account_key WHERE account IN \
                     (SELECT seq FROM account WHERE connection = $1 AND seen_at < $2 AND NOT gone)",
                )
                .bind(&connection)
                .bind(ms(unseen_since))
                .execute(&mut *conn)
                .await?;
                let forgotten = sqlx::query(
                    "UPDATE account SET gone = true WHERE connection = $1 AND seen_at < $2 AND NOT gone",
                )
                .bind(connection)
                .bind(ms(unseen_since))
                .execute(&mut *conn)
                .await?;
                Ok(forgotten.rows_affected())
            })
        })
        .await
    }
}

async fn put_owners(
    conn: &mut PgConnection,
    connection: ConnectionName,
    owners: Vec<CrmOwner>,
    now: Timestamp,
) -> Result<(), Fault> {
    sqlx::query("UPDATE owner SET active = FALSE WHERE connection = $1")
        .bind(text(&connection))
        .execute(&mut *conn)
        .await?;
    let mut rows = BTreeMap::new();
    for owner in &owners {
        // An owner that is listed twice is as the later line has it; Postgres updates a row once in a statement.
        rows.insert(text(&owner.id), (owner.active, json(owner)?));
    }
    let rows: Vec<_> = rows.into_iter().collect();
    sqlx::query(
        "INSERT INTO owner (connection, external_id, active, body) SELECT $1, v.* \
         FROM unnest($2::text[], $3::bool[], $4::text[]) AS v \
         ON CONFLICT (connection, external_id) DO UPDATE SET active = excluded.active, body = excluded.body",
    )
    .bind(text(&connection))
    .bind(column(&rows, |(owner, _)| owner.as_str()))
    .bind(column(&rows, |(_, (active, _))| *active))
    .bind(column(&rows, |(_, (_, body))| body.as_str()))
    .execute(&mut *conn)
    .await?;
    move_cursor(conn, &connection, OWNERS, &Value::Null, now).await
}

async fn owners(
    conn: &mut PgConnection,
    connection: String,
) -> Result<(Vec<CrmOwner>, Option<Timestamp>), Fault> {
    let rows: Vec<(bool, String)> =
        sqlx::query_as("SELECT active, body FROM owner WHERE connection = $1 ORDER BY external_id")
            .bind(connection.clone())
            .fetch_all(&mut *conn)
            .await?;
    let mut owners = Vec::with_capacity(rows.len());
    for (active, body) in rows {
        let owner: CrmOwner = from_json("owner", &body)?;
        owners.push(CrmOwner { active, ..owner });
    }
    let read: Option<(i64,)> =
        sqlx::query_as("SELECT moved_at FROM cursor WHERE connection = $1 AND stream = $2")
            .bind(connection)
            .bind(OWNERS)
            .fetch_optional(conn)
            .await?;
    Ok((owners, maybe_instant(read.map(|(at,)| at))?))
}

async fn put_accounts(
    conn: &mut PgConnection,
    connection: &ConnectionName,
    accounts: &[AccountRow],
    now: Timestamp,
) -> Result<(), Fault> {
    // As with owners, the later of two versions.
    let mut named = HashSet::new();
    let last = accounts.iter().rev().map(|account| (text(&account.external_id), account));
    let mut rows: Vec<_> = last.filter(|(external_id, _)| named.insert(external_id.clone())).collect();
    rows.reverse();
    let stored: Vec<(String, i64)> = sqlx::query_as(
        "INSERT INTO account (id, connection, external_id, name, owner, country, gone, seen_at) \
         SELECT id, $2, external_id, name, owner, country, gone, $8 \
         FROM unnest($1::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::bool[]) WITH ORDINALITY \
         AS v (id, external_id, name, owner, country, gone, n) ORDER BY n \
         ON CONFLICT (connection, external_id) DO UPDATE SET name = excluded.name, owner = excluded.owner, \
         country = excluded.country, gone = excluded.gone, seen_at = excluded.seen_at RETURNING external_id, seq",
    )
    .bind(column(&rows, |(_, account)| account.id.to_string()))
    .bind(text(connection))
    .bind(column(&rows, |(external_id, _)| external_id.as_str()))
    .bind(column(&rows, |(_, account)| text(&account.name)))
    .bind(column(&rows, |(_, account)| account.owner.as_ref().map(text)))
    .bind(column(&rows, |(_, account)| account.country.as_ref().map(text)))
    .bind(column(&rows, |(_, account)| account.gone))
    .bind(ms(now))
    .fetch_all(&mut *conn)
    .await?;
    let numbers: HashMap<String, i64> = stored.into_iter().collect();
    let mut keys: Vec<(i64, &AccountKey)> = Vec::new();
    for (external_id, account) in rows.iter().filter(|(_, account)| !account.gone) {
        let Some(seq) = numbers.get(external_id) else { continue };
        keys.extend(account.keys.iter().map(|key| (*seq, key)));
    }
    sqlx::query("DELETE FROM account_key WHERE account = ANY($1)")
        .bind(numbers.into_values().collect::<Vec<_>>())
        .execute(&mut *conn)
        .await?;
    sqlx::query(
        "INSERT INTO account_key (connection, kind, value, account) SELECT $1, v.* \
         FROM unnest($2::text[], $3::text[], $4::bigint[]) AS v ON CONFLICT DO NOTHING",
    )
    .bind(text(connection))
    .bind(column(&keys, |(_, key)| key.kind.as_str()))
    .bind(column(&keys, |(_, key)| text(&key.value)))
    .bind(column(&keys, |(seq, _)| *seq))
    .execute(conn)
    .await?;
    Ok(())
}
