//! `bench pull`: contacts from a simulated CRM, a hundred a page, parsed and committed to SQLite.

use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::Context;
use clap::Args;
use serde_json::json;

use super::serve::Served;
use super::worker::Measured;
use crate::report::{print, progress, round};

/// Calls from which the latency is taken.
const BARE_CALLS: u32 = 50;

/// Contacts from a simulated CRM into the database
#[derive(Debug, Args)]
pub(crate) struct Pull {
    /// How many contacts the CRM holds
    #[arg(long, default_value_t = 100_000)]
    contacts: u64,
    /// What every call of the CRM takes longer
    #[arg(long, default_value_t = 0)]
    latency_ms: u64,
    /// How often; the figures of each run are printed
    #[arg(long, default_value_t = 1)]
    runs: u32,
    /// `live` (search) or `backfill` (list)
    #[arg(long, default_value = "live")]
    lane: String,
}

/// Runs simulator and reader as two processes.
pub(crate) async fn run(args: &Pull) -> anyhow::Result<()> {
    progress(&format!("the simulator is filled with {} contacts", args.contacts));
    let mut simulator = Served::start(args.contacts, args.latency_ms, &[])?;
    let result = measure(args, &simulator).await?;
    simulator.end()?;
    print(&result, None)
}

async fn measure(args: &Pull, simulator: &Served) -> anyhow::Result<serde_json::Value> {
    let bare = bare_call(simulator).await?;
    let mut runs = Vec::new();
    for _ in 0..args.runs {
        progress("pulling");
        runs.push(figures(args, &worker(args, simulator)?, bare));
    }
    Ok(json!({ "contacts": args.contacts, "latency_ms": args.latency_ms, "lane": args.lane,
        "bare_call_ms": round(bare * 1000.0), "runs": runs, "measured": {
        "cpu_seconds": "user and kernel time of the reading process between start and end of the pull, from /proc (10 ms grain)",
        "seconds": "wall time of the same; the simulator is another process on the same machine",
        "above_idle_mib": "VmHWM after the pull (reset before it) less VmRSS before the first call",
        "wall_to_latency": "wall time divided by calls times latency" } }))
}

fn worker(args: &Pull, hello: &Served) -> anyhow::Result<Measured> {
    let folder = tempfile::Builder::new().prefix("usher-bench-").tempdir()?;
    let output = itself("bench-pull-worker")
        .args(["--url", &hello.url, "--token", &hello.token, "--lane", &args.lane, "--database"])
        .arg(folder.path().join("usher.db"))
        .stderr(Stdio::inherit())
        .output()
        .context("starting the reader")?;
    anyhow::ensure!(output.status.success(), "the reader failed");
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// Seconds that the simulator's smallest page takes, as a client sees it.
async fn bare_call(hello: &Served) -> anyhow::Result<f64> {
    let client = reqwest::Client::builder().no_proxy().build()?;
    let place = format!("{}/crm/v3/objects/contacts?limit=1", hello.url);
    let call = async || -> anyhow::Result<()> {
        let answer = client.get(&place).bearer_auth(&hello.token).send().await?.error_for_status()?;
        answer.bytes().await?;
        Ok(())
    };
    call().await?;
    let started = Instant::now();
    for _ in 0..BARE_CALLS {
        call().await?;
    }
    Ok(started.elapsed().as_secs_f64() / f64::from(BARE_CALLS))
}

fn figures(args: &Pull, run: &Measured, bare: f64) -> serde_json::Value {
    let calls = run.steps as f64;
    let latency = calls * args.latency_ms as f64 / 1000.0;
    let mib = |kib: u64| round(kib as f64 / 1024.0);
    json!({
        "records": run.records, "complete": run.records == args.contacts, "calls": run.steps,
        "cpu_seconds": round(run.user + run.system), "user": round(run.user), "system": round(run.system),
        "seconds": round(run.seconds), "records_per_second": round(run.records as f64 / run.seconds),
        "idle_mib": mib(run.idle_kib), "peak_mib": mib(run.peak_kib),
        "above_idle_mib": mib(run.peak_kib.saturating_sub(run.idle_kib)),
        "wall_to_bare_calls": round(run.seconds / (calls * bare)),
        "wall_to_latency": if latency > 0.0 { json!(round(run.seconds / latency)) } else { json!(null) },
    })
}

fn itself(verb: &str) -> Command {
    // A program that runs has a file, unless it was removed meanwhile; then starting it says so.
    let mut command = Command::new(std::env::current_exe().unwrap_or_else(|_| "xtask".into()));
    command.arg(verb);
    command
}
