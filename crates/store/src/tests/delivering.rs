//! Delivering: the graph of effects, claims and their fences, and how leads close by it.

use usher_model::{
    EffectBody, EffectKind, EffectState, Mode, ObjectRef, PersonId, Slot, SlotKind, SlotOrigin,
};

use super::Backend;
use super::fixture::{
    Opened, at, claim, create_task, crm, decided, decided_in, decision, done, end, ensure_person, finish,
    form, link_key, mapped, new_record, opening, person_slot, planned, standing, states, update_owner,
};
use crate::{DecisionCommit, EffectEnd, FailedFilter, LinkKey, Store, ViewAsk};

use EffectKind::{CreateTask, EnsurePerson, UpdateObject};
use EffectState::{Blocked, Cancelled, Done, Parked, Planned, Rejected, Sending, Unknown};

pub(crate) async fn a_bound_slot_frees_what_waited_for_it(backend: impl Backend) {
    let store = backend.store();
    let ana = decided(&store, 1).await;
    assert_eq!(states(&store, ana.lead).await, [Planned, Blocked, Blocked]);
    assert!(claim(&store, CreateTask, 5).await.is_empty());
    assert_eq!(finish(&store, EnsurePerson, 5, |claim| done(claim, "c1")).await, 1);
    assert_eq!(states(&store, ana.lead).await, [Done, Planned, Planned]);
    assert_eq!(standing(&store, ana.lead).await, "decided");

    let tasks = claim(&store, CreateTask, 6).await;
    assert_eq!(tasks[0].attempt, 1);
    assert_eq!(tasks[0].sent_at, None);
    assert_eq!(tasks[0].bindings.len(), 1);
    assert_eq!(
        (&tasks[0].bindings[0].slot, tasks[0].bindings[0].id.as_str()),
        (&person_slot(ana.person), "c1")
    );
    store.finish_effects(vec![done(&tasks[0], "t1")], at(7)).await.unwrap();
    assert_eq!(standing(&store, ana.lead).await, "decided");
    finish(&store, UpdateObject, 8, |claim| done(claim, "c1")).await;
    assert_eq!(standing(&store, ana.lead).await, "closed:written");
    // Arrived at second 1, task at second 7.
    assert_eq!(store.task_latencies(at(0)).await.unwrap(), [6_000]);
    assert!(store.task_latencies(at(8)).await.unwrap().is_empty());
}

pub(crate) async fn a_refusal_cancels_what_needs_it(backend: impl Backend) {
    let store = backend.store();
    let record = mapped(&store, new_record(1), at(1)).await;
    let mut ana = opening(record, 1, PersonId::new(at(1)), Mode::Live, at(1));
    // Closing the task needs the task, which needs the person: the refusal reaches it through the chain.
    let mut close = create_task(ana.lead, ana.episode, ana.person);
    let task = ObjectRef::Slot { slot: close.body.binds().unwrap().clone() };
    close.body = EffectBody::CloseTask { task, only_untouched: false };
    close.key = usher_model::EffectKey::new("close");
    ana.commit.effects.extend(planned(vec![close], at(1)));
    store.commit_decisions(ana.commit, at(1)).await.unwrap();
    let refuse = |claim: &crate::ClaimedEffect| {
        end(claim, EffectEnd::Rejected { reason: "the address is not valid".to_owned() })
    };
    finish(&store, EnsurePerson, 5, refuse).await;
    assert_eq!(states(&store, ana.lead).await, [Rejected, Cancelled, Cancelled, Cancelled]);
    assert_eq!(standing(&store, ana.lead).await, "closed:failed");
    let story = store.lead_story(ana.lead).await.unwrap().unwrap();
    assert_eq!(story.lead.detail.as_deref(), Some("the address is not valid"));
    let failed = store.failed(&FailedFilter::newest(9)).await.unwrap();
    assert_eq!(failed.len(), 1, "what was cancelled is no failure of its own: {failed:?}");
}

