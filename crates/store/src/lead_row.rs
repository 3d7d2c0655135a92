//! What a fold says of its leads: where they stand, their decisions and turns, as each backend stores it.

use std::collections::{HashMap, HashSet};

use jiff::Timestamp;
use usher_model::{
    CloseReason, Decision, EpisodeId, Fields, Lead, LeadId, LeadState, Mode, Resolution, Turn, WaitReason,
};

use crate::codec::{json, ms, text};
use crate::deciding::{DecisionCommit, NewLead};
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
struct Context<'a> {
    /// The last episode of each decided lead.
    episodes: HashMap<LeadId, EpisodeId>,
    waits: HashMap<LeadId, &'a WaitReason>,
    /// Leads with writes to come.
    writes: HashSet<LeadId>,
    now: Timestamp,
}

impl<'a> Context<'a> {
    /// What the commit says.
    fn of(commit: &'a DecisionCommit, now: Timestamp) -> Self {
        let unobserved = commit.effects.iter().filter(|new| !new.observed);
        Self {
            episodes: commit.decisions.iter().map(|decision| (decision.lead, decision.episode)).collect(),
            waits: commit.waits.iter().map(|(lead, wait)| (*lead, wait)).collect(),
            writes: unobserved.map(|new| new.effect.lead).collect(),
            now,
        }
    }

    /// A decided live lead with nothing to write is written already.
    fn standing(
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

/// Where the leads of a fold stand.
pub(crate) struct Leads<'a> {
    /// New ones with their fields.
    pub(crate) opened: Vec<(&'a NewLead, Standing, String)>,
    pub(crate) moved: Vec<(LeadId, Standing)>,
    /// Those that were open or closed before and got another episode.
    pub(crate) again: Vec<(LeadId, EpisodeId)>,
}

impl<'a> Leads<'a> {
    pub(crate) fn of(commit: &'a DecisionCommit, now: Timestamp) -> Result<Self, Fault> {
        let context = Context::of(commit, now);
        let mut opened = Vec::with_capacity(commit.opened.len());
        for new in &commit.opened {
            let Lead { id, mode, state, close_reason, detail, fields, .. } = &new.lead;
            let standing = context.standing((*id, Some(*mode)), *state, *close_reason, detail.clone())?;
            opened.push((new, standing, json(fields)?));
        }
        let modes: HashMap<LeadId, Mode> =
            commit.decisions.iter().map(|decision| (decision.lead, decision.mode)).collect();
        let mut moved = Vec::with_capacity(commit.moved.len());
        for (lead, state, reason, detail) in &commit.moved {
            let known = (*lead, modes.get(lead).copied());
            moved.push((*lead, context.standing(known, *state, *reason, detail.clone())?));
        }
        let placed: HashSet<LeadId> =
            commit.opened.iter().map(|new| new.lead.id).chain(moved.iter().map(|m| m.0)).collect();
        let again = context.episodes.iter().filter(|(lead, _)| !placed.contains(lead));
        let again = again.map(|(lead, episode)| (*lead, *episode)).collect();
        Ok(Self { opened, moved, again })
    }
}

/// The leads whose fields were completed, each with what the person is called and the fields; one that was completed
/// twice in a fold keeps the later fields.
pub(crate) fn completed(completed: &[(LeadId, Fields)]) -> Result<Vec<[String; 3]>, Fault> {
    let last: HashMap<LeadId, &Fields> = completed.iter().map(|(lead, fields)| (*lead, fields)).collect();
    last.into_iter().map(|(lead, fields)| Ok([lead.to_string(), called(fields), json(fields)?])).collect()
}

/// A decision, the rep and the owner to whom it gave its lead, and its stored form.
pub(crate) type DecisionRow<'a> = (&'a Decision, Option<String>, Option<String>, String);

pub(crate) fn decisions(decisions: &[Decision]) -> Result<Vec<DecisionRow<'_>>, Fault> {
    let row = |decision| {
        let (rep, owner) = given_to(decision);
        Ok((decision, rep, owner, json(decision)?))
    };
    decisions.iter().map(row).collect()
}

/// The ledger's lines with their shares.
pub(crate) fn turns(turns: &[Turn]) -> Result<Vec<(&Turn, String)>, Fault> {
    turns.iter().map(|turn| Ok((turn, json(&turn.shares)?))).collect()
}

/// What the person is called; empty if the fields hold no name.
pub(crate) fn called(fields: &Fields) -> String {
    let named = ["full_name", "first_name", "last_name"].iter().any(|name| fields.text(name).is_some());
    if named { text(fields.display_name()) } else { String::new() }
}

fn given_to(decision: &Decision) -> (Option<String>, Option<String>) {
    match &decision.resolution {
        Resolution::Assigned { rep, owner } => (Some(text(rep)), Some(text(owner))),
        Resolution::Kept { owner } => (None, Some(text(owner))),
        Resolution::Waiting(_) | Resolution::Dropped { .. } => (None, None),
    }
}
