//! Owner writes: the budget, the check in the history, and objects that are gone.

use std::sync::Arc;

use usher_model::{
    Effect, EffectBody, EffectKey, EffectKind, EffectState, EpisodeId, ExternalId, Mode, ObjectRef,
    OwnerChange, PersonId, Slot, SlotKind,
};

use super::Backend;
use super::fixture::{
    Opened, at, claim, crm, decided, done, end, ensure_person, finish, mapped, new_record, opening,
    person_slot, planned, standing, states,
};
use crate::{DecisionCommit, EffectEnd, OwnerChecked, OwnerWrite, Store, Vanished};

use EffectKind::{CreateTask, EnsurePerson, UpdateObject};
use EffectState::{Blocked, Cancelled, Done, Planned, Rejected};

fn write(effect: &str, object: &str, at_second: i64) -> OwnerWrite {
    OwnerWrite {
        effect: EffectKey::new(effect),
        connection: crm(),
        object: (SlotKind::Person, object.into()),
        expected: None,
        owner: Some("501".into()),
        at: at(at_second),
        check_at: Some(at(at_second + 2)),
    }
}

pub(crate) async fn fm_051_owner_writes_are_counted_by_object(backend: impl Backend) {
    let store = backend.store();
    let writes = vec![write("a", "7", 10), write("b", "7", 20), write("c", "8", 30), write("d", "9", 5)];
    store.note_owner_writes(writes.clone()).await.unwrap();
    store.note_owner_writes(writes).await.unwrap();
    let person = |id: &str| (SlotKind::Person, ExternalId::new(id));
    let asked = [person("7"), person("8"), person("9"), person("7"), (SlotKind::Task, "7".into())];
    let counted = store.owner_writes_since(&crm(), &asked, at(10)).await.unwrap();
    assert_eq!(counted.into_iter().collect::<Vec<_>>(), [(person("7"), 2), (person("8"), 1)]);
}

pub(crate) async fn fm_049_an_owner_write_is_checked_once(backend: impl Backend) {
    let store = backend.store();
    let ana = decided(&store, 1).await;
    finish(&store, EnsurePerson, 5, |claim| done(claim, "c1")).await;
    finish(&store, UpdateObject, 6, |claim| done(claim, "c1")).await;
    finish(&store, CreateTask, 6, |claim| done(claim, "t1")).await;
    let key = format!("update{}", ana.episode);
    store.note_owner_writes(vec![write(&key, "c1", 6)]).await.unwrap();
    assert!(store.claim_owner_checks(&crm(), 9, at(7), at(20)).await.unwrap().is_empty(), "not due yet");
    let claimed = store.claim_owner_checks(&crm(), 9, at(8), at(20)).await.unwrap();
    assert_eq!((claimed[0].lead, claimed[0].episode), (ana.lead, ana.episode));
    assert!(store.claim_owner_checks(&crm(), 9, at(9), at(20)).await.unwrap().is_empty(), "claimed");
    let claimed = store.claim_owner_checks(&crm(), 9, at(20), at(40)).await.unwrap();
    assert_eq!(claimed[0].write, OwnerWrite { check_at: None, ..write(&key, "c1", 6) }, "the claim lapsed");

    let change = OwnerChange {
        expected: Some("501".into()),
        to: Some("502".into()),
        restores: true,
        ..OwnerChange::default()
    };
    let body = EffectBody::UpdateObject {
        target: ObjectRef::Id { kind: SlotKind::Person, id: "c1".into() },
        owner: Some(change),
        fields: std::collections::BTreeMap::new(),
        slot: None,
        after: None,
    };
    let back =
        Effect { key: EffectKey::new("back"), connection: crm(), lead: ana.lead, episode: ana.episode, body };
    let overwritten = Some("Ben had chosen themselves".to_owned());
    let checked =
        OwnerChecked { effect: EffectKey::new(&key), overwritten, effects: planned(vec![back], at(21)) };
    store.finish_owner_checks(vec![checked], at(21)).await.unwrap();
    assert!(store.claim_owner_checks(&crm(), 9, at(99), at(199)).await.unwrap().is_empty(), "once");
    assert_eq!(states(&store, ana.lead).await, [Done, Done, Done, Planned]);
    let story = store.lead_story(ana.lead).await.unwrap().unwrap();
    assert_eq!(story.lead.detail.as_deref(), Some("Ben had chosen themselves"));
    assert_eq!(standing(&store, ana.lead).await, "closed:written");
    assert_eq!(finish(&store, UpdateObject, 22, |claim| done(claim, "c1")).await, 1);
}

