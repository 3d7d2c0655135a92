//! A record: one object version as a source showed it.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::id::{ConnectionName, ExternalId, ObjectType};

/// How a record reached us, which is also how urgent it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Lane {
    /// Webhooks, API and the poll at the edge of now.
    Live,
    /// The slow second pass that picks up what a lagging index hid.
    Sweep,
    /// History, read on request; opens leads only if asked.
    Backfill,
}

/// One object version from a source, before anything is understood of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Record {
    /// The connection it came through.
    pub connection: ConnectionName,
    /// The vendor's object type.
    pub object: ObjectType,
    /// The vendor's id of the object.
    pub external_id: ExternalId,
    /// Names this version of the object; a repeat of (connection, object, id, revision) is the same record.
    pub revision: String,
    /// When the object was made at the vendor, where the vendor says so.
    pub created_at: Option<Timestamp>,
    /// When this version was made at the vendor, where the vendor says so.
    pub modified_at: Option<Timestamp>,
    /// The vendor marks the object as coming from an import, not from a person's inquiry.
    #[serde(default)]
    pub imported: bool,
    /// The vendor says that the object is deleted or archived.
    #[serde(default)]
    pub gone: bool,
    /// The payload in the connector's documented shape.
    pub payload: Box<RawValue>,
}

impl PartialEq for Record {
    fn eq(&self, other: &Self) -> bool {
        self.connection == other.connection
            && self.object == other.object
            && self.external_id == other.external_id
            && self.revision == other.revision
            && self.payload.get() == other.payload.get()
    }
}

/// Where a record stands. Every record ends in one of the last four states.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RecordState {
    /// Stored, not yet understood.
    Fetched,
    /// Mapped and matched; waits for the decider.
    Mapped,
    /// Opened a lead.
    Opened,
    /// Belongs to a lead that is open already.
    Updated,
    /// Of no consequence, for a stated reason.
    Ignored,
    /// Could not be processed; shown in `usher failed list` and retried on request.
    Failed,
}

impl RecordState {
    /// The name as stored and shown.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Fetched => "fetched",
            Self::Mapped => "mapped",
            Self::Opened => "opened",
            Self::Updated => "updated",
            Self::Ignored => "ignored",
            Self::Failed => "failed",
        }
    }
}

/// Why a record opened no lead and updated none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IgnoreReason {
    /// We made or changed the object ourselves.
    Echo,
    /// The object has opened its lead before and `enroll` says once.
    Known,
    /// The object is older than the connection's start.
    BeforeStart,
    /// The mapping's `enroll` condition does not hold.
    NotEnrolled,
    /// The vendor marks it as imported.
    Imported,
    /// A `reject` line of the mapping holds.
    Rejected,
    /// The vendor says that the object is gone.
    Gone,
    /// Backfill that was told to learn, not to route.
    Learned,
}

impl IgnoreReason {
    /// The name as stored and shown.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Echo => "echo",
            Self::Known => "known",
            Self::BeforeStart => "before_start",
            Self::NotEnrolled => "not_enrolled",
            Self::Imported => "imported",
            Self::Rejected => "rejected",
            Self::Gone => "gone",
            Self::Learned => "learned",
        }
    }
}
