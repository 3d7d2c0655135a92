//! What can be taken back, and what failed and can be tried again.

use usher_model::{
    CloseReason, Decision, EffectKind, EffectState, EpisodeId, LeadState, Mode, PersonId, Resolution,
    SlotKind, Trigger, Turn, WaitReason,
};

use super::Backend;
use super::fixture::{
    at, claim, crm, decided, decision, done, end, finish, form, link_key, mapped, new_record, opening,
    standing, states,
};
use crate::{
    DecisionCommit, EffectEnd, FailedFilter, FailedKind, LinkBinding, Merged, Prepared, UndoFilter, UndoLead,
    Verdict, ViewAsk, WrittenOwner,
};

use EffectKind::{CreateTask, EnsurePerson, UpdateObject};
use EffectState::{Cancelled, Done};

fn everything() -> UndoFilter {
    UndoFilter { since: at(0), until: at(9_999), path: None, lead: None, limit: 99 }
}

fn turn(of: &Decision, count: i32) -> Turn {
    Turn {
        pool: "sales".to_owned(),
        mode: Mode::Live,
        decision: of.id,
        at: of.at,
        rep: "ana".into(),
        shares: [("ana".into(), 1.0)].into(),
        count,
        reason: "assigned".to_owned(),
    }
}

pub(crate) async fn what_was_done_can_be_undone_once(backend: impl Backend) {
    let store = backend.store();
    let record = mapped(&store, new_record(1), at(1)).await;
    let mut ana = opening(record, 1, PersonId::new(at(1)), Mode::Live, at(1));
    let taken = turn(&ana.commit.decisions[0], 1);
    ana.commit.turns = vec![taken.clone()];
    store.commit_decisions(ana.commit.clone(), at(1)).await.unwrap();
    finish(&store, EnsurePerson, 5, |claim| done(claim, "c1")).await;
    finish(&store, UpdateObject, 6, |claim| done(claim, "c1")).await;
    let held = claim(&store, CreateTask, 7).await;
    assert!(store.undoable(&everything()).await.unwrap()[0].unsettled, "the task is on its way");
    store.finish_effects(vec![done(&held[0], "t1")], at(8)).await.unwrap();

    let UndoLead { lead, owners, tasks, created, turns, unsettled, later, .. } =
        store.undoable(&everything()).await.unwrap().remove(0);
    let owner = WrittenOwner {
        object: (SlotKind::Person, "c1".into()),
        before: None,
        owner: Some("501".into()),
        restored: false,
    };
    assert_eq!((lead, owners, unsettled, later), (ana.lead, vec![owner], false, None));
    assert_eq!((tasks, created), (vec!["t1".into()], vec![(SlotKind::Person, "c1".into())]));
    assert_eq!(turns, std::slice::from_ref(&taken));

    let back = Decision {
        trigger: Trigger::Undone,
        resolution: Resolution::Dropped { reason: "undone".to_owned() },
        ..decision(ana.lead, EpisodeId::new(at(9)), Mode::Live, at(9))
    };
    let commit = DecisionCommit {
        turns: vec![Turn { count: -1, ..taken }],
        decisions: vec![back],
        suppressed: vec![(ana.lead, "undone: wrong pool".to_owned())],
        ..DecisionCommit::default()
    };
    store.commit_decisions(commit, at(9)).await.unwrap();
    assert_eq!(standing(&store, ana.lead).await, "closed:suppressed");
    let story = store.lead_story(ana.lead).await.unwrap().unwrap();
    assert_eq!(story.lead.detail.as_deref(), Some("undone: wrong pool"));
    assert!(store.undoable(&everything()).await.unwrap().is_empty(), "once");
}

