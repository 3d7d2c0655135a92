//! Undoing: what was decided and written, as far as it can be taken back.

use async_trait::async_trait;
use jiff::Timestamp;
use usher_model::{ExternalId, LeadId, LeadState, Turn};

use crate::error::StoreError;
use crate::ownership::Owned;

/// Which decisions to take back.
#[derive(Debug, Clone)]
pub struct UndoFilter {
    /// Decided from then on.
    pub since: Timestamp,
    /// Decided before then.
    pub until: Timestamp,
    /// Only by this rule, or by this path (`rule → pool`).
    pub path: Option<String>,
    /// Only this lead.
    pub lead: Option<LeadId>,
    /// At most so many, newest first.
    pub limit: u32,
}

/// An owner that was written for a lead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrittenOwner {
    /// The object.
    pub object: Owned,
    /// The owner before.
    pub before: Option<ExternalId>,
    /// The owner that was written.
    pub owner: Option<ExternalId>,
    /// It was a human's choice that was restored: not ours to take back.
    pub restored: bool,
}

/// A live lead, and what was done for it.
#[derive(Debug, Clone)]
pub struct UndoLead {
    /// The lead.
    pub lead: LeadId,
    /// Where it stands.
    pub state: LeadState,
    /// The path of its last decision.
    pub path: String,
    /// When that was made.
    pub decided_at: Timestamp,
    /// A write is on its way or unclear: nobody knows yet what there is to take back.
    pub unsettled: bool,
    /// A later lead of the same person, which relies on the person as they are.
    pub later: Option<LeadId>,
    /// Owners written, oldest first.
    pub owners: Vec<WrittenOwner>,
    /// Tasks created.
    pub tasks: Vec<ExternalId>,
    /// The objects of person and inquiry that were created for this lead.
    pub created: Vec<Owned>,
    /// Ledger lines that were not credited back.
    pub turns: Vec<Turn>,
}

/// Undoing.
#[async_trait]
pub trait Undoing: Send + Sync {
    /// Live leads whose last decision fits, newest first; those that were taken back already are left out.
    async fn undoable(&self, filter: &UndoFilter) -> Result<Vec<UndoLead>, StoreError>;
}