fn owner_slot(of: &Opened) -> Slot {
    Slot { connection: crm(), kind: SlotKind::Owner, of: of.episode.to_string() }
}

/// A lead of a person, new or known, whose task waits for the owner.
async fn owner_first(store: &Arc<dyn Store>, n: i64, person: PersonId) -> Opened {
    let record = mapped(store, new_record(n), at(n)).await;
    let mut opened = opening(record, n, person, Mode::Live, at(n));
    let owner = owner_slot(&opened);
    for new in &mut opened.commit.effects {
        match &mut new.effect.body {
            EffectBody::UpdateObject { slot, .. } => *slot = Some(owner.clone()),
            EffectBody::CreateTask { after, .. } => *after = Some(owner.clone()),
            _ => {}
        }
    }
    store.commit_decisions(opened.commit.clone(), at(n)).await.unwrap();
    opened
}

/// The create was answered with the object as it wanted it.
fn with_its_owner(claim: &crate::ClaimedEffect, id: &str) -> crate::EffectOutcome {
    crate::EffectOutcome { along: claim.along.clone(), ..done(claim, id) }
}

pub(crate) async fn fm_049_a_person_is_made_with_the_owner_that_waits_for_it(backend: impl Backend) {
    let store = backend.store();
    let ana = owner_first(&store, 1, PersonId::new(at(1))).await;
    let ensure = claim(&store, EnsurePerson, 5).await.remove(0);
    let along = ensure.along.clone().unwrap();
    assert_eq!((along.slot, along.owner.as_str()), (owner_slot(&ana), "501"));
    store.finish_effects(vec![with_its_owner(&ensure, "c1")], at(6)).await.unwrap();
    assert_eq!(states(&store, ana.lead).await, [Done, Done, Planned]);
    // Somebody owns it now: a later owner write has to look first.
    let task = claim(&store, CreateTask, 7).await.remove(0);
    assert!(task.bindings.iter().all(|binding| binding.created_at.is_none()), "{:?}", task.bindings);
    store.finish_effects(vec![done(&task, "t1")], at(8)).await.unwrap();
    assert_eq!(standing(&store, ana.lead).await, "closed:written");
}

pub(crate) async fn an_owner_that_did_not_go_along_is_written_by_itself(backend: impl Backend) {
    let store = backend.store();
    let ana = owner_first(&store, 1, PersonId::new(at(1))).await;
    finish(&store, EnsurePerson, 5, |claim| {
        let due_at = at(6);
        end(claim, EffectEnd::Planned { due_at, reason: "it refused the owner".to_owned() })
    })
    .await;
    let again = claim(&store, EnsurePerson, 7).await.remove(0);
    assert_eq!(again.along, None, "only the first try takes the owner along");
    store.finish_effects(vec![with_its_owner(&again, "c1")], at(8)).await.unwrap();
    assert_eq!(states(&store, ana.lead).await, [Done, Planned, Blocked]);

    // What was replaced meanwhile stays as it is.
    let ben = owner_first(&store, 2, PersonId::new(at(2))).await;
    let ensure = claim(&store, EnsurePerson, 9).await.remove(0);
    let supersedes = vec![(ben.lead, EpisodeId::new(at(10)))];
    store.commit_decisions(DecisionCommit { supersedes, ..DecisionCommit::default() }, at(10)).await.unwrap();
    store.finish_effects(vec![with_its_owner(&ensure, "c2")], at(11)).await.unwrap();
    assert_eq!(states(&store, ben.lead).await, [Done, Cancelled, Cancelled]);
}

pub(crate) async fn of_two_owners_that_wait_for_one_person_none_goes_along(backend: impl Backend) {
    let store = backend.store();
    let ana = owner_first(&store, 1, PersonId::new(at(1))).await;
    let again = owner_first(&store, 2, ana.person).await;
    let ensure = claim(&store, EnsurePerson, 5).await.remove(0);
    assert_eq!(ensure.along, None);
    store.finish_effects(vec![with_its_owner(&ensure, "c1")], at(6)).await.unwrap();
    assert_eq!(states(&store, ana.lead).await[1], Planned);
    assert_eq!(states(&store, again.lead).await[1], Planned);
}