pub(crate) async fn a_parked_write_fails_the_lead_and_stops_what_waits_for_it(backend: impl Backend) {
    let store = backend.store();
    let ana = decided(&store, 1).await;
    let park =
        |claim: &crate::ClaimedEffect| end(claim, EffectEnd::Parked { reason: "no strong read".to_owned() });
    finish(&store, EnsurePerson, 5, park).await;
    assert_eq!(states(&store, ana.lead).await, [Parked, Cancelled, Cancelled]);
    assert_eq!(standing(&store, ana.lead).await, "closed:failed");

    // A later lead of the same person counts on the same write, and says at once that it can not be done.
    let later = second_lead(&store, &ana, 2).await;
    assert_eq!(standing(&store, later.lead).await, "closed:failed");
    assert_eq!(
        states(&store, later.lead).await,
        [Parked, Cancelled, Cancelled],
        "nothing of it is sent by surprise"
    );
}

/// Another lead of the same person, with the same write to ensure it.
async fn second_lead(store: &std::sync::Arc<dyn Store>, first: &Opened, n: i64) -> Opened {
    let record = mapped(store, new_record(n), at(n)).await;
    let mut second = opening(record, n, first.person, Mode::Live, at(n));
    second.commit.effects[0].effect = ensure_person(second.lead, second.episode, first.person, n);
    store.commit_decisions(second.commit.clone(), at(n)).await.unwrap();
    second
}

pub(crate) async fn one_person_is_ensured_once_for_two_leads(backend: impl Backend) {
    let store = backend.store();
    let first = decided(&store, 1).await;
    let second = second_lead(&store, &first, 2).await;
    // A third lead has nothing else to write than the person.
    let record = mapped(&store, new_record(3), at(3)).await;
    let mut third = opening(record, 3, first.person, Mode::Live, at(3));
    third.commit.effects = planned(vec![ensure_person(third.lead, third.episode, first.person, 3)], at(3));
    store.commit_decisions(third.commit, at(3)).await.unwrap();
    assert_eq!(standing(&store, third.lead).await, "decided");

    assert_eq!(finish(&store, EnsurePerson, 5, |claim| done(claim, "c1")).await, 1);
    assert_eq!(standing(&store, third.lead).await, "closed:written");
    assert_eq!(states(&store, second.lead).await, [Done, Planned, Planned]);
    assert_eq!(finish(&store, UpdateObject, 6, |claim| done(claim, "c1")).await, 2);
    assert_eq!(standing(&store, second.lead).await, "decided");
    assert_eq!(finish(&store, CreateTask, 7, |claim| done(claim, "t")).await, 2);
    for lead in [first.lead, second.lead] {
        assert_eq!(standing(&store, lead).await, "closed:written");
    }
}

pub(crate) async fn a_refused_person_fails_every_lead_behind_it(backend: impl Backend) {
    let store = backend.store();
    let first = decided(&store, 1).await;
    let second = second_lead(&store, &first, 2).await;
    let refuse = |claim: &crate::ClaimedEffect| end(claim, EffectEnd::Rejected { reason: "no".to_owned() });
    finish(&store, EnsurePerson, 5, refuse).await;
    for lead in [first.lead, second.lead] {
        assert_eq!(standing(&store, lead).await, "closed:failed");
        assert_eq!(states(&store, lead).await, [Rejected, Cancelled, Cancelled]);
    }
    // A new inquiry, perhaps with a better address, is another try.
    let third = second_lead(&store, &first, 3).await;
    assert_eq!(standing(&store, third.lead).await, "decided");
    assert_eq!(finish(&store, EnsurePerson, 9, |claim| done(claim, "c1")).await, 1);
    assert_eq!(states(&store, third.lead).await, [Done, Planned, Planned]);
}

