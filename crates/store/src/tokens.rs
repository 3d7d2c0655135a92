//! Tokens: what OAuth granted to each connection, sealed, and the lease under which one process at a time renews it.

use async_trait::async_trait;
use jiff::Timestamp;
use sqlx::{ColumnIndex, Decode, Row, Type};
use usher_model::{ConnectionName, SealedTokens, TokenGrant, TokenRow, TokenTrouble};

use crate::codec::{count, from_json, instant, maybe_instant, trouble_kind};
use crate::error::StoreError;
use crate::fault::Fault;

/// Tokens.
#[async_trait]
pub trait Tokens: Send + Sync {
    /// The grant of a connection, if it was ever connected.
    async fn token(&self, connection: &ConnectionName) -> Result<Option<TokenRow>, StoreError>;

    /// Every grant, by connection.
    async fn tokens(&self) -> Result<Vec<TokenRow>, StoreError>;

    /// Stores the row as the version after `row.version`, if that is the version that stands there (0: none yet), and
    /// ends the lease. Returns whether it did.
    async fn put_token(&self, row: &TokenRow) -> Result<bool, StoreError>;

    /// Gives the lease to `holder` until `until`, if `version` stands there and nobody holds a lease at `now`. Returns
    /// whether it did. A database that several machines share goes by its own clock instead of `now`.
    async fn lease_token(
        &self,
        connection: &ConnectionName,
        version: u64,
        holder: &str,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<bool, StoreError>;

    /// Ends the lease of `holder` and notes why it renewed nothing; without a lease of that holder nothing happens.
    async fn release_token(
        &self,
        connection: &ConnectionName,
        holder: &str,
        trouble: Option<&TokenTrouble>,
    ) -> Result<(), StoreError>;

    /// Deletes every grant; returns how many there were.
    async fn forget_tokens(&self) -> Result<u64, StoreError>;
}

/// A grant's version as stored.
pub(crate) fn number(version: u64) -> Result<i64, Fault> {
    i64::try_from(version).map_err(|error| Fault::unreadable("grant's version", error))
}

/// A row with every column of a grant.
pub(crate) fn stored<R: Row>(row: &R) -> Result<TokenRow, Fault>
where
    &'static str: ColumnIndex<R>,
    i64: for<'r> Decode<'r, R::Database> + Type<R::Database>,
    String: for<'r> Decode<'r, R::Database> + Type<R::Database>,
    Vec<u8>: for<'r> Decode<'r, R::Database> + Type<R::Database>,
{
    let version: i64 = row.try_get("version")?;
    let trouble = match row.try_get::<Option<String>, _>("trouble_kind")? {
        None => None,
        Some(kind) => Some(TokenTrouble {
            kind: trouble_kind(&kind)?,
            since: instant(row.try_get("trouble_since")?)?,
            attempts: count(row.try_get("trouble_attempts")?)?,
            retry_at: maybe_instant(row.try_get("trouble_retry_at")?)?,
            problem: row.try_get("trouble_problem")?,
        }),
    };
    let sealed = SealedTokens {
        key: row.try_get("key_id")?,
        access: row.try_get("access")?,
        refresh: row.try_get("refresh")?,
    };
    let grant = TokenGrant {
        account: row.try_get("account")?,
        scopes: from_json("list of scopes", &row.try_get::<String, _>("scopes")?)?,
        base_url: row.try_get("base_url")?,
        sealed,
        obtained_at: instant(row.try_get("obtained_at")?)?,
        expires_at: maybe_instant(row.try_get("expires_at")?)?,
    };
    Ok(TokenRow {
        connection: ConnectionName::new(row.try_get::<String, _>("connection")?),
        version: u64::try_from(version).map_err(|error| Fault::unreadable("grant's version", error))?,
        grant,
        trouble,
    })
}
