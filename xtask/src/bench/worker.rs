//! The process that `bench pull` measures: an engine that pulls everything into a database.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use clap::Args;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use usher_host::Allowance;
use usher_model::{ConnectionName, Lane, ObjectType, SystemClock};
use usher_store::{Inspection, OpenOptions, SqliteStore};

use super::engine::{CRM, engine};
use super::serve::FIRST_CHANGE;
use crate::process::{Usage, reset_peak};

/// Routing is not what is measured; the engine wants a policy all the same.
const ROUTING: &str = "version: 1\nreps:\n  ana: { email: ana@agency.example }\nrules:\n  - name: All\n    when: 'true'\n    assign: { rep: ana }\nfallback: { rep: ana }\n";

/// The process that `bench pull` measures
#[derive(Debug, Args)]
pub(crate) struct Worker {
    #[arg(long)]
    url: String,
    #[arg(long)]
    token: String,
    #[arg(long)]
    database: PathBuf,
    /// `live` or `backfill`
    #[arg(long, default_value = "live")]
    lane: String,
}

/// What it measured of itself.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Measured {
    pub(super) records: u64,
    pub(super) new: u64,
    pub(super) steps: u64,
    pub(super) seconds: f64,
    pub(super) user: f64,
    pub(super) system: f64,
    /// Memory before the first call, and the most during the pull, KiB.
    pub(super) idle_kib: u64,
    pub(super) peak_kib: u64,
}

/// Pulls until the stream is read up to now.
pub(crate) async fn run(args: &Worker) -> anyhow::Result<()> {
    let store =
        Arc::new(SqliteStore::open(&args.database.display().to_string(), OpenOptions::daemon()).await?);
    let start = Timestamp::from_millisecond(FIRST_CHANGE)?;
    let engine = engine(
        store.clone(),
        ROUTING,
        Some((&args.url, &args.token, Allowance::Unlimited)),
        start,
        Arc::new(SystemClock),
    )
    .await?;
    let (crm, contacts) = (ConnectionName::new(CRM), ObjectType::new("contacts"));
    let lane = if args.lane == "backfill" { Lane::Backfill } else { Lane::Live };
    reset_peak();
    let (before, clock) = (Usage::own(), Instant::now());
    let (mut new, mut steps) = (0, 0);
    loop {
        let report = engine.pull(&crm, &contacts, lane, 1_000).await?;
        new += report.new;
        steps += report.steps;
        if report.done {
            break;
        }
    }
    let (seconds, after) = (clock.elapsed().as_secs_f64(), Usage::own());
    let records = store.counts().await?.records.values().sum();
    crate::report::print(
        &Measured {
            records,
            new,
            steps,
            seconds,
            user: after.user - before.user,
            system: after.system - before.system,
            idle_kib: before.rss_kib,
            peak_kib: after.peak_kib,
        },
        None,
    )
}
