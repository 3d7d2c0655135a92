//! What the decider is asked, and what it answers.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use usher_model::{Account, ExternalId, Fields, RepKey, Resolution, Trace, Trigger, WaitReason};

/// One lead before the decider.
#[derive(Debug, Clone, Copy)]
pub struct Input<'a> {
    /// The mapped values.
    pub fields: &'a Fields,
    /// The company it was matched to.
    pub account: Option<&'a Account>,
    /// How the company was found, for the trace.
    pub account_reason: Option<&'a str>,
    /// The owner that the CRM shows for the person.
    pub crm_owner: Option<&'a ExternalId>,
    /// Owner ids and e-mail addresses that stand for nobody, such as an integration's user.
    pub treat_as_unowned: &'a [String],
    /// What opened the episode.
    pub trigger: Trigger,
    /// When the lead arrived.
    pub received_at: Timestamp,
    /// The wait that the lead is in, if it waits.
    pub waiting: Option<&'a WaitReason>,
    /// Reps who may not get it in this episode, each with the reason ("the CRM refused the owner").
    pub excluded: &'a [(RepKey, String)],
}

/// What was resolved for the lead, and why.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// The rule and targets that decided, as `SEO in DACH → dach-seo`.
    pub path: String,
    /// What was resolved.
    pub resolution: Resolution,
    /// Why, in plain words for the task.
    pub why: String,
    /// The full reasoning.
    pub trace: Trace,
    /// The line for the pool's ledger, where a pool dealt a turn.
    pub turn: Option<TurnLine>,
}

/// A turn dealt: the part of a ledger line that the decision determines.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TurnLine {
    /// The pool's name.
    pub pool: String,
    /// Who takes the turn.
    pub rep: RepKey,
    /// What each eligible member became entitled to by this lead; sums to 1.
    pub shares: BTreeMap<RepKey, f64>,
}
