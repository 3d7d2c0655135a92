//! Watching: which leads an event counts for, who touched first, and that a repeat changes nothing.

use std::sync::Arc;

use serde_json::json;
use usher_model::EffectKind::{CloseTask, CreateTask, EnsurePerson, UpdateObject};
use usher_model::{
    ChangedBy, CrmEvent, Effect, EffectBody, EffectKey, Happening, LeadId, ObjectRef, Outcome, SlotKind,
    TouchKind,
};

use super::Backend;
use super::fixture::{at, claim, crm, decided, done, end, finish, planned};
use super::following::with_deal;
use crate::{
    DecisionCommit, EffectEnd, FirstTouch, Hanging, KnownObject, NewEvent, Responses, SeenObject, Store,
    StoreError, WatchCommit,
};

fn contact(id: &str) -> Hanging {
    Hanging { kind: SlotKind::Person, object: "contacts".into(), id: id.into() }
}

fn deal(id: &str) -> Hanging {
    Hanging { kind: SlotKind::Deal, object: "deals".into(), id: id.into() }
}

fn event(id: &str, about: &[Hanging], second: i64, hand: ChangedBy, what: Happening) -> NewEvent {
    let objects = about.iter().map(|of| (of.object.clone(), of.id.clone())).collect();
    let event =
        CrmEvent { id: id.to_owned(), about: objects, by: Some("501".into()), hand, at: at(second), what };
    NewEvent { event, about: about.to_vec() }
}

fn touched(id: &str, about: &[Hanging], second: i64, how: TouchKind) -> NewEvent {
    let what = Happening::Touch { how, logged_at: at(second), task: None };
    event(id, about, second, ChangedBy::Human, what)
}

fn ended(id: &str, about: &[Hanging], second: i64, outcome: Outcome, began: i64) -> NewEvent {
    let what = Happening::Outcome { outcome, value: None, currency: None, began_at: Some(at(began)) };
    event(id, about, second, ChangedBy::Unknown, what)
}

fn commit(previous: Option<i64>, next: i64, events: Vec<NewEvent>) -> WatchCommit {
    let (previous, cursor) = (previous.map(|n| json!({ "n": n })), json!({ "n": next }));
    let stream = "activity/calls/live".to_owned();
    WatchCommit { connection: crm(), stream, previous, cursor, events, seen: Vec::new(), now: at(900) }
}

/// Stores events whatever came before.
async fn told(store: &Arc<dyn Store>, events: Vec<NewEvent>) -> u64 {
    let previous = store.cursor(&crm(), "activity/calls/live").await.unwrap();
    let next = previous.as_ref().map_or(1, |cursor| cursor["n"].as_i64().unwrap() + 1);
    let commit = WatchCommit { previous, ..commit(None, next, events) };
    store.commit_watch(commit).await.unwrap()
}

async fn first(store: &Arc<dyn Store>, lead: LeadId) -> Option<(i64, TouchKind)> {
    let first = store.lead_events(lead).await.unwrap().first;
    first.map(|first| (first.at.as_second() - at(0).as_second(), first.how))
}

async fn ids(store: &Arc<dyn Store>, lead: LeadId) -> Vec<String> {
    store.lead_events(lead).await.unwrap().events.into_iter().map(|event| event.id).collect()
}

pub(crate) async fn a_touch_counts_for_the_leads_of_its_person_from_their_arrival_on(backend: impl Backend) {
    let store = backend.store();
    let ana = decided(&store, 10).await;
    finish(&store, EnsurePerson, 11, |claim| done(claim, "c1")).await;
    let stranger = touched("calls/9", &[contact("c9")], 30, TouchKind::Call);
    let before = touched("calls/1", &[contact("c1")], 9, TouchKind::Call);
    let mut program = touched("calls/2", &[contact("c1")], 20, TouchKind::Call);
    program.event.hand = ChangedBy::Program;
    let elsewhere = touched("calls/3", &[deal("c1")], 21, TouchKind::Call);
    let own = touched("calls/4", &[contact("c1")], 40, TouchKind::Mail);
    assert_eq!(told(&store, vec![stranger, before, program, elsewhere, own]).await, 1);
    let story = store.lead_events(ana.lead).await.unwrap();
    let by = Some("501".into());
    assert_eq!(story.first, Some(FirstTouch { arrived_at: at(10), at: at(40), how: TouchKind::Mail, by }));
    assert_eq!(ids(&store, ana.lead).await, ["calls/4"]);
}

