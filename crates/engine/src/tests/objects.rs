//! Which object carries owner and task: the person, or a lead or deal that is made for each inquiry.

use jiff::Timestamp;
use serde_json::json;
use usher_connector::{CrmAccount, CrmPerson, FaultClass};
use usher_model::Clock as _;
use usher_model::EffectKind::{CreateTask, EnsureInquiry, EnsurePerson, UpdateObject};
use usher_model::{
    CloseReason, EffectBody, EffectKind, EffectState, ExternalId, ObjectRef, OwnedObject, Slot, SlotKind,
};
use usher_store::UndoFilter;

use super::world::{Act, Crm, World, until};
use crate::settings::AlsoOwned;

const KINDS: [SlotKind; 2] = [SlotKind::Lead, SlotKind::Deal];

async fn kinds(world: &World) -> Vec<EffectKind> {
    world.story().await.effects.iter().map(|effect| effect.kind).collect()
}

/// The object in a write that knows it by id.
fn known(object: &ObjectRef) -> (SlotKind, &str) {
    match object {
        ObjectRef::Id { kind, id } => (*kind, id.as_str()),
        ObjectRef::Slot { slot } => panic!("{slot:?} was not resolved"),
    }
}

fn about(world: &World) -> Vec<(SlotKind, String)> {
    let EffectBody::CreateTask { about, .. } = &world.crm.did(CreateTask)[0].body else { panic!() };
    about.iter().map(known).map(|(kind, id)| (kind, id.to_owned())).collect()
}

