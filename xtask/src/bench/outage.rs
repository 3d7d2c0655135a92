//! `bench outage`: a CRM that is away for hours, a backlog that waits for it, and those who get in touch meanwhile.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context;
use clap::Args;
use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use serde_json::value::RawValue;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use usher_engine::{Engine, EngineError, Step};
use usher_host::{Allowance, Share};
use usher_model::{Clock, ConnectionName, SystemClock};
use usher_sandbox::{Faults, Limits, Options, Sandbox};
use usher_store::{Inspection, OpenOptions, Quotas, SqliteStore};

use super::engine::{CRM, engine};
use super::rig::{Tasks, fill, quantile, routing};
use crate::report::{print, progress, round};

/// HubSpot's limit for a private app on Professional or Enterprise, calls per second on average.
const CALLS_PER_SECOND: f64 = 19.0;
/// The steps of the daemon look for work so often if nobody rings.
const TICK: Duration = Duration::from_millis(250);
/// The outage passes in steps of the test clock.
const STEP: SignedDuration = SignedDuration::from_mins(5);
/// Nothing of a backlog takes longer.
const PATIENCE: Duration = Duration::from_secs(1_800);

/// A CRM that is away while leads wait, and comes back: how those fare who get in touch then
#[derive(Debug, Args)]
pub(crate) struct Outage {
    /// Leads that come while the CRM is away
    #[arg(long, default_value_t = 100_000)]
    leads: u32,
    /// How long it is away, on the test clock
    #[arg(long, default_value_t = 6)]
    hours: i64,
    /// Leads per second before and after
    #[arg(long, default_value_t = 5)]
    fresh: u32,
    /// Seconds of normal life before it
    #[arg(long, default_value_t = 60)]
    normal: u64,
}

/// The machine's clock, set forward.
#[derive(Debug, Default)]
struct Shifted(AtomicI64);

impl Clock for Shifted {
    fn now(&self) -> Timestamp {
        SystemClock.now() + SignedDuration::from_millis(self.0.load(Ordering::Relaxed))
    }
}

impl Shifted {
    fn forward(&self, by: SignedDuration) {
        self.0.fetch_add(i64::try_from(by.as_millis()).unwrap_or_default(), Ordering::Relaxed);
    }
}

/// Normal life, the outage, and the way out of it.
pub(crate) async fn run(args: &Outage) -> anyhow::Result<()> {
    let options = Options { limits: Some(Limits::default()), ..Options::default() };
    let sandbox = Arc::new(Sandbox::start(options.clone()).await?);
    fill(&sandbox)?;
    let folder = tempfile::Builder::new().prefix("usher-bench-").tempdir()?;
    let path = folder.path().join("usher.db").display().to_string();
    let store = Arc::new(SqliteStore::open(&path, OpenOptions::daemon()).await?);
    let clock = Arc::new(Shifted::default());
    let vendor = (sandbox.hubspot_url.as_str(), options.hubspot_token.as_str(), Allowance::Share(Share::ALL));
    let engine = engine(store.clone(), &routing(), Some(vendor), clock.now(), clock.clone()).await?;
    let engine = Arc::new(engine);
    engine.refresh().await?;
    let stop = CancellationToken::new();
    let steps = steps(&engine, &stop);

    progress("normal life");
    let normal = Fresh::begin(&engine, &sandbox, args.fresh, "normal");
    tokio::time::sleep(Duration::from_secs(args.normal)).await;
    let normal = normal.end().await?;

    progress("the CRM is away");
    sandbox.set_faults(Faults { server_error: 1.0, ..Faults::default() });
    let count = args.hours * 60 / STEP.as_mins();
    for step in 0..count {
        let (from, to) = (u64::from(args.leads) * step as u64, u64::from(args.leads) * (step as u64 + 1));
        for n in from / count as u64..to / count as u64 {
            add(&engine, &format!("waits{n}@waits-{n}.example")).await?;
        }
        clock.forward(STEP);
        tokio::time::sleep(TICK * 2).await;
    }
    let waiting = u64::from(args.leads);
    let written = async || -> anyhow::Result<u64> {
        Ok(store.counts().await?.leads.get("closed:written").copied().unwrap_or_default())
    };
    let before = written().await?;

    progress("it is back");
    sandbox.set_faults(Faults::default());
    let back = Instant::now();
    while !store.resting().await?.is_empty() {
        anyhow::ensure!(back.elapsed() < PATIENCE, "the CRM is still taken for dead");
        tokio::time::sleep(TICK).await;
    }
    let (noticed, asked) = (back.elapsed(), calls(&sandbox));
    let fresh = Fresh::begin(&engine, &sandbox, args.fresh, "fresh");
    let mut half = None;
    loop {
        tokio::time::sleep(TICK).await;
        let others = before + fresh.done();
        let done = written().await?.saturating_sub(others);
        if half.is_none() && done >= waiting / 2 {
            half = Some(back.elapsed() - noticed);
        }
        if done >= waiting {
            break;
        }
        anyhow::ensure!(back.elapsed() < PATIENCE, "{done} of {waiting} are written");
    }
    let (seconds, used) = ((back.elapsed() - noticed).as_secs_f64(), calls(&sandbox) - asked);
    let fresh = fresh.end().await?;
    stop.cancel();
    steps.join_all().await;
    let summary = sandbox.hubspot().summary();
    let p95 = [quantile(&normal, 0.95), quantile(&fresh, 0.95)];
    print(
        &json!({
            "leads": args.leads, "hours": args.hours,
            "normal": told(&normal), "after": told(&fresh), "p95_ratio": round(p95[1] / p95[0]),
            "seconds_to_drain": round(seconds), "leads_per_second": round(waiting as f64 / seconds),
            "calls": used, "share_of_the_limit": round(used as f64 / seconds / CALLS_PER_SECOND),
            "seconds_to_half": half.map(|after| round(after.as_secs_f64())),
            "seconds_until_asked": round(noticed.as_secs_f64()),
            "refused_429": summary.requests.get("hubspot 429").copied().unwrap_or_default(),
            "duplicates": summary.duplicate_tasks + summary.duplicate_persons,
            "measured": {
                "fresh": "from the moment that a lead is added to its task in the simulator's log",
                "seconds_until_asked": "until the program, which asks a CRM that rests once in 30 s, knew that it is back; what follows counts from there",
                "outage": "every call is answered with 502 or 503; hours pass on the program's clock, the vendor's limit is real time",
                "share_of_the_limit": "calls that the simulator took per second, of 190 in 10 s" },
        }),
        None,
    )
}