pub(crate) async fn an_earlier_touch_that_comes_in_late_is_the_first(backend: impl Backend) {
    let store = backend.store();
    let ana = decided(&store, 10).await;
    finish(&store, EnsurePerson, 11, |claim| done(claim, "c1")).await;
    let (late, early) = (
        touched("notes/1", &[contact("c1")], 90, TouchKind::Note),
        touched("calls/1", &[contact("c1")], 50, TouchKind::Call),
    );
    told(&store, vec![late.clone()]).await;
    assert_eq!(first(&store, ana.lead).await, Some((90, TouchKind::Note)));
    told(&store, vec![early.clone()]).await;
    assert_eq!(first(&store, ana.lead).await, Some((50, TouchKind::Call)));
    assert_eq!(told(&store, vec![early]).await + told(&store, vec![late]).await, 0, "repeats");
    assert_eq!(first(&store, ana.lead).await, Some((50, TouchKind::Call)));
    assert_eq!(ids(&store, ana.lead).await, ["calls/1", "notes/1"]);
}

pub(crate) async fn a_touch_of_a_deal_counts_for_its_lead_alone(backend: impl Backend) {
    let store = backend.store();
    // The ids of persons and deals overlap.
    let (ana, ben) = (with_deal(&store, 1, "5", "7").await, with_deal(&store, 2, "7", "5").await);
    told(&store, vec![touched("calls/1", &[deal("7")], 40, TouchKind::Call)]).await;
    assert_eq!(first(&store, ana.lead).await, Some((40, TouchKind::Call)));
    assert_eq!(first(&store, ben.lead).await, None);
    told(&store, vec![touched("calls/2", &[deal("5"), contact("5")], 50, TouchKind::Mail)]).await;
    assert_eq!(first(&store, ben.lead).await, Some((50, TouchKind::Mail)));
    assert_eq!(ids(&store, ana.lead).await, ["calls/1", "calls/2"], "she is contact 5");
}

pub(crate) async fn fm_008_events_and_cursor_are_stored_together_or_not_at_all(backend: impl Backend) {
    let store = backend.store();
    let ana = decided(&store, 10).await;
    finish(&store, EnsurePerson, 11, |claim| done(claim, "c1")).await;
    let call = |n: i64| vec![touched(&format!("calls/{n}"), &[contact("c1")], 40 + n, TouchKind::Call)];
    assert_eq!(store.commit_watch(commit(None, 1, call(1))).await.unwrap(), 1);
    for stale in [None, Some(7)] {
        let refused = store.commit_watch(commit(stale, 2, call(2))).await;
        assert!(matches!(refused, Err(StoreError::Stale)), "{refused:?}");
    }
    assert_eq!(ids(&store, ana.lead).await, ["calls/1"]);
    assert_eq!(store.commit_watch(commit(Some(1), 2, call(2))).await.unwrap(), 1);
    assert_eq!(store.cursor(&crm(), "activity/calls/live").await.unwrap(), Some(json!({ "n": 2 })));
}

pub(crate) async fn the_end_of_a_task_that_we_closed_is_no_touch(backend: impl Backend) {
    let store = backend.store();
    let ana = decided(&store, 10).await;
    finish(&store, EnsurePerson, 11, |claim| done(claim, "c1")).await;
    finish(&store, UpdateObject, 12, |claim| {
        end(
            claim,
            EffectEnd::Done {
                id: Some("501".into()),
                origin: usher_model::SlotOrigin::Found,
                object: None,
                note: None,
            },
        )
    })
    .await;
    assert_eq!(finish(&store, CreateTask, 13, |claim| done(claim, "t1")).await, 1);
    let task = ObjectRef::Id { kind: SlotKind::Task, id: "t1".into() };
    let body = EffectBody::CloseTask { task, only_untouched: true };
    let close = Effect {
        key: EffectKey::new("close"),
        connection: crm(),
        lead: ana.lead,
        episode: ana.episode,
        body,
    };
    let effects = planned(vec![close], at(14));
    store.commit_decisions(DecisionCommit { effects, ..DecisionCommit::default() }, at(14)).await.unwrap();
    let closed = |id: &str, second: i64| {
        let what =
            Happening::Touch { how: TouchKind::TaskDone, logged_at: at(second), task: Some(id.into()) };
        vec![event(&format!("tasks/{id}"), &[contact("c1")], second, ChangedBy::Human, what)]
    };
    // Under way it may have happened already.
    assert_eq!(claim(&store, CloseTask, 15).await.len(), 1);
    assert_eq!(told(&store, closed("t1", 16)).await, 0);
    assert_eq!(told(&store, closed("t2", 17)).await, 1, "a person did another one");
    assert_eq!(first(&store, ana.lead).await, Some((17, TouchKind::TaskDone)));
}

