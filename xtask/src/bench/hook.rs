//! `bench hook`: from a form answer that is posted to the task at the simulated CRM, through the real program.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

use anyhow::Context;
use clap::Args;
use serde_json::json;

use super::rig::{Rig, Tasks, quantile};
use crate::report::{print, progress, round};

/// Form answers posted to the real program until their tasks are at the simulated CRM
#[derive(Debug, Args)]
pub(crate) struct Hook {
    /// Senders; each posts its next answer when the task of the last one is there
    #[arg(long, default_value_t = 16)]
    senders: u32,
    /// Answers in all, after as many as a tenth of it to warm up
    #[arg(long, default_value_t = 5_000)]
    leads: u32,
}

/// Starts the program and lets the senders work.
pub(crate) async fn run(args: &Hook) -> anyhow::Result<()> {
    let folder = tempfile::Builder::new().prefix("usher-bench-").tempdir()?;
    let rig = Arc::new(Rig::start(folder.path()).await?);
    progress("warming up");
    closed_loop(&rig, "warm", args.senders, args.leads / 10).await?;
    progress("measuring");
    let before = rig.usage();
    let started = Instant::now();
    let mut latencies = closed_loop(&rig, "lead", args.senders, args.leads).await?;
    let (seconds, after) = (started.elapsed().as_secs_f64(), rig.usage());
    latencies.sort_unstable_by(f64::total_cmp);
    let leads = f64::from(args.leads);
    let cpu = after.cpu() - before.cpu();
    let summary = rig.sandbox.hubspot().summary();
    let result = json!({
        "leads": args.leads, "senders": args.senders, "seconds": round(seconds), "leads_per_second": round(leads / seconds),
        "p50_ms": round(quantile(&latencies, 0.5)), "p95_ms": round(quantile(&latencies, 0.95)),
        "p99_ms": round(quantile(&latencies, 0.99)), "max_ms": round(quantile(&latencies, 1.0)),
        "cpu_ms_per_lead": round(cpu * 1000.0 / leads), "user_ms_per_lead": round((after.user - before.user) * 1000.0 / leads),
        "peak_mib": round(after.peak_kib as f64 / 1024.0),
        "duplicates": summary.duplicate_tasks + summary.duplicate_persons,
        "calls": summary.requests,
        "measured": {
            "ms": "from the post to the task in the simulator's log, which is looked at every millisecond",
            "cpu": "user and kernel time of the program, a process of its own; simulators and senders are another on the same machine" },
    });
    let rig = Arc::into_inner(rig).context("a sender is still at work")?;
    let mut installation = rig.installation;
    installation.stop(std::time::Duration::from_secs(25))?;
    print(&result, None)
}

/// Milliseconds from post to task, of every answer.
async fn closed_loop(
    rig: &Arc<Rig>,
    who: &'static str,
    senders: u32,
    leads: u32,
) -> anyhow::Result<Vec<f64>> {
    let tasks = Arc::new(Tasks::watch(&rig.sandbox));
    let next = Arc::new(AtomicU32::new(0));
    let mut at_work = tokio::task::JoinSet::new();
    for _ in 0..senders {
        let (rig, tasks, next) = (Arc::clone(rig), Arc::clone(&tasks), Arc::clone(&next));
        at_work.spawn(async move {
            let mut latencies = Vec::new();
            loop {
                let n = next.fetch_add(1, Ordering::Relaxed);
                if n >= leads {
                    return anyhow::Ok(latencies);
                }
                let email = format!("{who}{n}@stranger-{n}.example");
                let task = tasks.expect(&email);
                let started = Instant::now();
                rig.post(&email).await?;
                task.await.context("the watcher ended")?;
                latencies.push(started.elapsed().as_secs_f64() * 1000.0);
            }
        });
    }
    let mut all = Vec::new();
    while let Some(latencies) = at_work.join_next().await {
        all.extend(latencies??);
    }
    Ok(all)
}
