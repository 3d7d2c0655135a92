//! `bench write`: how much of the vendor's limit the writes use, against a simulator that has the real limits.

use std::sync::Arc;
use std::time::Instant;

use anyhow::Context;
use clap::Args;
use jiff::Timestamp;
use serde_json::{Value, json};
use usher_host::{Allowance, Share};
use usher_model::{ConnectionName, Lane, ObjectType, SystemClock};
use usher_store::{Inspection, OpenOptions, SqliteStore};

use super::engine::{CRM, engine};
use super::rig::routing;
use super::serve::{FIRST_CHANGE, Served};
use crate::process::Usage;
use crate::report::{print, progress, round};

/// HubSpot's limit for a private app on Professional or Enterprise: calls and seconds.
const LIMIT: (f64, f64) = (190.0, 10.0);
/// Writes in one call.
const BATCH: f64 = 100.0;
/// Calls for a hundred leads that the CRM knows: owners compared, owners written, tasks created.
const CALLS: f64 = 3.0;

/// Owner and task of leads that the CRM knows, written within HubSpot's limits
#[derive(Debug, Args)]
pub(crate) struct Write {
    /// How many leads
    #[arg(long, default_value_t = 19_000)]
    leads: u64,
    /// What every call of the CRM takes longer
    #[arg(long, default_value_t = 0)]
    latency_ms: u64,
}

/// Reads and decides everything, then measures delivering alone.
pub(crate) async fn run(args: &Write) -> anyhow::Result<()> {
    progress(&format!("the simulator is filled with {} contacts", args.leads));
    let served = Served::start(args.leads, args.latency_ms, &["--limits", "--unowned"])?;
    let folder = tempfile::Builder::new().prefix("usher-bench-").tempdir()?;
    let path = folder.path().join("usher.db").display().to_string();
    let store = Arc::new(SqliteStore::open(&path, OpenOptions::daemon()).await?);
    let vendor = (served.url.as_str(), served.token.as_str(), Allowance::Share(Share::ALL));
    let engine = engine(
        store.clone(),
        &routing(),
        Some(vendor),
        Timestamp::from_millisecond(FIRST_CHANGE)?,
        Arc::new(SystemClock),
    )
    .await?;
    progress("reading and deciding");
    engine.refresh().await?;
    let (crm, contacts) = (ConnectionName::new(CRM), ObjectType::new("contacts"));
    while !engine.pull(&crm, &contacts, Lane::Live, 1_000).await?.done {}
    while engine.prepare().await? + engine.decide().await? > 0 {}
    // What reading has spent of the window is over.
    tokio::time::sleep(std::time::Duration::from_secs_f64(LIMIT.1)).await;
    progress("writing");
    let (before, started) = (Usage::own(), Instant::now());
    let mut writes = 0;
    loop {
        let report = engine.deliver(&crm).await?;
        writes += report.done;
        if report.sent + engine.verify(&crm).await? == 0 {
            break;
        }
    }
    let (seconds, after) = (started.elapsed().as_secs_f64(), Usage::own());
    let counts = store.counts().await?;
    let requests = served.stop()?;
    let arithmetic = LIMIT.0 / LIMIT.1 / CALLS * BATCH;
    let reached = args.leads as f64 / seconds;
    let written = counts.leads.get("closed:written").copied().unwrap_or_default();
    let refused = requests.get("hubspot 429").and_then(Value::as_u64).unwrap_or_default();
    print(
        &json!({
            "leads": args.leads, "written": written, "writes": writes, "seconds": round(seconds),
            "latency_ms": args.latency_ms,
            "arithmetic_leads_per_second": round(arithmetic), "reached_leads_per_second": round(reached),
            "ratio": round(reached / arithmetic), "refused_429": refused, "requests": requests,
            "cpu_ms_per_lead": round((after.cpu() - before.cpu()) * 1000.0 / args.leads as f64),
            "arithmetic": "190 calls in any 10 s, 100 writes in a call, 3 calls for 100 leads: compare owners, write owners, create tasks",
        }),
        None,
    )?;
    anyhow::ensure!(written == args.leads, "{} leads are not written", args.leads - written);
    Ok(())
}

impl Served {
    /// The simulator's counts of requests, after it has ended.
    fn stop(mut self) -> anyhow::Result<Value> {
        let last = self.end()?;
        let counts: Value = serde_json::from_str(&last).context("the simulator's last words")?;
        Ok(counts["requests"].clone())
    }
}
