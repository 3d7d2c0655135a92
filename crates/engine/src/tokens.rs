//! The host's token store over ours.

use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;
use usher_host::{TokenStore, TokenStoreError};
use usher_model::{ConnectionName, TokenRow, TokenTrouble};
use usher_store::{Store, StoreError};

/// The host's token store over ours.
#[derive(Debug, Clone)]
pub struct StoredTokens(pub Arc<dyn Store>);

fn failed(error: StoreError) -> TokenStoreError {
    TokenStoreError(error.into())
}

#[async_trait]
impl TokenStore for StoredTokens {
    async fn load(&self, connection: &ConnectionName) -> Result<Option<TokenRow>, TokenStoreError> {
        self.0.token(connection).await.map_err(failed)
    }

    async fn put(&self, row: &TokenRow) -> Result<bool, TokenStoreError> {
        self.0.put_token(row).await.map_err(failed)
    }

    async fn lease(
        &self,
        connection: &ConnectionName,
        version: u64,
        holder: &str,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<bool, TokenStoreError> {
        self.0.lease_token(connection, version, holder, now, until).await.map_err(failed)
    }

    async fn release(
        &self,
        connection: &ConnectionName,
        holder: &str,
        trouble: Option<&TokenTrouble>,
    ) -> Result<(), TokenStoreError> {
        self.0.release_token(connection, holder, trouble).await.map_err(failed)
    }
}
