//! Following merges and deletions.

use std::sync::Arc;

use usher_model::EffectKind::{CreateTask, EnsureInquiry, EnsurePerson, UpdateObject};
use usher_model::EffectState::{Cancelled, Done, Planned};
use usher_model::{EffectBody, ExternalId, Mode, ObjectRef, PersonId, SlotKind, SlotOrigin};

use super::Backend;
use super::fixture::{
    Opened, at, claim, create_task, crm, deal_slot, decided, done, email_key, ensure_deal, finish, form,
    link_key, made, mapped, new_record, opening, person_slot, planned, standing, states,
};
use crate::{Followed, LinkKey, Merged, Store, Vanished, ViewAsk};

fn merged(pairs: &[(&str, &str)]) -> Merged {
    let pairs = pairs.iter().map(|(loser, winner)| ((*loser).into(), (*winner).into())).collect();
    Merged { connection: form(), object: "responses".into(), kind: None, pairs }
}

fn ids(names: &[&str]) -> Vec<ExternalId> {
    names.iter().map(|name| (*name).into()).collect()
}

fn responses(gone: &[&str]) -> Vanished {
    Vanished { connection: form(), object: "responses".into(), kind: None, ids: ids(gone) }
}

fn contacts(gone: &[&str]) -> Vanished {
    Vanished { connection: crm(), object: "contacts".into(), kind: Some(SlotKind::Person), ids: ids(gone) }
}

fn deals(gone: &[&str]) -> Vanished {
    Vanished { object: "deals".into(), kind: Some(SlotKind::Deal), ..contacts(gone) }
}

/// A lead of person `n`, which has person and deal of those ids at the CRM.
pub(crate) async fn with_deal(store: &Arc<dyn Store>, n: i64, person: &str, deal: &str) -> Opened {
    let record = mapped(store, new_record(n), at(n)).await;
    let mut opened = opening(record, n, PersonId::new(at(n)), Mode::Live, at(n));
    let ensure = opened.commit.effects.remove(0).effect;
    let inquiry = ensure_deal(opened.lead, opened.episode, opened.person);
    let mut task = create_task(opened.lead, opened.episode, opened.person);
    let EffectBody::CreateTask { about, .. } = &mut task.body else { panic!() };
    about.insert(0, ObjectRef::Slot { slot: deal_slot(opened.lead) });
    opened.commit.effects = planned(vec![ensure, inquiry, task], at(n));
    store.commit_decisions(opened.commit.clone(), at(n)).await.unwrap();
    finish(store, EnsurePerson, 20, |claim| done(claim, person)).await;
    finish(store, EnsureInquiry, 21, |claim| made(claim, "deals", deal)).await;
    opened
}

pub(crate) async fn fm_019_a_deleted_deal_is_no_deleted_contact_of_the_same_id(backend: impl Backend) {
    let store = backend.store();
    let (ana, ben) = (with_deal(&store, 1, "5", "7").await, with_deal(&store, 2, "6", "5").await);
    assert_eq!(store.vanish(deals(&["5", "6"]), at(30)).await.unwrap(), 1);
    assert_eq!(standing(&store, ana.lead).await, "decided", "she is contact 5");
    assert_eq!(standing(&store, ben.lead).await, "closed:suppressed");
    assert_eq!(states(&store, ben.lead).await, [Done, Cancelled, Cancelled], "what it made was deleted");
    let ask = ViewAsk { persons: vec![ana.person, ben.person], ..ViewAsk::default() };
    let mut bound = store.decision_view(&ask).await.unwrap().slots;
    bound.sort();
    let mut both = [(person_slot(ana.person), "5".into()), (person_slot(ben.person), "6".into())];
    both.sort();
    assert_eq!(bound, both, "both contacts are there still");
    // Nor is a deleted contact a deal.
    assert_eq!(store.vanish(contacts(&["7", "5"]), at(31)).await.unwrap(), 1);
    assert_eq!(standing(&store, ana.lead).await, "closed:suppressed");
}

