//! The source role: records, one bounded step at a time.

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use usher_model::{ExternalId, Lane, ObjectType, Record};

use crate::fault::{Fault, FaultClass};

/// A position in a stream, opaque to the host and committed together with the records that it covers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Cursor {
    /// The connector's version of `state`; a connector refuses versions that it does not know.
    pub version: u16,
    /// The connector's own state.
    pub state: Value,
}

impl Cursor {
    /// A position of that version. Fails with a defect if the state has no JSON form.
    pub fn of(version: u16, state: &impl Serialize) -> Result<Self, Fault> {
        let state = serde_json::to_value(state)
            .map_err(|error| Fault::new(FaultClass::Defect, "a position has no JSON form").because(error))?;
        Ok(Self { version, state })
    }

    /// The state, if it is of that version; another program's is refused rather than guessed at.
    pub fn state<T: DeserializeOwned>(&self, version: u16) -> Result<T, Fault> {
        let refused = |message| {
            let advice = "run the version of usher that wrote it, or restore the backup made before that ran";
            Fault::new(FaultClass::Misconfigured, message).advise(advice)
        };
        if self.version != version {
            return Err(refused(format!("the stored position has version {}", self.version)));
        }
        T::deserialize(&self.state)
            .map_err(|error| refused("the stored position can not be read".to_owned()).because(error))
    }
}

/// One stream of a source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamSpec {
    /// The vendor's object type; also the stream's name.
    pub object: ObjectType,
    /// The lanes in which it can be pulled.
    pub lanes: &'static [Lane],
    /// How long the vendor's feed remembers a change; `None` if for ever. A stream that was not read for longer is
    /// listed whole, in the backfill lane's way, before it goes on.
    pub horizon: Option<SignedDuration>,
}

/// What one step is asked to do.
#[derive(Debug, Clone)]
pub struct Pull {
    /// Which stream.
    pub object: ObjectType,
    /// Which lane; each lane has a cursor of its own.
    pub lane: Lane,
    /// Where the last committed step ended; `None` at the very first.
    pub cursor: Option<Cursor>,
    /// The present instant.
    pub now: Timestamp,
    /// Nothing older is wanted in the live and sweep lanes: when the connection was first connected.
    pub start: Timestamp,
}

/// One row that can not become a record; its neighbours are not affected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("row {external_id}: {reason}")]
pub struct RowProblem {
    /// The row's id, as its record would have had; a repeat of (object, id, revision) is the same problem.
    pub external_id: ExternalId,
    /// Names this version of the row.
    pub revision: String,
    /// What is wrong and what to do, without values from the row.
    pub reason: String,
}

/// Two objects that became one at the vendor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Merge {
    /// The id that is no more, or only leads to the other.
    pub loser: ExternalId,
    /// The id under which both live on.
    pub winner: ExternalId,
}

/// What one step brought.
#[derive(Debug, Clone)]
pub struct Batch {
    /// In any order, possibly with repeats of earlier steps: the store drops those by (object, id, revision).
    pub records: Vec<Record>,
    /// Rows that can not become records; the host stores each as a failed record, seen in `usher failed list`.
    pub problems: Vec<RowProblem>,
    /// Merges that the rows tell of, the one that keeps its person first.
    pub merged: Vec<Merge>,
    /// Where the next step starts.
    pub next: Cursor,
    /// True if the stream is read up to `now`: wait before asking again.
    pub done: bool,
}

impl Batch {
    /// A step that brought nothing yet.
    #[must_use]
    pub fn empty(next: Cursor, done: bool) -> Self {
        Self { records: Vec::new(), problems: Vec::new(), merged: Vec::new(), next, done }
    }
}

/// One object asked for by id.
#[derive(Debug)]
pub enum Fetched {
    /// As it is now.
    Found(Record),
    /// Merged into another object, which is this.
    Merged(Record),
    /// Deleted or archived.
    Gone,
}

/// Pulls records.
#[async_trait]
pub trait Source: Send + Sync {
    /// The configured streams.
    fn streams(&self) -> Vec<StreamSpec>;

    /// One bounded step: about one call to the vendor.
    async fn pull(&self, ask: &Pull) -> Result<Batch, Fault>;

    /// Reads objects by id, each with its own outcome; at most [`Source::fetch_limit`] ids.
    async fn fetch(
        &self,
        object: &ObjectType,
        ids: &[ExternalId],
    ) -> Result<Vec<(ExternalId, Fetched)>, Fault>;

    /// How many ids one `fetch` takes; 0 if objects can not be read by id.
    fn fetch_limit(&self) -> usize;
}
