//! The watchdog finds what stands still; the book tells of it once, also after a restart.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::value::RawValue;
use usher_connector::{Fault, FaultClass};
use usher_document::{Diagnostics, SourceFile};
use usher_model::{Clock, InstallKey, Lane, Mode, Record, RecordId};
use usher_store::{Alert, Intake, NewRecord, Operation, SqliteStore, Upkeep};

use super::Watchdog;
use super::book::{Book, NoticeKind};
use crate::settings::{AlertSettings, REFERRALS, WriteSettings};
use crate::{Engine, EngineError, Setup, Step};

fn at(seconds: i64) -> Timestamp {
    Timestamp::UNIX_EPOCH + SignedDuration::from_secs(1_790_000_000 + seconds)
}

fn conditions(keys: &[&str]) -> BTreeMap<String, String> {
    keys.iter().map(|key| ((*key).to_owned(), format!("{key} is wrong"))).collect()
}

/// Sends what is due; (key, raised?) each.
fn send(book: &mut Book, now: i64) -> Vec<(String, bool)> {
    let due = book.due(at(now));
    book.told(&due, at(now));
    due.into_iter().map(|notice| (notice.key, notice.status == NoticeKind::Raised)).collect()
}

fn told(key: &str, raised: bool) -> Vec<(String, bool)> {
    vec![(key.to_owned(), raised)]
}

#[test]
fn an_alert_is_told_once_and_its_end_once() {
    let mut book = Book::default();
    book.enter(conditions(&["held/form"]), at(0));
    assert_eq!(send(&mut book, 0), told("held/form", true));
    for now in (5..600).step_by(5) {
        book.enter(conditions(&["held/form"]), at(now));
        assert_eq!(send(&mut book, now), [], "at {now}");
    }
    for now in (600..655).step_by(5) {
        book.enter(conditions(&[]), at(now));
        assert_eq!(send(&mut book, now), [], "it may be back in a moment: {now}");
    }
    book.enter(conditions(&[]), at(660));
    assert_eq!(send(&mut book, 660), told("held/form", false));
    book.enter(conditions(&[]), at(9_000));
    assert_eq!(send(&mut book, 9_000), []);
}

#[test]
fn what_comes_and_goes_is_one_alert_and_never_a_flood() {
    let mut book = Book::default();
    let mut notices = 0;
    for now in (0..3_600).step_by(5) {
        let holds = now % 40 < 20;
        book.enter(conditions(if holds { &["step/deliver"] } else { &[] }), at(now));
        notices += send(&mut book, now).len();
    }
    assert_eq!(notices, 1);
    // Even one that is over for a while each time is told every five minutes at most.
    let mut book = Book::default();
    let mut notices = 0;
    for now in (0..3_600).step_by(5) {
        book.enter(conditions(if now % 200 < 100 { &["step/deliver"] } else { &[] }), at(now));
        notices += send(&mut book, now).len();
    }
    assert!((2..=12).contains(&notices), "{notices}");
}

#[test]
fn a_restart_neither_repeats_nor_forgets() {
    let mut book = Book::default();
    book.enter(conditions(&["held/form"]), at(0));
    send(&mut book, 0);
    book.enter(conditions(&["held/form", "counts"]), at(10));
    let stored = book.unstored();
    assert_eq!(stored.len(), 2);
    book.stored(at(10));
    assert!(book.unstored().is_empty());

    // The process dies before it told of the counts; the hold is released while nobody looks.
    let mut book = Book::default();
    book.load(stored);
    book.enter(conditions(&["counts"]), at(500));
    assert_eq!(send(&mut book, 500), told("counts", true));
    book.enter(conditions(&["counts"]), at(560));
    assert_eq!(send(&mut book, 560), told("held/form", false));
}

