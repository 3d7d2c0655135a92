//! Deciding: the queue, the view and the one transaction.

use std::collections::BTreeMap;

use usher_model::{
    Balance, Fields, Lane, LeadId, LeadState, Mode, PersonId, RecordState, RepKey, Resolution, SlotOrigin,
    Turn, WaitReason,
};

use super::Backend;
use super::fixture::{
    at, create_task, crm, decided, decision, done, email_key, finish, form, link_key, mapped, new_record,
    opening, person_slot, planned, standing,
};
use crate::{BalanceDelta, DecisionCommit, IdentityBinding, NewRecord, RecordEnd, StoreError, ViewAsk};

pub(crate) async fn live_records_come_before_sweep_and_backfill(backend: impl Backend) {
    let store = backend.store();
    for (n, lane) in [(1, Lane::Backfill), (2, Lane::Sweep), (4, Lane::Live), (3, Lane::Live)] {
        mapped(&store, NewRecord { lane, ..new_record(n) }, at(5)).await;
    }
    let order = |ready: crate::Ready| -> Vec<String> {
        ready.drafts.iter().map(|draft| draft.external_id.to_string()).collect()
    };
    assert_eq!(order(store.ready(9, at(5)).await.unwrap()), ["3", "4", "2", "1"]);
    assert_eq!(order(store.ready(2, at(5)).await.unwrap()), ["3", "4"]);
    assert!(store.ready(9, at(4)).await.unwrap().drafts.is_empty());
}

pub(crate) async fn held_connections_are_left_out(backend: impl Backend) {
    let store = backend.store();
    assert_eq!(store.connect(&form(), at(1)).await.unwrap().held, None);
    mapped(&store, new_record(1), at(5)).await;
    mapped(&store, new_record(2), at(50)).await;
    store.hold(&form(), Some("20,000 at once"), at(2)).await.unwrap();
    store.hold(&form(), Some("still"), at(3)).await.unwrap();
    let row = store.connect(&form(), at(9)).await.unwrap();
    assert_eq!((row.started_at, row.held), (at(1), Some((at(2), "still".to_owned()))));
    assert!(store.ready(9, at(5)).await.unwrap().drafts.is_empty());
    store.hold(&form(), None, at(4)).await.unwrap();
    assert_eq!(store.ready(9, at(5)).await.unwrap().drafts.len(), 1);
}

pub(crate) async fn fm_108_a_stale_record_rolls_everything_back(backend: impl Backend) {
    let store = backend.store();
    let (first, second) =
        (mapped(&store, new_record(1), at(1)).await, mapped(&store, new_record(2), at(1)).await);
    let opened = opening(first, 1, PersonId::new(at(1)), Mode::Live, at(2));
    store.commit_decisions(opened.commit, at(2)).await.unwrap();
    // Record 1 is decided already; nothing of record 2 may be stored with it.
    let mut fold = opening(second, 2, PersonId::new(at(2)), Mode::Live, at(3));
    let end = fold.commit.records[0].clone();
    fold.commit.records.push(RecordEnd { record: first, ..end });
    let before = store.counts().await.unwrap();
    let error = store.commit_decisions(fold.commit, at(3)).await.unwrap_err();
    assert!(matches!(error, StoreError::Stale), "{error}");
    assert_eq!(store.counts().await.unwrap(), before);
    assert!(store.lead_story(fold.lead).await.unwrap().is_none());
    assert_eq!(store.ready(9, at(9)).await.unwrap().drafts.len(), 1);
}

pub(crate) async fn an_object_of_someone_else_is_stale(backend: impl Backend) {
    let store = backend.store();
    decided(&store, 1).await;
    let record = mapped(&store, new_record(2), at(2)).await;
    let mut fold = opening(record, 2, PersonId::new(at(2)), Mode::Live, at(3));
    fold.commit.links[0].key = link_key(1);
    let error = store.commit_decisions(fold.commit.clone(), at(3)).await.unwrap_err();
    assert!(matches!(error, StoreError::Stale), "{error}");

    // The same object for the same person is no conflict, in one fold or in two.
    fold.commit.links[0].key = link_key(2);
    fold.commit.links.push(fold.commit.links[0].clone());
    store.commit_decisions(fold.commit, at(3)).await.unwrap();
}

pub(crate) async fn a_weak_key_may_name_several_persons(backend: impl Backend) {
    let store = backend.store();
    let ana = decided(&store, 1).await;
    let record = mapped(&store, new_record(2), at(2)).await;
    let mut fold = opening(record, 2, PersonId::new(at(2)), Mode::Live, at(3));
    fold.commit.identity.push(IdentityBinding { key: email_key(1), person: fold.person });
    store.commit_decisions(fold.commit, at(3)).await.unwrap();
    let ask = ViewAsk { keys: vec![email_key(1)], ..ViewAsk::default() };
    let persons = store.decision_view(&ask).await.unwrap().persons;
    let ids: Vec<_> = persons.iter().map(|person| person.id).collect();
    assert_eq!(ids, [ana.person, fold.person]);
    assert_eq!(persons[1].keys.len(), 2);
}

