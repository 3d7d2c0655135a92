//! Durable storage: one trait set, SQLite behind it, one suite of tests for every backend.
//!
//! Each trait belongs to one step of a lead's way ([`Intake`], [`Preparation`], [`Deciding`], [`Delivering`],
//! [`DirectoryStore`]) or to the operator ([`Inspection`], [`Operation`]) or to the limits ([`Quotas`]); [`Store`] is all of them. Every call is
//! set-based and one transaction: it happened or it did not. Times are UTC instants with the grain of a millisecond.

mod deciding;
mod delivering;
mod directory;
mod error;
mod inspection;
mod intake;
mod operation;
mod preparation;
mod quota;
mod sqlite;

pub use deciding::{
    BalanceDelta, Deciding, DecisionCommit, DecisionView, IdentityBinding, KnownPerson, LinkBinding, LinkKey,
    LinkRow, NewEffect, NewLead, OpenLead, Ready, RecordEnd, ViewAsk, WaitingLead,
};
pub use delivering::{ClaimedEffect, Delivering, DueEffects, EffectEnd, EffectOutcome, SlotBinding};
pub use directory::{AccountRow, DirectoryStore};
pub use error::StoreError;
pub use inspection::{
    AttemptRow, Comparison, ConnectionStatus, Counts, DecidedOwner, EffectRow, FailedItem, FailedKind,
    Inspection, LeadFilter, LeadStory, LeadSummary, RecordSummary,
};
pub use intake::{
    ConnectionRow, Delivery, FetchCommit, Hint, Intake, NewDelivery, NewRecord, PullCommit, Split, Stored,
};
pub use operation::Operation;
pub use preparation::{Preparation, Prepared, StoredRecord, Verdict};
pub use quota::{Direction, FRESH, Quotas, RestingEndpoint, most_fresh};
pub use sqlite::{OpenOptions, SqliteStore};

/// The whole storage.
pub trait Store:
    Intake
    + Preparation
    + Deciding
    + Delivering
    + DirectoryStore
    + Inspection
    + Operation
    + Quotas
    + std::fmt::Debug
{
}

impl<T> Store for T where
    T: Intake
        + Preparation
        + Deciding
        + Delivering
        + DirectoryStore
        + Inspection
        + Operation
        + Quotas
        + std::fmt::Debug
{
}

#[cfg(test)]
mod tests;