#[test]
fn what_did_not_arrive_is_due_again() {
    let mut book = Book::default();
    book.enter(conditions(&["storage"]), at(0));
    assert_eq!(book.due(at(0)).len(), 1);
    assert_eq!(book.due(at(60)).len(), 1, "nobody said that it arrived");
    // It was over before anybody could be told: one notice says both.
    book.enter(conditions(&[]), at(100));
    book.enter(conditions(&[]), at(200));
    let due = book.due(at(200));
    assert_eq!((due.len(), due[0].status, due[0].since), (1, NoticeKind::Recovered, at(0)));
    assert_eq!(due[0].until, Some(at(100)));
}

#[test]
fn a_message_holds_no_more_than_twenty_and_the_next_one_the_rest() {
    let mut book = Book::default();
    let keys: Vec<String> = (0..30).map(|n| format!("held/form-{n}")).collect();
    book.enter(conditions(&keys.iter().map(String::as_str).collect::<Vec<_>>()), at(0));
    assert_eq!(send(&mut book, 0).len(), 20);
    assert_eq!(send(&mut book, 10).len(), 10);
    assert_eq!(send(&mut book, 20), []);
}

#[test]
fn what_is_long_over_is_forgotten() {
    let mut book = Book::default();
    book.enter(conditions(&["clock"]), at(0));
    send(&mut book, 0);
    book.enter(conditions(&[]), at(400));
    book.enter(conditions(&[]), at(460));
    send(&mut book, 800);
    let week = 7 * 24 * 3_600;
    book.enter(conditions(&["storage"]), at(900 + week));
    book.stored(at(900 + week));
    assert!(book.due(at(900 + week)).iter().all(|notice| notice.key == "storage"));
}

/// A clock that only the test moves.
#[derive(Debug)]
struct Hands(Mutex<Timestamp>);

impl Clock for Hands {
    fn now(&self) -> Timestamp {
        *self.0.lock().unwrap()
    }
}

const ROUTING: &str = "version: 1
reps: { ana: { email: ana@agency.example } }
pools: { all: { members: [ana], strategy: round_robin, if_nobody: { wait: 30m, then: { rep: ana } } } }
rules: [ { name: All, when: 'true', assign: { pool: all } } ]
fallback: { rep: ana }
";
const MAPPING: &str = "version: 1
enroll: { on: every_time }
lead: { email: { from: email } }
";

/// An engine whose steps nobody runs, with one record to prepare.
async fn engine(store: &Arc<SqliteStore>, clock: &Arc<Hands>) -> Engine {
    let diagnostics = Diagnostics::default();
    let policy =
        usher_routing::Policy::load(&SourceFile::new("routing.yaml", ROUTING), &diagnostics).unwrap();
    let referrals =
        usher_mapping::Mapping::load(&SourceFile::new("map.yaml", MAPPING), &diagnostics).unwrap();
    let setup = Setup {
        store: Arc::clone(store) as Arc<_>,
        clock: Arc::clone(clock) as Arc<_>,
        install: InstallKey::new([7; 32]),
        mode: Mode::Live,
        connections: Vec::new(),
        crm: "crm".into(),
        write: WriteSettings::default(),
        policy: Arc::new(policy),
        referrals: Arc::new(referrals),
    };
    let record = Record {
        connection: REFERRALS.into(),
        object: "leads".into(),
        external_id: "1".into(),
        revision: "1".to_owned(),
        created_at: None,
        modified_at: None,
        imported: false,
        gone: false,
        payload: RawValue::from_string("{}".to_owned()).unwrap(),
    };
    let now = clock.now();
    let new = NewRecord { id: RecordId::new(now), record, lane: Lane::Live, received_at: now, problem: None };
    store.store_records(vec![new]).await.unwrap();
    Engine::new(setup).await.unwrap()
}

async fn open_alerts(store: &SqliteStore) -> Vec<String> {
    let alerts: Vec<Alert> = store.alerts().await.unwrap();
    alerts.into_iter().filter(|alert| alert.ended_at.is_none()).map(|alert| alert.key).collect()
}

