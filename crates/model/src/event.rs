//! What happens at the CRM to what leads hang on: touches, changes of owner, outcomes.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::id::{ExternalId, ObjectType};

/// Whose doing a change at a vendor was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChangedBy {
    /// A person in the vendor's pages or apps.
    Human,
    /// A program: an integration, a workflow, an import, or the vendor itself.
    Program,
    /// The vendor does not tell.
    Unknown,
}

/// Something that happened at the CRM, attached to its objects.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CrmEvent {
    /// Names it at its connection: the same whenever it is read, and of nothing else.
    pub id: String,
    /// The objects that it hangs on, by the CRM's names of their types.
    pub about: Vec<(ObjectType, ExternalId)>,
    /// The owner whose doing it was, or who is credited with it; `None` if the CRM does not tell.
    pub by: Option<ExternalId>,
    /// Whether a person did it.
    pub hand: ChangedBy,
    /// When it happened.
    pub at: Timestamp,
    /// What.
    pub what: Happening,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "snake_case")]
pub enum Happening {
    /// A rep responded.
    Touch {
        /// How.
        how: TouchKind,
        /// When it was entered, which may be long after it happened.
        logged_at: Timestamp,
        /// The task of ours that was done, if it is one: we close some ourselves, which is no touch.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        task: Option<ExternalId>,
    },
    /// Another owner.
    OwnerChange {
        /// Before; `None` for nobody, or where the CRM does not tell.
        from: Option<ExternalId>,
        /// After.
        to: Option<ExternalId>,
    },
    /// How the inquiry ended, or that it did not.
    Outcome {
        /// Which.
        outcome: Outcome,
        /// What it is worth, a decimal number as the CRM writes it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        value: Option<String>,
        /// In which currency, as the CRM names it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        currency: Option<String>,
        /// When the object that tells of it was made: it belongs to no inquiry that came later.
        began_at: Option<Timestamp>,
    },
}

/// How a rep responded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TouchKind {
    /// A call.
    Call,
    /// A mail that was sent.
    Mail,
    /// A meeting.
    Meeting,
    /// A note.
    Note,
    /// A task that was done, ours too.
    TaskDone,
    /// A deal or lead was moved to another stage.
    StageChange,
}

impl TouchKind {
    /// Every kind.
    pub const ALL: [Self; 6] =
        [Self::Call, Self::Mail, Self::Meeting, Self::Note, Self::TaskDone, Self::StageChange];

    /// The name as stored and shown.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Call => "call",
            Self::Mail => "mail",
            Self::Meeting => "meeting",
            Self::Note => "note",
            Self::TaskDone => "task_done",
            Self::StageChange => "stage_change",
        }
    }
}

/// How an inquiry ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// They bought.
    Won,
    /// They did not.
    Lost,
    /// It was no inquiry worth following.
    Disqualified,
    /// It goes on after all.
    Reopened,
}

impl Outcome {
    /// The name as stored and shown.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Won => "won",
            Self::Lost => "lost",
            Self::Disqualified => "disqualified",
            Self::Reopened => "reopened",
        }
    }
}
