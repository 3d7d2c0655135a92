//! Durable storage: one trait set, SQLite behind it, one suite of tests for every backend.
//!
//! Each trait belongs to one step of a lead's way ([`Intake`], [`Preparation`], [`Deciding`], [`Delivering`],
//! [`Ownership`], [`DirectoryStore`]) or to the operator ([`Inspection`], [`Operation`], [`Undoing`]); [`Store`] is all of them. Every call is
//! set-based and one transaction: it happened or it did not. Times are UTC instants with the grain of a millisecond.

mod deciding;
mod delivering;
mod directory;
mod error;
mod inspection;
mod intake;
mod operation;
mod ownership;
mod preparation;
mod sqlite;
mod undoing;

pub use deciding::{
    BalanceDelta, Deciding, DecisionCommit, DecisionView, IdentityBinding, KnownPerson, LinkBinding, LinkKey,
    LinkRow, NewEffect, NewLead, OpenLead, Ready, RecordEnd, ViewAsk, WaitingLead,
};
pub use delivering::{ClaimedEffect, Delivering, EffectEnd, EffectOutcome, MOST_LAPSES, SlotBinding};
pub use directory::{AccountRow, DirectoryStore};
pub use error::StoreError;
pub use inspection::{
    AttemptRow, Comparison, ConnectionStatus, Counts, DecidedOwner, EffectRow, FailedFilter, FailedItem,
    FailedKind, Inspection, LeadFilter, LeadStory, LeadSummary, RecordSummary,
};
pub use intake::{
    ConnectionRow, Delivery, FetchCommit, Hint, Intake, NewDelivery, NewRecord, PullCommit, Stored,
};
pub use operation::Operation;
pub use ownership::{Owned, OwnerCheck, OwnerChecked, OwnerWrite, Ownership};
pub use preparation::{Preparation, Prepared, StoredRecord, Verdict};
pub use sqlite::{OpenOptions, SqliteStore};
pub use undoing::{UndoFilter, UndoLead, Undoing, WrittenOwner};

/// The whole storage.
pub trait Store:
    Intake
    + Preparation
    + Deciding
    + Delivering
    + Ownership
    + DirectoryStore
    + Inspection
    + Operation
    + Undoing
    + std::fmt::Debug
{
}

impl<T> Store for T where
    T: Intake
        + Preparation
        + Deciding
        + Delivering
        + Ownership
        + DirectoryStore
        + Inspection
        + Operation
        + Undoing
        + std::fmt::Debug
{
}

#[cfg(test)]
mod tests;