fn told(sorted: &[f64]) -> serde_json::Value {
    json!({ "leads": sorted.len(), "p50_ms": round(quantile(sorted, 0.5)), "p95_ms": round(quantile(sorted, 0.95)),
            "p99_ms": round(quantile(sorted, 0.99)) })
}

fn calls(sandbox: &Sandbox) -> u64 {
    sandbox.hubspot().summary().requests.get("hubspot request").copied().unwrap_or_default()
}

async fn add(engine: &Engine, email: &str) -> anyhow::Result<()> {
    let payload = json!({ "full_name": "Lea Laroche", "email": email, "company": "Stranger Ltd" });
    let added = engine.add_lead(RawValue::from_string(payload.to_string())?, None).await?;
    anyhow::ensure!(added.is_ok(), "the lead was refused");
    Ok(())
}

/// The steps of the daemon that a lead passes.
fn steps(engine: &Arc<Engine>, stop: &CancellationToken) -> JoinSet<()> {
    let mut steps = JoinSet::new();
    for step in [Some(Step::Prepare), Some(Step::Prepare), Some(Step::Decide), Some(Step::Deliver), None] {
        let (engine, stop) = (Arc::clone(engine), stop.clone());
        steps.spawn(async move {
            let mut bell = engine.wake().listen(step.unwrap_or(Step::Deliver));
            while !stop.is_cancelled() {
                match take(&engine, step).await {
                    Ok(true) => continue,
                    Ok(false) => {}
                    Err(error) => progress(&format!("a step failed: {error}")),
                }
                tokio::select! {
                    () = bell.rung(), if step.is_some() => {}
                    () = tokio::time::sleep(TICK) => {}
                    () = stop.cancelled() => {}
                }
            }
        });
    }
    steps
}

/// Whether there was something to do, so that there may be more.
async fn take(engine: &Engine, step: Option<Step>) -> Result<bool, EngineError> {
    Ok(match step {
        Some(Step::Prepare) => engine.prepare().await? > 0,
        Some(Step::Decide) => engine.decide().await? > 0,
        Some(_) => engine.deliver(engine.crm()).await?.sent > 0,
        None => engine.verify(&ConnectionName::new(CRM)).await? > 0,
    })
}

/// People who get in touch at a steady rate.
struct Fresh {
    latencies: Arc<Mutex<VecDeque<f64>>>,
    stop: CancellationToken,
    senders: tokio::task::JoinHandle<anyhow::Result<()>>,
}

impl Fresh {
    fn begin(engine: &Arc<Engine>, sandbox: &Arc<Sandbox>, rate: u32, who: &'static str) -> Self {
        let (latencies, stop) = (Arc::<Mutex<VecDeque<f64>>>::default(), CancellationToken::new());
        let (engine, sandbox) = (Arc::clone(engine), Arc::clone(sandbox));
        let (times, stopped) = (Arc::clone(&latencies), stop.clone());
        let senders = tokio::spawn(async move {
            let tasks = Tasks::watch(&sandbox);
            let mut under_way: JoinSet<anyhow::Result<()>> = JoinSet::new();
            let mut tick = tokio::time::interval(Duration::from_secs(1) / rate);
            let mut n = 0_u64;
            while !stopped.is_cancelled() {
                tick.tick().await;
                let email = format!("{who}{n}@{who}-{n}.example");
                n += 1;
                let (engine, times) = (Arc::clone(&engine), Arc::clone(&times));
                let (task, started) = (tasks.expect(&email), Instant::now());
                under_way.spawn(async move {
                    add(&engine, &email).await?;
                    task.await.context("the watcher ended")?;
                    let spent = started.elapsed().as_secs_f64() * 1000.0;
                    times.lock().unwrap_or_else(PoisonError::into_inner).push_back(spent);
                    Ok(())
                });
            }
            while let Some(sent) = under_way.join_next().await {
                sent??;
            }
            Ok(())
        });
        Self { latencies, stop, senders }
    }

    /// How many have their task.
    fn done(&self) -> u64 {
        self.latencies.lock().unwrap_or_else(PoisonError::into_inner).len() as u64
    }

    /// Milliseconds of each, sorted, once the last one has its task.
    async fn end(self) -> anyhow::Result<Vec<f64>> {
        self.stop.cancel();
        self.senders.await.context("the senders")??;
        let mut all: Vec<f64> =
            self.latencies.lock().unwrap_or_else(PoisonError::into_inner).iter().copied().collect();
        all.sort_unstable_by(f64::total_cmp);
        Ok(all)
    }
}