pub(crate) async fn an_undone_lead_sends_nothing_more(backend: impl Backend) {
    let store = backend.store();
    let (ana, bob) = (decided(&store, 1).await, decided(&store, 2).await);
    let undo =
        |lead| DecisionCommit { suppressed: vec![(lead, "undone".to_owned())], ..DecisionCommit::default() };
    let held = store.claim_effects(&crm(), EnsurePerson, 1, at(2), at(60)).await.unwrap();
    assert_eq!(held[0].effect.lead, ana.lead);
    let left = store.commit_decisions(undo(ana.lead), at(2)).await;
    assert!(matches!(left, Err(crate::StoreError::Stale)), "a write has left: {left:?}");
    assert_eq!(standing(&store, ana.lead).await, "decided");
    store.finish_effects(vec![done(&held[0], "c1")], at(3)).await.unwrap();
    store.commit_decisions(undo(ana.lead), at(4)).await.unwrap();
    assert_eq!(states(&store, ana.lead).await, [Done, Cancelled, Cancelled]);
    store.commit_decisions(undo(bob.lead), at(5)).await.unwrap();
    assert_eq!(states(&store, bob.lead).await, [Cancelled; 3]);
    assert_eq!(finish(&store, EnsurePerson, 6, |claim| done(claim, "c2")).await, 0);
}

pub(crate) async fn undo_asks_for_a_span_a_path_or_a_lead(backend: impl Backend) {
    let store = backend.store();
    let (ana, bob) = (decided(&store, 1).await, decided(&store, 20).await);
    let asked = async |filter: UndoFilter| {
        let found = store.undoable(&filter).await.unwrap();
        found.into_iter().map(|lead| lead.lead).collect::<Vec<_>>()
    };
    assert_eq!(asked(everything()).await, [bob.lead, ana.lead], "newest first");
    assert_eq!(asked(UndoFilter { since: at(20), ..everything() }).await, [bob.lead]);
    assert_eq!(asked(UndoFilter { until: at(20), ..everything() }).await, [ana.lead]);
    assert_eq!(asked(UndoFilter { lead: Some(ana.lead), ..everything() }).await, [ana.lead]);
    assert_eq!(asked(UndoFilter { limit: 1, ..everything() }).await, [bob.lead]);
    let path = |path: &str| UndoFilter { path: Some(path.to_owned()), ..everything() };
    assert_eq!(asked(path("everyone > sales")).await.len(), 2);
    assert!(asked(path("everyone > sale")).await.is_empty(), "a path is named whole, or by its rule");
    let ruled = Decision {
        path: "Größe 50% → sales".to_owned(),
        ..decision(ana.lead, EpisodeId::new(at(30)), Mode::Live, at(30))
    };
    let commit = DecisionCommit { decisions: vec![ruled], ..DecisionCommit::default() };
    store.commit_decisions(commit, at(30)).await.unwrap();
    assert_eq!(asked(path("Größe 50%")).await, [ana.lead]);
    assert!(asked(path("Größe 5%")).await.is_empty());
    assert_eq!(
        asked(UndoFilter { until: at(21), ..everything() }).await,
        [bob.lead],
        "the last decision counts"
    );
}

pub(crate) async fn fm_020_a_person_who_was_merged_is_not_ours_to_archive(backend: impl Backend) {
    let store = backend.store();
    for (n, ours, pair) in [(1, "c1", ("c9", "c1")), (2, "c2", ("c2", "c8"))] {
        decided(&store, n).await;
        finish(&store, EnsurePerson, 5 + n, |claim| done(claim, ours)).await;
        let created = async || store.undoable(&everything()).await.unwrap().remove(0).created;
        assert_eq!(created().await, [(SlotKind::Person, ours.into())]);
        let pairs = vec![(pair.0.into(), pair.1.into())];
        let kind = Some(SlotKind::Person);
        let merged = Merged { connection: crm(), object: "contacts".into(), kind, pairs };
        store.follow_merges(merged, at(50)).await.unwrap();
        assert!(created().await.is_empty(), "another's contact is in it");
    }
}