/// An owner write that finds the person gone, and what would make them again for that lead.
fn gone(claim: &crate::ClaimedEffect, of: &Opened, lost: &str, n: i64) -> crate::EffectOutcome {
    let mut ensure = ensure_person(of.lead, of.episode, of.person, n);
    ensure.key = EffectKey::new(format!("again{}", of.lead));
    let again = planned(vec![ensure], at(n)).remove(0);
    let lost = (person_slot(of.person), lost.into());
    let reason = "the person was deleted".to_owned();
    end(claim, EffectEnd::Gone { reason, lost, again: Some(Box::new(again)) })
}

pub(crate) async fn fm_052_a_person_who_is_gone_is_created_again_once(backend: impl Backend) {
    let store = backend.store();
    let ana = decided(&store, 1).await;
    finish(&store, EnsurePerson, 5, |claim| done(claim, "c1")).await;
    finish(&store, UpdateObject, 6, |claim| gone(claim, &ana, "c1", 6)).await;
    // The task would only have met the same.
    assert_eq!(states(&store, ana.lead).await, [Done, Blocked, Blocked, Planned]);
    assert_eq!(standing(&store, ana.lead).await, "decided");
    finish(&store, EnsurePerson, 7, |claim| done(claim, "c2")).await;
    assert_eq!(states(&store, ana.lead).await, [Done, Planned, Planned, Done]);
    let update = claim(&store, UpdateObject, 8).await.remove(0);
    assert_eq!(update.bindings[0].id.as_str(), "c2");
    // Somebody deletes that one too: the lead gives up.
    store.finish_effects(vec![gone(&update, &ana, "c2", 9)], at(9)).await.unwrap();
    assert_eq!(states(&store, ana.lead).await[1], Rejected);
    assert_eq!(standing(&store, ana.lead).await, "closed:failed");
    assert!(claim(&store, EnsurePerson, 10).await.is_empty());
}

pub(crate) async fn fm_052_what_was_done_to_a_lost_person_is_done_to_the_new_one(backend: impl Backend) {
    let store = backend.store();
    let ana = decided(&store, 1).await;
    finish(&store, EnsurePerson, 5, |claim| done(claim, "c1")).await;
    finish(&store, UpdateObject, 6, |claim| done(claim, "c1")).await;
    finish(&store, CreateTask, 7, |claim| gone(claim, &ana, "c1", 7)).await;
    assert_eq!(states(&store, ana.lead).await, [Done, Blocked, Blocked, Planned]);
    finish(&store, EnsurePerson, 8, |claim| done(claim, "c2")).await;
    let update = claim(&store, UpdateObject, 9).await.remove(0);
    assert_eq!(update.bindings[0].id.as_str(), "c2");
    store.finish_effects(vec![done(&update, "c2")], at(9)).await.unwrap();
    finish(&store, CreateTask, 10, |claim| done(claim, "t1")).await;
    assert_eq!(standing(&store, ana.lead).await, "closed:written");
}

pub(crate) async fn fm_052_nobody_is_created_again_for_a_lead_that_ended_with_the_deletion(
    backend: impl Backend,
) {
    let store = backend.store();
    let ana = decided(&store, 1).await;
    finish(&store, EnsurePerson, 5, |claim| done(claim, "c1")).await;
    let under_way = claim(&store, UpdateObject, 6).await;
    let contacts = Vanished {
        connection: crm(),
        object: "contacts".into(),
        kind: Some(SlotKind::Person),
        ids: vec!["c1".into()],
    };
    // The CRM tells of the deletion while the write that will meet it is on its way.
    assert_eq!(store.vanish(contacts, at(7)).await.unwrap(), 1);
    store.finish_effects(vec![gone(&under_way[0], &ana, "c1", 8)], at(8)).await.unwrap();
    assert_eq!(states(&store, ana.lead).await, [Cancelled; 3]);
    assert_eq!(standing(&store, ana.lead).await, "closed:suppressed");
}

