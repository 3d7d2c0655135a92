//! Leads and deals that carry an inquiry's owner.

use std::collections::BTreeMap;

use EffectKind::{CreateTask, EnsureInquiry, EnsurePerson, UpdateObject};
use usher_model::{
    AccountId, Effect, EffectBody, EffectKey, EffectKind, EpisodeId, ExternalId, Mode, ObjectRef,
    OwnerChange, PersonId, Slot, SlotKind, SlotOrigin,
};

use super::Backend;
use super::fixture::{
    Opened, at, claim, create_task, crm, decision, end, ensure_person, finish, mapped, new_record, opening,
    person_slot, planned, standing,
};
use crate::{
    AccountRow, ClaimedEffect, DecisionCommit, EffectEnd, EffectOutcome, FailedFilter, LinkKey, UndoFilter,
    ViewAsk,
};

const EVERYTHING: UndoFilter = UndoFilter {
    since: jiff::Timestamp::MIN,
    until: jiff::Timestamp::MAX,
    path: None,
    lead: None,
    limit: 100,
};

fn deal_slot(opened: &Opened) -> Slot {
    Slot { connection: crm(), kind: SlotKind::Deal, of: opened.lead.to_string() }
}

fn ensure_deal(opened: &Opened, episode: EpisodeId, owner: &str) -> Effect {
    let body = EffectBody::EnsureInquiry {
        slot: deal_slot(opened),
        title: "Person 1".to_owned(),
        person: ObjectRef::Slot { slot: person_slot(opened.person) },
        company: None,
        owner: owner.into(),
        entered_since: None,
    };
    let key = EffectKey::new(format!("deal{}", opened.lead));
    Effect { key, connection: crm(), lead: opened.lead, episode, body }
}

/// The owner of the lead's deal, which nobody entered by hand.
fn own(opened: &Opened, episode: EpisodeId) -> Effect {
    let change = OwnerChange { to: Some("501".into()), entered: Some(Vec::new()), ..OwnerChange::default() };
    let body = EffectBody::UpdateObject {
        target: ObjectRef::Slot { slot: deal_slot(opened) },
        owner: Some(change),
        fields: BTreeMap::new(),
        slot: Some(Slot { connection: crm(), kind: SlotKind::Owner, of: episode.to_string() }),
        after: None,
    };
    Effect {
        key: EffectKey::new(format!("own{episode}")),
        connection: crm(),
        lead: opened.lead,
        episode,
        body,
    }
}

/// A task about the lead's deal and its person.
fn task(opened: &Opened, episode: EpisodeId) -> Effect {
    let mut task = create_task(opened.lead, episode, opened.person);
    if let EffectBody::CreateTask { about, .. } = &mut task.body {
        about.insert(0, ObjectRef::Slot { slot: deal_slot(opened) });
    }
    task
}

fn done(claim: &ClaimedEffect, id: &str, object: &str) -> EffectOutcome {
    let (id, object) = (Some(id.into()), Some(object.into()));
    end(claim, EffectEnd::Done { id, origin: SlotOrigin::Created, object, note: None })
}

/// A lead of person 1 whose owner is on a deal.
async fn decided(store: &std::sync::Arc<dyn crate::Store>) -> Opened {
    let record = mapped(store, new_record(1), at(1)).await;
    let mut opened = opening(record, 1, PersonId::new(at(1)), Mode::Live, at(1));
    let person = ensure_person(opened.lead, opened.episode, opened.person, 1);
    let (lead, episode) = (&opened, opened.episode);
    let rest = [ensure_deal(lead, episode, "501"), own(lead, episode), task(lead, episode)];
    opened.commit.effects = planned([vec![person], rest.into()].concat(), at(1));
    store.commit_decisions(opened.commit.clone(), at(1)).await.unwrap();
    opened
}

