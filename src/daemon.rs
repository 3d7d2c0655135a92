//! The daemon: schedules the engine's steps. A bell wakes a step at once; a timer repairs a bell that was missed.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use jiff::Timestamp;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use usher_engine::{Connected, Engine, EngineError, Listener, PullReport, Step, WatchReport};
use usher_model::{ConnectionName, Lane, ObjectType};

use crate::failure::chain;

use Where::{Anywhere, Leader};

/// A timer's period: the longest that a missed bell can cost.
const TICK: Duration = Duration::from_secs(1);
/// How often owners and their availability are read again.
const OWNERS_EVERY: Duration = Duration::from_secs(300);
/// The slower second look at what people do comes once for so many first ones.
const SWEEP_EACH: u32 = 6;
/// How often changed companies are read.
const ACCOUNTS_EVERY: Duration = Duration::from_secs(300);
/// How often the vendors' webhooks are looked after.
const WEBHOOKS_EVERY: Duration = Duration::from_secs(3_600);
/// How often it is looked whether a stream is due to be reconciled.
const RECONCILE_EVERY: Duration = Duration::from_secs(900);
/// How often what is spent of the vendors' limits is stored.
const QUOTAS_EVERY: Duration = Duration::from_secs(60);
/// Slices of records prepared side by side, so that a CRM that answers slowly is asked about several at a time.
const PREPARERS: u32 = 4;
/// A rest after a step failed.
const REST: Duration = Duration::from_secs(5);
/// Steps of one pull before the stream looks whether to stop.
const PULL_STEPS: u64 = 200;

/// Where a step runs, if several nodes share the storage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Where {
    /// Wherever there is work: it takes claims.
    Anywhere,
    /// At the leader.
    Leader,
}

/// The running steps.
pub(crate) struct Daemon {
    pub(crate) engine: Arc<Engine>,
    pub(crate) stop: CancellationToken,
    pub(crate) tasks: TaskTracker,
}

impl Daemon {
    /// Starts every step. What reads from vendors and what decides runs where this node leads.
    pub(crate) fn start(engine: &Arc<Engine>, public_url: Option<String>) -> Self {
        let daemon =
            Self { engine: Arc::clone(engine), stop: CancellationToken::new(), tasks: TaskTracker::new() };
        for connected in engine.connections() {
            daemon.start_pulls(connected);
        }
        daemon.repeat("splitting webhooks", Anywhere, Some(Step::Split), TICK, |engine| async move {
            engine.split().await
        });
        // One loop for each connection: one that hangs keeps no other waiting.
        for connected in engine.connections().filter(|connected| connected.roles.source.is_some()) {
            let name = connected.name.clone();
            daemon.repeat("fetching", Leader, Some(Step::Fetch), TICK, move |engine| {
                let name = name.clone();
                async move { fetch(&engine, &name).await }
            });
        }
        daemon.repeat("delivering", Anywhere, Some(Step::Deliver), TICK, |engine| async move {
            engine.deliver(engine.crm()).await.map(|report| report.sent)
        });
        daemon.repeat("verifying", Anywhere, None, TICK, |engine| async move {
            engine.verify(engine.crm()).await
        });
        daemon.repeat("saving quotas", Leader, None, QUOTAS_EVERY, |engine| async move {
            engine.save_quotas().await.map(|()| 0)
        });
        daemon.repeat("checking owners", Anywhere, None, TICK, |engine| async move {
            engine.check_owners(engine.crm()).await
        });
        daemon.repeat("counting webhooks", Anywhere, None, TICK, |engine| async move {
            engine.store_tallies().await
        });
        daemon.repeat("looking after webhooks", Leader, None, WEBHOOKS_EVERY, move |engine| {
            let public_url = public_url.clone();
            async move { engine.subscribe(public_url.as_deref()).await.map(|_| 0) }
        });
        daemon.repeat("reconciling", Leader, None, RECONCILE_EVERY, |engine| async move {
            engine.reconcile_due().await.map(|_| 0)
        });
        daemon.start_watching();
        daemon.start_deciding();
        daemon.tasks.close();
        daemon
    }

    /// Lets every step finish what it is doing, and waits for it.
    pub(crate) async fn stop(&self) {
        self.engine.wind_down();
        self.stop.cancel();
        self.tasks.wait().await;
        if self.engine.leads().is_some()
            && let Err(error) = self.engine.save_quotas().await
        {
            complain("saving quotas", &error);
        }
    }

    fn start_pulls(&self, connected: &Connected) {
        let Some(source) = &connected.roles.source else {
            return;
        };
        for stream in source.streams() {
            for (lane, every) in [(Lane::Live, connected.every), (Lane::Sweep, connected.sweep_every)] {
                if stream.lanes.contains(&lane) {
                    let (name, object) = (connected.name.clone(), stream.object.clone());
                    self.repeat("pulling", Leader, None, every, move |engine| {
                        let (name, object) = (name.clone(), object.clone());
                        async move { pull(&engine, &name, &object, lane).await }
                    });
                }
            }
        }
    }