pub(crate) async fn an_observed_person_is_ensured_later(backend: impl Backend) {
    let store = backend.store();
    let observed = decided_in(&store, 1, Mode::Observe).await;
    assert_eq!(states(&store, observed.lead).await, [Cancelled; 3]);
    assert_eq!(standing(&store, observed.lead).await, "decided");
    assert!(claim(&store, EnsurePerson, 5).await.is_empty());
    store.enter_mode(Mode::Live, at(6)).await.unwrap();
    let live = second_lead(&store, &observed, 7).await;
    assert_eq!(states(&store, live.lead).await, [Planned, Blocked, Blocked]);
    assert_eq!(finish(&store, EnsurePerson, 8, |claim| done(claim, "c1")).await, 1);
    assert_eq!(states(&store, live.lead).await, [Done, Planned, Planned]);
    assert_eq!(standing(&store, observed.lead).await, "closed:suppressed");
}

pub(crate) async fn the_first_id_of_a_slot_stays(backend: impl Backend) {
    let store = backend.store();
    let ana = decided(&store, 1).await;
    // The CRM shows the person under one id while our write comes back with another.
    let slots = vec![(person_slot(ana.person), "known".into(), SlotOrigin::Found)];
    store.commit_decisions(DecisionCommit { slots, ..DecisionCommit::default() }, at(2)).await.unwrap();
    assert_eq!(states(&store, ana.lead).await, [Planned, Planned, Planned]);
    finish(&store, EnsurePerson, 5, |claim| done(claim, "other")).await;
    let ask = ViewAsk { persons: vec![ana.person], ..ViewAsk::default() };
    let slots = store.decision_view(&ask).await.unwrap().slots;
    assert_eq!(slots, [(person_slot(ana.person), "known".into())]);
    assert_eq!(claim(&store, CreateTask, 6).await[0].bindings[0].id.as_str(), "known");
    let story = store.lead_story(ana.lead).await.unwrap().unwrap();
    assert_eq!(
        story.effects[0].external_id.as_ref().unwrap().as_str(),
        "other",
        "it is ours to know all the same"
    );
}

pub(crate) async fn a_human_who_won_counts_as_written(backend: impl Backend) {
    let store = backend.store();
    let ana = decided(&store, 1).await;
    finish(&store, EnsurePerson, 5, |claim| done(claim, "c1")).await;
    let won =
        |claim: &crate::ClaimedEffect| end(claim, EffectEnd::Cancelled { reason: "Ben took it".to_owned() });
    finish(&store, UpdateObject, 6, won).await;
    finish(&store, CreateTask, 7, |claim| done(claim, "t1")).await;
    assert_eq!(standing(&store, ana.lead).await, "closed:written");
    let story = store.lead_story(ana.lead).await.unwrap().unwrap();
    assert_eq!(story.lead.detail.as_deref(), Some("Ben took it"));
}

pub(crate) async fn a_human_who_won_gets_no_task_beside_them(backend: impl Backend) {
    let store = backend.store();
    let mut leads = Vec::new();
    for n in 1..=2 {
        let record = mapped(&store, new_record(n), at(n)).await;
        let mut opened = opening(record, n, PersonId::new(at(n)), Mode::Live, at(n));
        let of = opened.episode.to_string();
        let confirmed = Slot { connection: crm(), kind: SlotKind::Owner, of };
        for new in &mut opened.commit.effects {
            match &mut new.effect.body {
                EffectBody::UpdateObject { slot, .. } => *slot = Some(confirmed.clone()),
                EffectBody::CreateTask { after, .. } => *after = Some(confirmed.clone()),
                _ => {}
            }
        }
        store.commit_decisions(opened.commit, at(n)).await.unwrap();
        leads.push(opened.lead);
    }
    finish(&store, EnsurePerson, 5, |claim| done(claim, &claim.effect.lead.to_string())).await;
    assert!(claim(&store, CreateTask, 5).await.is_empty(), "the task waits for the owner");
    finish(&store, UpdateObject, 6, |claim| {
        let confirmed = EffectEnd::Done { id: None, origin: SlotOrigin::Found, object: None, note: None };
        let won = EffectEnd::Cancelled { reason: "Ben took it".to_owned() };
        end(claim, if claim.effect.lead == leads[0] { confirmed } else { won })
    })
    .await;
    assert_eq!(states(&store, leads[0]).await, [Done, Done, Planned]);
    assert_eq!(states(&store, leads[1]).await, [Done, Cancelled, Cancelled]);
    assert_eq!(standing(&store, leads[1]).await, "closed:written");
    assert_eq!(finish(&store, CreateTask, 7, |claim| done(claim, "t")).await, 1);
    assert_eq!(standing(&store, leads[0]).await, "closed:written");
}