pub(crate) async fn fm_020_deals_that_become_one_leave_their_persons_two(backend: impl Backend) {
    let store = backend.store();
    let (ana, ben) = (with_deal(&store, 1, "5", "7").await, with_deal(&store, 2, "7", "5").await);
    let merged = Merged {
        connection: crm(),
        object: "deals".into(),
        kind: Some(SlotKind::Deal),
        pairs: vec![("5".into(), "7".into())],
    };
    let followed = store.follow_merges(merged, at(30)).await.unwrap();
    assert_eq!(followed, Followed { merges: 1, leads: 0 });
    let ask = ViewAsk { keys: vec![email_key(1), email_key(2)], ..ViewAsk::default() };
    let persons = store.decision_view(&ask).await.unwrap().persons;
    assert_eq!(persons.len(), 2, "{persons:?}");
    assert_eq!(store.vanish(deals(&["5"]), at(31)).await.unwrap(), 0, "what was merged away is not gone");
    // His task is about what his deal became.
    let tasks = claim(&store, CreateTask, 32).await;
    let of_ben = tasks.iter().find(|claim| claim.effect.lead == ben.lead).unwrap();
    let bound = of_ben.bindings.iter().find(|bound| bound.slot == deal_slot(ben.lead)).unwrap();
    assert_eq!(bound.id, "7".into());
    assert_eq!(store.vanish(deals(&["7"]), at(33)).await.unwrap(), 1);
    assert_eq!(standing(&store, ana.lead).await, "closed:suppressed");
}

pub(crate) async fn fm_020_a_chain_of_merges_leaves_one_lead_of_one_person(backend: impl Backend) {
    let store = backend.store();
    let [one, two, three] = [decided(&store, 1).await, decided(&store, 2).await, decided(&store, 3).await];
    // 1 and 2 become 10, then 10 and 3 become 11; the second is told with all that went into it.
    let first = store.follow_merges(merged(&[("1", "10"), ("2", "10")]), at(20)).await.unwrap();
    assert_eq!(first, Followed { merges: 2, leads: 1 });
    let chain = merged(&[("1", "11"), ("2", "11"), ("10", "11"), ("3", "11")]);
    assert_eq!(store.follow_merges(chain.clone(), at(21)).await.unwrap(), Followed { merges: 2, leads: 1 });
    assert_eq!(store.follow_merges(chain, at(22)).await.unwrap(), Followed::default(), "once each");
    assert_eq!(standing(&store, one.lead).await, "decided");
    for merged in [two.lead, three.lead] {
        assert_eq!(standing(&store, merged).await, "closed:merged");
        assert_eq!(states(&store, merged).await, [Cancelled; 3]);
    }
    let key = |id: &str| LinkKey { external_id: id.into(), ..link_key(1) };
    let mut found =
        store.survivors(&[key("1"), key("2"), key("3"), key("10"), key("11"), key("4")]).await.unwrap();
    found.sort();
    let all: Vec<(String, String)> =
        found.iter().map(|(key, winner)| (key.external_id.to_string(), winner.to_string())).collect();
    let to_11 = |id: &str| (id.to_owned(), "11".to_owned());
    assert_eq!(all, ["1", "10", "2", "3"].map(to_11));
    // Whoever comes by any of the keys or ids is the first person, whose lead is open.
    let ask = ViewAsk {
        keys: vec![email_key(2), email_key(3)],
        links: vec![key("11"), key("3")],
        ..ViewAsk::default()
    };
    let view = store.decision_view(&ask).await.unwrap();
    assert!(view.links.iter().all(|link| link.person == one.person && link.enrolled), "{:?}", view.links);
    assert_eq!(view.persons.len(), 1);
    assert_eq!(view.open_leads.iter().map(|open| open.lead.id).collect::<Vec<_>>(), [one.lead]);
}

pub(crate) async fn fm_020_a_merged_object_opens_no_second_lead(backend: impl Backend) {
    let store = backend.store();
    let ana = decided(&store, 1).await;
    // The other half was never seen here: the merged object is still the one that has opened its lead.
    let followed = store.follow_merges(merged(&[("99", "100"), ("1", "100")]), at(9)).await.unwrap();
    assert_eq!(followed, Followed { merges: 2, leads: 0 });
    let key = LinkKey { external_id: "100".into(), ..link_key(1) };
    let view = store.decision_view(&ViewAsk { links: vec![key], ..ViewAsk::default() }).await.unwrap();
    assert_eq!((view.links[0].person, view.links[0].enrolled), (ana.person, true));
    assert_eq!(standing(&store, ana.lead).await, "decided");
}

