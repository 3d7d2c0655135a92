//! What the daemon does beside the steps: it watches the clock and the steps' health, sends alerts and a heartbeat, and
//! removes what is past its retention. Nothing here holds a step up.

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;
use usher_document::SecretRef;
use usher_engine::settings::{AlertSettings, RetentionSettings};
use usher_engine::{Engine, Notice, Watchdog};
use usher_host::{OperatorUrl, OperatorUrlError, WatchedClock};
use usher_store::{Cutoffs, Pruned, StoreError};

use crate::daemon::{Daemon, pause};
use crate::failure::{Failure, chain};
use crate::setup::{self, Loaded};

/// The clock is looked at so often: work that waits for it is late by no more.
const CLOCK_EVERY: Duration = Duration::from_secs(1);
/// The watchdog looks so often.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// Between two messages with alerts.
const MESSAGES_EVERY: Duration = Duration::from_secs(10);
/// The longest wait after a message that did not arrive.
const LONGEST_WAIT: Duration = Duration::from_secs(300);
const HEARTBEAT_EVERY: Duration = Duration::from_secs(60);
const TIDY_EVERY: Duration = Duration::from_secs(60);
/// A retention pass begins so often.
const PRUNE_EVERY: Duration = Duration::from_secs(3600);
/// Between two slices of a pass: acknowledgements and decisions come first.
const BETWEEN_SLICES: Duration = Duration::from_millis(100);

/// What is needed to attend to a running daemon.
#[derive(Debug)]
pub(crate) struct Attendance {
    clock: Arc<WatchedClock>,
    alerts: AlertSettings,
    retention: RetentionSettings,
    to: Option<OperatorUrl>,
    heartbeat: Option<OperatorUrl>,
}

impl Attendance {
    /// Resolves the secrets that the settings name.
    pub(crate) fn new(loaded: &Loaded, clock: Arc<WatchedClock>) -> Result<Self, Failure> {
        let settings = &loaded.settings;
        let secret = |reference: &SecretRef| setup::secret(reference, &settings.folder);
        let callback = |key: &str, reference: &Option<SecretRef>, signed: Option<&SecretRef>| {
            let Some(reference) = reference else { return Ok(None) };
            let made = OperatorUrl::new(&secret(reference)?, signed.map(secret).transpose()?);
            made.map(Some).map_err(|error| Failure::input(format!("alerts.{key}: {}", chain(&error))))
        };
        Ok(Self {
            clock,
            to: callback("to", &settings.alerts.to, settings.alerts.secret.as_ref())?,
            heartbeat: callback("heartbeat", &settings.alerts.heartbeat, None)?,
            alerts: settings.alerts.clone(),
            retention: settings.retention,
        })
    }
}

impl Daemon {
    /// Starts everything that attends to the steps.
    pub(crate) fn attend(&self, attendance: Attendance) {
        let (engine, stop) = (&self.engine, &self.stop);
        let watchdog = Arc::new(Mutex::new(Watchdog::new(attendance.alerts)));
        self.tasks.spawn(watch(Arc::clone(engine), attendance.clock, Arc::clone(&watchdog), stop.clone()));
        if let Some(to) = attendance.to {
            self.tasks.spawn(tell(Arc::clone(engine), to, watchdog, stop.clone()));
        }
        if let Some(heartbeat) = attendance.heartbeat {
            self.tasks.spawn(beat(Arc::clone(engine), heartbeat, stop.clone()));
        }
        self.tasks.spawn(keep_house(Arc::clone(engine), attendance.retention, stop.clone()));
    }
}

async fn watch(
    engine: Arc<Engine>,
    clock: Arc<WatchedClock>,
    watchdog: Arc<Mutex<Watchdog>>,
    stop: CancellationToken,
) {
    while !stop.is_cancelled() {
        watchdog.lock().await.look(&engine).await;
        let next = tokio::time::Instant::now() + LOOK_EVERY;
        while !stop.is_cancelled() && tokio::time::Instant::now() < next {
            if let Some(by) = clock.jump() {
                match follow(&engine, &clock, by).await {
                    Ok(()) => watchdog.lock().await.clock_jumped(by, engine.now()),
                    Err(error) => {
                        tracing::error!(problem = chain(&error), "the clock jumped; it is followed later");
                    }
                }
            }
            pause(&stop, CLOCK_EVERY).await;
        }
    }
}

