//! The directory: owners and accounts as the CRM last showed them.

use async_trait::async_trait;
use jiff::Timestamp;
use serde_json::Value;
use usher_model::{AccountId, AccountKey, ConnectionName, CrmOwner, ExternalId};

use crate::error::StoreError;

/// The stream under which the time of the last list of owners is kept.
pub(crate) const OWNERS: &str = "owners";

/// An account with its keys, to store.
#[derive(Debug, Clone)]
pub struct AccountRow {
    /// Our id, used if the account is new.
    pub id: AccountId,
    /// The CRM's id.
    pub external_id: ExternalId,
    /// The name.
    pub name: String,
    /// The CRM's owner id.
    pub owner: Option<ExternalId>,
    /// ISO 3166 two-letter code.
    pub country: Option<String>,
    /// The CRM says that it is gone.
    pub gone: bool,
    /// The keys by which leads find it.
    pub keys: Vec<AccountKey>,
}

/// The directory.
#[async_trait]
pub trait DirectoryStore: Send + Sync {
    /// Replaces the connection's owners: one that is missing from the list becomes inactive.
    async fn put_owners(
        &self,
        connection: &ConnectionName,
        owners: &[CrmOwner],
        now: Timestamp,
    ) -> Result<(), StoreError>;

    /// The connection's owners, and when they were last read.
    async fn owners(
        &self,
        connection: &ConnectionName,
    ) -> Result<(Vec<CrmOwner>, Option<Timestamp>), StoreError>;

    /// Stores accounts with their keys, and the cursor under the given stream name, in one transaction.
    async fn put_accounts(
        &self,
        connection: &ConnectionName,
        stream: &str,
        cursor: &Value,
        accounts: Vec<AccountRow>,
        now: Timestamp,
    ) -> Result<(), StoreError>;

    /// Lets those accounts be gone that were not stored since then. Returns how many.
    async fn forget_accounts(
        &self,
        connection: &ConnectionName,
        unseen_since: Timestamp,
    ) -> Result<u64, StoreError>;
}
