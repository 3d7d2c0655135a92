//! Watching: what people did is kept with the lead, and the history is asked only where something changed.

use std::sync::Mutex;

use async_trait::async_trait;
use jiff::Timestamp;
use usher_connector::{
    Activity, ActivityBatch, Cursor, Fault, FaultClass, Pull, RowProblem, Sight, StreamSpec, Target,
};
use usher_model::{
    ChangedBy, Clock as _, CrmEvent, ExternalId, Happening, Lane, ObjectType, SlotKind, TouchKind,
};
use usher_store::LeadEvents;

use super::world::{Crm, World};

/// What the CRM's lists of activity show.
#[derive(Debug, Default)]
pub(crate) struct Diary {
    events: Mutex<Vec<CrmEvent>>,
    sights: Mutex<Vec<Sight>>,
    problems: Mutex<Vec<RowProblem>>,
    fails: Mutex<bool>,
    /// Where each question went on from.
    asked: Mutex<Vec<Option<Cursor>>>,
    /// What was done to every object, and of which it was asked.
    history: Mutex<Vec<CrmEvent>>,
    traced: Mutex<Vec<ExternalId>>,
}

const CALLS: &str = "calls";

#[async_trait]
impl Activity for Crm {
    fn streams(&self) -> Vec<StreamSpec> {
        vec![StreamSpec { object: CALLS.into(), lanes: &[Lane::Live], horizon: None }]
    }

    async fn pull(&self, ask: &Pull) -> Result<ActivityBatch, Fault> {
        let diary = &self.diary;
        if *diary.fails.lock().unwrap() {
            return Err(Fault::new(FaultClass::Misconfigured, "the token lacks a scope: calls"));
        }
        diary.asked.lock().unwrap().push(ask.cursor.clone());
        let next = Cursor::of(1, &diary.asked.lock().unwrap().len())?;
        let (events, sights) = (diary.events.lock().unwrap().clone(), diary.sights.lock().unwrap().clone());
        let problems = diary.problems.lock().unwrap().clone();
        Ok(ActivityBatch { events, sights, problems, ..ActivityBatch::empty(next, true) })
    }

    async fn history(
        &self,
        objects: &[(ObjectType, ExternalId)],
        _since: Timestamp,
    ) -> Result<Vec<Vec<CrmEvent>>, Fault> {
        self.diary.traced.lock().unwrap().extend(objects.iter().map(|(_, id)| id.clone()));
        Ok(objects.iter().map(|_| self.diary.history.lock().unwrap().clone()).collect())
    }

    fn history_batch(&self) -> usize {
        2
    }
}

/// A lead that is written, and its person at the CRM.
async fn written() -> (World, (ObjectType, ExternalId)) {
    let world = World::new().await;
    world.inquire("ann").await;
    world.decide().await;
    world.deliver().await;
    let person = world.crm.persons.lock().unwrap()[0].as_str().into();
    let object = world.crm.object_of(SlotKind::Person).unwrap();
    world.clock.advance(60);
    (world, (object, person))
}

fn event(world: &World, id: &str, about: &(ObjectType, ExternalId), what: Happening) -> CrmEvent {
    let (by, hand, at) = (Some("501".into()), ChangedBy::Human, world.clock.now());
    CrmEvent { id: id.to_owned(), about: vec![about.clone()], by, hand, at, what }
}

fn called(world: &World, about: &(ObjectType, ExternalId)) -> CrmEvent {
    let logged_at = world.clock.now();
    event(world, "calls/1", about, Happening::Touch { how: TouchKind::Call, logged_at, task: None })
}

async fn watch(world: &World) -> u64 {
    world.engine.watch(&CALLS.into(), Lane::Live, 9).await.unwrap().new
}

