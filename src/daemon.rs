//! The daemon: schedules the engine's steps. A bell wakes a step at once; a timer repairs a bell that was missed.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use usher_engine::{Connected, Engine, EngineError, Step};
use usher_model::{ConnectionName, Lane, ObjectType};

use crate::failure::chain;

/// A timer's period: the longest that a missed bell can cost.
const TICK: Duration = Duration::from_secs(1);
/// How often owners and their availability are read again.
const OWNERS_EVERY: Duration = Duration::from_secs(300);
/// How often changed companies are read.
const ACCOUNTS_EVERY: Duration = Duration::from_secs(300);
/// A rest after a step failed.
const REST: Duration = Duration::from_secs(5);
/// Steps of one pull before other streams of the connection have their turn.
const PULL_STEPS: u64 = 1_000;

/// The running steps.
pub(crate) struct Daemon {
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Daemon {
    /// Starts every step.
    pub(crate) fn start(engine: &Arc<Engine>) -> Self {
        let daemon = Self { stop: CancellationToken::new(), tasks: TaskTracker::new() };
        for connected in engine.connections() {
            daemon.start_pulls(engine, connected);
        }
        daemon.repeat(engine, Step::Split, |engine| async move { engine.split().await });
        daemon.repeat(engine, Step::Fetch, |engine| async move { fetch_all(&engine).await });
        daemon.start_deciding(engine);
        daemon.repeat(engine, Step::Deliver, |engine| async move { deliver(&engine).await });
        daemon.tasks.close();
        daemon
    }

    /// Lets every step finish what it is doing, and waits for it.
    pub(crate) async fn stop(&self) {
        self.stop.cancel();
        self.tasks.wait().await;
    }

    fn start_pulls(&self, engine: &Arc<Engine>, connected: &Connected) {
        let Some(source) = &connected.roles.source else {
            return;
        };
        for stream in source.streams() {
            for (lane, every) in [(Lane::Live, connected.every), (Lane::Sweep, connected.sweep_every)] {
                if stream.lanes.contains(&lane) {
                    let (engine, stop) = (Arc::clone(engine), self.stop.clone());
                    let pull = pull(engine, stop, connected.name.clone(), stream.object.clone(), lane, every);
                    self.tasks.spawn(pull);
                }
            }
        }
    }

    /// Preparing and deciding wait for the directory: a lead is never routed without knowing owners and companies.
    fn start_deciding(&self, engine: &Arc<Engine>) {
        let (engine, stop, tasks) = (Arc::clone(engine), self.stop.clone(), self.tasks.clone());
        self.tasks.spawn(async move {
            let known = directory_known(&engine).await;
            while !known && !stop.is_cancelled() {
                match engine.refresh().await {
                    Ok(_) => break,
                    Err(error) => complain("refresh", &error),
                }
                pause(&stop, REST).await;
            }
            let deciding = Self { stop: stop.clone(), tasks: tasks.clone() };
            deciding.repeat(&engine, Step::Prepare, |engine| async move { engine.prepare().await });
            deciding.repeat(&engine, Step::Decide, |engine| async move { engine.decide().await });
            tasks.spawn(refresh_owners(Arc::clone(&engine), stop.clone()));
            tasks.spawn(refresh_accounts(engine, stop));
        });
    }

    /// Repeats a step while it finds work; otherwise until its bell rings or its timer is up.
    fn repeat<F, R>(&self, engine: &Arc<Engine>, step: Step, run: F)
    where
        F: Fn(Arc<Engine>) -> R + Send + 'static,
        R: Future<Output = Result<usize, EngineError>> + Send,
    {
        let (engine, stop) = (Arc::clone(engine), self.stop.clone());
        self.tasks.spawn(async move {
            while !stop.is_cancelled() {
                match run(Arc::clone(&engine)).await {
                    Ok(0) => {
                        tokio::select! {
                            () = engine.wake().rung(step) => {}
                            () = tokio::time::sleep(TICK) => {}
                            () = stop.cancelled() => {}
                        }
                    }
                    Ok(_) => {}
                    Err(error) => {
                        complain("step", &error);
                        pause(&stop, REST).await;
                    }
                }
            }
        });
    }
}

async fn directory_known(engine: &Engine) -> bool {
    let owners = engine.store().owners(engine.crm()).await;
    let accounts = engine.store().cursor(engine.crm(), "accounts/refresh").await;
    matches!((owners, accounts), (Ok((owners, _)), Ok(Some(_))) if !owners.is_empty())
}

async fn pull(
    engine: Arc<Engine>,
    stop: CancellationToken,
    connection: ConnectionName,
    object: ObjectType,
    lane: Lane,
    every: Duration,
) {
    while !stop.is_cancelled() {
        let more = match engine.pull(&connection, &object, lane, PULL_STEPS).await {
            Ok(report) => !report.done,
            Err(error) => {
                complain("pull", &error);
                false
            }
        };
        if !more {
            pause(&stop, every).await;
        }
    }
}

async fn fetch_all(engine: &Engine) -> Result<usize, EngineError> {
    let mut count = 0;
    for connected in engine.connections() {
        count += engine.fetch(&connected.name).await?;
    }
    Ok(count)
}

async fn deliver(engine: &Engine) -> Result<usize, EngineError> {
    let report = engine.deliver(engine.crm()).await?;
    Ok(report.sent + report.verified)
}

async fn refresh_owners(engine: Arc<Engine>, stop: CancellationToken) {
    while !stop.is_cancelled() {
        if let Err(error) = engine.refresh_owners().await {
            complain("reading owners", &error);
        }
        pause(&stop, OWNERS_EVERY).await;
    }
}

async fn refresh_accounts(engine: Arc<Engine>, stop: CancellationToken) {
    while !stop.is_cancelled() {
        if let Err(error) = engine.refresh_accounts().await {
            complain("reading companies", &error);
        }
        pause(&stop, ACCOUNTS_EVERY).await;
    }
}

async fn pause(stop: &CancellationToken, time: Duration) {
    tokio::select! {
        () = tokio::time::sleep(time) => {}
        () = stop.cancelled() => {}
    }
}

fn complain(step: &'static str, error: &EngineError) {
    tracing::error!(step, problem = chain(error), "a step failed and will be repeated");
}

/// Runs every step until nothing is due, once: for cron.
///
/// # Errors
/// If the storage fails, or a vendor does; what was done before stays.
pub(crate) async fn run_once(engine: &Engine) -> Result<(), EngineError> {
    engine.refresh().await?;
    for connected in engine.connections() {
        let streams = connected.roles.source.as_ref().map(|source| source.streams()).unwrap_or_default();
        for stream in streams {
            for lane in [Lane::Live, Lane::Sweep] {
                if stream.lanes.contains(&lane) {
                    while !engine.pull(&connected.name, &stream.object, lane, PULL_STEPS).await?.done {}
                }
            }
        }
    }
    settle(engine).await
}

/// Works off what is stored, until nothing is due.
///
/// # Errors
/// If the storage fails, or a vendor that must be asked does.
pub(crate) async fn settle(engine: &Engine) -> Result<(), EngineError> {
    loop {
        let mut work = engine.split().await?;
        work += fetch_all(engine).await?;
        work += engine.prepare().await?;
        work += engine.decide().await?;
        work += deliver(engine).await?;
        if work == 0 {
            return Ok(());
        }
    }
}

/// When the present instant is needed outside the engine.
pub(crate) fn now() -> Timestamp {
    use usher_model::Clock;
    usher_model::SystemClock.now()
}
