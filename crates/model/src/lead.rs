//! A lead: one inquiry by a person, from draft to closed.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::field::Fields;
use crate::id::{AccountId, ConnectionName, ExternalId, LeadId, ObjectType, PersonId, RecordId};
use crate::person::IdentityKey;
use crate::record::Lane;

/// Whether decisions reach the CRM.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Decide everything, send nothing; own ledger.
    Observe,
    /// Decide and write.
    Live,
}

impl Mode {
    /// The name as stored and shown.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Observe => "observe",
            Self::Live => "live",
        }
    }
}

/// When a mapped record opens a lead.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Enrollment {
    /// Once per object, if it was created after the connection's start.
    Created,
    /// Once per object, at the first version for which the mapping's condition holds.
    BecomesTrue,
    /// At every version (a form answer is always a new inquiry).
    EveryTime,
}

/// A mapped record on its way to the decider: what would become a lead.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Draft {
    /// The record it was mapped from.
    pub record: RecordId,
    /// The connection the record came through.
    pub connection: ConnectionName,
    /// The vendor's object type.
    pub object: ObjectType,
    /// The vendor's id of the object.
    pub external_id: ExternalId,
    /// The object lives in the CRM of record, so its id is the person's id there.
    pub in_crm: bool,
    /// How it arrived.
    pub lane: Lane,
    /// When the record was stored here.
    pub received_at: Timestamp,
    /// When it opens a lead.
    pub enrollment: Enrollment,
    /// The mapped values.
    pub fields: Fields,
    /// What names the person, strongest first.
    pub keys: Vec<IdentityKey>,
    /// The account it was matched to, and why.
    #[serde(default)]
    pub account: Option<AccountId>,
    /// How the account was found, for the trace.
    #[serde(default)]
    pub account_reason: Option<String>,
    /// The owner that the CRM showed for the person when the record was prepared.
    #[serde(default)]
    pub crm_owner: Option<ExternalId>,
    /// An instant at which the CRM surely showed that owner.
    #[serde(default)]
    pub crm_seen_at: Option<Timestamp>,
    /// The person's id in the CRM, where the CRM knows the person already.
    #[serde(default)]
    pub crm_person: Option<ExternalId>,
    /// The person's open deal in the CRM, where that was asked for and there is exactly one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub open_deal: Option<OwnedObject>,
}

/// An object of the CRM and who owns it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnedObject {
    /// The CRM's id.
    pub id: ExternalId,
    /// The CRM's owner id.
    pub owner: Option<ExternalId>,
}

/// Where a lead stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LeadState {
    /// Has an owner; writes are on their way.
    Decided,
    /// Nobody can take it now; woken by an opening.
    Waiting,
    /// Done, for the stored reason.
    Closed,
}

impl LeadState {
    /// The name as stored and shown.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Decided => "decided",
            Self::Waiting => "waiting",
            Self::Closed => "closed",
        }
    }
}

/// How a lead ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CloseReason {
    /// Every write of the last episode is done.
    Written,
    /// Joined another lead of the same person.
    Merged,
    /// Deliberately not routed: a drop rule, observe mode, a vanished object.
    Suppressed,
    /// A write was rejected for good, or parked as unclear.
    Failed,
}

impl CloseReason {
    /// The name as stored and shown.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Written => "written",
            Self::Merged => "merged",
            Self::Suppressed => "suppressed",
            Self::Failed => "failed",
        }
    }
}

/// One inquiry by a person.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Lead {
    /// Our id.
    pub id: LeadId,
    /// Who asked.
    pub person: PersonId,
    /// The company, where one was matched.
    pub account: Option<AccountId>,
    /// Where it stands.
    pub state: LeadState,
    /// How it ended, once closed.
    pub close_reason: Option<CloseReason>,
    /// One line of detail: why it waits, was suppressed or failed.
    pub detail: Option<String>,
    /// The mode in which it was opened.
    pub mode: Mode,
    /// The source that it came through.
    pub connection: ConnectionName,
    /// When the first record was stored.
    pub received_at: Timestamp,
    /// When the decider opened it.
    pub opened_at: Timestamp,
    /// The mapped values, completed by later records.
    pub fields: Fields,
}
