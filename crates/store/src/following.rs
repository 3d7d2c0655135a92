//! Following: what happens at a vendor to objects that leads hang on. They are merged, and they vanish.

use async_trait::async_trait;
use jiff::Timestamp;
use usher_model::{ConnectionName, ExternalId, ObjectType, SlotKind};

use crate::deciding::LinkKey;
use crate::error::StoreError;

/// Objects of one type that became one each.
#[derive(Debug, Clone)]
pub struct Merged {
    /// The connection.
    pub connection: ConnectionName,
    /// The vendor's object type.
    pub object: ObjectType,
    /// The slots that hold such objects; `None` where none does.
    pub kind: Option<SlotKind>,
    /// (loser, winner), the one that keeps its person first.
    pub pairs: Vec<(ExternalId, ExternalId)>,
}

/// Objects of one type that are gone.
#[derive(Debug, Clone)]
pub struct Vanished {
    /// The connection.
    pub connection: ConnectionName,
    /// The vendor's object type: ids mean nothing without it.
    pub object: ObjectType,
    /// The slots that hold such objects; `None` where none does.
    pub kind: Option<SlotKind>,
    /// Their ids.
    pub ids: Vec<ExternalId>,
}

impl Vanished {
    /// What ends their leads, in words. An inquiry's object that was archived or became another takes no change any more.
    pub(crate) fn reason(&self) -> String {
        let what = match self.kind {
            Some(kind) if kind.is_inquiry() => "deleted, archived or converted",
            _ => "deleted",
        };
        format!("it was {what} in {}", self.connection)
    }
}

/// What following a merge changed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Followed {
    /// Merges that were news.
    pub merges: u64,
    /// Open leads that joined another one.
    pub leads: u64,
}

/// Following.
#[async_trait]
pub trait Following: Send + Sync {
    /// Follows merges, once each. The winner is known from then on as its losers were: their person, and that they have
    /// opened their lead. Where the losers were two persons, the second becomes the first: keys, objects and leads move,
    /// and an open lead beside another open one is closed as merged, its unsent writes cancelled. Slots that hold a loser
    /// hold the winner. Leads or deals of the CRM's that become one say nothing of who asked: those persons stay two.
    async fn follow_merges(&self, merged: Merged, now: Timestamp) -> Result<Followed, StoreError>;

    /// Where merged objects live on, through chains of merges; only those of the asked that were merged away.
    async fn survivors(&self, asked: &[LinkKey]) -> Result<Vec<(LinkKey, ExternalId)>, StoreError>;

    /// Ends the open leads whose object is gone as suppressed, with the reason, and cancels their unsent writes. An object
    /// counts if the lead came from it, if it is the lead's person at the connection, or if it stands there for the lead.
    /// Returns how many.
    async fn vanish(&self, gone: Vanished, now: Timestamp) -> Result<u64, StoreError>;

    /// The objects of a connection that open leads hang on, by id, after that id.
    async fn objects_of_open_leads(
        &self,
        connection: &ConnectionName,
        object: &ObjectType,
        after: Option<&ExternalId>,
        limit: u32,
    ) -> Result<Vec<ExternalId>, StoreError>;
}
