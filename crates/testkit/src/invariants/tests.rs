//! Each invariant, broken once.

use super::*;

fn counts(records: &[(&str, u64)]) -> Counts {
    let records = records.iter().map(|(state, count)| ((*state).to_owned(), *count)).collect();
    Counts { records, ..Counts::default() }
}

fn owned(owner: u64, later: bool) -> Ownership {
    Ownership {
        id: 7,
        email: None,
        owner,
        api_owner: Some(11),
        api_at: Some(1),
        api_changes: 1,
        changed_later_by: later.then_some(usher_sandbox::Actor::Human),
    }
}

fn decision() -> DecidedOwner {
    DecidedOwner {
        lead: usher_model::LeadId::new(jiff::Timestamp::UNIX_EPOCH),
        person: "7".into(),
        owner: "11".into(),
    }
}

#[test]
fn i1_records_that_do_not_add_up_are_told() {
    assert_eq!(records(&counts(&[("opened", 2), ("fetched", 1)]), 3), []);
    assert_eq!(records(&counts(&[("opened", 2)]), 3).len(), 1);
    // A state that the model does not know hides records.
    assert_eq!(records(&counts(&[("opened", 2), ("lost", 1)]), 3).len(), 1);
    let mut unexplained = counts(&[("ignored", 2)]);
    unexplained.ignored.insert("echo".to_owned(), 1);
    assert_eq!(records(&unexplained, 2).len(), 1);
}

#[test]
fn i1_each_lead_ends_or_says_what_it_waits_for() {
    use EffectState::{Done, Parked, Planned};
    let problem = |state, reason, effects: &[EffectState], drained| {
        lead_problem(state, reason, effects, drained).is_some()
    };
    let written = Some(CloseReason::Written);
    for drained in [false, true] {
        assert!(!problem(LeadState::Closed, written, &[Done], drained));
        assert!(!problem(LeadState::Waiting, None, &[], drained));
        assert!(!problem(LeadState::Decided, None, &[Done, Parked], drained));
        assert!(problem(LeadState::Closed, None, &[Done], drained));
        assert!(problem(LeadState::Closed, written, &[Planned], drained));
        assert!(problem(LeadState::Waiting, written, &[], drained));
        assert!(problem(LeadState::Decided, None, &[], drained));
    }
    assert!(!problem(LeadState::Decided, None, &[Planned], false));
    assert!(problem(LeadState::Decided, None, &[Planned], true));
    assert!(problem(LeadState::Decided, None, &[Done], true));
}

#[test]
fn i2_duplicates_at_the_vendor_are_told() {
    assert_eq!(duplicates(&Summary::default()), []);
    let verdict =
        Summary { duplicate_persons: 1, duplicate_phones: 2, duplicate_tasks: 3, ..Summary::default() };
    assert_eq!(duplicates(&verdict).len(), 3);
}

#[test]
fn i3_the_owner_is_the_decided_one_unless_somebody_changed_it_later() {
    assert_eq!(owners(&[decision()], &[owned(11, false)], true), []);
    assert_eq!(owners(&[decision()], &[owned(12, false)], true).len(), 1);
    assert_eq!(owners(&[decision()], &[owned(12, true)], true), []);
    assert_eq!(owners(&[decision()], &[], true), []);
    let unwritten = Ownership { api_owner: None, ..owned(0, false) };
    assert_eq!(owners(&[decision()], std::slice::from_ref(&unwritten), false), []);
    assert_eq!(owners(&[decision()], &[unwritten], true).len(), 1);
    let human_first = Ownership { api_owner: None, ..owned(12, false) };
    assert_eq!(owners(&[decision()], &[human_first], true), []);
}

#[test]
fn i8_what_still_moves_is_told() {
    assert_eq!(in_flight(&counts(&[("opened", 9)]), &Summary::default()), []);
    let mut busy = counts(&[("mapped", 1)]);
    busy.effects.insert("unknown".to_owned(), 2);
    busy.hints_waiting = 3;
    let verdict = Summary { pending: 4, ..Summary::default() };
    assert_eq!(in_flight(&busy, &verdict).len(), 4);
}

#[tokio::test]
async fn an_empty_house_breaks_nothing() {
    let store = match usher_store::SqliteStore::in_memory().await {
        Ok(store) => store,
        Err(error) => panic!("{error}"),
    };
    let found = Invariants { drained: true }.check(&store, &Summary::default(), &[]).await;
    assert_eq!(found.ok(), Some(Vec::new()));
}