pub(crate) async fn fm_077_a_taken_over_claim_changes_nothing(backend: impl Backend) {
    let store = backend.store();
    let ana = decided(&store, 1).await;
    let slow = claim(&store, EnsurePerson, 5).await.remove(0);
    // Its lease lapses: the effect may have been sent, so it is unclear and never simply sent again.
    assert_eq!(store.recover_effects(at(64)).await.unwrap(), 0);
    assert_eq!(store.recover_effects(at(65)).await.unwrap(), 1);
    assert!(claim(&store, EnsurePerson, 66).await.is_empty());
    let looked = store.claim_unknown(&crm(), 9, at(66), at(99)).await.unwrap().remove(0);
    assert_eq!((looked.attempt, looked.sent_at), (2, Some(at(65))), "it may land from then on");
    assert_eq!(looked.planned_at, at(1), "it may have landed long before");
    assert!(store.claim_unknown(&crm(), 9, at(67), at(99)).await.unwrap().is_empty(), "claimed already");

    let planned = |claim: &crate::ClaimedEffect| {
        end(claim, EffectEnd::Planned { due_at: at(67), reason: "absent".to_owned() })
    };
    store.finish_effects(vec![planned(&looked)], at(67)).await.unwrap();
    let second = claim(&store, EnsurePerson, 68).await.remove(0);
    assert_eq!((second.attempt, second.sent_at), (3, Some(at(65))));
    // The slow holder wakes up at last.
    store.finish_effects(vec![planned(&slow), done(&slow, "c9")], at(69)).await.unwrap();
    assert_eq!(states(&store, ana.lead).await, [Sending, Blocked, Blocked]);
    store.finish_effects(vec![done(&second, "c1")], at(70)).await.unwrap();
    assert_eq!(states(&store, ana.lead).await, [Done, Planned, Planned]);
}

pub(crate) async fn fm_079_recovery_never_goes_backwards(backend: impl Backend) {
    let store = backend.store();
    let ana = decided(&store, 1).await;
    let claimed = claim(&store, EnsurePerson, 5).await.remove(0);
    store.finish_effects(vec![done(&claimed, "c1")], at(6)).await.unwrap();
    let backend = {
        drop(store);
        backend.reopen().await
    };
    let store = backend.store();
    assert_eq!(store.recover_effects(at(9_999)).await.unwrap(), 0);
    let late = EffectEnd::Unknown { due_at: at(7), reason: "late".to_owned() };
    store.finish_effects(vec![end(&claimed, late)], at(9_999)).await.unwrap();
    assert_eq!(states(&store, ana.lead).await, [Done, Planned, Planned]);
    finish(&store, UpdateObject, 10_000, |claim| done(claim, "c1")).await;
    finish(&store, CreateTask, 10_000, |claim| done(claim, "t1")).await;
    assert_eq!(store.recover_effects(at(99_999)).await.unwrap(), 0);
    assert_eq!(standing(&store, ana.lead).await, "closed:written");
    assert_eq!(store.failed(&FailedFilter::newest(9)).await.unwrap().len(), 0);
}