#[tokio::test(start_paused = true)]
async fn fm_080_a_step_that_stands_still_with_work_waiting_costs_readiness() {
    let store = Arc::new(SqliteStore::in_memory().await.unwrap());
    let clock = Arc::new(Hands(Mutex::new(at(0))));
    let engine = engine(&store, &clock).await;
    let mut watchdog = Watchdog::new(AlertSettings::default());
    let pass = async |seconds: u64| {
        *clock.0.lock().unwrap() += Duration::from_secs(seconds);
        tokio::time::advance(Duration::from_secs(seconds)).await;
    };
    // Deciding waits for the CRM's companies, so preparing was not begun: that is no fault of it.
    pass(300).await;
    watchdog.look(&engine).await;
    assert_eq!(engine.signs().health().unready, Vec::<String>::new());
    engine.signs().moved(Step::Prepare);
    engine.signs().moved(Step::Split);
    pass(59).await;
    watchdog.look(&engine).await;
    assert!(engine.signs().health().unready.is_empty());
    pass(2).await;
    watchdog.look(&engine).await;
    let unready = engine.signs().health().unready;
    assert!(unready.len() == 1 && unready[0].contains("prepare does not get on"), "{unready:?}");
    assert_eq!(open_alerts(&store).await, ["step/prepare"]);
    engine.signs().moved(Step::Prepare);
    watchdog.look(&engine).await;
    assert!(engine.signs().health().unready.is_empty());
    // Nobody looks any more: that is found out, too.
    pass(61).await;
    assert!(engine.signs().health().unready[0].contains("the watchdog does not run"));
}

#[tokio::test(start_paused = true)]
async fn fm_107_no_fault_that_needs_a_person_goes_untold() {
    let store = Arc::new(SqliteStore::in_memory().await.unwrap());
    let clock = Arc::new(Hands(Mutex::new(at(0))));
    let engine = engine(&store, &clock).await;
    let mut watchdog =
        Watchdog::new(AlertSettings { undecided_after: Duration::from_secs(60), ..AlertSettings::default() });
    watchdog.look(&engine).await;
    assert!(open_alerts(&store).await.is_empty());
    *clock.0.lock().unwrap() = at(61);
    store.hold(&"site-form".into(), Some("a flood"), at(61)).await.unwrap();
    let fault = Fault::new(FaultClass::Misconfigured, "the scope `contacts` is missing");
    let result: Result<(), _> = Err(EngineError::vendor(&"crm".into(), "pulling")(fault));
    engine.signs().judge(&"crm".into(), "pulling contacts", &result);
    // What passes by itself is no alert.
    let passing = Fault::new(FaultClass::Transient, "no answer");
    engine.signs().judge(
        &"crm".into(),
        "fetching",
        &Err::<(), _>(EngineError::vendor(&"crm".into(), "x")(passing)),
    );
    for _ in 0..5 {
        engine.signs().refused(&"site-form".into());
    }
    watchdog.clock_jumped(SignedDuration::from_secs(3_600), at(61));
    watchdog.look(&engine).await;
    let expected =
        ["clock", "connection/crm/pulling-contacts", "held/site-form", "refused/site-form", "undecided"];
    assert_eq!(open_alerts(&store).await, expected);
    assert!(watchdog.due(at(61)).iter().any(|notice| notice.problem.contains("scope `contacts`")));
    engine.signs().judge(&"crm".into(), "pulling contacts", &Ok(()));
    store.hold(&"site-form".into(), None, at(62)).await.unwrap();
    tokio::time::advance(Duration::from_secs(601)).await;
    for now in [62, 130, 700] {
        *clock.0.lock().unwrap() = at(now);
        watchdog.look(&engine).await;
    }
    assert_eq!(open_alerts(&store).await, ["undecided"]);
    // A storage that fails can not note its own alert, and is told all the same.
    store.close().await.unwrap();
    watchdog.look(&engine).await;
    assert!(!engine.signs().health().unready.is_empty());
    assert!(watchdog.due(at(700)).iter().any(|notice| notice.key == "storage"));
}
