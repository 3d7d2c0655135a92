//! The watchdog: looks every few seconds whether work gets done, and enters into the book what somebody should know.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;
use usher_store::{Discrepancy, StoreError, Vitals};

use super::book::{self, Book, Notice};
use super::signs::Health;
use crate::engine::Engine;
use crate::settings::AlertSettings;
use crate::wake::Step;

/// Work that is due, at a step that does not get on for so long, is stuck.
const STALL: Duration = Duration::from_secs(60);
/// Counts are added up so often: it reads whole indexes.
const COUNT_EVERY: Duration = Duration::from_secs(300);
/// Failed writes are counted over this time.
const FAILED_OVER: SignedDuration = SignedDuration::from_hours(24);
/// A clock that jumped is an alert for so long.
const JUMP_SHOWN: SignedDuration = SignedDuration::from_mins(10);

/// Looks, and remembers what it has told.
#[derive(Debug)]
pub struct Watchdog {
    settings: AlertSettings,
    book: Book,
    loaded: bool,
    counted: Option<Instant>,
    discrepancies: Vec<Discrepancy>,
    jump: Option<(Timestamp, SignedDuration)>,
}

impl Watchdog {
    /// One that has not looked yet.
    #[must_use]
    pub fn new(settings: AlertSettings) -> Self {
        Self {
            settings,
            book: Book::default(),
            loaded: false,
            counted: None,
            discrepancies: Vec::new(),
            jump: None,
        }
    }

    /// The machine's clock jumped by this much.
    pub fn clock_jumped(&mut self, by: SignedDuration, now: Timestamp) {
        self.jump = Some((now, by));
    }

    /// Looks once. What it finds is the engine's health from then on.
    pub async fn look(&mut self, engine: &Engine) {
        let now = engine.now();
        let storage = self.probe(engine, now).await;
        let mut conditions = self.noted(engine, now);
        let mut unready = Vec::new();
        match &storage {
            Ok(vitals) => {
                for (step, since) in stalled(engine, vitals, now) {
                    let problem = format!(
                        "{} does not get on though work is due since {since}; see the log, then restart usher",
                        step.as_str()
                    );
                    unready.push(problem.clone());
                    conditions.insert(format!("step/{}", step.as_str()), problem);
                }
                conditions.extend(self.ages(vitals, now));
            }
            Err(error) => {
                tracing::error!(error = error as &dyn std::error::Error, "the storage failed the watchdog");
                let problem = match error {
                    StoreError::NoSpace { .. } => {
                        "the database can not be written: free disk space, or make it writable; nothing was lost"
                    }
                    _ => "the database does not answer as it should; see the log",
                };
                unready.push(problem.to_owned());
                conditions.insert("storage".to_owned(), problem.to_owned());
            }
        }
        engine.signs().looked(Health { unready });
        self.book.enter(conditions, now);
        self.store_book(engine, now).await;
    }

    /// The notices that are due, at most one message full.
    #[must_use]
    pub fn due(&self, now: Timestamp) -> Vec<Notice> {
        self.book.due(now)
    }

    /// Notes that these notices arrived.
    pub async fn told(&mut self, engine: &Engine, notices: &[Notice]) {
        let now = engine.now();
        self.book.told(notices, now);
        self.store_book(engine, now).await;
    }

    async fn probe(&mut self, engine: &Engine, now: Timestamp) -> Result<Vitals, StoreError> {
        engine.store().prove_writable(now).await?;
        if !self.loaded {
            self.book.load(engine.store().alerts().await?);
            self.loaded = true;
        }
        if self.counted.is_none_or(|at| at.elapsed() >= COUNT_EVERY) {
            self.discrepancies = engine.store().discrepancies().await?;
            self.counted = Some(Instant::now());
        }
        let since = now.checked_sub(FAILED_OVER).unwrap_or(Timestamp::MIN);
        engine.store().vitals(now, since).await
    }

