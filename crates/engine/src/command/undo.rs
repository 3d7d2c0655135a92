//! Undo: what was decided and written is taken back, through the same outbox as everything else.

use std::collections::BTreeMap;

use jiff::Timestamp;
use usher_model::{
    Balance, Decision, DecisionId, Effect, EffectBody, EpisodeId, ExternalId, LeadId, LeadState, Mode,
    ObjectRef, OwnerChange, Resolution, SlotKind, Trace, Trigger, Turn,
};
use usher_store::{BalanceDelta, DecisionCommit, NewEffect, Owned, StoreError, UndoFilter, UndoLead};

use crate::engine::Engine;
use crate::error::EngineError;
use crate::wake::Step;

/// How often undo looks again because a write left while it was planned.
const TRIES: u32 = 9;

/// What undo would do, or has begun to do.
#[derive(Debug, Clone, Default)]
pub struct UndoPlan {
    /// One line for each lead, newest first.
    pub lines: Vec<UndoLine>,
}

/// What becomes of one lead.
#[derive(Debug, Clone)]
pub struct UndoLine {
    /// The lead.
    pub lead: LeadId,
    /// The path that is taken back.
    pub path: String,
    /// When it was decided.
    pub decided_at: Timestamp,
    /// What is done, in words.
    pub steps: Vec<String>,
    /// What is not done, and why.
    pub left: Vec<String>,
}

impl Engine {
    /// Says what would be taken back.
    ///
    /// # Errors
    /// If the storage fails.
    pub async fn plan_undo(&self, filter: &UndoFilter, archive: bool) -> Result<UndoPlan, EngineError> {
        let leads = self.store.undoable(filter).await?;
        Ok(UndoPlan { lines: Taking::all(self, &leads, archive).lines })
    }

    /// Takes it back: previous owners where ours still stand, our untouched tasks closed, turns credited, leads suppressed,
    /// and with `archive` the persons that we created. The writes are planned here and sent by deliver.
    ///
    /// # Errors
    /// If the storage fails; nothing is planned then.
    pub async fn undo(
        &self,
        filter: &UndoFilter,
        archive: bool,
        reason: &str,
    ) -> Result<UndoPlan, EngineError> {
        let mut tries = 0..TRIES;
        loop {
            let leads = self.store.undoable(filter).await?;
            let taking = Taking::all(self, &leads, archive);
            let commit = taking.commit(self, &leads, reason);
            match self.store.commit_decisions(commit, self.now()).await {
                // A write has left meanwhile: its lead is left alone then, and said to be.
                Err(StoreError::Stale) if tries.next().is_some() => {}
                stored => {
                    stored?;
                    self.wake().ring(Step::Deliver);
                    return Ok(UndoPlan { lines: taking.lines });
                }
            }
        }
    }
}

/// What is taken back, lead by lead.
struct Taking {
    lines: Vec<UndoLine>,
    /// The writes of each lead; `None` for a lead that is left alone.
    bodies: Vec<Option<Vec<EffectBody>>>,
}

impl Taking {
    fn all(engine: &Engine, leads: &[UndoLead], archive: bool) -> Self {
        let mut owners = owners(leads);
        let taken: Vec<LeadId> = leads.iter().filter(|lead| !lead.unsettled).map(|lead| lead.lead).collect();
        let mut taking = Self { lines: Vec::new(), bodies: Vec::new() };
        for lead in leads {
            let mut line = UndoLine {
                lead: lead.lead,
                path: lead.path.clone(),
                decided_at: lead.decided_at,
                steps: Vec::new(),
                left: Vec::new(),
            };
            let bodies = if lead.unsettled {
                line.left.push(
                    "left alone: a write is on its way or unclear; repeat once it is settled".to_owned(),
                );
                None
            } else {
                let later = lead.later.filter(|later| !taken.contains(later));
                Some(bodies(engine, lead, later, archive, &mut owners, &mut line))
            };
            taking.lines.push(line);
            taking.bodies.push(bodies);
        }
        taking
    }

    fn commit(&self, engine: &Engine, leads: &[UndoLead], reason: &str) -> DecisionCommit {
        let now = engine.now();
        let mut commit = DecisionCommit::default();
        for (lead, bodies) in leads.iter().zip(&self.bodies) {
            let Some(bodies) = bodies else { continue };
            let episode = EpisodeId::new(now);
            commit.suppressed.push((lead.lead, format!("undone: {reason}")));
            if lead.state != LeadState::Waiting {
                commit.decisions.push(decision(lead.lead, episode, reason, now));
            }
            for (ordinal, body) in (0_u32..).zip(bodies) {
                let parts: [&[u8]; 3] = [b"undo", episode.as_bytes(), &ordinal.to_be_bytes()];
                let key = engine.install.derive(&parts);
                let connection = engine.crm.clone();
                let effect = Effect { key, connection, lead: lead.lead, episode, body: body.clone() };
                commit.effects.push(NewEffect { effect, ordinal, due_at: now, observed: false });
            }
            for turn in &lead.turns {
                credit(turn, now, &mut commit);
            }
        }
        commit
    }
}

/// For each object, the owner before the oldest write that is taken back and the one after the newest. A human's choice
/// that was restored in between ends the chain: it stands.
fn owners(leads: &[UndoLead]) -> BTreeMap<Owned, Option<OwnerChange>> {
    let mut chains: BTreeMap<Owned, Option<OwnerChange>> = BTreeMap::new();
    // Newest first.
    for written in leads.iter().filter(|lead| !lead.unsettled).flat_map(|lead| lead.owners.iter().rev()) {
        let change = OwnerChange {
            expected: written.owner.clone(),
            to: written.before.clone(),
            restores: true,
            ..OwnerChange::default()
        };
        chains
            .entry(written.object.clone())
            .and_modify(|chain| {
                if let Some(chain) = chain {
                    chain.to.clone_from(&written.before);
                }
            })
            .or_insert((!written.restored).then_some(change));
    }
    chains
}

