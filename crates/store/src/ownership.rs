//! Owner writes of ours: what the budget of an object counts, and what is held against the vendor's history.

use std::collections::BTreeMap;

use async_trait::async_trait;
use jiff::Timestamp;
use usher_model::{ConnectionName, EffectKey, EpisodeId, ExternalId, LeadId, SlotKind};

use crate::codec::{id, instant, slot_kind};
use crate::deciding::NewEffect;
use crate::error::StoreError;
use crate::fault::Fault;

/// A vendor object that has an owner.
pub type Owned = (SlotKind, ExternalId);

/// An owner that we wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnerWrite {
    /// The effect that wrote it.
    pub effect: EffectKey,
    /// At which connection.
    pub connection: ConnectionName,
    /// On which object.
    pub object: Owned,
    /// The owner that was expected before.
    pub expected: Option<ExternalId>,
    /// The owner that was written.
    pub owner: Option<ExternalId>,
    /// It was sent after this instant.
    pub at: Timestamp,
    /// The vendor's history is to be read from then on; `None` if it need not be.
    pub check_at: Option<Timestamp>,
}

/// An owner write to be held against the vendor's history.
#[derive(Debug, Clone)]
pub struct OwnerCheck {
    /// The write.
    pub write: OwnerWrite,
    /// Its lead.
    pub lead: LeadId,
    /// Its episode.
    pub episode: EpisodeId,
}

/// A check as stored: effect, kind and id of the object, owners before and after, when, lead, episode.
pub(crate) type CheckRow = (String, String, String, Option<String>, Option<String>, i64, String, String);

impl OwnerCheck {
    pub(crate) fn of(connection: &ConnectionName, row: CheckRow) -> Result<Self, Fault> {
        let (effect, kind, object, expected, owner, at, lead, episode) = row;
        let write = OwnerWrite {
            effect: EffectKey::new(effect),
            connection: connection.clone(),
            object: (slot_kind(&kind)?, object.into()),
            expected: expected.map(Into::into),
            owner: owner.map(Into::into),
            at: instant(at)?,
            check_at: None,
        };
        Ok(Self { write, lead: id(&lead)?, episode: id(&episode)? })
    }
}

/// Old writes forgotten in one step, few, because fresh work waits meanwhile.
pub(crate) const FORGOTTEN: i64 = 500;

/// What the history said.
#[derive(Debug, Clone)]
pub struct OwnerChecked {
    /// The effect that wrote.
    pub effect: EffectKey,
    /// Whom it overwrote, in words for the lead; `None` if nobody.
    pub overwritten: Option<String>,
    /// What puts it right.
    pub effects: Vec<NewEffect>,
}

/// Owner writes.
#[async_trait]
pub trait Ownership: Send + Sync {
    /// Notes owner writes that happened. A repeat changes nothing.
    async fn note_owner_writes(&self, writes: Vec<OwnerWrite>) -> Result<(), StoreError>;

    /// How many owner writes these objects got since then; objects without one are left out.
    async fn owner_writes_since(
        &self,
        connection: &ConnectionName,
        objects: &[Owned],
        since: Timestamp,
    ) -> Result<BTreeMap<Owned, u64>, StoreError>;

    /// Claims owner writes whose check is due; the claim lapses at `lease_until`.
    async fn claim_owner_checks(
        &self,
        connection: &ConnectionName,
        limit: u32,
        now: Timestamp,
        lease_until: Timestamp,
    ) -> Result<Vec<OwnerCheck>, StoreError>;

    /// Ends checks in one transaction: plans what puts things right, says so on the lead, and forgets writes that no
    /// budget counts any more.
    async fn finish_owner_checks(&self, checked: Vec<OwnerChecked>, now: Timestamp)
    -> Result<(), StoreError>;
}