/// Looks after what is unclear, then sends what is due, until nothing moves.
async fn settle(world: &World) {
    for _ in 0..6 {
        world.clock.advance(60);
        world.engine.verify(world.engine.crm()).await.unwrap();
        world.deliver().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_person_carries_the_owner_unless_told_otherwise() {
    let world = World::new().await;
    world.inquire("ann").await;
    world.decide().await;
    world.deliver().await;
    assert_eq!(kinds(&world).await, [EnsurePerson, UpdateObject, CreateTask]);
    let person = world.crm.persons.lock().unwrap()[0].clone();
    assert_eq!(about(&world), [(SlotKind::Person, person)]);
    assert_eq!(world.written().await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_who_is_made_with_the_owner_needs_no_second_write() {
    for owned in [true, false] {
        let world = World::new().await;
        *world.crm.owned.lock().unwrap() = owned;
        world.inquire("ann").await;
        world.decide().await;
        world.deliver().await;
        let made = world.crm.did(EnsurePerson);
        assert_eq!(made[0].owner.as_ref().map(ExternalId::as_str), Some("7"));
        assert_eq!(world.crm.did(UpdateObject).len(), usize::from(!owned));
        assert_eq!(world.crm.did(CreateTask).len(), 1);
        let story = world.story().await;
        let update = story.effects.iter().find(|effect| effect.kind == UpdateObject).unwrap();
        assert_eq!((update.state, update.attempts), (EffectState::Done, u32::from(!owned)));
        assert_eq!(world.written().await, 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_stands_for_the_inquiry_is_made_with_its_owner_and_the_task_is_about_both() {
    for kind in KINDS {
        let world = World::carried_by(kind).await;
        world.inquire("ann").await;
        world.decide().await;
        world.deliver().await;
        assert_eq!(kinds(&world).await, [EnsurePerson, EnsureInquiry, UpdateObject, CreateTask]);
        assert!(world.crm.did(UpdateObject).is_empty(), "it was made with its owner");
        let made = world.crm.did(EnsureInquiry);
        let EffectBody::EnsureInquiry { slot, title, person, owner, .. } = &made[0].body else { panic!() };
        let contact = world.crm.persons.lock().unwrap()[0].clone();
        assert_eq!((slot.kind, title.as_str(), owner.as_str()), (kind, "ann", "7"));
        assert_eq!(known(person), (SlotKind::Person, contact.as_str()));
        assert_eq!(about(&world), [(kind, made[0].key.to_string()), (SlotKind::Person, contact)]);
        assert_eq!(world.written().await, 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn fm_040_a_lost_answer_makes_no_second_deal() {
    for restart in [false, true] {
        let mut world = World::carried_by(SlotKind::Deal).await;
        world.inquire("ann").await;
        world.decide().await;
        world.crm.next.lock().unwrap().extend([Act::Lose, Act::Lose, Act::Lose]);
        world.deliver().await;
        for _ in 0..3 {
            if restart {
                world = world.restarted().await;
            }
            settle(&world).await;
        }
        for kind in [EnsurePerson, EnsureInquiry, CreateTask] {
            assert_eq!(world.crm.did(kind).len(), 1, "{kind:?}");
        }
        assert_eq!(world.written().await, 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn fm_040_what_a_dead_process_sent_is_looked_for_since_before_it_was_sent() {
    let world = World::new().await;
    world.inquire("ann").await;
    world.decide().await;
    let sent = world.clock.now();
    world.crm.next.lock().unwrap().push_back(Act::Hang(std::sync::Arc::default()));
    {
        let sending = world.deliver();
        tokio::pin!(sending);
        let called = until("the call", async || !world.crm.calls.lock().unwrap().is_empty());
        tokio::select! {
            _ = &mut sending => panic!("the vendor has not answered"),
            () = called => {}
        }
    }
    world.clock.advance(3_600);
    let world = world.restarted().await;
    world.engine.store().take_over(world.clock.now()).await.unwrap();
    settle(&world).await;
    let since = world.crm.since.lock().unwrap().clone();
    assert!(!since.is_empty());
    assert!(since.iter().all(|since| *since <= sent), "{since:?}, sent {sent}");
    assert_eq!(world.written().await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn fm_041_a_deal_that_is_not_there_after_the_settle_window_is_made_then() {
    let world = World::carried_by(SlotKind::Deal).await;
    world.inquire("ann").await;
    world.decide().await;
    world.crm.persons.lock().unwrap().clear();
    let fails = Act::Fail(FaultClass::OutcomeUnknown);
    world.crm.next.lock().unwrap().extend([fails.clone(), fails]);
    world.deliver().await;
    for _ in 0..3 {
        settle(&world).await;
    }
    assert_eq!(world.crm.did(EnsureInquiry).len(), 1);
    assert_eq!(world.written().await, 1);
}

/// Ann, whom the CRM knows, asks by a form while somebody has entered a deal for her so long ago.
async fn entered_ago(seconds: i64, owner: Option<SlotKind>) -> World {
    let crm = Crm::default();
    crm.everybody.lock().unwrap().replace(CrmPerson { external_id: "c1".into(), owner: None });
    *crm.won.lock().unwrap() = owner;
    let world = World::also_owned(SlotKind::Deal, crm, &[AlsoOwned::Person]).await;
    let at = world.clock.now().checked_sub(jiff::SignedDuration::from_secs(seconds)).unwrap();
    world.crm.entered.lock().unwrap().replace(("d1".into(), at));
    world.inquire("ann").await;
    world.decide().await;
    world.deliver().await;
    world
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deal_that_somebody_has_entered_by_hand_carries_the_inquiry_that_came_by_a_form_too() {
    let world = entered_ago(3_600, None).await;
    assert!(world.crm.did(EnsureInquiry).is_empty(), "none is made beside it");
    let updates = world.crm.did(UpdateObject);
    let EffectBody::UpdateObject { target, owner: Some(change), .. } = &updates[0].body else { panic!() };
    assert_eq!((known(target), &change.to), ((SlotKind::Deal, "d1"), &Some("7".into())));
    assert_eq!(about(&world)[0], (SlotKind::Deal, "d1".to_owned()));
    assert_eq!((world.crm.did(CreateTask).len(), world.written().await), (1, 1));
    // Its record comes by a poll, and opens nothing.
    world.read("deals", "d1", "ann").await;
    world.decide().await;
    let counts = world.engine.store().counts().await.unwrap();
    assert_eq!(counts.records["opened"], 1, "{counts:?}");
    // It is nobody's to remove.
    let filter =
        UndoFilter { since: Timestamp::MIN, until: Timestamp::MAX, path: None, lead: None, limit: 10 };
    world.engine.undo(&filter, true, "a test").await.unwrap();
    world.deliver().await;
    assert!(world.crm.did(EffectKind::ArchiveObject).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deal_older_than_the_inquiry_is_a_customers_and_left_alone() {
    let world = entered_ago(25 * 3_600, None).await;
    assert_eq!((world.crm.did(EnsureInquiry).len(), world.written().await), (1, 1));
    assert!(about(&world).iter().all(|(_, id)| id != "d1"));
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_entered_the_deal_for_themselves_keeps_it_and_gets_the_task() {
    let world = entered_ago(60, Some(SlotKind::Deal)).await;
    assert!(world.crm.did(EnsureInquiry).is_empty());
    let task = world.crm.did(CreateTask).remove(0);
    let EffectBody::CreateTask { owner, .. } = &task.body else { panic!() };
    assert_eq!(owner.as_str(), "8");
    let person = also_written_to(&world, SlotKind::Person);
    assert_eq!(person, [Some("8".into())], "and the person beside it");
    let story = world.story().await;
    assert!(story.effects.iter().all(|effect| effect.state == EffectState::Done), "{story:?}");
    let filter =
        UndoFilter { since: Timestamp::MIN, until: Timestamp::MAX, path: None, lead: None, limit: 10 };
    let undone = world.engine.plan_undo(&filter, false).await.unwrap();
    assert!(undone.lines[0].steps.iter().all(|step| !step.starts_with("deal")), "{undone:?}");
    assert_eq!(world.written().await, 1);
}

/// The owners that were written to objects of that kind.
fn also_written_to(world: &World, kind: SlotKind) -> Vec<Option<ExternalId>> {
    let updates = world.crm.did(UpdateObject).into_iter().filter_map(|write| match write.body {
        EffectBody::UpdateObject { target, owner, .. } if known(&target).0 == kind => Some(owner?.to),
        _ => None,
    });
    updates.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_looks_for_a_deal_of_a_person_who_was_made_a_moment_ago() {
    for (later, looked) in [(0, false), (600, true)] {
        let world = World::carried_by(SlotKind::Deal).await;
        world.inquire("ann").await;
        world.decide().await;
        if later > 0 {
            let at_once = Act::Hang(std::sync::Arc::default());
            let Act::Hang(told) = &at_once else { panic!() };
            told.notify_one();
            world.crm.next.lock().unwrap().extend([at_once, Act::Fail(FaultClass::Transient)]);
            world.deliver().await;
            world.clock.advance(later);
        }
        world.deliver().await;
        let made = world.crm.did(EnsureInquiry).remove(0);
        let EffectBody::EnsureInquiry { entered_since, .. } = &made.body else { panic!() };
        assert_eq!(entered_since.is_some(), looked, "{later}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lead_that_came_from_a_deal_gets_no_other_one() {
    let world = World::carried_by(SlotKind::Deal).await;
    let contact = CrmPerson { external_id: "c1".into(), owner: Some("other".into()) };
    *world.crm.everybody.lock().unwrap() = Some(contact);
    world.read("deals", "d1", "ann").await;
    world.decide().await;
    world.deliver().await;
    assert_eq!(kinds(&world).await, [UpdateObject, CreateTask], "person and deal are there");
    let EffectBody::UpdateObject { target, owner: Some(change), .. } = &world.crm.did(UpdateObject)[0].body
    else {
        panic!()
    };
    assert_eq!(known(target), (SlotKind::Deal, "d1"));
    assert_eq!(change.expected, None, "the deal is owned by nobody, whoever owns the contact");
    let expected = [(SlotKind::Deal, "d1".to_owned()), (SlotKind::Person, "c1".to_owned())];
    assert_eq!(about(&world), expected);
    assert_eq!(world.written().await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_person_whom_a_deal_names_is_known_without_an_address() {
    let world = World::carried_by(SlotKind::Deal).await;
    let payload = json!({ "full_name": "Ann", "crm_person": "5" });
    world.read_as("deals", "5", &payload).await;
    world.decide().await;
    world.deliver().await;
    assert_eq!(kinds(&world).await, [UpdateObject, CreateTask], "nobody is made");
    let expected = [(SlotKind::Deal, "5".to_owned()), (SlotKind::Person, "5".to_owned())];
    assert_eq!(about(&world), expected);
    // Where the person carries the owner, the deal's owner says nothing: the person's is looked up.
    let world = World::new().await;
    let named = CrmPerson { external_id: "c1".into(), owner: Some("7".into()) };
    *world.crm.everybody.lock().unwrap() = Some(named);
    let payload = json!({ "email": "ann@ann.example", "owner": "5", "crm_person": "c1" });
    world.read_as("deals", "d1", &payload).await;
    world.decide().await;
    assert_eq!(kinds(&world).await, [CreateTask], "the person's owner stays");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deal_of_nobody_is_routed_without_a_person() {
    let also = [AlsoOwned::Person];
    let world = World::also_owned(SlotKind::Deal, Crm::default(), &also).await;
    world.read_as("deals", "d1", &json!({ "full_name": "Acme needs SEO" })).await;
    world.decide().await;
    world.deliver().await;
    assert_eq!(kinds(&world).await, [UpdateObject, CreateTask]);
    assert_eq!(about(&world), [(SlotKind::Deal, "d1".to_owned())]);
    assert_eq!(world.written().await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn fm_019_a_deleted_deal_is_no_deleted_contact_of_the_same_id() {
    let world = World::carried_by(SlotKind::Deal).await;
    let contact = CrmPerson { external_id: "5".into(), owner: None };
    *world.crm.everybody.lock().unwrap() = Some(contact);
    world.inquire("ann").await;
    world.decide().await;
    world.deliver().await;
    let state = async || {
        let story = world.story().await;
        (story.lead.close_reason, story.effects.iter().map(|effect| effect.state).collect::<Vec<_>>())
    };
    // Somebody else's deal has the number of Ann's contact.
    world.read_gone("deals", "5").await;
    world.decide().await;
    assert_eq!(state().await, (Some(CloseReason::Written), vec![EffectState::Done; 3]));
    let slot = |kind, of: String| Slot { connection: world.engine.crm().clone(), kind, of };
    let person = slot(SlotKind::Person, world.story().await.lead.person.to_string());
    assert!(world.bound(&person).await.is_some(), "she is there");
    // Her own deal is another matter.
    let deal = world.crm.did(EnsureInquiry)[0].key.to_string();
    world.read_gone("deals", &deal).await;
    world.decide().await;
    let (_, states) = state().await;
    assert_eq!(states[0], EffectState::Cancelled, "what it made was deleted");
    assert!(world.bound(&person).await.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deal_is_no_person_and_its_owner_not_the_persons() {
    let world = World::new().await;
    let contact = CrmPerson { external_id: "c1".into(), owner: None };
    *world.crm.everybody.lock().unwrap() = Some(contact);
    world.read("deals", "d1", "ann").await;
    world.decide().await;
    world.deliver().await;
    let EffectBody::UpdateObject { target, .. } = &world.crm.did(UpdateObject)[0].body else { panic!() };
    assert_eq!(known(target), (SlotKind::Person, "c1"));
    assert_eq!(about(&world), [(SlotKind::Person, "c1".to_owned())]);
}

#[tokio::test(flavor = "multi_thread")]
async fn fm_050_the_feeds_news_of_our_own_deal_opens_nothing() {
    let world = World::carried_by(SlotKind::Deal).await;
    world.inquire("ann").await;
    world.decide().await;
    world.deliver().await;
    let deal = world.crm.did(EnsureInquiry)[0].key.to_string();
    world.clock.advance(3 * 24 * 3600);
    world.read("deals", &deal, "ann").await;
    world.decide().await;
    let counts = world.engine.store().counts().await.unwrap();
    assert_eq!((counts.records["opened"], counts.records.get("ignored")), (1, Some(&1)), "{counts:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn fm_050_a_deal_in_the_feed_before_its_answer_came_opens_nothing() {
    let world = World::carried_by(SlotKind::Deal).await;
    world.inquire("ann").await;
    world.decide().await;
    let person = Act::Hang(std::sync::Arc::default());
    let Act::Hang(at_once) = &person else { panic!() };
    at_once.notify_one();
    world.crm.next.lock().unwrap().extend([person, Act::Lose]);
    world.deliver().await;
    let deal = world.crm.did(EnsureInquiry)[0].key.to_string();
    world.read("deals", &deal, "ann").await;
    world.decide().await;
    settle(&world).await;
    let counts = world.engine.store().counts().await.unwrap();
    assert_eq!(counts.records["opened"], 1, "{counts:?}");
    assert_eq!((world.crm.did(EnsureInquiry).len(), world.written().await), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn undo_takes_the_owner_from_the_deal_and_removes_it_if_asked() {
    let world = World::carried_by(SlotKind::Deal).await;
    world.inquire("ann").await;
    world.decide().await;
    world.deliver().await;
    let deal = ExternalId::new(world.crm.did(EnsureInquiry)[0].key.to_string());
    let filter =
        UndoFilter { since: Timestamp::MIN, until: Timestamp::MAX, path: None, lead: None, limit: 10 };
    world.engine.undo(&filter, true, "a test").await.unwrap();
    world.deliver().await;
    let updates = world.crm.did(UpdateObject);
    let EffectBody::UpdateObject { target, owner: Some(change), .. } = &updates[0].body else { panic!() };
    assert_eq!(known(target), (SlotKind::Deal, deal.as_str()));
    assert_eq!((change.expected.as_ref().map(ExternalId::as_str), &change.to), (Some("7"), &None));
    let archived = world.crm.did(EffectKind::ArchiveObject);
    let archived = archived.iter().flat_map(|write| write.body.refs().map(known)).collect::<Vec<_>>();
    assert!(archived.contains(&(SlotKind::Deal, deal.as_str())), "{archived:?}");
    assert_eq!(archived.len(), 2);
    assert_eq!(world.story().await.lead.close_reason, Some(CloseReason::Suppressed));
}

#[tokio::test(flavor = "multi_thread")]
async fn fm_052_a_deal_that_was_thrown_away_is_not_made_again() {
    let world = World::carried_by(SlotKind::Deal).await;
    world.inquire("ann").await;
    world.decide().await;
    world.crm.lost.lock().unwrap().replace(CreateTask);
    world.deliver().await;
    settle(&world).await;
    assert_eq!(world.crm.did(EnsureInquiry).len(), 1);
    let story = world.story().await;
    assert_eq!(story.lead.close_reason, Some(CloseReason::Suppressed), "{story:?}");
    assert!(story.lead.detail.unwrap().contains("its deal was deleted"));
    assert_eq!(story.effects[3].state, EffectState::Cancelled);
}

#[tokio::test(flavor = "multi_thread")]
async fn fm_052_a_deal_that_lives_is_not_blamed_for_its_contact() {
    let world = World::carried_by(SlotKind::Deal).await;
    world.inquire("ann").await;
    world.decide().await;
    world.crm.lost.lock().unwrap().replace(CreateTask);
    world.crm.names.lock().unwrap().replace(SlotKind::Person);
    world.deliver().await;
    settle(&world).await;
    let persons = world.crm.persons.lock().unwrap().clone();
    assert_eq!((persons.len(), world.crm.did(EnsureInquiry).len()), (2, 1), "the contact is made anew");
    let deal = world.crm.did(EnsureInquiry)[0].key.to_string();
    assert_eq!(about(&world), [(SlotKind::Deal, deal), (SlotKind::Person, persons[1].clone())]);
    assert_eq!(world.written().await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_settings_have_ceased_to_offer_is_refused_and_can_be_sent_later() {
    let world = World::carried_by(SlotKind::Deal).await;
    world.inquire("ann").await;
    world.decide().await;
    world.crm.lacks.lock().unwrap().replace(EnsureInquiry);
    world.deliver().await;
    let story = world.story().await;
    let deal = story.effects.iter().find(|effect| effect.kind == EnsureInquiry).unwrap();
    assert_eq!(deal.state, EffectState::Rejected);
    assert!(deal.problem.as_ref().unwrap().contains("does not offer `ensure_inquiry`"), "{deal:?}");
    assert_eq!(story.lead.close_reason, Some(CloseReason::Failed), "it is seen");
    world.crm.lacks.lock().unwrap().take();
    let now = world.clock.now();
    assert_eq!(world.engine.store().retry_effects(&[], false, now).await.unwrap(), 1);
    world.deliver().await;
    assert_eq!((world.crm.did(EnsureInquiry).len(), world.written().await), (1, 1));
}

/// A CRM with Ann's company, owned by somebody or nobody.
fn with_company(owner: Option<&str>) -> Crm {
    let company = CrmAccount {
        external_id: "a1".into(),
        name: "Ann Ltd".to_owned(),
        websites: vec!["ann.example".to_owned()],
        owner: owner.map(Into::into),
        country: None,
        gone: false,
    };
    let crm = Crm::default();
    crm.companies.lock().unwrap().push(company);
    crm
}

/// What got an owner beside the carrier: object, expected owner, new owner.
fn also_written(world: &World, carrier: SlotKind) -> Vec<(SlotKind, String, Option<ExternalId>)> {
    let changes = world.crm.did(UpdateObject).into_iter().map(|write| {
        let EffectBody::UpdateObject { target, owner: Some(change), .. } = write.body else { panic!() };
        let (kind, id) = known(&target);
        assert_eq!(change.to, Some("7".into()));
        (kind, id.to_owned(), change.expected)
    });
    changes.filter(|(kind, ..)| *kind != carrier).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn person_and_company_get_the_owner_too_where_nobody_owns_them() {
    let both = [AlsoOwned::Person, AlsoOwned::Company];
    for (carrier, also, company, expected) in [
        (SlotKind::Person, &both[..0], None, &[][..]),
        (SlotKind::Person, &both, None, &[SlotKind::Company]),
        (SlotKind::Person, &both, Some("human"), &[]),
        (SlotKind::Deal, &both[..0], None, &[]),
        (SlotKind::Deal, &both, None, &[SlotKind::Person, SlotKind::Company]),
        (SlotKind::Deal, &both, Some("human"), &[SlotKind::Person]),
    ] {
        let world = World::also_owned(carrier, with_company(company), also).await;
        world.inquire("ann").await;
        world.decide().await;
        world.deliver().await;
        let written = also_written(&world, carrier);
        let mut kinds: Vec<SlotKind> = written.iter().map(|(kind, ..)| *kind).collect();
        kinds.sort();
        assert_eq!(kinds, expected, "{carrier:?} {also:?} {company:?}");
        assert!(written.iter().all(|(_, _, before)| before.is_none()));
        assert_eq!(world.written().await, 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_persons_open_deal_gets_the_owner_too_where_nobody_owns_it() {
    let deal = |owner: Option<&str>| OwnedObject { id: "d7".into(), owner: owner.map(Into::into) };
    for (carrier, known, open, expected) in [
        (SlotKind::Person, true, Some(deal(None)), 1),
        (SlotKind::Person, true, Some(deal(Some("human"))), 0),
        (SlotKind::Person, true, None, 0),
        (SlotKind::Person, false, Some(deal(None)), 0),
        (SlotKind::Lead, true, Some(deal(None)), 1),
        (SlotKind::Deal, true, Some(deal(None)), 0),
    ] {
        let crm = Crm::default();
        (*crm.open_deal.lock().unwrap()).clone_from(&open);
        let contact = CrmPerson { external_id: "c1".into(), owner: None };
        *crm.everybody.lock().unwrap() = known.then_some(contact);
        let world = World::also_owned(carrier, crm, &[AlsoOwned::OpenDeal]).await;
        world.inquire("ann").await;
        world.decide().await;
        world.deliver().await;
        let written = also_written(&world, carrier);
        assert_eq!(written.len(), expected, "{carrier:?} {known} {open:?}");
        let is_it = |(kind, id, before): &(SlotKind, String, Option<ExternalId>)| {
            (*kind, id.as_str(), before) == (SlotKind::Deal, "d7", &None)
        };
        assert!(written.iter().all(is_it), "{written:?}");
        assert_eq!(world.written().await, 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn deals_that_only_an_operator_can_open_hold_up_no_lead() {
    for (class, written) in [
        (FaultClass::Misconfigured, 1),
        (FaultClass::Rejected, 1),
        // The next minute may bring the answer.
        (FaultClass::Transient, 0),
    ] {
        let crm = Crm::default();
        crm.hides_deals.lock().unwrap().replace(class);
        let contact = CrmPerson { external_id: "c1".into(), owner: None };
        crm.everybody.lock().unwrap().replace(contact);
        let world = World::also_owned(SlotKind::Person, crm, &[AlsoOwned::OpenDeal]).await;
        world.inquire("ann").await;
        world.decide().await;
        world.deliver().await;
        assert_eq!(world.written().await, written, "{class:?}");
        let troubles = world.engine.store().troubles().await.unwrap();
        assert!(troubles.iter().any(|trouble| trouble.topic == "open deals"), "{troubles:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn fm_049_nothing_else_gets_the_owner_where_a_human_chose_another() {
    let world = World::also_owned(SlotKind::Person, with_company(None), &[AlsoOwned::Company]).await;
    world.inquire("ann").await;
    world.decide().await;
    *world.crm.won.lock().unwrap() = Some(SlotKind::Person);
    world.deliver().await;
    assert!(world.crm.did(UpdateObject).is_empty(), "the company waits for the person's owner");
    let story = world.story().await;
    let states: Vec<EffectState> = story.effects.iter().map(|effect| effect.state).collect();
    use EffectState::{Cancelled, Done};
    assert_eq!(states, [Done, Done, Cancelled, Cancelled, Cancelled], "{story:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn fm_052_a_deal_whose_contact_was_thrown_away_is_made_for_the_next_one() {
    let world = World::carried_by(SlotKind::Deal).await;
    world.inquire("ann").await;
    world.decide().await;
    world.crm.lost.lock().unwrap().replace(EnsureInquiry);
    world.deliver().await;
    settle(&world).await;
    let persons = world.crm.persons.lock().unwrap().clone();
    assert_eq!(persons.len(), 2, "found gone, and made anew");
    let made = world.crm.did(EnsureInquiry);
    let EffectBody::EnsureInquiry { person, .. } = &made[0].body else { panic!() };
    assert_eq!((made.len(), known(person)), (1, (SlotKind::Person, persons[1].as_str())));
    assert_eq!(world.written().await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_company_that_a_whole_list_lacks_is_known_no_more() {
    let world = World::also_owned(SlotKind::Person, with_company(None), &[]).await;
    let keys = usher_matching::account_keys("Ann Ltd", &["ann.example".to_owned()]);
    let known = async || {
        world.clock.advance(60);
        world.engine.refresh().await.unwrap();
        let found = world.engine.store().accounts_by_keys(world.engine.crm(), &keys, 9).await.unwrap();
        found.len()
    };
    world.crm.companies.lock().unwrap().clear();
    assert_eq!(known().await, 1, "what changed says nothing of what did not");
    *world.crm.whole_since.lock().unwrap() = Some(world.engine.now());
    assert_eq!(known().await, 0);
}