fn bodies(
    engine: &Engine,
    lead: &UndoLead,
    later: Option<LeadId>,
    archive: bool,
    owners: &mut BTreeMap<Owned, Option<OwnerChange>>,
    line: &mut UndoLine,
) -> Vec<EffectBody> {
    let mut bodies = Vec::new();
    for written in &lead.owners {
        let (kind, id) = &written.object;
        // What stands for this inquiry only is no other's to rely on.
        let later = later.filter(|_| !kind.is_inquiry());
        match (later, owners.remove(&written.object)) {
            (Some(later), _) => {
                line.left.push(format!("the owner stays: lead {later} of the same person relies on it"));
            }
            (None, Some(Some(change))) => {
                let name = |owner: &Option<ExternalId>| match owner {
                    Some(owner) => format!("owner {owner}"),
                    None => "nobody".to_owned(),
                };
                let (from, to) = (name(&change.expected), name(&change.to));
                line.steps.push(format!(
                    "{} {id} goes from {from} back to {to}, if {from} still stands",
                    kind.as_str()
                ));
                let target = ObjectRef::Id { kind: *kind, id: id.clone() };
                let fields = BTreeMap::new();
                let owner = Some(change);
                bodies.push(EffectBody::UpdateObject { target, owner, fields, slot: None, after: None });
            }
            (None, Some(None)) => line.left.push("the owner stays: a human chose it".to_owned()),
            (None, None) => {}
        }
    }
    for task in &lead.tasks {
        line.steps.push(format!("task {task} is completed, if nobody has touched it"));
        let task = ObjectRef::Id { kind: SlotKind::Task, id: task.clone() };
        bodies.push(EffectBody::CloseTask { task, only_untouched: true });
    }
    for (kind, id) in &lead.created {
        let name = kind.as_str();
        match (archive, later.filter(|_| !kind.is_inquiry())) {
            (true, None) => {
                line.steps.push(format!("{name} {id}, which usher created, is archived"));
                let target = ObjectRef::Id { kind: *kind, id: id.clone() };
                bodies.push(EffectBody::ArchiveObject { target });
            }
            (true, Some(later)) => line.left.push(format!("{name} {id} stays: lead {later} relies on it")),
            (false, _) => {
                line.left.push(format!("{name} {id}, which usher created, stays (--archive removes it)"));
            }
        }
    }
    line.steps
        .extend(lead.turns.iter().map(|turn| format!("{} gets a turn in {} back", turn.rep, turn.pool)));
    line.steps.push(match engine.mode {
        Mode::Live => "the lead ends as suppressed".to_owned(),
        Mode::Observe => "the lead ends as suppressed; writes wait until mode is live".to_owned(),
    });
    bodies
}

fn decision(lead: LeadId, episode: EpisodeId, reason: &str, now: Timestamp) -> Decision {
    Decision {
        id: DecisionId::new(now),
        episode,
        lead,
        trigger: Trigger::Undone,
        at: now,
        mode: Mode::Live,
        path: "undo".to_owned(),
        resolution: Resolution::Dropped { reason: format!("undone: {reason}") },
        why: format!("Undone: {reason}."),
        trace: Trace::default(),
    }
}

/// The line that takes a turn back: as if the lead had never been, for the rep and for the shares of the others.
fn credit(turn: &Turn, now: Timestamp, commit: &mut DecisionCommit) {
    let shares: BTreeMap<_, _> = turn.shares.iter().map(|(rep, share)| (rep.clone(), -share)).collect();
    let mut gain = |rep: &usher_model::RepKey, add: Balance| {
        let known = commit.balances.iter_mut().find(|delta| delta.pool == turn.pool && delta.rep == *rep);
        match known {
            Some(delta) => {
                delta.add.entitled += add.entitled;
                delta.add.taken += add.taken;
            }
            None => commit.balances.push(BalanceDelta { pool: turn.pool.clone(), rep: rep.clone(), add }),
        }
    };
    for (rep, share) in &shares {
        gain(rep, Balance { entitled: *share, taken: 0.0 });
    }
    gain(&turn.rep, Balance { entitled: 0.0, taken: -f64::from(turn.count) });
    commit.turns.push(Turn {
        at: now,
        shares,
        count: -turn.count,
        reason: "credited: undone".to_owned(),
        ..turn.clone()
    });
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_credit_takes_back_the_turn_and_everybodys_share_of_it() {
        let at = Timestamp::from_second(1_795_341_600).unwrap();
        let turn = Turn {
            pool: "seo".to_owned(),
            mode: Mode::Live,
            decision: DecisionId::new(at),
            at,
            rep: "ana".into(),
            shares: [("ana".into(), 0.75), ("ben".into(), 0.25)].into(),
            count: 1,
            reason: "assigned".to_owned(),
        };
        let mut commit = DecisionCommit::default();
        credit(&turn, at, &mut commit);
        credit(&turn, at, &mut commit);
        let lines: Vec<(i32, f64)> =
            commit.turns.iter().map(|line| (line.count, line.shares.values().sum())).collect();
        assert_eq!(lines, [(-1, -1.0), (-1, -1.0)]);
        let gained = |rep: &str| {
            let delta = commit.balances.iter().find(|delta| delta.rep.as_str() == rep).unwrap();
            (delta.add.entitled, delta.add.taken)
        };
        assert_eq!((gained("ana"), gained("ben")), ((-1.5, -2.0), (-0.5, 0.0)), "the sums of the lines");
    }
}
