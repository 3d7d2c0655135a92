//! A decision: the stored outcome of one episode.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::id::{DecisionId, EpisodeId, ExternalId, LeadId, RepKey};
use crate::lead::Mode;
use crate::trace::Trace;

/// What opened the episode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trigger {
    /// The lead is new.
    Arrived,
    /// A schedule opened while the lead waited.
    Opened,
    /// The CRM refused the owner that we chose.
    OwnerRejected,
    /// An operator asked for it.
    Manual,
    /// An operator took an earlier decision back.
    Undone,
}

impl Trigger {
    /// The name as stored and shown.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Arrived => "arrived",
            Self::Opened => "opened",
            Self::OwnerRejected => "owner_rejected",
            Self::Manual => "manual",
            Self::Undone => "undone",
        }
    }
}

/// Why a lead waits.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WaitReason {
    /// In words, for the operator.
    pub because: String,
    /// When the decider looks again: the next opening or the end of the allowed wait, whichever is first.
    pub until: Timestamp,
    /// When the allowed wait ends and the overflow target takes over.
    pub gives_up_at: Timestamp,
}

/// What the decider resolved for the lead.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Resolution {
    /// Owned by a rep of the roster.
    Assigned {
        /// The rep.
        rep: RepKey,
        /// The rep's id at the CRM, at the time of the decision.
        owner: ExternalId,
    },
    /// Stays with the owner that the CRM shows, who is no rep of the roster.
    Kept {
        /// The owner's id at the CRM.
        owner: ExternalId,
    },
    /// Nobody can take it now.
    Waiting(WaitReason),
    /// A rule says not to route it.
    Dropped {
        /// The rule's reason.
        reason: String,
    },
}

/// The stored outcome of an episode.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Decision {
    /// Our id.
    pub id: DecisionId,
    /// The episode that it settles.
    pub episode: EpisodeId,
    /// The lead.
    pub lead: LeadId,
    /// What opened the episode.
    pub trigger: Trigger,
    /// When it was decided.
    pub at: Timestamp,
    /// The mode it was decided in.
    pub mode: Mode,
    /// The rule (and pool) that decided; measures are grouped by it.
    pub path: String,
    /// What was resolved.
    pub resolution: Resolution,
    /// One sentence that says why, as the task's body shows it.
    pub why: String,
    /// The full reasoning.
    pub trace: Trace,
}
