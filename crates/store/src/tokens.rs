//! Tokens: what OAuth granted to each connection, sealed, and the lease under which one process at a time renews it.

use async_trait::async_trait;
use jiff::Timestamp;
use usher_model::{ConnectionName, TokenRow, TokenTrouble};

use crate::error::StoreError;

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
