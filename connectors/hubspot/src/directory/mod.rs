//! The directory role: owners with availability, companies, and who is known by e-mail.

mod companies;
mod deals;
mod owners;
mod people;

use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;
use usher_connector::{AccountBatch, CallLane, CrmPerson, Cursor, Directory, Fault, Http};
use usher_model::{CrmOwner, ExternalId, IdentityKey, IdentityKind, OwnedObject};

use crate::api::BATCH;
use crate::config::Windows;

pub(crate) use people::by_email;

/// The directory role.
pub(crate) struct HubSpotDirectory {
    http: Arc<dyn Http>,
    availability: bool,
    windows: Windows,
}

impl HubSpotDirectory {
    pub(crate) fn new(http: Arc<dyn Http>, availability: bool, windows: Windows) -> Self {
        Self { http, availability, windows }
    }
}

#[async_trait]
impl Directory for HubSpotDirectory {
    async fn owners(&self) -> Result<Vec<CrmOwner>, Fault> {
        owners::read(&*self.http, self.availability).await
    }

    async fn accounts(&self, cursor: Option<&Cursor>, now: Timestamp) -> Result<AccountBatch, Fault> {
        companies::step(&*self.http, self.windows, cursor, now).await
    }

    async fn people(&self, keys: &[IdentityKey]) -> Result<Vec<Option<CrmPerson>>, Fault> {
        let emails = keys.iter().filter(|key| key.kind == IdentityKind::Email).map(|key| key.value.as_str());
        // A lead can not be decided before: it must not wait behind the writes of those that were.
        let found = by_email(&*self.http, emails, CallLane::Write).await?;
        // HubSpot has no strong read by phone number; its search lags and ignores the country code.
        let person = |key: &IdentityKey| match key.kind {
            IdentityKind::Email => found.get(&key.value.to_lowercase()).cloned(),
            IdentityKind::Phone => None,
        };
        Ok(keys.iter().map(person).collect())
    }

    async fn open_deals(&self, persons: &[ExternalId]) -> Result<Vec<Option<OwnedObject>>, Fault> {
        deals::open(&*self.http, persons).await
    }

    fn people_limit(&self) -> usize {
        BATCH
    }
}

#[cfg(test)]
mod tests;
