//! Where leads stand after a commit: what each backend stores in the same way.

use std::collections::{HashMap, HashSet};

use jiff::Timestamp;
use usher_model::{
    CloseReason, Decision, EpisodeId, Fields, LeadId, LeadState, Mode, Resolution, WaitReason,
};

use crate::codec::{json, ms, text};
use crate::deciding::DecisionCommit;
use crate::fault::Fault;

/// Where a lead stands after this commit.
pub(crate) struct Standing {
    pub(crate) state: LeadState,
    pub(crate) reason: Option<CloseReason>,
    pub(crate) detail: Option<String>,
    pub(crate) closed_at: Option<i64>,
    pub(crate) episode: Option<String>,
    pub(crate) wait: Option<String>,
    pub(crate) wait_until: Option<i64>,
}

/// What the other parts of a commit say about its leads.
pub(crate) struct Context<'a> {
    /// The last episode of each decided lead.
    pub(crate) episodes: HashMap<LeadId, EpisodeId>,
    waits: HashMap<LeadId, &'a WaitReason>,
    /// Leads with writes to come.
    writes: HashSet<LeadId>,
    now: Timestamp,
}

impl<'a> Context<'a> {
    /// What the commit says.
    pub(crate) fn of(commit: &'a DecisionCommit, now: Timestamp) -> Self {
        let unobserved = commit.effects.iter().filter(|new| !new.observed);
        Self {
            episodes: commit.decisions.iter().map(|decision| (decision.lead, decision.episode)).collect(),
            waits: commit.waits.iter().map(|(lead, wait)| (*lead, wait)).collect(),
            writes: unobserved.map(|new| new.effect.lead).collect(),
            now,
        }
    }

    /// A decided live lead with nothing to write is written already.
    pub(crate) fn standing(
        &self,
        (lead, mode): (LeadId, Option<Mode>),
        state: LeadState,
        reason: Option<CloseReason>,
        detail: Option<String>,
    ) -> Result<Standing, Fault> {
        let done = state == LeadState::Decided && mode != Some(Mode::Observe) && !self.writes.contains(&lead);
        let (state, reason) =
            if done { (LeadState::Closed, Some(CloseReason::Written)) } else { (state, reason) };
        let waiting = state == LeadState::Waiting;
        let wait = self.waits.get(&lead).filter(|_| waiting);
        Ok(Standing {
            state,
            reason,
            detail,
            closed_at: (state == LeadState::Closed).then(|| ms(self.now)),
            episode: self.episodes.get(&lead).map(ToString::to_string),
            wait: wait.map(json).transpose()?,
            wait_until: waiting.then(|| ms(wait.map_or(self.now, |wait| wait.until))),
        })
    }
}

/// What the person is called; empty if the fields hold no name.
pub(crate) fn called(fields: &Fields) -> String {
    let named = ["full_name", "first_name", "last_name"].iter().any(|name| fields.text(name).is_some());
    if named { text(fields.display_name()) } else { String::new() }
}

/// The rep and the owner to whom a decision gave its lead.
pub(crate) fn given_to(decision: &Decision) -> (Option<String>, Option<String>) {
    match &decision.resolution {
        Resolution::Assigned { rep, owner } => (Some(text(rep)), Some(text(owner))),
        Resolution::Kept { owner } => (None, Some(text(owner))),
        Resolution::Waiting(_) | Resolution::Dropped { .. } => (None, None),
    }
}
