//! The directory on SQLite.

use async_trait::async_trait;
use jiff::Timestamp;
use serde_json::Value;
use sqlx::SqliteConnection;
use usher_model::{ConnectionName, CrmOwner};

use super::SqliteStore;
use super::bulk::Bulk;
use super::codec::{from_json, json, list, maybe_instant, ms, text};
use super::fault::Fault;
use super::intake::move_cursor;
use super::writer::Priority;
use crate::directory::{AccountRow, DirectoryStore, OWNERS};
use crate::error::StoreError;

static OWNER: Bulk = Bulk::insert(
    "INSERT INTO owner (connection, external_id, active, body)",
    4,
    "ON CONFLICT DO UPDATE SET active = excluded.active, body = excluded.body",
);

static ACCOUNT: Bulk = Bulk::insert(
    "INSERT INTO account (id, connection, external_id, name, owner, country, gone, seen_at)",
    8,
    "ON CONFLICT (connection, external_id) DO UPDATE SET name = excluded.name, owner = excluded.owner, \
     country = excluded.country, gone = excluded.gone, seen_at = excluded.seen_at",
);

static KEY: Bulk = Bulk::over(
    "WITH v (connection, external_id, kind, value)",
    4,
    "INSERT INTO account_key (connection, kind, value, account) SELECT v.connection, v.kind, v.value, a.seq FROM v \
     CROSS JOIN account a ON a.connection = v.connection AND a.external_id = v.external_id \
     WHERE true ON CONFLICT DO NOTHING",
);

#[async_trait]
impl DirectoryStore for SqliteStore {
    async fn put_owners(
        &self,
        connection: &ConnectionName,
        owners: &[CrmOwner],
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let (connection, owners) = (connection.clone(), owners.to_vec());
        self.write(Priority::Maintain, "stores owners", move |conn| {
            Box::pin(put_owners(conn, connection, owners, now))
        })
        .await
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
        self.write(Priority::Maintain, "stores accounts", move |conn| {
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
        self.write(Priority::Maintain, "forgets accounts", move |conn| {
            Box::pin(async move {
                sqlx::query(
                    "DELETE FROM account_key WHERE account IN \
                     (SELECT seq FROM account WHERE connection = ? AND seen_at < ? AND NOT gone)",
                )
                .bind(connection.clone())
                .bind(ms(unseen_since))
                .execute(&mut *conn)
                .await?;
                let forgotten = sqlx::query(
                    "UPDATE account SET gone = 1 WHERE connection = ? AND seen_at < ? AND NOT gone",
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
    conn: &mut SqliteConnection,
    connection: ConnectionName,
    owners: Vec<CrmOwner>,
    now: Timestamp,
) -> Result<(), Fault> {
    sqlx::query("UPDATE owner SET active = 0 WHERE connection = ?")
        .bind(text(&connection))
        .execute(&mut *conn)
        .await?;
    let mut rows = Vec::with_capacity(owners.len());
    for owner in &owners {
        rows.push((owner, json(owner)?));
    }
    OWNER
        .run(conn, &rows, |query, (owner, body)| {
            query.bind(text(&connection)).bind(text(&owner.id)).bind(owner.active).bind(body.clone())
        })
        .await?;
    move_cursor(conn, &connection, OWNERS, &Value::Null, now).await
}

async fn owners(
    conn: &mut SqliteConnection,
    connection: String,
) -> Result<(Vec<CrmOwner>, Option<Timestamp>), Fault> {
    let rows: Vec<(bool, String)> =
        sqlx::query_as("SELECT active, body FROM owner WHERE connection = ? ORDER BY external_id")
            .bind(connection.clone())
            .fetch_all(&mut *conn)
            .await?;
    let mut owners = Vec::with_capacity(rows.len());
    for (active, body) in rows {
        let owner: CrmOwner = from_json("owner", &body)?;
        owners.push(CrmOwner { active, ..owner });
    }
    let read: Option<(i64,)> =
        sqlx::query_as("SELECT moved_at FROM cursor WHERE connection = ? AND stream = ?")
            .bind(connection)
            .bind(OWNERS)
            .fetch_optional(conn)
            .await?;
    Ok((owners, maybe_instant(read.map(|(at,)| at))?))
}

async fn put_accounts(
    conn: &mut SqliteConnection,
    connection: &ConnectionName,
    accounts: &[AccountRow],
    now: Timestamp,
) -> Result<(), Fault> {
    ACCOUNT
        .run(conn, accounts, |query, account| {
            query
                .bind(account.id.to_string())
                .bind(text(connection))
                .bind(text(&account.external_id))
                .bind(text(&account.name))
                .bind(account.owner.as_ref().map(text))
                .bind(account.country.as_ref().map(text))
                .bind(account.gone)
                .bind(ms(now))
        })
        .await?;
    sqlx::query(
        "DELETE FROM account_key WHERE account IN (SELECT a.seq FROM json_each(?2) j CROSS JOIN account a \
         ON a.connection = ?1 AND a.external_id = j.value)",
    )
    .bind(text(connection))
    .bind(list(accounts.iter().map(|account| account.external_id.as_str()))?)
    .execute(&mut *conn)
    .await?;
    let keys: Vec<_> = accounts
        .iter()
        .filter(|account| !account.gone)
        .flat_map(|account| account.keys.iter().map(move |key| (account, key)))
        .collect();
    KEY.run(conn, &keys, |query, (account, key)| {
        query
            .bind(text(connection))
            .bind(text(&account.external_id))
            .bind(key.kind.as_str())
            .bind(text(&key.value))
    })
    .await?;
    Ok(())
}