/// Moves stored deadlines along, and only then goes by the clock again: between the two, nothing may seem older than it
/// is.
async fn follow(engine: &Engine, clock: &WatchedClock, by: SignedDuration) -> Result<(), StoreError> {
    tracing::warn!(seconds = by.as_secs(), "the machine's clock jumped; deadlines are moved along");
    if by.is_negative() {
        clock.follow();
        engine.store().shift(by).await
    } else {
        engine.store().shift(by).await?;
        clock.follow();
        Ok(())
    }
}

/// What an alert's receiver gets.
#[derive(Debug, Serialize)]
struct Message<'a> {
    version: u32,
    sent_at: Timestamp,
    mode: &'static str,
    alerts: &'a [Notice],
}

async fn tell(engine: Arc<Engine>, to: OperatorUrl, watchdog: Arc<Mutex<Watchdog>>, stop: CancellationToken) {
    let mut wait = MESSAGES_EVERY;
    while !stop.is_cancelled() {
        let now = engine.now();
        let notices = watchdog.lock().await.due(now);
        if notices.is_empty() {
            pause(&stop, LOOK_EVERY).await;
            continue;
        }
        let message = Message { version: 1, sent_at: now, mode: engine.mode().as_str(), alerts: &notices };
        match post(&to, &message, now).await {
            Ok(()) => {
                watchdog.lock().await.told(&engine, &notices).await;
                wait = MESSAGES_EVERY;
            }
            Err(problem) => {
                tracing::error!(
                    problem,
                    alerts = notices.len(),
                    "alerts did not arrive; they are sent again"
                );
                wait = (wait * 2).min(LONGEST_WAIT);
            }
        }
        pause(&stop, wait).await;
    }
}

async fn post(to: &OperatorUrl, message: &Message<'_>, now: Timestamp) -> Result<(), String> {
    let body = serde_json::to_vec(message).map_err(|error| chain(&error))?;
    to.post(body, now).await.map_err(|error: OperatorUrlError| chain(&error))
}

/// Silence is the signal: whoever listens raises the alarm when the heartbeat stops, however the machine died.
async fn beat(engine: Arc<Engine>, heartbeat: OperatorUrl, stop: CancellationToken) {
    while !stop.is_cancelled() {
        if engine.signs().health().unready.is_empty()
            && let Err(error) = heartbeat.ping().await
        {
            tracing::warn!(problem = chain(&error), "the heartbeat was not heard");
        }
        pause(&stop, HEARTBEAT_EVERY).await;
    }
}

async fn keep_house(engine: Arc<Engine>, retention: RetentionSettings, stop: CancellationToken) {
    let mut next_pass = tokio::time::Instant::now();
    while !stop.is_cancelled() {
        if let Err(error) = engine.store().tidy().await {
            tracing::warn!(problem = chain(&error), "the database's log could not be written back yet");
        }
        if tokio::time::Instant::now() >= next_pass {
            if let Err(error) = prune(&engine, retention, &stop).await {
                tracing::warn!(problem = chain(&error), "retention stopped; the next pass goes on");
            }
            next_pass = tokio::time::Instant::now() + PRUNE_EVERY;
        }
        pause(&stop, TIDY_EVERY).await;
    }
}

async fn prune(
    engine: &Engine,
    retention: RetentionSettings,
    stop: &CancellationToken,
) -> Result<(), StoreError> {
    let now = engine.now();
    let before = |age: Duration| now.checked_sub(age).unwrap_or(Timestamp::MIN);
    let keep = Cutoffs {
        payloads: before(retention.payloads),
        deliveries: before(retention.deliveries),
        attempts: before(retention.attempts),
    };
    let mut pruned = Pruned::default();
    while !pruned.done && !stop.is_cancelled() {
        pruned = engine.store().prune(keep, pruned).await?;
        pause(stop, BETWEEN_SLICES).await;
    }
    let (payloads, deliveries, attempts) = (pruned.payloads, pruned.deliveries, pruned.attempts);
    if payloads + deliveries + attempts > 0 {
        tracing::info!(payloads, deliveries, attempts, "removed what is past its retention");
    }
    Ok(())
}
