//! When a step passes: on a paused clock, with a step that only counts what it finds.
#![allow(clippy::unwrap_used)]

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{Notify, mpsc};
use usher_document::{Diagnostics, SourceFile};
use usher_engine::Setup;
use usher_engine::settings::{REFERRALS, WriteSettings};
use usher_model::{InstallKey, Mode, SystemClock};

use super::*;
use crate::setup::scratch_store;

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

async fn engine() -> Arc<Engine> {
    let diagnostics = Diagnostics::default();
    let policy =
        usher_routing::Policy::load(&SourceFile::new("routing.yaml", ROUTING), &diagnostics).unwrap();
    let referrals =
        usher_mapping::Mapping::load(&SourceFile::new("map.yaml", MAPPING), &diagnostics).unwrap();
    let setup = Setup {
        store: scratch_store().await.unwrap(),
        clock: Arc::new(SystemClock),
        install: InstallKey::new([7; 32]),
        mode: Mode::Live,
        connections: Vec::new(),
        crm: REFERRALS.into(),
        write: WriteSettings::default(),
        policy: Arc::new(policy),
        referrals: Arc::new(referrals),
    };
    Arc::new(Engine::new(setup).await.unwrap())
}

/// A step whose passes begin by themselves, and end when they are told to.
struct Passes {
    engine: Arc<Engine>,
    step: Step,
    work: Arc<AtomicUsize>,
    began: mpsc::UnboundedReceiver<(Instant, usize)>,
    end: Arc<Notify>,
    start: Instant,
}

impl Passes {
    /// The timer would hide a ring that was lost, so it stays away. The first pass is over.
    async fn of(step: Step) -> Self {
        let engine = engine().await;
        let (work, end) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
        let (begins, began) = mpsc::unbounded_channel();
        let daemon =
            Daemon { engine: Arc::clone(&engine), stop: CancellationToken::new(), tasks: TaskTracker::new() };
        let (todo, ended) = (Arc::clone(&work), Arc::clone(&end));
        daemon.repeat("counting", Anywhere, Some(step), Duration::from_secs(3_600), move |_| {
            let found = todo.swap(0, Ordering::SeqCst);
            begins.send((Instant::now(), found)).unwrap();
            let ended = Arc::clone(&ended);
            async move {
                ended.notified().await;
                Ok(found)
            }
        });
        let mut passes = Self { engine, step, work, began, end, start: Instant::now() };
        assert_eq!(passes.next().await, (0, 0));
        passes
    }

    fn ring(&self) {
        self.work.fetch_add(1, Ordering::SeqCst);
        self.engine.wake().ring(self.step);
    }

    /// Lets the pass under way end, and so much time go by.
    async fn end_and_wait(&self, ms: u64) {
        self.end.notify_one();
        tokio::time::advance(Duration::from_millis(ms)).await;
    }

    /// When the next pass begins, in milliseconds from the first one, and how much it finds.
    async fn next(&mut self) -> (u128, usize) {
        let (begun, found) = self.began.recv().await.unwrap();
        ((begun - self.start).as_millis(), found)
    }
}

#[tokio::test(start_paused = true)]
async fn webhooks_that_come_thick_and_fast_go_on_their_way_together() {
    let mut passes = Passes::of(Step::Split).await;
    passes.end_and_wait(1_000).await;
    passes.ring();
    assert_eq!(passes.next().await, (1_000, 1), "one that comes alone waits for nobody");
    passes.ring();
    passes.end_and_wait(5).await;
    passes.ring();
    tokio::time::advance(Duration::from_millis(14)).await;
    passes.ring();
    assert_eq!(passes.next().await, (1_020, 3), "those that came after the last pass had begun");
    passes.end_and_wait(1_000).await;
    passes.ring();
    assert_eq!(passes.next().await, (2_020, 1), "nothing was left to do meanwhile");
}

#[tokio::test(start_paused = true)]
async fn a_ring_during_a_pass_is_not_lost() {
    let mut passes = Passes::of(Step::Split).await;
    passes.ring();
    passes.end_and_wait(0).await;
    assert_eq!(passes.next().await, (20, 1));
    tokio::time::advance(Duration::from_millis(21)).await;
    passes.ring();
    passes.end_and_wait(0).await;
    assert_eq!(passes.next().await, (41, 1), "the pass took longer than the gap");
}

#[tokio::test(start_paused = true)]
async fn other_steps_leave_no_gap() {
    let mut passes = Passes::of(Step::Decide).await;
    passes.ring();
    passes.end_and_wait(0).await;
    assert_eq!(passes.next().await, (0, 1));
}