pub(crate) async fn fm_052_a_lead_goes_with_the_record_that_it_came_from(backend: impl Backend) {
    let store = backend.store();
    let ana = decided(&store, 1).await;
    finish(&store, EnsurePerson, 5, |claim| done(claim, "c1")).await;
    finish(&store, UpdateObject, 6, |claim| {
        let lost = (person_slot(ana.person), "c1".into());
        end(claim, EffectEnd::Gone { reason: "deleted at the CRM".to_owned(), lost, again: None })
    })
    .await;
    assert_eq!(states(&store, ana.lead).await, [Done, Cancelled, Cancelled]);
    assert_eq!(standing(&store, ana.lead).await, "closed:suppressed");
    let story = store.lead_story(ana.lead).await.unwrap().unwrap();
    assert_eq!(story.lead.detail.as_deref(), Some("deleted at the CRM"));
}

pub(crate) async fn fm_052_two_leads_of_a_lost_person_make_one_new_one(backend: impl Backend) {
    let store = backend.store();
    let first = decided(&store, 1).await;
    let second = second_lead(&store, &first, 2).await;
    finish(&store, EnsurePerson, 5, |claim| done(claim, "c1")).await;
    let claimed = claim(&store, UpdateObject, 6).await;
    let outcomes: Vec<_> = claimed
        .iter()
        .map(|claim| gone(claim, if claim.effect.lead == first.lead { &first } else { &second }, "c1", 6))
        .collect();
    store.finish_effects(outcomes, at(6)).await.unwrap();
    assert_eq!(finish(&store, EnsurePerson, 7, |claim| done(claim, "c2")).await, 1, "one person, not two");
    assert_eq!(finish(&store, UpdateObject, 8, |claim| done(claim, "c2")).await, 2);
    // The second lead's task never met the loss; it is about the new person all the same.
    let tasks = claim(&store, CreateTask, 9).await;
    assert!(tasks.iter().all(|task| task.bindings[0].id.as_str() == "c2"));
    store.finish_effects(tasks.iter().map(|task| done(task, "t")).collect(), at(9)).await.unwrap();
    for lead in [first.lead, second.lead] {
        assert_eq!(standing(&store, lead).await, "closed:written");
    }
}

async fn second_lead(store: &Arc<dyn Store>, first: &Opened, n: i64) -> Opened {
    let record = mapped(store, new_record(n), at(n)).await;
    let second = opening(record, n, first.person, Mode::Live, at(n));
    store.commit_decisions(second.commit.clone(), at(n)).await.unwrap();
    second
}

pub(crate) async fn fm_049_only_an_answered_first_create_tells_that_nobody_owns_it(backend: impl Backend) {
    let store = backend.store();
    let (first, second) = (decided(&store, 1).await, decided(&store, 2).await);
    let claimed = claim(&store, EnsurePerson, 5).await;
    let lost = EffectEnd::Unknown { due_at: at(6), reason: "no answer".to_owned() };
    let outcomes = claimed.iter().map(|claim| {
        if claim.effect.lead == first.lead { done(claim, "c1") } else { end(claim, lost.clone()) }
    });
    store.finish_effects(outcomes.collect(), at(6)).await.unwrap();
    let looked = store.claim_unknown(&crm(), 9, at(20), at(99)).await.unwrap();
    store.finish_effects(vec![done(&looked[0], "c2")], at(21)).await.unwrap();
    let claim_all = claim(&store, UpdateObject, 30).await;
    let known = |lead| {
        let claims = claim_all.iter().find(|claim: &&crate::ClaimedEffect| claim.effect.lead == lead);
        claims.unwrap().bindings[0].created_at
    };
    assert_eq!((known(first.lead), known(second.lead)), (Some(at(5)), None));
}

pub(crate) async fn an_object_first_seen_in_a_poll_may_turn_out_to_be_ours(backend: impl Backend) {
    let store = backend.store();
    let ana = decided(&store, 1).await;
    let ensure = claim(&store, EnsurePerson, 5).await.remove(0);
    let slots = vec![(person_slot(ana.person), "c1".into(), usher_model::SlotOrigin::Found)];
    store.commit_decisions(DecisionCommit { slots, ..Default::default() }, at(6)).await.unwrap();
    store.finish_effects(vec![done(&ensure, "c1")], at(7)).await.unwrap();
    let filter = crate::UndoFilter { since: at(0), until: at(99), path: None, lead: None, limit: 9 };
    let undoable = store.undoable(&filter).await.unwrap();
    assert_eq!(undoable[0].created, [(SlotKind::Person, "c1".into())]);
}