pub(crate) async fn fm_020_what_was_begun_stays(backend: impl Backend) {
    let store = backend.store();
    let (one, two) = (decided(&store, 1).await, decided(&store, 2).await);
    // Only the second person's lead has got anywhere.
    finish(&store, EnsurePerson, 5, |claim| {
        done(claim, if claim.effect.lead == one.lead { "c1" } else { "c2" })
    })
    .await;
    let updates = claim(&store, UpdateObject, 6).await;
    let second = updates.iter().find(|claim| claim.effect.lead == two.lead).unwrap();
    let first = updates.iter().find(|claim| claim.effect.lead == one.lead).unwrap();
    let later = crate::EffectEnd::Planned { due_at: at(7), reason: "throttled".to_owned() };
    let outcomes = vec![done(second, "c2"), super::fixture::end(first, later)];
    store.finish_effects(outcomes, at(6)).await.unwrap();
    let followed = store.follow_merges(merged(&[("1", "10"), ("2", "10")]), at(8)).await.unwrap();
    assert_eq!(followed.leads, 1);
    // The first's ensure_person is done, so both were begun; then the one with an owner, then the oldest stays.
    let standings = (standing(&store, one.lead).await, standing(&store, two.lead).await);
    assert_eq!(standings, ("decided".to_owned(), "closed:merged".to_owned()));
    // Slots follow the vendor's ids.
    let contacts = Merged {
        connection: crm(),
        object: "contacts".into(),
        kind: Some(SlotKind::Person),
        pairs: vec![("c1".into(), "c9".into()), ("c2".into(), "c9".into())],
    };
    store.follow_merges(contacts, at(9)).await.unwrap();
    let view =
        store.decision_view(&ViewAsk { persons: vec![one.person], ..ViewAsk::default() }).await.unwrap();
    assert_eq!(view.slots, [(person_slot(one.person), "c9".into())]);
}

pub(crate) async fn fm_020_a_merged_lead_stays_merged_whatever_was_under_way(backend: impl Backend) {
    let store = backend.store();
    let (one, two) = (decided(&store, 1).await, decided(&store, 2).await);
    let later = at(5) + jiff::SignedDuration::from_secs(90);
    let lost = |claim: &crate::ClaimedEffect| {
        let unknown = crate::EffectEnd::Unknown { due_at: later, reason: "no answer".to_owned() };
        super::fixture::end(claim, unknown)
    };
    finish(&store, EnsurePerson, 5, lost).await;
    let followed = store.follow_merges(merged(&[("1", "10"), ("2", "10")]), at(8)).await.unwrap();
    assert_eq!(followed.leads, 1);
    let looked = store.claim_unknown(&crm(), 9, later, later).await.unwrap();
    let found = looked.iter().map(|claim| done(claim, "c1")).collect();
    store.finish_effects(found, later).await.unwrap();
    assert_eq!(states(&store, two.lead).await, [Done, Cancelled, Cancelled]);
    let standings = (standing(&store, one.lead).await, standing(&store, two.lead).await);
    assert_eq!(standings, ("decided".to_owned(), "closed:merged".to_owned()));
}

pub(crate) async fn fm_020_two_persons_who_are_found_as_one_contact_are_one(backend: impl Backend) {
    let store = backend.store();
    let (one, two) = (decided(&store, 1).await, decided(&store, 2).await);
    let found = |claim: &crate::ClaimedEffect| {
        let (id, object) = (Some("c9".into()), Some("contacts".into()));
        super::fixture::end(
            claim,
            crate::EffectEnd::Done { id, origin: SlotOrigin::Found, object, note: None },
        )
    };
    finish(&store, EnsurePerson, 5, found).await;
    let ask = ViewAsk { keys: vec![email_key(1), email_key(2)], ..ViewAsk::default() };
    let view = store.decision_view(&ask).await.unwrap();
    assert_eq!(view.persons.iter().map(|known| known.id).collect::<Vec<_>>(), [one.person]);
    let standings = (standing(&store, one.lead).await, standing(&store, two.lead).await);
    assert_eq!(standings, ("decided".to_owned(), "closed:merged".to_owned()));
    assert_eq!(finish(&store, UpdateObject, 6, |claim| done(claim, "c9")).await, 1);
}

