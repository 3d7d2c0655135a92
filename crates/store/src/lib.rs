//! Durable storage: one trait set, SQLite and Postgres behind it, one suite of tests for both.
//!
//! Each trait belongs to one step of a lead's way ([`Intake`], [`Preparation`], [`Deciding`], [`Delivering`],
//! [`Ownership`], [`DirectoryStore`]), to what happens at the vendors meanwhile ([`Following`], [`Watching`], [`Standing`]), to the
//! operator ([`Inspection`], [`Operation`], [`Undoing`], [`Upkeep`]), to the vendors' limits ([`Quotas`]) or to the processes
//! that share a database ([`Nodes`]); [`Tokens`] keeps what OAuth granted; [`Store`] is all of them. Every call is set-based
//! and one transaction: it happened or it did not. Times are UTC instants with the grain of a millisecond.

mod claimed_row;
mod codec;
mod deciding;
mod delivering;
mod directory;
mod ended;
mod error;
mod fault;
mod following;
mod inspection;
mod inspection_rows;
mod intake;
mod lead_row;
mod nodes;
mod operation;
mod ownership;
mod postgres;
mod preparation;
mod quota;
mod sqlite;
mod standing;
mod stored_lead;
mod tokens;
mod undo_rows;
mod undoing;
mod upkeep;
mod view_rows;
mod watching;

pub use deciding::{
    BalanceDelta, Deciding, DecisionCommit, DecisionView, IdentityBinding, KnownPerson, LinkBinding, LinkKey,
    LinkRow, NewEffect, NewLead, OpenLead, Ready, RecordEnd, ViewAsk, WaitingLead,
};
pub use delivering::{
    ClaimedEffect, Delivering, DueEffects, EffectEnd, EffectOutcome, MOST_LAPSES, OwnerAlong, SlotBinding,
};
pub use directory::{AccountRow, DirectoryStore};
pub use error::StoreError;
pub use following::{Followed, Following, Merged, Vanished};
pub use inspection::{
    AttemptRow, Comparison, ConnectionStatus, Counts, DecidedOwner, EffectRow, FailedFilter, FailedItem,
    FailedKind, Inspection, LeadFilter, LeadStory, LeadSummary, RecordSummary,
};
pub use intake::{
    ConnectionRow, Delivery, FetchCommit, Hint, Intake, NewDelivery, NewRecord, PullCommit, Split, Stored,
};
pub use nodes::{Fence, NodeStatus, Nodes};
pub use operation::Operation;
pub use ownership::{Owned, OwnerCheck, OwnerChecked, OwnerWrite, Ownership};
pub use postgres::{LeaseClock, PostgresOptions, PostgresStore};
pub use preparation::{Preparation, Prepared, StoredRecord, Verdict};
pub use quota::{Direction, FRESH, Quotas, RestingEndpoint, most_fresh};
pub use sqlite::{OpenOptions, SqliteStore};
pub use standing::{HookTally, Recount, Standing, Trouble};
pub use tokens::Tokens;
pub use undoing::{UndoFilter, UndoLead, Undoing, WrittenOwner};
pub use upkeep::{Alert, Backup, Cutoffs, Discrepancy, Overdue, Pruned, Restored, Told, Upkeep, Vitals};

pub use watching::{
    FirstTouch, Hanging, KnownObject, LeadEvents, NewEvent, Responses, SeenObject, WatchCommit, Watching,
};

/// The whole storage.
pub trait Store:
    Intake
    + Following
    + Preparation
    + Deciding
    + Delivering
    + Ownership
    + DirectoryStore
    + Inspection
    + Operation
    + Undoing
    + Nodes
    + Standing
    + Tokens
    + Upkeep
    + Quotas
    + Watching
    + std::fmt::Debug
{
}

impl<T> Store for T where
    T: Intake
        + Following
        + Preparation
        + Deciding
        + Delivering
        + Ownership
        + DirectoryStore
        + Inspection
        + Operation
        + Undoing
        + Nodes
        + Standing
        + Tokens
        + Upkeep
        + Quotas
        + Watching
        + std::fmt::Debug
{
}

#[cfg(test)]
mod tests;