pub(crate) async fn failures_are_found_by_what_is_known_of_them(backend: impl Backend) {
    let store = backend.store();
    let ids = store.store_records(vec![new_record(7)]).await.unwrap();
    store.claim_records(9, at(5), at(6)).await.unwrap();
    let verdict = Verdict::Failed { problem: "No E-Mail".to_owned() };
    store.commit_prepared(vec![Prepared { record: ids[0], verdict }], at(10)).await.unwrap();
    decided(&store, 1).await;
    let refused = |claim: &_| end(claim, EffectEnd::Rejected { reason: "100% wrong_owner".to_owned() });
    finish(&store, EnsurePerson, 20, refused).await;

    let found = async |filter: FailedFilter| {
        let items = store.failed(&FailedFilter { limit: 9, ..filter }).await.unwrap();
        items.iter().map(|item| item.kind.sort()).collect::<Vec<_>>()
    };
    let any = FailedFilter::default;
    let reason = |text: &str| FailedFilter { reason: Some(text.to_owned()), ..any() };
    assert_eq!(found(any()).await, ["rejected", "record"], "newest first");
    assert_eq!(found(FailedFilter { id: Some(ids[0].to_string()), ..any() }).await, ["record"]);
    assert_eq!(found(FailedFilter { connection: Some(crm()), ..any() }).await, ["rejected"]);
    assert_eq!(found(FailedFilter { connection: Some(form()), ..any() }).await, ["record"]);
    assert_eq!(found(FailedFilter { sort: Some("record".to_owned()), ..any() }).await, ["record"]);
    assert_eq!(found(reason("no e-mail")).await, ["record"]);
    assert_eq!(found(reason("0% wrong_")).await, ["rejected"]);
    assert!(found(reason("1%g")).await.is_empty(), "text is no pattern");
    assert_eq!(found(FailedFilter { since: Some(at(20)), ..any() }).await, ["rejected"]);
    assert_eq!(found(FailedFilter { until: Some(at(20)), ..any() }).await, ["record"]);
}

pub(crate) async fn a_lead_that_could_not_be_decided_is_tried_again(backend: impl Backend) {
    let store = backend.store();
    let record = mapped(&store, new_record(1), at(1)).await;
    let mut fold = opening(record, 1, PersonId::new(at(1)), Mode::Live, at(2));
    fold.commit.effects.clear();
    let wait = WaitReason { because: "closed".to_owned(), until: at(10), gives_up_at: at(500) };
    fold.commit.opened[0].lead.state = LeadState::Waiting;
    fold.commit.decisions[0].resolution = Resolution::Waiting(wait.clone());
    fold.commit.waits.push((fold.lead, wait));
    store.commit_decisions(fold.commit, at(2)).await.unwrap();
    let problem = Some("a mistake of ours".to_owned());
    let commit = DecisionCommit {
        moved: vec![(fold.lead, LeadState::Closed, Some(CloseReason::Failed), problem)],
        ..DecisionCommit::default()
    };
    store.commit_decisions(commit, at(11)).await.unwrap();
    // A lead whose write failed is no failure of its own.
    decided(&store, 2).await;
    let parked = |claim: &_| end(claim, EffectEnd::Parked { reason: "unclear".to_owned() });
    finish(&store, EnsurePerson, 20, parked).await;
    let failed = store.failed(&FailedFilter::newest(9)).await.unwrap();
    assert_eq!(failed.len(), 2, "{failed:?}");
    assert_eq!(failed[1].kind, FailedKind::Lead(fold.lead));
    assert_eq!(store.retry_leads(&[], at(30)).await.unwrap(), 1);
    assert_eq!(store.ready(9, at(30)).await.unwrap().waiting[0].lead.id, fold.lead);
}

pub(crate) async fn fm_050_what_was_last_read_of_an_object_stays_known(backend: impl Backend) {
    let store = backend.store();
    let ana = decided(&store, 1).await;
    let seen = async || {
        let ask = ViewAsk { links: vec![link_key(1)], ..ViewAsk::default() };
        store.decision_view(&ask).await.unwrap().links[0].seen.clone()
    };
    assert_eq!(seen().await, None);
    for (told, known) in [(Some("one"), "one"), (None, "one"), (Some("two"), "two")] {
        let seen_now = told.map(str::to_owned);
        let link = LinkBinding { key: link_key(1), person: ana.person, enrolled: true, seen: seen_now };
        let commit = DecisionCommit { links: vec![link], ..DecisionCommit::default() };
        store.commit_decisions(commit, at(5)).await.unwrap();
        assert_eq!(seen().await.as_deref(), Some(known));
    }
}