pub(crate) async fn a_lead_that_moved_is_stale(backend: impl Backend) {
    let store = backend.store();
    let ana = decided(&store, 1).await;
    let moved = vec![(ana.lead, LeadState::Decided, None, None)];
    let error = store
        .commit_decisions(DecisionCommit { moved, ..DecisionCommit::default() }, at(3))
        .await
        .unwrap_err();
    assert!(matches!(error, StoreError::Stale), "{error}");
}

pub(crate) async fn the_view_shows_what_is_known(backend: impl Backend) {
    let store = backend.store();
    let ana = decided(&store, 1).await;
    let ask = ViewAsk {
        keys: vec![email_key(1), email_key(99)],
        links: vec![link_key(1), link_key(99)],
        mode: Some(Mode::Live),
        open_since: Some(at(0)),
        ..ViewAsk::default()
    };
    let view = store.decision_view(&ask).await.unwrap();
    assert_eq!(view.persons.len(), 1);
    assert_eq!(view.persons[0].id, ana.person);
    assert_eq!(view.persons[0].keys, [email_key(1)]);
    assert_eq!(view.persons[0].names, ["Person 1"]);
    assert!(view.persons[0].being_written);
    assert_eq!(view.links.len(), 1);
    assert!(view.links[0].enrolled && !view.links[0].ours);
    assert_eq!(view.open_leads[0].lead.id, ana.lead);
    assert_eq!(view.open_leads[0].owner.as_ref().unwrap().as_str(), "501");
    assert!(view.slots.is_empty());

    finish(&store, usher_model::EffectKind::EnsurePerson, 5, |claim| done(claim, "c1")).await;
    let by_person = ViewAsk { persons: vec![ana.person], open_since: Some(at(2)), ..ViewAsk::default() };
    let view = store.decision_view(&by_person).await.unwrap();
    assert!(!view.persons[0].being_written);
    assert_eq!(view.slots, [(person_slot(ana.person), "c1".into())]);
    assert_eq!(view.open_leads.len(), 1, "a lead that is not done stays open for ever");
    store.suppress(ana.lead, "by hand", at(3)).await.unwrap();
    let view = store.decision_view(&by_person).await.unwrap();
    assert!(view.open_leads.is_empty(), "done, and opened before the window");
    assert_eq!(store.opened_since(at(0)).await.unwrap(), BTreeMap::from([(form(), 1)]));
    assert!(store.opened_since(at(2)).await.unwrap().is_empty());
}

pub(crate) async fn the_ledger_sums_equal_the_balances(backend: impl Backend) {
    let store = backend.store();
    for n in 1..=20 {
        let record = mapped(&store, new_record(n), at(n)).await;
        let mut fold = opening(record, n, PersonId::new(at(n)), Mode::Live, at(n));
        let rep: RepKey = if n % 3 == 0 { "ben".into() } else { "ana".into() };
        let shares: BTreeMap<RepKey, f64> =
            BTreeMap::from([("ana".into(), 1.0 / 3.0), ("ben".into(), 2.0 / 3.0)]);
        for (rep, share) in &shares {
            let add = Balance { entitled: *share, taken: 0.0 };
            fold.commit.balances.push(BalanceDelta { pool: "sales".to_owned(), rep: rep.clone(), add });
        }
        let add = Balance { entitled: 0.0, taken: 1.0 };
        fold.commit.balances.push(BalanceDelta { pool: "sales".to_owned(), rep: rep.clone(), add });
        fold.commit.turns.push(Turn {
            pool: "sales".to_owned(),
            mode: if n <= 5 { Mode::Observe } else { Mode::Live },
            decision: fold.commit.decisions[0].id,
            at: at(n),
            rep,
            shares,
            count: 1,
            reason: "assigned".to_owned(),
        });
        store.commit_decisions(fold.commit, at(n)).await.unwrap();
    }
    for mode in [Mode::Live, Mode::Observe] {
        let ask = ViewAsk { mode: Some(mode), ..ViewAsk::default() };
        let balances = store.decision_view(&ask).await.unwrap().balances;
        let ledger = backend.ledger(mode).await;
        assert_eq!(ledger.len(), 2);
        for ((pool, rep), (entitled, taken)) in ledger {
            let balance = balances[&pool][rep.as_str()];
            assert!((balance.entitled - entitled).abs() < 1e-9, "{mode:?} {rep}");
            assert!((balance.taken - taken).abs() < 1e-9, "{mode:?} {rep}");
        }
    }
}