pub(crate) async fn a_deal_is_bound_to_its_lead_and_tied_to_its_person(backend: impl Backend) {
    let store = backend.store();
    let ana = decided(&store).await;
    assert!(claim(&store, EnsureInquiry, 2).await.is_empty(), "it waits for the person");
    finish(&store, EnsurePerson, 3, |claim| done(claim, "c1", "contacts")).await;
    assert!(claim(&store, CreateTask, 4).await.is_empty(), "it waits for the deal");
    finish(&store, EnsureInquiry, 5, |claim| {
        assert_eq!(claim.bindings[0].id, "c1".into());
        assert_eq!(claim.along.as_ref().map(|along| along.owner.as_str()), Some("501"));
        EffectOutcome { along: claim.along.clone(), ..done(claim, "d1", "deals") }
    })
    .await;
    assert!(claim(&store, UpdateObject, 5).await.is_empty(), "it was made with its owner");
    assert_eq!(store.known_made(ana.lead, EnsureInquiry).await.unwrap(), ["d1".into()]);
    let deal = LinkKey { connection: crm(), object: "deals".into(), external_id: "d1".into() };
    let ask = ViewAsk {
        links: vec![deal],
        inquiries: Some((SlotKind::Deal, vec![ana.lead])),
        ..ViewAsk::default()
    };
    let view = store.decision_view(&ask).await.unwrap();
    let link = &view.links[0];
    assert_eq!((link.person, link.ours, link.enrolled), (ana.person, true, true));
    assert!(view.slots.contains(&(deal_slot(&ana), "d1".into())), "{:?}", view.slots);
    assert_eq!(finish(&store, CreateTask, 6, |claim| done(claim, "t1", "tasks")).await, 1);
    assert_eq!(standing(&store, ana.lead).await, "closed:written");

    let mut undoable = store.undoable(&EVERYTHING).await.unwrap().remove(0);
    undoable.created.sort();
    let object = |kind, id: &str| (kind, ExternalId::new(id));
    assert_eq!(undoable.created, [object(SlotKind::Person, "c1"), object(SlotKind::Deal, "d1")]);
    let owner = &undoable.owners[0];
    assert_eq!((&owner.object, &owner.before), (&object(SlotKind::Deal, "d1"), &None));
    assert_eq!(owner.owner, Some("501".into()));
}

pub(crate) async fn fm_040_a_deal_that_is_wanted_again_is_the_same_write(backend: impl Backend) {
    let store = backend.store();
    let ana = decided(&store).await;
    // A later episode before anything was sent: its owner counts.
    let again = async |second: i64, owner: &str| {
        let episode = EpisodeId::new(at(second));
        let commit = DecisionCommit {
            supersedes: vec![(ana.lead, episode)],
            decisions: vec![decision(ana.lead, episode, Mode::Live, at(second))],
            effects: planned(vec![ensure_deal(&ana, episode, owner), task(&ana, episode)], at(second)),
            ..DecisionCommit::default()
        };
        store.commit_decisions(commit, at(second)).await.unwrap();
    };
    again(2, "502").await;
    assert!(claim(&store, EnsureInquiry, 2).await.is_empty(), "it still waits for the person");
    finish(&store, EnsurePerson, 3, |claim| done(claim, "c1", "contacts")).await;
    let held = claim(&store, EnsureInquiry, 4).await;
    let owners = held.iter().map(|claim| match &claim.effect.body {
        EffectBody::EnsureInquiry { owner, .. } => owner.as_str().to_owned(),
        other => panic!("{other:?}"),
    });
    assert_eq!(owners.collect::<Vec<_>>(), ["502"]);
    // And one while it is under way.
    again(5, "502").await;
    assert!(claim(&store, EnsureInquiry, 6).await.is_empty());
    store.finish_effects(vec![done(&held[0], "d1", "deals")], at(7)).await.unwrap();
    assert_eq!(finish(&store, CreateTask, 10, |claim| done(claim, "t1", "tasks")).await, 1);
    assert_eq!(standing(&store, ana.lead).await, "closed:written");
}