    /// What people do at the CRM, at the edge of now and again behind it: more seldom, for what was entered before its lead
    /// was known.
    fn start_watching(&self) {
        let crm = self.engine.connection(self.engine.crm());
        let Some(every) = crm.ok().and_then(|connected| connected.watch_every) else { return };
        for (object, lane) in self.engine.watched_streams() {
            let every = if lane == Lane::Live { every } else { every * SWEEP_EACH };
            self.repeat("watching", Leader, None, every, move |engine| {
                let object = object.clone();
                async move { watch(&engine, &object, lane).await }
            });
        }
    }

    /// Preparing and deciding wait for the directory: a lead is never routed without knowing owners and companies.
    fn start_deciding(&self) {
        let daemon =
            Self { engine: Arc::clone(&self.engine), stop: self.stop.clone(), tasks: self.tasks.clone() };
        self.tasks.spawn(async move {
            while !daemon.stop.is_cancelled() {
                match learn_directory(&daemon.engine).await {
                    Ok(true) => break,
                    Ok(false) => pause(&daemon.stop, TICK).await,
                    Err(error) => {
                        complain("reading owners and companies", &error);
                        pause(&daemon.stop, REST).await;
                    }
                }
            }
            for _ in 0..PREPARERS {
                daemon.repeat("preparing", Anywhere, Some(Step::Prepare), TICK, |engine| async move {
                    engine.prepare().await
                });
            }
            daemon.repeat("deciding", Leader, Some(Step::Decide), TICK, |engine| async move {
                engine.decide().await
            });
            daemon.repeat("reading owners", Leader, None, OWNERS_EVERY, |engine| async move {
                judged(&engine, "reading owners", engine.refresh_owners().await).map(|_| 0)
            });
            daemon.repeat("reading companies", Leader, None, ACCOUNTS_EVERY, |engine| async move {
                judged(&engine, "reading companies", engine.refresh_accounts().await).map(|_| 0)
            });
        });
    }

