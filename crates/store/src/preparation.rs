//! Preparation: records become drafts, or end here.

use async_trait::async_trait;
use jiff::Timestamp;
use serde_json::value::RawValue;
use usher_model::{
    Account, AccountKey, ConnectionName, Draft, ExternalId, IgnoreReason, Lane, ObjectType, RecordId,
};

use crate::error::StoreError;

/// A record claimed for preparation.
#[derive(Debug, Clone)]
pub struct StoredRecord {
    /// Our id.
    pub id: RecordId,
    /// The connection.
    pub connection: ConnectionName,
    /// The vendor's object type.
    pub object: ObjectType,
    /// The vendor's id.
    pub external_id: ExternalId,
    /// When the object was made at the vendor.
    pub created_at: Option<Timestamp>,
    /// When this version of it came to be there.
    pub modified_at: Option<Timestamp>,
    /// Marked as imported.
    pub imported: bool,
    /// Marked as gone.
    pub gone: bool,
    /// How it arrived.
    pub lane: Lane,
    /// When it arrived.
    pub received_at: Timestamp,
    /// The payload.
    pub payload: Box<RawValue>,
    /// How often preparation was tried, this time included; stored before the attempt.
    pub attempts: u32,
}

/// What became of a claimed record.
#[derive(Debug, Clone)]
pub enum Verdict {
    /// Mapped and matched: the decider takes it from `ready_at` on.
    Mapped {
        /// What would become a lead.
        draft: Box<Draft>,
        /// Not before this instant.
        ready_at: Timestamp,
    },
    /// Of no consequence.
    Ignored {
        /// Why.
        reason: IgnoreReason,
        /// In words, where there is more to say.
        detail: Option<String>,
    },
    /// Can not be processed.
    Failed {
        /// What is wrong and what to do.
        problem: String,
    },
    /// Try again later (the network did not answer).
    Later {
        /// When.
        at: Timestamp,
        /// Why.
        problem: String,
    },
}

/// The outcome of one preparation.
#[derive(Debug, Clone)]
pub struct Prepared {
    /// The record.
    pub record: RecordId,
    /// What became of it.
    pub verdict: Verdict,
}

/// Preparation.
#[async_trait]
pub trait Preparation: Send + Sync {
    /// Claims fetched records, from every connection in turn: of each the fresh ones ([`crate::FRESH`]) of the live lane
    /// first, but one in five from the rest, live lane first, then oldest. The claim lapses at `lease_until`. Before them,
    /// and by themselves, those whose claims have lapsed: a quarter of `limit` after the first time, a 16th after the
    /// second, and so on.
    async fn claim_records(
        &self,
        limit: u32,
        now: Timestamp,
        lease_until: Timestamp,
    ) -> Result<Vec<StoredRecord>, StoreError>;

    /// The accounts that have any of these keys, each with all of its keys among those asked for. Accounts that are
    /// gone are left out. At most `per_key` accounts for a key.
    async fn accounts_by_keys(
        &self,
        connection: &ConnectionName,
        keys: &[AccountKey],
        per_key: u32,
    ) -> Result<Vec<(Account, Vec<AccountKey>)>, StoreError>;

    /// Stores the outcomes. A record that is not `fetched` any more is left as it is.
    async fn commit_prepared(&self, prepared: Vec<Prepared>, now: Timestamp) -> Result<(), StoreError>;

    /// Makes records due that were put off, `limit` at most. Returns how many: none is left if they are fewer.
    async fn hasten_records(&self, limit: u32, now: Timestamp) -> Result<u64, StoreError>;
}