pub(crate) async fn fm_019_what_was_under_way_is_not_sent_again_for_who_is_gone(backend: impl Backend) {
    let store = backend.store();
    let ana = decided(&store, 1).await;
    finish(&store, EnsurePerson, 5, |claim| done(claim, "c1")).await;
    let throttled = |claim: &crate::ClaimedEffect| {
        super::fixture::end(
            claim,
            crate::EffectEnd::Planned { due_at: at(9), reason: "throttled".to_owned() },
        )
    };
    let under_way = claim(&store, UpdateObject, 6).await;
    assert_eq!(store.vanish(contacts(&["c1"]), at(7)).await.unwrap(), 1);
    store.finish_effects(under_way.iter().map(throttled).collect(), at(8)).await.unwrap();
    assert_eq!(states(&store, ana.lead).await, [Cancelled; 3]);
    assert_eq!(standing(&store, ana.lead).await, "closed:suppressed");
}

pub(crate) async fn fm_019_a_deleted_contact_ends_its_open_lead(backend: impl Backend) {
    let store = backend.store();
    // New, routed with its person written, and not the one that is deleted.
    let (new, routed, other) = (decided(&store, 1).await, decided(&store, 2).await, decided(&store, 3).await);
    let claimed = claim(&store, EnsurePerson, 5).await;
    let of_routed = claimed.iter().find(|claim| claim.effect.lead == routed.lead).unwrap();
    let throttled = |claim| {
        super::fixture::end(claim, crate::EffectEnd::Planned { due_at: at(6), reason: String::new() })
    };
    let mut outcomes = vec![done(of_routed, "c2")];
    outcomes.extend(claimed.iter().filter(|claim| claim.effect.lead != routed.lead).map(throttled));
    store.finish_effects(outcomes, at(5)).await.unwrap();
    assert_eq!(store.vanish(responses(&["1", "77"]), at(9)).await.unwrap(), 1);
    assert_eq!(store.vanish(contacts(&["c2"]), at(9)).await.unwrap(), 1);
    for lead in [new.lead, routed.lead] {
        assert_eq!(standing(&store, lead).await, "closed:suppressed");
        let story = store.lead_story(lead).await.unwrap().unwrap();
        assert!(story.lead.detail.unwrap().contains("deleted"));
    }
    assert_eq!(states(&store, new.lead).await, [Cancelled; 3]);
    assert_eq!(standing(&store, other.lead).await, "decided");
    assert!(claim(&store, CreateTask, 99).await.is_empty(), "no task for who is gone");
    // What was merged away is not gone.
    store.follow_merges(merged(&[("3", "30")]), at(9)).await.unwrap();
    assert_eq!(store.vanish(responses(&["3"]), at(9)).await.unwrap(), 0);
}

pub(crate) async fn fm_019_after_a_deletion_the_person_is_written_anew(backend: impl Backend) {
    let store = backend.store();
    let ana = decided(&store, 1).await;
    finish(&store, EnsurePerson, 5, |claim| done(claim, "c1")).await;
    store.vanish(contacts(&["c1"]), at(6)).await.unwrap();
    let record = mapped(&store, new_record(4), at(7)).await;
    let mut again = opening(record, 4, PersonId::new(at(7)), Mode::Live, at(8));
    again.commit.persons.clear();
    again.commit.opened[0].lead.person = ana.person;
    again.commit.identity.clear();
    again.commit.links.clear();
    again.commit.effects = planned(
        vec![
            super::fixture::ensure_person(again.lead, again.episode, ana.person, 1),
            create_task(again.lead, again.episode, ana.person),
        ],
        at(8),
    );
    store.commit_decisions(again.commit, at(8)).await.unwrap();
    assert_eq!(finish(&store, EnsurePerson, 9, |claim| done(claim, "c5")).await, 1);
    assert_eq!(states(&store, again.lead).await, [Done, Planned]);
}

pub(crate) async fn objects_behind_open_leads_are_listed(backend: impl Backend) {
    let store = backend.store();
    for n in 1..=5 {
        decided(&store, n).await;
    }
    let closed = decided(&store, 6).await;
    store.suppress(closed.lead, "a test", at(7)).await.unwrap();
    let object = "responses".into();
    let first = store.objects_of_open_leads(&form(), &object, None, 3).await.unwrap();
    assert_eq!(first, ids(&["1", "2", "3"]));
    let rest = store.objects_of_open_leads(&form(), &object, first.last(), 3).await.unwrap();
    assert_eq!(rest, ids(&["4", "5"]));
    assert!(store.objects_of_open_leads(&crm(), &object, None, 3).await.unwrap().is_empty());
}
