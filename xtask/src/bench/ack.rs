//! `bench ack`: webhooks acknowledged after the durable commit, against what the disk does with one commit at a time.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use clap::Args;
use serde_json::json;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection};

use super::rig::{Rig, quantile};
use super::slow_sync;
use crate::report::{print, progress, round};

/// Webhooks acknowledged by the real program, against the disk's own rate of commits
#[derive(Debug, Args)]
pub(crate) struct Ack {
    /// Senders; each posts again when it was answered
    #[arg(long, default_value_t = 16)]
    senders: u32,
    /// How long each part is measured
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// Posts per second of the part with a fixed rate
    #[arg(long, default_value_t = 200)]
    rate: u32,
    /// Milliseconds that each sync of the disk takes longer, as on a disk that really writes
    #[arg(long, default_value_t = 0)]
    sync_ms: u32,
}

/// Measures the disk, the senders, the disk again, then a fixed rate.
pub(crate) async fn run(args: &Ack) -> anyhow::Result<()> {
    let folder = tempfile::Builder::new().prefix("usher-bench-").tempdir()?;
    if args.sync_ms > 0 && !slow_sync::is_on() {
        let status = slow_sync::again(args.sync_ms, folder.path())?;
        anyhow::ensure!(status.success(), "the bench failed under slow syncs");
        return Ok(());
    }
    let span = Duration::from_secs(args.seconds);
    let mut rig = Rig::start(folder.path()).await?;
    progress("the disk alone");
    let disk_before = commits(&folder.path().join("disk.db"), span / 2).await?;
    progress("all senders at once");
    let shared = Arc::new(rig);
    let before = shared.usage();
    let started = Instant::now();
    let mut latencies = flood(&shared, args.senders, span).await?;
    let (seconds, after) = (started.elapsed().as_secs_f64(), shared.usage());
    latencies.sort_unstable_by(f64::total_cmp);
    progress("the rest is worked off");
    rig = Arc::into_inner(shared).context("a sender is still at work")?;
    let quiet = rig.quiet().await?;
    progress("the disk alone, again");
    let disk_after = commits(&folder.path().join("disk.db"), span / 2).await?;
    progress("a fixed rate");
    let shared = Arc::new(rig);
    let mut fixed = at_rate(&shared, args.rate, span).await?;
    fixed.sort_unstable_by(f64::total_cmp);
    let disk = f64::midpoint(disk_before, disk_after);
    let acks = latencies.len() as f64 / seconds;
    let result = json!({
        "senders": args.senders, "sync_ms": args.sync_ms, "acks": latencies.len(), "acks_per_second": round(acks),
        "disk_commits_per_second": [round(disk_before), round(disk_after)], "ratio": round(acks / disk),
        "p50_ms": round(quantile(&latencies, 0.5)), "p99_ms": round(quantile(&latencies, 0.99)),
        "cpu_ms_per_ack_with_everything_after_it": round((after.cpu() - before.cpu()) * 1000.0 / latencies.len() as f64),
        "worked_off_after_seconds": round(quiet.as_secs_f64()),
        "fixed": { "per_second": args.rate, "posts": fixed.len(), "p50_ms": round(quantile(&fixed, 0.5)),
            "p99_ms": round(quantile(&fixed, 0.99)), "max_ms": round(quantile(&fixed, 1.0)) },
        "measured": {
            "sync_ms": "each sync of the disk takes so much longer, for the program and for the disk alone",
            "disk": "one row per commit, one after the other, SQLite with WAL and synchronous=FULL on the same disk, before and after",
            "acks": "answers of the program, which goes on to route and write every lead meanwhile; senders and simulators share the machine" },
    });
    let mut rig = Arc::into_inner(shared).context("a sender is still at work")?;
    rig.installation.stop(Duration::from_secs(25))?;
    print(&result, None)
}

/// Commits of one row per second.
async fn commits(path: &Path, span: Duration) -> anyhow::Result<f64> {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .page_size(8192)
        .disable_statement_logging();
    let mut conn = options.connect().await?;
    sqlx::query("CREATE TABLE IF NOT EXISTS body (seq INTEGER PRIMARY KEY, body BLOB)")
        .execute(&mut conn)
        .await?;
    let (started, mut count) = (Instant::now(), 0_u32);
    while started.elapsed() < span {
        sqlx::query("INSERT INTO body (body) VALUES (?)").bind(vec![7_u8; 800]).execute(&mut conn).await?;
        count += 1;
    }
    conn.close().await?;
    Ok(f64::from(count) / started.elapsed().as_secs_f64())
}

async fn flood(rig: &Arc<Rig>, senders: u32, span: Duration) -> anyhow::Result<Vec<f64>> {
    let mut at_work = tokio::task::JoinSet::new();
    let end = Instant::now() + span;
    for sender in 0..senders {
        let rig = Arc::clone(rig);
        at_work.spawn(async move {
            let mut latencies = Vec::new();
            while Instant::now() < end {
                let n = latencies.len();
                let started = Instant::now();
                rig.post(&format!("flood{n}@sender-{sender}.example")).await?;
                latencies.push(started.elapsed().as_secs_f64() * 1000.0);
            }
            anyhow::Ok(latencies)
        });
    }
    collect(at_work).await
}

/// Posts at fixed times, whether earlier ones are answered or not.
async fn at_rate(rig: &Arc<Rig>, rate: u32, span: Duration) -> anyhow::Result<Vec<f64>> {
    let mut at_work = tokio::task::JoinSet::new();
    let begin = tokio::time::Instant::now();
    let posts = (span.as_secs_f64() * f64::from(rate)) as u32;
    for n in 0..posts {
        let due = begin + Duration::from_secs_f64(f64::from(n) / f64::from(rate));
        tokio::time::sleep_until(due).await;
        let rig = Arc::clone(rig);
        at_work.spawn(async move {
            rig.post(&format!("rate{n}@fixed.example")).await?;
            anyhow::Ok(vec![due.elapsed().as_secs_f64() * 1000.0])
        });
    }
    collect(at_work).await
}

async fn collect(mut at_work: tokio::task::JoinSet<anyhow::Result<Vec<f64>>>) -> anyhow::Result<Vec<f64>> {
    let mut all = Vec::new();
    while let Some(latencies) = at_work.join_next().await {
        all.extend(latencies??);
    }
    Ok(all)
}
