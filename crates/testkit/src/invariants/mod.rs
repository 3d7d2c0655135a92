//! What must hold after every scenario, whatever went wrong in it: the store held against the simulators' oracle.

use std::collections::BTreeMap;
use std::fmt;

use usher_model::{CloseReason, EffectState, LeadState, RecordState};
use usher_sandbox::{Ownership, Summary};
use usher_store::{Counts, DecidedOwner, Store, StoreError};

/// One broken promise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The invariant, as the failure modes number them: `I1`, `I2`, `I3`, `I8`.
    pub invariant: &'static str,
    /// What was found, by ids and counts only.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.invariant, self.what)
    }
}

/// The invariants that can be checked from outside. The daemon may still run: what is in flight then counts, unless
/// the caller says that everything has drained.
#[derive(Debug, Clone, Copy)]
pub struct Invariants {
    /// Whether nothing may be in flight any more (I8).
    pub drained: bool,
}

impl Invariants {
    /// Checks them all:
    ///
    /// - I1: records add up to opened, updated, ignored, failed and in flight; every lead is closed with a reason, or
    ///   decided with writes that explain what it waits for, or waits.
    /// - I2: no second person and no second task at the vendor.
    /// - I3: the owner at the vendor is the last decision's, unless somebody else changed it later.
    /// - I8: with `drained`, nothing is in flight.
    pub async fn check(
        self,
        store: &dyn Store,
        verdict: &Summary,
        ownership: &[Ownership],
    ) -> Result<Vec<Violation>, StoreError> {
        let counts = store.counts().await?;
        let seen: u64 = store.connections().await?.iter().map(|connection| connection.seen).sum();
        let audit = store.audit().await?;
        let decided = store.decided_owners().await?;
        let mut found = records(&counts, seen);
        found.extend(audit.iter().filter_map(|(lead, state, reason, effects)| {
            let what = lead_problem(*state, *reason, effects, self.drained)?;
            Some(Violation { invariant: "I1", what: format!("lead {lead}: {what}") })
        }));
        found.extend(duplicates(verdict));
        found.extend(owners(&decided, ownership, self.drained));
        if self.drained {
            found.extend(in_flight(&counts, verdict));
        }
        Ok(found)
    }
}

fn states() -> [RecordState; 6] {
    use RecordState::{Failed, Fetched, Ignored, Mapped, Opened, Updated};
    [Fetched, Mapped, Opened, Updated, Ignored, Failed]
}

/// I1: what was seen is what is counted, under states that exist.
fn records(counts: &Counts, seen: u64) -> Vec<Violation> {
    let mut found = Vec::new();
    let known: u64 = states().iter().filter_map(|state| counts.records.get(state.as_str())).sum();
    if known != seen {
        let what = format!("{seen} records were seen and {known} are accounted for: {:?}", counts.records);
        found.push(Violation { invariant: "I1", what });
    }
    let ignored = counts.records.get(RecordState::Ignored.as_str()).copied().unwrap_or_default();
    let reasons: u64 = counts.ignored.values().sum();
    if ignored != reasons {
        let what = format!("{ignored} records are ignored and {reasons} have a reason");
        found.push(Violation { invariant: "I1", what });
    }
    found
}

/// What is wrong with a lead's end, if anything.
fn lead_problem(
    state: LeadState,
    reason: Option<CloseReason>,
    effects: &[EffectState],
    drained: bool,
) -> Option<&'static str> {
    let open = effects.iter().any(|effect| !effect.is_final());
    let parked = effects.contains(&EffectState::Parked);
    match (state, reason) {
        (LeadState::Closed, None) => Some("closed without a reason"),
        (LeadState::Closed, Some(_)) if open => Some("closed while writes are on their way"),
        (LeadState::Closed, Some(_)) => None,
        (_, Some(_)) => Some("has a reason to be closed and is open"),
        (LeadState::Waiting, None) => None,
        // Drained means that nothing moves by itself: only what an operator must look at may hold a lead open.
        (LeadState::Decided, None) if drained && !parked => {
            Some("decided, all writes ended, and never closed")
        }
        (LeadState::Decided, None) if effects.is_empty() => Some("decided without any write"),
        (LeadState::Decided, None) => None,
    }
}

/// I2, by the oracle.
fn duplicates(verdict: &Summary) -> Vec<Violation> {
    let mut found = Vec::new();
    for (count, what, list) in [
        (
            verdict.duplicate_persons,
            "persons beyond the first of their address",
            &verdict.duplicate_person_list,
        ),
        (verdict.duplicate_tasks, "tasks beyond the first of their marker", &verdict.duplicate_task_list),
    ] {
        if count > 0 {
            let ids: Vec<&Vec<u64>> = list.iter().take(5).map(|duplicate| &duplicate.ids).collect();
            found.push(Violation { invariant: "I2", what: format!("{count} {what}, such as {ids:?}") });
        }
    }
    if verdict.duplicate_phones > 0 {
        let what = format!("{} persons beyond the first of their phone number", verdict.duplicate_phones);
        found.push(Violation { invariant: "I2", what });
    }
    found
}

/// I3: a decision that has not been written yet is no violation until everything has drained.
fn owners(decided: &[DecidedOwner], ownership: &[Ownership], drained: bool) -> Vec<Violation> {
    let at_vendor: BTreeMap<String, &Ownership> =
        ownership.iter().map(|owned| (owned.id.to_string(), owned)).collect();
    let mut found = Vec::new();
    for decision in decided {
        // A person who was archived or merged has no owner to compare.
        let Some(owned) = at_vendor.get(decision.person.as_str()) else { continue };
        if owned.changed_later_by.is_some() || owned.owner.to_string() == decision.owner.as_str() {
            continue;
        }
        // Never written by us: somebody else was first, or the write is still to come.
        if owned.api_owner.is_none() && (owned.owner != 0 || !drained) {
            continue;
        }
        let what = format!(
            "person {} of lead {} belongs to {} and was decided for {}",
            decision.person, decision.lead, owned.owner, decision.owner
        );
        found.push(Violation { invariant: "I3", what });
    }
    found
}

/// I8: nothing moves any more.
fn in_flight(counts: &Counts, verdict: &Summary) -> Vec<Violation> {
    let of = |counts: &BTreeMap<String, u64>, name: &str| counts.get(name).copied().unwrap_or_default();
    let records = [RecordState::Fetched, RecordState::Mapped]
        .map(|state| (state.as_str(), of(&counts.records, state.as_str())));
    let open = [EffectState::Blocked, EffectState::Planned, EffectState::Sending, EffectState::Unknown];
    let effects = open.map(|state| (state.as_str(), of(&counts.effects, state.as_str())));
    let waiting = [
        ("webhook bodies not split", counts.deliveries_waiting),
        ("objects hinted at and not fetched", counts.hints_waiting),
        ("events pending at the vendor", verdict.pending as u64),
    ];
    let all = records.into_iter().chain(effects).chain(waiting).filter(|(_, count)| *count > 0);
    all.map(|(what, count)| Violation { invariant: "I8", what: format!("{count} still {what}") }).collect()
}

#[cfg(test)]
mod tests;