async fn told(world: &World) -> LeadEvents {
    world.engine.store().lead_events(world.story().await.lead.id).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_people_did_is_kept_with_the_lead_once() {
    let (world, person) = written().await;
    assert_eq!(world.engine.watched_streams(), [(CALLS.into(), Lane::Live)]);
    let nobody = ("nothings".into(), person.1.clone());
    let mut elsewhere = called(&world, &nobody);
    elsewhere.id = "calls/2".to_owned();
    *world.crm.diary.events.lock().unwrap() = vec![called(&world, &person), elsewhere];
    assert_eq!(watch(&world).await, 1, "an id means nothing without its type");
    let first = told(&world).await.first.unwrap();
    assert_eq!(first.at, world.clock.now());
    let world = world.restarted().await;
    assert_eq!(watch(&world).await, 0, "read again");
    let asked = world.crm.diary.asked.lock().unwrap().clone();
    assert_eq!(asked, [None, Some(Cursor::of(1, &1).unwrap())], "where the last step ended");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_history_is_asked_once_and_only_for_what_changed_and_leads_hang_on() {
    let (world, person) = written().await;
    let sight = |(object, id): (ObjectType, ExternalId), owner: &str| Sight {
        object,
        id,
        owner: Some(owner.into()),
        print: owner.to_owned(),
        at: world.clock.now(),
    };
    let stranger = (person.0.clone(), "stranger".into());
    let decided = world.story().await.decisions[0].resolution.clone();
    let usher_model::Resolution::Assigned { owner, .. } = decided else { panic!("{decided:?}") };
    let show = |owner: &str| {
        *world.crm.diary.sights.lock().unwrap() =
            vec![sight(stranger.clone(), "9"), sight(person.clone(), owner)];
    };
    show(owner.as_str());
    assert_eq!(watch(&world).await, 0);
    assert!(world.crm.diary.traced.lock().unwrap().is_empty(), "it is as it was decided");
    let change = Happening::OwnerChange { from: Some(owner.clone()), to: Some("777".into()) };
    *world.crm.diary.history.lock().unwrap() = vec![event(&world, "owners/1", &person, change.clone())];
    show("777");
    assert_eq!((watch(&world).await, watch(&world).await), (1, 0));
    assert_eq!(*world.crm.diary.traced.lock().unwrap(), std::slice::from_ref(&person.1), "once");
    assert_eq!(told(&world).await.events[0].what, change);
    // Of whom no history tells, the change is known all the same, its maker is not.
    world.clock.advance(60);
    show("778");
    assert_eq!(watch(&world).await, 1);
    let last = told(&world).await.events.pop().unwrap();
    assert_eq!(last.what, Happening::OwnerChange { from: Some("777".into()), to: Some("778".into()) });
    assert_eq!((last.hand, last.by), (ChangedBy::Unknown, None));
}

#[tokio::test(flavor = "multi_thread")]
async fn fm_018_a_stream_that_can_not_be_watched_is_in_trouble_until_it_can() {
    let (world, person) = written().await;
    *world.crm.diary.events.lock().unwrap() = vec![called(&world, &person)];
    *world.crm.diary.fails.lock().unwrap() = true;
    let failed = world.engine.watch(&CALLS.into(), Lane::Live, 9).await.unwrap_err();
    assert!(failed.to_string().contains("watching"), "{failed}");
    let troubles = async || -> Vec<String> {
        let troubles = world.engine.store().troubles().await.unwrap();
        troubles.into_iter().map(|trouble| format!("{}: {}", trouble.topic, trouble.problem)).collect()
    };
    assert_eq!(troubles().await, ["activity/calls/live: the token lacks a scope: calls"]);
    *world.crm.diary.fails.lock().unwrap() = false;
    let (external_id, reason) = ("7".into(), "it has no time".to_owned());
    let bad = RowProblem { external_id, revision: "1".to_owned(), reason };
    *world.crm.diary.problems.lock().unwrap() = vec![bad];
    assert_eq!(watch(&world).await, 1, "its neighbours are not affected");
    assert_eq!(troubles().await, ["activity/calls/live: 1 rows could not be read, row 7: it has no time"]);
    world.crm.diary.problems.lock().unwrap().clear();
    watch(&world).await;
    assert_eq!(troubles().await, [] as [String; 0]);
}