pub(crate) async fn a_deal_that_is_refused_to_a_later_episode_can_be_tried_again(backend: impl Backend) {
    let store = backend.store();
    let ana = decided(&store).await;
    let episode = EpisodeId::new(at(2));
    let commit = DecisionCommit {
        supersedes: vec![(ana.lead, episode)],
        decisions: vec![decision(ana.lead, episode, Mode::Live, at(2))],
        effects: planned(vec![ensure_deal(&ana, episode, "502"), task(&ana, episode)], at(2)),
        ..DecisionCommit::default()
    };
    store.commit_decisions(commit, at(2)).await.unwrap();
    finish(&store, EnsurePerson, 3, |claim| done(claim, "c1", "contacts")).await;
    let refused = EffectEnd::Rejected { reason: "no such stage".to_owned() };
    finish(&store, EnsureInquiry, 4, |claim| EffectOutcome::of(claim, refused.clone())).await;
    let failed = store.failed(&FailedFilter::newest(9)).await.unwrap();
    assert_eq!(failed.len(), 1, "{failed:?}");
    assert_eq!(store.retry_effects(&[], false, at(5)).await.unwrap(), 1);
    assert_eq!(finish(&store, EnsureInquiry, 6, |claim| done(claim, "d1", "deals")).await, 1);
}

pub(crate) async fn a_company_that_waited_for_who_was_refused_is_made_for_the_next(backend: impl Backend) {
    let store = backend.store();
    let ana = decided(&store).await;
    let slot = Slot { connection: crm(), kind: SlotKind::Company, of: "acme.example".to_owned() };
    let ensure = |person: PersonId, episode: EpisodeId| {
        let body = EffectBody::EnsureCompany {
            slot: slot.clone(),
            name: "Acme".to_owned(),
            domain: Some("acme.example".to_owned()),
            person: ObjectRef::Slot { slot: person_slot(person) },
        };
        Effect { key: EffectKey::new("acme"), connection: crm(), lead: ana.lead, episode, body }
    };
    let plan = async |person: PersonId, second: i64| {
        let effects = planned(vec![ensure(person, ana.episode)], at(second));
        let commit = DecisionCommit { effects, ..DecisionCommit::default() };
        store.commit_decisions(commit, at(second)).await.unwrap();
    };
    plan(ana.person, 2).await;
    let refused = EffectEnd::Rejected { reason: "no such address".to_owned() };
    finish(&store, EnsurePerson, 3, |claim| EffectOutcome::of(claim, refused.clone())).await;
    // Somebody whom the CRM knows belongs there, too.
    let bob = PersonId::new(at(4));
    let known = vec![(person_slot(bob), "c2".into(), SlotOrigin::Found)];
    let commit = DecisionCommit { slots: known, ..DecisionCommit::default() };
    store.commit_decisions(commit, at(4)).await.unwrap();
    plan(bob, 5).await;
    let held = claim(&store, EffectKind::EnsureCompany, 6).await;
    assert_eq!(held.len(), 1, "it waits for nobody any more");
    assert_eq!(held[0].bindings[0].id, "c2".into());
    store.finish_effects(vec![done(&held[0], "a1", "companies")], at(7)).await.unwrap();
    let ask = ViewAsk { domains: vec!["acme.example".to_owned()], ..ViewAsk::default() };
    assert!(store.decision_view(&ask).await.unwrap().gone_companies.is_empty());
    let gone = AccountRow {
        id: AccountId::new(at(8)),
        external_id: "a1".into(),
        name: "Acme".to_owned(),
        owner: None,
        country: None,
        gone: true,
        keys: Vec::new(),
    };
    store.put_accounts(&crm(), "accounts", &serde_json::Value::Null, vec![gone], at(8)).await.unwrap();
    assert_eq!(store.decision_view(&ask).await.unwrap().gone_companies, ["acme.example"]);
}
