//! The directory role: owners, companies, and who the CRM knows already.

use async_trait::async_trait;
use jiff::Timestamp;
use usher_model::{CrmOwner, ExternalId, IdentityKey, OwnedObject};

use crate::fault::Fault;
use crate::source::Cursor;

/// A company as the CRM lists it, raw.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CrmAccount {
    /// The CRM's id.
    pub external_id: ExternalId,
    /// The name.
    pub name: String,
    /// Domain or website as written, any number.
    pub websites: Vec<String>,
    /// The CRM's owner id.
    pub owner: Option<ExternalId>,
    /// The country as written.
    pub country: Option<String>,
    /// The CRM says that the company is deleted or archived.
    pub gone: bool,
}

/// One step through the companies.
#[derive(Debug, Clone)]
pub struct AccountBatch {
    /// The companies of this step; repeats are harmless.
    pub accounts: Vec<CrmAccount>,
    /// Where the next step starts.
    pub next: Cursor,
    /// True if everything up to `now` is read.
    pub done: bool,
    /// This step ends a listing of all companies that began then: whom it did not show is gone. For a vendor whose lists
    /// leave deleted ones out without a word.
    pub whole_since: Option<Timestamp>,
}

/// A person whom the CRM knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CrmPerson {
    /// The CRM's id.
    pub external_id: ExternalId,
    /// The CRM's owner id.
    pub owner: Option<ExternalId>,
}

/// Lists owners and companies, and looks persons up.
#[async_trait]
pub trait Directory: Send + Sync {
    /// Every owner, deactivated ones included, with availability where the CRM keeps it.
    async fn owners(&self) -> Result<Vec<CrmOwner>, Fault>;

    /// One bounded step through the companies: all of them from no cursor, then what changed.
    async fn accounts(&self, cursor: Option<&Cursor>, now: Timestamp) -> Result<AccountBatch, Fault>;

    /// Who has these keys, in the same order; at most [`Directory::people_limit`] keys. Whoever is named was read by id or
    /// by key, so what is said of them holds. An index may propose whom to read, beside reads that it does not stand
    /// before; whom neither shows is `None`, which is no proof: whoever creates a person looks again. `None` also for a
    /// kind of key by which nobody can be found for sure.
    async fn people(&self, keys: &[IdentityKey]) -> Result<Vec<Option<CrmPerson>>, Fault>;

    /// The one open deal of each of these persons, in the same order, by strong reads; `None` where there is none or
    /// several, or the vendor has no deals. At most [`Directory::people_limit`] persons.
    async fn open_deals(&self, persons: &[ExternalId]) -> Result<Vec<Option<OwnedObject>>, Fault>;

    /// How many keys one `people` takes.
    fn people_limit(&self) -> usize;
}
