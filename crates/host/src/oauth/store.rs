//! Where grants are kept. The program that hosts us provides it.

use std::error::Error;
use std::fmt::Debug;

use async_trait::async_trait;
use jiff::Timestamp;
use usher_model::{ConnectionName, TokenRow, TokenTrouble};

/// The storage failed; nothing of the call was stored.
#[derive(Debug, thiserror::Error)]
#[error("the stored tokens can not be reached")]
pub struct TokenStoreError(#[source] pub Box<dyn Error + Send + Sync>);

/// Keeps grants durably, shared by all processes of an installation. What an `Ok` answers survives a crash.
#[async_trait]
pub trait TokenStore: Send + Sync + Debug {
    /// The grant of a connection, if it was ever connected.
    async fn load(&self, connection: &ConnectionName) -> Result<Option<TokenRow>, TokenStoreError>;

    /// Stores the row as the version after `row.version`, if that is the version that stands there (0: none yet), and
    /// ends the lease. Returns whether it did.
    async fn put(&self, row: &TokenRow) -> Result<bool, TokenStoreError>;

    /// Gives the lease to `holder` from `now` until `until`, if `version` stands there and nobody has it. Returns
    /// whether it did.
    async fn lease(
        &self,
        connection: &ConnectionName,
        version: u64,
        holder: &str,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<bool, TokenStoreError>;

    /// Ends the lease of `holder`, and notes why it renewed nothing.
    async fn release(
        &self,
        connection: &ConnectionName,
        holder: &str,
        trouble: Option<&TokenTrouble>,
    ) -> Result<(), TokenStoreError>;
}