    /// Repeats a step when its bell rings, which a step that left work rings itself, or its time is up; one without a
    /// bell while it finds work. A step that fails, or panics, is repeated after a rest: nothing that it did is kept in
    /// memory only.
    fn repeat<F, R>(&self, name: &'static str, at: Where, step: Option<Step>, every: Duration, run: F)
    where
        F: Fn(Arc<Engine>) -> R + Send + 'static,
        R: Future<Output = Result<usize, EngineError>> + Send,
    {
        let (engine, stop) = (Arc::clone(&self.engine), self.stop.clone());
        let got_on = move |engine: &Engine| step.into_iter().for_each(|step| engine.signs().moved(step));
        let mut bell = step.map(|step| engine.wake().listen(step));
        self.tasks.spawn(async move {
            got_on(&engine);
            while !stop.is_cancelled() {
                if at == Leader && engine.leads().is_none() {
                    pause(&stop, TICK).await;
                    continue;
                }
                let begun = Instant::now();
                if let Some(bell) = &mut bell {
                    bell.catch_up();
                }
                match AssertUnwindSafe(run(Arc::clone(&engine))).catch_unwind().await {
                    Ok(Ok(done)) => {
                        if done > 0 {
                            got_on(&engine);
                        }
                        if done == 0 || bell.is_some() {
                            rest(&stop, bell.as_mut(), every).await;
                            gather(&stop, step, begun).await;
                        }
                    }
                    Ok(Err(error)) => {
                        // A vendor that fails is no fault of the step, which tries again.
                        if matches!(error, EngineError::Vendor { .. }) {
                            got_on(&engine);
                        }
                        complain(name, &error);
                        pause(&stop, REST.max(every)).await;
                    }
                    Err(_) => {
                        tracing::error!(
                            step = name,
                            "a step panicked, which is a mistake of ours; it will be repeated"
                        );
                        pause(&stop, REST.max(every)).await;
                    }
                }
            }
        });
    }
}

async fn rest(stop: &CancellationToken, bell: Option<&mut Listener>, every: Duration) {
    let bell = async {
        match bell {
            Some(bell) => bell.rung().await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        () = bell => {}
        () = pause(stop, every) => {}
    }
}

/// Lets work gather if the last pass of the step has only just begun.
async fn gather(stop: &CancellationToken, step: Option<Step>, begun: Instant) {
    let wait = step.map(Step::apart).unwrap_or_default().saturating_sub(begun.elapsed());
    if !wait.is_zero() {
        pause(stop, wait).await;
    }
}

/// Whether owners and companies are known; only the leader reads them.
async fn learn_directory(engine: &Engine) -> Result<bool, EngineError> {
    if engine.knows_directory().await? {
        return Ok(true);
    }
    if engine.leads().is_none() {
        return Ok(false);
    }
    judged(engine, "reading owners", engine.refresh_owners().await)?;
    judged(engine, "reading companies", engine.refresh_accounts().await)?;
    Ok(true)
}

/// Notes how the CRM did.
fn judged<T>(engine: &Engine, doing: &str, result: Result<T, EngineError>) -> Result<T, EngineError> {
    engine.signs().judge(engine.crm(), doing, &result);
    result
}

/// One pass over a stream; 0 if it is read up to now.
async fn pull(
    engine: &Engine,
    connection: &ConnectionName,
    object: &ObjectType,
    lane: Lane,
) -> Result<usize, EngineError> {
    let report = engine.pull(connection, object, lane, PULL_STEPS).await;
    // An endpoint that rests was not asked, which proves nothing.
    if !matches!(report, Ok(PullReport { steps: 0, .. })) {
        engine.signs().judge(connection, &format!("pulling {object}"), &report);
    }
    Ok(usize::from(!report?.done))
}

/// One pass over a stream of what people do; 0 if it is read up to now.
async fn watch(engine: &Engine, object: &ObjectType, lane: Lane) -> Result<usize, EngineError> {
    let report = engine.watch(object, lane, PULL_STEPS).await;
    if !matches!(report, Ok(WatchReport { steps: 0, .. })) {
        engine.signs().judge(engine.crm(), &format!("watching {object}"), &report);
    }
    Ok(usize::from(!report?.done))
}

/// Fetches hinted objects of a connection.
async fn fetch(engine: &Engine, connection: &ConnectionName) -> Result<usize, EngineError> {
    let fetched = engine.fetch(connection).await;
    if !matches!(fetched, Ok(0)) {
        engine.signs().judge(connection, "fetching", &fetched);
    }
    fetched
}

/// The same for every connection, for one pass; one that fails does not keep the others waiting.
async fn fetch_all(engine: &Engine) -> Result<usize, EngineError> {
    let (mut count, mut failed) = (0, None);
    for connected in engine.connections() {
        match fetch(engine, &connected.name).await {
            Ok(fetched) => count += fetched,
            Err(error) => failed = failed.or(Some(error)),
        }
    }
    match failed {
        Some(error) if count == 0 => Err(error),
        _ => Ok(count),
    }
}

/// Waits, but no longer than until the daemon stops.
pub(crate) async fn pause(stop: &CancellationToken, time: Duration) {
    tokio::select! {
        () = tokio::time::sleep(time) => {}
        () = stop.cancelled() => {}
    }
}

fn complain(step: &'static str, error: &EngineError) {
    tracing::error!(step, problem = chain(error), "a step failed and will be repeated");
}

/// Runs every step until nothing is due, once: for cron. A connection that fails does not keep the others waiting.
///
/// # Errors
/// The first failure of a storage or vendor, after everything else was done.
pub(crate) async fn run_once(engine: &Engine) -> Result<(), EngineError> {
    let leads = engine.leads().is_some();
    if !leads {
        tracing::info!("another node leads: it reads from the vendors and decides");
    }
    let mut failed = if leads { engine.refresh().await.err() } else { None };
    for connected in engine.connections().filter(|_| leads) {
        if let Err(error) = pull_all(engine, connected).await {
            complain("pulling", &error);
            failed = failed.or(Some(error));
        }
    }
    if let Err(error) = engine.reconcile_due().await {
        complain("reconciling", &error);
        failed = failed.or(Some(error));
    }
    if leads && let Err(error) = watch_all(engine).await {
        complain("watching", &error);
        failed = failed.or(Some(error));
    }
    // Without owners and companies nothing is decided: the next pass does it.
    let settled = if engine.knows_directory().await? { settle(engine).await } else { Ok(()) };
    match failed {
        Some(error) => Err(error),
        None => settled,
    }
}

/// Reads what people did, to the end.
async fn watch_all(engine: &Engine) -> Result<(), EngineError> {
    for (object, lane) in engine.watched_streams() {
        while watch(engine, &object, lane).await? > 0 {}
    }
    Ok(())
}

async fn pull_all(engine: &Engine, connected: &Connected) -> Result<(), EngineError> {
    let streams = connected.roles.source.as_ref().map(|source| source.streams()).unwrap_or_default();
    for stream in streams {
        for lane in [Lane::Live, Lane::Sweep] {
            if stream.lanes.contains(&lane) {
                while pull(engine, &connected.name, &stream.object, lane).await? > 0 {}
            }
        }
    }
    Ok(())
}

/// Works off what is stored, until nothing is due.
async fn settle(engine: &Engine) -> Result<(), EngineError> {
    let mut unfetched = None;
    loop {
        let mut work = engine.split().await?;
        if engine.leads().is_some() {
            match fetch_all(engine).await {
                Ok(fetched) => work += fetched,
                Err(error) => unfetched = unfetched.or(Some(error)),
            }
        }
        work += engine.prepare().await?;
        work += engine.decide().await?;
        work += engine.deliver(engine.crm()).await?.sent + engine.verify(engine.crm()).await?;
        work += engine.check_owners(engine.crm()).await?;
        if work == 0 {
            return unfetched.map_or(Ok(()), Err);
        }
    }
}

/// When the present instant is needed outside the engine.
pub(crate) fn now() -> Timestamp {
    use usher_model::Clock;
    usher_model::SystemClock.now()
}

#[cfg(test)]
mod tests;