pub(crate) async fn waiting_leads_come_back_when_due(backend: impl Backend) {
    let store = backend.store();
    let record = mapped(&store, new_record(1), at(1)).await;
    let mut fold = opening(record, 1, PersonId::new(at(1)), Mode::Live, at(2));
    let effects = std::mem::take(&mut fold.commit.effects);
    let wait = WaitReason { because: "closed".to_owned(), until: at(100), gives_up_at: at(500) };
    fold.commit.opened[0].lead.state = LeadState::Waiting;
    fold.commit.opened[0].crm_owner = Some("77".into());
    fold.commit.decisions[0].resolution = Resolution::Waiting(wait.clone());
    fold.commit.waits.push((fold.lead, wait.clone()));
    store.commit_decisions(fold.commit, at(2)).await.unwrap();
    assert!(store.ready(9, at(99)).await.unwrap().waiting.is_empty());
    let waiting = store.ready(9, at(100)).await.unwrap().waiting;
    assert_eq!((waiting[0].lead.id, &waiting[0].wait), (fold.lead, &wait));
    assert_eq!(waiting[0].crm_owner.as_ref().unwrap().as_str(), "77");

    // It may wait again, and then be decided.
    let again = WaitReason { until: at(200), ..wait };
    let commit = DecisionCommit {
        moved: vec![(fold.lead, LeadState::Waiting, None, Some("closed again".to_owned()))],
        waits: vec![(fold.lead, again)],
        ..DecisionCommit::default()
    };
    store.commit_decisions(commit, at(100)).await.unwrap();
    assert!(store.ready(9, at(199)).await.unwrap().waiting.is_empty());
    let commit = DecisionCommit {
        moved: vec![(fold.lead, LeadState::Decided, None, None)],
        decisions: vec![decision(fold.lead, fold.episode, Mode::Live, at(200))],
        effects,
        ..DecisionCommit::default()
    };
    store.commit_decisions(commit, at(200)).await.unwrap();
    assert!(store.ready(9, at(999)).await.unwrap().waiting.is_empty());
    assert_eq!(standing(&store, fold.lead).await, "decided");
}

pub(crate) async fn a_decision_without_writes_closes_as_written(backend: impl Backend) {
    let store = backend.store();
    let record = mapped(&store, new_record(1), at(1)).await;
    let mut fold = opening(record, 1, PersonId::new(at(1)), Mode::Live, at(2));
    fold.commit.effects.clear();
    fold.commit.decisions[0].resolution = Resolution::Kept { owner: "9".into() };
    store.commit_decisions(fold.commit, at(2)).await.unwrap();
    assert_eq!(standing(&store, fold.lead).await, "closed:written");

    // The task alone, on an object that is known: open until the task is there.
    let record = mapped(&store, new_record(2), at(2)).await;
    let mut fold = opening(record, 2, PersonId::new(at(2)), Mode::Live, at(3));
    fold.commit.effects = planned(vec![create_task(fold.lead, fold.episode, fold.person)], at(3));
    fold.commit.slots.push((person_slot(fold.person), "c2".into(), SlotOrigin::Found));
    store.commit_decisions(fold.commit, at(3)).await.unwrap();
    assert_eq!(standing(&store, fold.lead).await, "decided");
    let claimed =
        store.claim_effects(&crm(), usher_model::EffectKind::CreateTask, 9, at(3), at(9)).await.unwrap();
    assert_eq!(claimed[0].bindings[0].id.as_str(), "c2");
    store.finish_effects(vec![done(&claimed[0], "t2")], at(4)).await.unwrap();
    assert_eq!(standing(&store, fold.lead).await, "closed:written");
}

pub(crate) async fn an_open_lead_is_completed(backend: impl Backend) {
    let store = backend.store();
    let ana = decided(&store, 1).await;
    let mut again = new_record(1);
    again.record.revision = "2".to_owned();
    let record = mapped(&store, again, at(2)).await;
    let mut fields = Fields::default();
    fields.values.insert("full_name".to_owned(), "Ana Lima".into());
    let commit = DecisionCommit {
        records: vec![RecordEnd {
            record,
            state: RecordState::Updated,
            reason: None,
            lead: Some(ana.lead),
            detail: None,
        }],
        completed: vec![(ana.lead, fields.clone())],
        ..DecisionCommit::default()
    };
    store.commit_decisions(commit, at(3)).await.unwrap();
    let story = store.lead_story(ana.lead).await.unwrap().unwrap();
    assert_eq!(story.lead.fields, fields);
    let states: Vec<_> = story.records.iter().map(|record| record.state).collect();
    assert_eq!(states, [RecordState::Opened, RecordState::Updated]);

    let unknown =
        DecisionCommit { completed: vec![(LeadId::new(at(9)), fields)], ..DecisionCommit::default() };
    assert!(matches!(store.commit_decisions(unknown, at(4)).await, Err(StoreError::Stale)));
}
