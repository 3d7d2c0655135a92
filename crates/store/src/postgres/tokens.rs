//! Tokens on Postgres.

use async_trait::async_trait;
use jiff::Timestamp;
use sqlx::postgres::PgConnection;
use usher_model::{ConnectionName, TokenRow, TokenTrouble};

use super::{PostgresStore, lasts};
use crate::codec::{json, ms, text};
use crate::error::StoreError;
use crate::fault::Fault;
use crate::tokens::{Tokens, number, stored};

#[async_trait]
impl Tokens for PostgresStore {
    async fn token(&self, connection: &ConnectionName) -> Result<Option<TokenRow>, StoreError> {
        let connection = text(connection);
        let rows = self.read("reads a grant", move |conn| Box::pin(rows(conn, Some(connection)))).await?;
        Ok(rows.into_iter().next())
    }

    async fn tokens(&self) -> Result<Vec<TokenRow>, StoreError> {
        self.read("reads grants", move |conn| Box::pin(rows(conn, None))).await
    }

    async fn put_token(&self, row: &TokenRow) -> Result<bool, StoreError> {
        let row = row.clone();
        self.write("stores a grant", move |conn| Box::pin(put(conn, row))).await
    }

    async fn lease_token(
        &self,
        connection: &ConnectionName,
        version: u64,
        holder: &str,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<bool, StoreError> {
        let (connection, holder, clock) = (text(connection), text(holder), self.asked(now));
        self.write("leases a grant", move |conn| {
            Box::pin(async move {
                let done = sqlx::query(
                    "UPDATE token SET lease_holder = $3, lease_until = coalesce($4, usher_now()) + $5 \
                     WHERE connection = $1 AND version = $2 \
                     AND (lease_until IS NULL OR lease_until <= coalesce($4, usher_now()))",
                )
                .bind(connection)
                .bind(number(version)?)
                .bind(holder)
                .bind(clock)
                .bind(lasts(now, until))
                .execute(conn)
                .await?;
                Ok(done.rows_affected() == 1)
            })
        })
        .await
    }

    async fn release_token(
        &self,
        connection: &ConnectionName,
        holder: &str,
        trouble: Option<&TokenTrouble>,
    ) -> Result<(), StoreError> {
        let (connection, holder, trouble) = (text(connection), text(holder), trouble.cloned());
        self.write("releases a grant", move |conn| {
            Box::pin(async move {
                sqlx::query(
                    "UPDATE token SET lease_holder = NULL, lease_until = NULL, \
                     trouble_kind = coalesce($7, trouble_kind), trouble_since = coalesce($3, trouble_since), \
                     trouble_attempts = coalesce($4, trouble_attempts), \
                     trouble_retry_at = CASE WHEN $3 IS NULL THEN trouble_retry_at ELSE $5 END, \
                     trouble_problem = coalesce($6, trouble_problem) WHERE connection = $1 AND lease_holder = $2",
                )
                .bind(connection)
                .bind(holder)
                .bind(trouble.as_ref().map(|trouble| ms(trouble.since)))
                .bind(trouble.as_ref().map(|trouble| i64::from(trouble.attempts)))
                .bind(trouble.as_ref().and_then(|trouble| trouble.retry_at).map(ms))
                .bind(trouble.as_ref().map(|trouble| text(&trouble.problem)))
                .bind(trouble.map(|trouble| trouble.kind.as_str()))
                .execute(conn)
                .await?;
                Ok(())
            })
        })
        .await
    }

    async fn forget_tokens(&self) -> Result<u64, StoreError> {
        self.write("forgets grants", move |conn| {
            Box::pin(async move { Ok(sqlx::query("DELETE FROM token").execute(conn).await?.rows_affected()) })
        })
        .await
    }
}

async fn put(conn: &mut PgConnection, row: TokenRow) -> Result<bool, Fault> {
    // An upsert that finds a row changes it only if the expected version stands there; version 0 stands nowhere, and
    // without a row only 0 is expected. The row is held, so that no other node deletes it in between.
    let done = sqlx::query(
        "INSERT INTO token (connection, version, account, scopes, base_url, key_id, access, refresh, obtained_at, \
         expires_at, trouble_since, trouble_attempts, trouble_retry_at, trouble_problem, trouble_kind) \
         SELECT $1, $2 + 1, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15 \
         WHERE $2 = 0 OR EXISTS (SELECT 1 FROM token WHERE connection = $1 FOR UPDATE) \
         ON CONFLICT (connection) DO UPDATE SET version = excluded.version, account = excluded.account, \
         scopes = excluded.scopes, base_url = excluded.base_url, key_id = excluded.key_id, access = excluded.access, \
         refresh = excluded.refresh, obtained_at = excluded.obtained_at, expires_at = excluded.expires_at, \
         lease_holder = NULL, lease_until = NULL, trouble_since = excluded.trouble_since, \
         trouble_attempts = excluded.trouble_attempts, trouble_retry_at = excluded.trouble_retry_at, \
         trouble_problem = excluded.trouble_problem, trouble_kind = excluded.trouble_kind WHERE token.version = $2",
    )
    .bind(text(&row.connection))
    .bind(number(row.version)?)
    .bind(text(row.grant.account))
    .bind(json(&row.grant.scopes)?)
    .bind(row.grant.base_url.map(text))
    .bind(text(row.grant.sealed.key))
    .bind(row.grant.sealed.access)
    .bind(row.grant.sealed.refresh)
    .bind(ms(row.grant.obtained_at))
    .bind(row.grant.expires_at.map(ms))
    .bind(row.trouble.as_ref().map(|trouble| ms(trouble.since)))
    .bind(row.trouble.as_ref().map(|trouble| i64::from(trouble.attempts)))
    .bind(row.trouble.as_ref().and_then(|trouble| trouble.retry_at).map(ms))
    .bind(row.trouble.as_ref().map(|trouble| text(&trouble.problem)))
    .bind(row.trouble.map(|trouble| trouble.kind.as_str()))
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

async fn rows(conn: &mut PgConnection, connection: Option<String>) -> Result<Vec<TokenRow>, Fault> {
    let rows = sqlx::query("SELECT * FROM token WHERE $1 IS NULL OR connection = $1 ORDER BY connection")
        .bind(connection)
        .fetch_all(conn)
        .await?;
    rows.iter().map(stored).collect()
}
