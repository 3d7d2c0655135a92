//! Refresh: owners and companies are read from the CRM, so that decisions know who is there and who owns what.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use usher_connector::{AccountBatch, CrmAccount, Cursor, Directory};
use usher_model::{AccountId, ConnectionName, crash};
use usher_store::AccountRow;

use crate::engine::Engine;
use crate::error::EngineError;

/// The stream name under which the position in the companies is stored.
const ACCOUNTS: &str = "accounts/refresh";

/// How far the companies are read.
#[derive(Debug, Serialize, Deserialize)]
struct Position {
    cursor: Cursor,
    /// All of them were read at least once.
    complete: bool,
}

/// What a refresh brought.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RefreshReport {
    /// Owners listed.
    pub owners: usize,
    /// Accounts read.
    pub accounts: usize,
}

impl Engine {
    /// Reads owners and availability; departed reps leave the roster at once.
    ///
    /// # Errors
    /// If the CRM or the storage fails; the last known owners stay.
    pub async fn refresh_owners(&self) -> Result<usize, EngineError> {
        let Some(directory) = self.crm_directory()? else {
            return Ok(0);
        };
        let owners = directory.owners().await.map_err(EngineError::vendor(&self.crm, "reading owners"));
        let owners = self.watched(&self.crm, "owners", owners).await?;
        self.store.put_owners(&self.crm, &owners, self.now()).await?;
        self.replace_owners(&owners);
        Ok(owners.len())
    }

    /// Reads companies from where the last refresh ended, until the CRM has no more.
    ///
    /// # Errors
    /// If the CRM or the storage fails; the next refresh starts after the last stored step.
    pub async fn refresh_accounts(&self) -> Result<usize, EngineError> {
        let Some(directory) = self.crm_directory()? else {
            return Ok(0);
        };
        let stored = self.stored_position().await?;
        let (mut cursor, mut complete) =
            stored.map_or((None, false), |stored| (Some(stored.cursor), stored.complete));
        let mut count = 0;
        loop {
            let now = self.now();
            let batch = directory.accounts(cursor.as_ref(), now).await;
            let batch = batch.map_err(EngineError::vendor(&self.crm, "reading companies"));
            let AccountBatch { accounts, next, done, whole_since } =
                self.watched(&self.crm, "companies", batch).await?;
            count += accounts.len();
            complete |= done;
            let position = serde_json::to_value(Position { cursor: next.clone(), complete })
                .map_err(|source| EngineError::Defect { place: "a cursor", source: Box::new(source) })?;
            let rows = accounts.into_iter().map(|account| row(account, now)).collect();
            crash::point("refresh.before_commit");
            self.store.put_accounts(&self.crm, ACCOUNTS, &position, rows, now).await?;
            if let Some(since) = whole_since {
                let gone = self.store.forget_accounts(&self.crm, since).await?;
                if gone > 0 {
                    tracing::info!(connection = %self.crm, gone, "companies that the CRM lists no more are gone");
                }
            }
            if done || self.is_stopping() {
                return Ok(count);
            }
            cursor = Some(next);
        }
    }

    async fn stored_position(&self) -> Result<Option<Position>, EngineError> {
        let stored = self.store.cursor(&self.crm, ACCOUNTS).await?;
        stored.map(serde_json::from_value).transpose().map_err(|source| EngineError::Defect {
            place: "the stored position in the companies",
            source: Box::new(source),
        })
    }

    /// Whether owners and all companies were read once: before that, a lead would be routed without knowing whose
    /// customer it is.
    ///
    /// # Errors
    /// If the storage fails.
    pub async fn knows_directory(&self) -> Result<bool, EngineError> {
        let complete = self.stored_position().await?.is_some_and(|stored| stored.complete);
        Ok(complete && !self.store.owners(&self.crm).await?.0.is_empty())
    }

    /// Owners and companies.
    ///
    /// # Errors
    /// If the CRM or the storage fails.
    pub async fn refresh(&self) -> Result<RefreshReport, EngineError> {
        Ok(RefreshReport { owners: self.refresh_owners().await?, accounts: self.refresh_accounts().await? })
    }

    fn crm_directory(&self) -> Result<Option<Arc<dyn Directory>>, EngineError> {
        let crm: &ConnectionName = &self.crm;
        Ok(self.connection(crm)?.roles.directory.clone())
    }
}

fn row(account: CrmAccount, now: jiff::Timestamp) -> AccountRow {
    let keys = usher_matching::account_keys(&account.name, &account.websites);
    let country = account.country.as_deref().and_then(|text| usher_normalize::country(text).ok());
    AccountRow {
        id: AccountId::new(now),
        external_id: account.external_id,
        name: account.name,
        owner: account.owner,
        country: country.map(|country| country.iso2.to_owned()),
        gone: account.gone,
        keys,
    }
}