pub(crate) async fn unknown_effects_are_looked_up_until_parked(backend: impl Backend) {
    let store = backend.store();
    let ana = decided(&store, 1).await;
    let unknown = |due| {
        move |claim: &crate::ClaimedEffect| {
            end(claim, EffectEnd::Unknown { due_at: at(due), reason: "timeout".to_owned() })
        }
    };
    finish(&store, EnsurePerson, 5, unknown(20)).await;
    assert_eq!(states(&store, ana.lead).await[0], Unknown);
    assert!(store.claim_unknown(&crm(), 9, at(19), at(99)).await.unwrap().is_empty());
    let looked = store.claim_unknown(&crm(), 9, at(20), at(99)).await.unwrap().remove(0);
    assert_eq!(looked.verified, 0);
    store.finish_effects(vec![unknown(40)(&looked)], at(21)).await.unwrap();
    let looked = store.claim_unknown(&crm(), 9, at(40), at(99)).await.unwrap().remove(0);
    assert_eq!(looked.verified, 1);
    let park = EffectEnd::Parked { reason: "looked twice".to_owned() };
    store.finish_effects(vec![end(&looked, park)], at(41)).await.unwrap();
    let story = store.lead_story(ana.lead).await.unwrap().unwrap();
    let tries: Vec<_> = story.attempts.iter().map(|attempt| (attempt.number, attempt.outcome)).collect();
    assert_eq!(tries, [(1, Unknown), (2, Unknown), (3, Parked)]);
}

pub(crate) async fn a_new_episode_supersedes_unsent_effects(backend: impl Backend) {
    let store = backend.store();
    let ana = decided(&store, 1).await;
    finish(&store, EnsurePerson, 5, |claim| done(claim, "c1")).await;
    let sent = claim(&store, UpdateObject, 6).await;
    let episode = usher_model::EpisodeId::new(at(7));
    let effects =
        vec![update_owner(ana.lead, episode, ana.person), create_task(ana.lead, episode, ana.person)];
    let commit = DecisionCommit {
        decisions: vec![decision(ana.lead, episode, Mode::Live, at(7))],
        supersedes: vec![(ana.lead, episode)],
        effects: planned(effects, at(7)),
        ..DecisionCommit::default()
    };
    store.commit_decisions(commit, at(7)).await.unwrap();
    // What was handed out is past recall; what was not, is cancelled.
    assert_eq!(states(&store, ana.lead).await, [Done, Sending, Cancelled, Planned, Planned]);
    finish(&store, UpdateObject, 8, |claim| done(claim, "c1")).await;
    assert_eq!(finish(&store, CreateTask, 8, |claim| done(claim, "t1")).await, 1);
    assert_eq!(standing(&store, ana.lead).await, "closed:written");
    store.finish_effects(vec![done(&sent[0], "c1")], at(9)).await.unwrap();
    assert_eq!(standing(&store, ana.lead).await, "closed:written");
}

pub(crate) async fn our_own_person_is_known_as_an_echo(backend: impl Backend) {
    let store = backend.store();
    let created = decided(&store, 1).await;
    decided(&store, 2).await;
    finish(&store, EnsurePerson, 5, |claim| {
        let new = claim.effect.lead == created.lead;
        let origin = if new { SlotOrigin::Created } else { SlotOrigin::Found };
        let id = Some(if new { "new".into() } else { "old".into() });
        end(claim, EffectEnd::Done { id, origin, object: Some("contacts".into()), note: None })
    })
    .await;
    let key = |id: &str| LinkKey { connection: crm(), object: "contacts".into(), external_id: id.into() };
    let ask = ViewAsk { links: vec![key("new"), key("old"), link_key(1)], ..ViewAsk::default() };
    let mut links = store.decision_view(&ask).await.unwrap().links;
    links.sort_by(|a, b| a.key.cmp(&b.key));
    let found = |row: &crate::LinkRow| (row.key.external_id.to_string(), row.enrolled, row.ours);
    let rows: Vec<_> = links.iter().map(found).collect();
    let text = |id: &str| id.to_owned();
    assert_eq!(rows, [(text("new"), true, true), (text("old"), false, false), (text("1"), true, false)]);
    assert_eq!(links[2].key.connection, form());
}

pub(crate) async fn a_slot_is_awaited_until_its_writer_has_ended(backend: impl Backend) {
    let store = backend.store();
    let ana = decided(&store, 1).await;
    let slots = [person_slot(ana.person)];
    assert!(store.awaited(&slots).await.unwrap());
    finish(&store, EnsurePerson, 5, |claim| done(claim, "c1")).await;
    assert!(!store.awaited(&slots).await.unwrap());
    assert!(!store.awaited(&[]).await.unwrap());
}