pub(crate) async fn an_owner_whom_we_wrote_is_no_news(backend: impl Backend) {
    let store = backend.store();
    let ana = decided(&store, 10).await;
    finish(&store, EnsurePerson, 11, |claim| done(claim, "c1")).await;
    let change = |id: &str, to: &str, hand| {
        let what = Happening::OwnerChange { from: None, to: Some(to.into()) };
        event(id, &[contact("c1")], 20, hand, what)
    };
    let (ours, theirs) =
        (change("owners/1", "501", ChangedBy::Program), change("owners/2", "502", ChangedBy::Program));
    let human = change("owners/3", "501", ChangedBy::Human);
    assert_eq!(told(&store, vec![ours, theirs, human]).await, 2);
    assert_eq!(ids(&store, ana.lead).await, ["owners/2", "owners/3"]);
    assert_eq!(first(&store, ana.lead).await, None, "nobody has responded");
}

pub(crate) async fn an_outcome_belongs_to_its_deal_else_to_the_latest_lead_before_it(backend: impl Backend) {
    let store = backend.store();
    let ana = with_deal(&store, 1, "5", "7").await;
    let both = [deal("7"), contact("5")];
    told(&store, vec![ended("deals/7/lost", &both, 40, Outcome::Lost, 5)]).await;
    assert_eq!(ids(&store, ana.lead).await, ["deals/7/lost"]);
    told(&store, vec![touched("calls/1", &[contact("5")], 41, TouchKind::Call)]).await;
    assert_eq!(first(&store, ana.lead).await, None, "it is not open any more");
    told(&store, vec![ended("deals/7/reopened", &both, 60, Outcome::Reopened, 5)]).await;
    told(&store, vec![touched("calls/2", &[contact("5")], 70, TouchKind::Call)]).await;
    assert_eq!(first(&store, ana.lead).await, Some((70, TouchKind::Call)));
    // A deal that is nobody's lead: one that began before the lead is of an earlier inquiry.
    let (old, new) = (
        ended("deals/8/won", &[deal("8"), contact("5")], 80, Outcome::Won, 0),
        ended("deals/9/won", &[deal("9"), contact("5")], 90, Outcome::Won, 30),
    );
    assert_eq!(told(&store, vec![old, new]).await, 1);
    assert_eq!(ids(&store, ana.lead).await.last().unwrap(), "deals/9/won");
}

pub(crate) async fn what_leads_hang_on_is_known_and_asked_about_once(backend: impl Backend) {
    let store = backend.store();
    decided(&store, 10).await;
    finish(&store, EnsurePerson, 11, |claim| done(claim, "c1")).await;
    let seen = |id: &str, owner: &str, second: i64| SeenObject {
        object: contact(id),
        owner: Some(owner.into()),
        print: format!("{owner}/new"),
        at: at(second),
    };
    let known =
        async |seen: &SeenObject| store.known_objects(&crm(), std::slice::from_ref(seen)).await.unwrap();
    assert_eq!(known(&seen("c9", "501", 20)).await, [], "no lead hangs on it");
    let is = |changed: bool, owner: &str| {
        [KnownObject { index: 0, changed, owner: Some(owner.into()), since: at(10) }]
    };
    assert_eq!(known(&seen("c1", "501", 20)).await, is(false, "501"), "as it was decided");
    assert_eq!(known(&seen("c1", "502", 20)).await, is(true, "501"));
    let commit = WatchCommit { seen: vec![seen("c1", "502", 20)], ..commit(None, 1, Vec::new()) };
    store.commit_watch(commit.clone()).await.unwrap();
    assert_eq!(known(&seen("c1", "502", 20)).await, is(false, "502"));
    assert_eq!(known(&seen("c1", "503", 21)).await, is(true, "502"));
    // What the slower look brings late is older than what is known.
    let late = vec![seen("c1", "503", 30), seen("c1", "501", 15)];
    store
        .commit_watch(WatchCommit { previous: Some(commit.cursor.clone()), seen: late, ..commit })
        .await
        .unwrap();
    assert_eq!(known(&seen("c1", "503", 30)).await, is(false, "503"));
}

pub(crate) async fn leads_that_nobody_has_touched_are_counted(backend: impl Backend) {
    let store = backend.store();
    for n in [10, 20, 30] {
        decided(&store, n).await;
    }
    let ended = decided(&store, 40).await;
    store.suppress(ended.lead, "a test lead", at(41)).await.unwrap();
    finish(&store, EnsurePerson, 45, |claim| {
        let EffectBody::EnsurePerson { keys, .. } = &claim.effect.body else { panic!() };
        done(claim, &keys[0].value)
    })
    .await;
    let call = |n: i64, second| {
        touched(&format!("calls/{n}"), &[contact(&format!("p{n}@acme.example"))], second, TouchKind::Call)
    };
    told(&store, vec![call(10, 70), call(20, 50)]).await;
    let all = Responses { waited: vec![30_000, 60_000], untouched: 1 };
    assert_eq!(store.responses(at(0)).await.unwrap(), all);
    let late = Responses { waited: vec![30_000], untouched: 1 };
    assert_eq!(store.responses(at(15)).await.unwrap(), late);
}