    /// Conditions that need no storage.
    fn noted(&self, engine: &Engine, now: Timestamp) -> BTreeMap<String, String> {
        let mut found = BTreeMap::new();
        for (connection, doing, fault) in engine.signs().troubles() {
            let key = format!("connection/{connection}/{}", doing.replace(' ', "-"));
            found.insert(key, format!("{connection}: {doing} rests until this is mended: {fault}"));
        }
        for (connection, count) in engine.signs().refusals() {
            if count as u64 >= self.settings.refused_webhooks {
                let problem = format!(
                    "{connection} refuses webhooks for their signature; is its secret the one that the sender has?"
                );
                found.insert(format!("refused/{connection}"), problem);
            }
        }
        if let Some((at, by)) = self.jump.filter(|(at, _)| now.duration_since(*at).abs() < JUMP_SHOWN) {
            let problem = format!(
                "the machine's clock jumped by {} s at {at}; deadlines were moved along, but check its time service",
                by.as_secs()
            );
            found.insert("clock".to_owned(), problem);
        }
        found
    }

    fn ages(&self, vitals: &Vitals, now: Timestamp) -> Vec<(String, String)> {
        let mut found = Vec::new();
        let mut alarm = |key: &str, problem: String| found.push((key.to_owned(), problem));
        let older = |than: Duration| {
            move |at: &Timestamp| {
                now.duration_since(*at) > SignedDuration::try_from(than).unwrap_or(SignedDuration::MAX)
            }
        };
        if let Some(at) = vitals.oldest_undecided.filter(older(self.settings.undecided_after)) {
            alarm("undecided", format!("a record waits for its decision since {at}; see `usher status`"));
        }
        let unwritten = vitals.oldest_unwritten.filter(|_| !vitals.paused);
        if let Some(at) = unwritten.filter(older(self.settings.unwritten_after)) {
            alarm("unwritten", format!("a decision waits to be written since {at}; see `usher status`"));
        }
        for (connection, reason) in &vitals.held {
            let problem =
                format!("{connection} is held: {reason}; look, then `usher pause {connection} --resume`");
            alarm(&format!("held/{connection}"), problem);
        }
        if vitals.parked + vitals.rejected >= self.settings.failed_writes {
            let problem = format!(
                "{} writes were parked and {} rejected within a day; see `usher failed list`",
                vitals.parked, vitals.rejected
            );
            alarm("failed-writes", problem);
        }
        if !self.discrepancies.is_empty() {
            alarm(
                "counts",
                format!("the counts do not add up: {}; please report it", in_words(&self.discrepancies)),
            );
        }
        found
    }

    async fn store_book(&mut self, engine: &Engine, now: Timestamp) {
        let unstored = self.book.unstored();
        if unstored.is_empty() || !self.loaded {
            return;
        }
        match engine.store().put_alerts(unstored, book::forget_before(now)).await {
            Ok(()) => self.book.stored(now),
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "alerts could not be stored yet");
            }
        }
    }
}

/// What does not add up, on one line.
fn in_words(discrepancies: &[Discrepancy]) -> String {
    let each = discrepancies.iter().map(|found| format!("{} ({})", found.what, found.rows));
    each.collect::<Vec<_>>().join("; ")
}

/// Steps that were begun, have had work for too long, and do nothing.
fn stalled(engine: &Engine, vitals: &Vitals, now: Timestamp) -> Vec<(Step, Timestamp)> {
    let due = vitals.overdue;
    let stall = SignedDuration::try_from(STALL).unwrap_or(SignedDuration::MAX);
    let steps = [
        (Step::Split, due.split),
        (Step::Fetch, due.fetch),
        (Step::Prepare, due.prepare),
        (Step::Decide, due.decide),
        (Step::Deliver, due.deliver),
    ];
    steps
        .into_iter()
        .filter_map(|(step, due)| Some((step, due?)))
        .filter(|(step, due)| {
            now.duration_since(*due) >= stall && engine.signs().idle(*step).is_some_and(|idle| idle >= STALL)
        })
        .collect()
}
