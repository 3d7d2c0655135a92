//! Fault runs: the real program under load and bad weather, struck again and again, held against the invariants.
//!
//! A run is cut into rounds with an installation of their own. Each finished round is written to the report file, so
//! that an aborted run goes on where it was.

mod catalogue;
mod coverage;
mod fleet;
mod load;
mod record;
mod round;
mod strike;

use std::path::PathBuf;

use anyhow::Context;
use clap::{Args, ValueEnum};
use serde::{Deserialize, Serialize};
use usher_sandbox::{CrmObject, CrmVendor};
use usher_testkit::Cluster;

use crate::report::progress;
use record::Record;
use strike::Strike;

/// The real program struck at random under load and bad weather, held against the invariants after each strike
#[derive(Debug, Args)]
pub(crate) struct Faults {
    #[command(flatten)]
    what: What,
    /// Strikes, or unclear writes, in one round
    #[arg(long, default_value_t = 100)]
    round: u32,
    /// Seed of all chance; round n uses this plus n
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The CRM under test
    #[arg(long, default_value_t)]
    crm: CrmVendor,
    /// What people are entered as at the CRM, in its own word (`leads`); it carries owner and task. Persons unless set
    #[arg(long, value_parser = crate::field::object, default_value = "persons")]
    object: CrmObject,
    /// The database
    #[arg(long, value_enum, default_value_t = Store::Sqlite)]
    store: Store,
    /// People who get in touch, per second
    #[arg(long, default_value_t = 50.0)]
    rate: f64,
    /// Mean seconds between two strikes
    #[arg(long, default_value_t = 0.5)]
    gap: f64,
    /// Seconds without any progress after which a round counts as stuck
    #[arg(long, default_value_t = 180)]
    patience: u64,
    /// Stop after so many minutes, between two rounds; a rerun with the same report goes on
    #[arg(long)]
    minutes: Option<u64>,
    /// The report, from which a run also resumes
    #[arg(long)]
    report: Option<PathBuf>,
    /// Keep the folders of all rounds, not only of those that broke a rule
    #[arg(long)]
    keep: bool,
}

/// What to do; one of these.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct What {
    /// Kill the program so often (SIGKILL)
    #[arg(long)]
    points: Option<u32>,
    /// Stop the program for up to two call timeouts so often (SIGSTOP, SIGCONT)
    #[arg(long)]
    pause: Option<u32>,
    /// Cut the power so often: unsynced writes are forgotten (SIGKILL and a lossy disk)
    #[arg(long)]
    cuts: Option<u32>,
    /// Lose or delay the answers of so many writes
    #[arg(long)]
    lost: Option<u32>,
    /// Kill, stop or cut off one of three nodes so often
    #[arg(long)]
    nodes: Option<u32>,
    /// Only list which failure modes have a test
    #[arg(long)]
    coverage: bool,
}

/// The database behind the program. One file serves one node; several nodes share a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Store {
    /// One file, one node
    Sqlite,
    /// A private server, which this program starts and stops
    Postgres,
}

/// What a run is, as far as its rounds can be compared.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Plan {
    strike: Strike,
    /// Strikes, or unclear writes, in all.
    points: u32,
    round: u32,
    seed: u64,
    #[serde(default)]
    crm: CrmVendor,
    #[serde(default)]
    object: CrmObject,
    store: Store,
    rate: f64,
    gap: f64,
}

impl Faults {
    fn plan(&self) -> Option<Plan> {
        let what = [
            (Strike::Kill, self.what.points),
            (Strike::Pause, self.what.pause),
            (Strike::PowerCut, self.what.cuts),
            (Strike::LostAnswers, self.what.lost),
            (Strike::Nodes, self.what.nodes),
        ];
        let (strike, points) = what.into_iter().find_map(|(strike, points)| Some((strike, points?)))?;
        let (round, seed, crm, store) = (self.round.max(1), self.seed, self.crm, self.store);
        Some(Plan {
            strike,
            points,
            round,
            seed,
            crm,
            object: self.object,
            store,
            rate: self.rate,
            gap: self.gap,
        })
    }
}

/// Runs what is missing, and says how it ended; an error if any rule was broken.
pub(crate) async fn run(args: Faults) -> anyhow::Result<()> {
    let Some(plan) = args.plan() else {
        return coverage::run();
    };
    let cluster = cluster(&plan)?;
    let started = std::time::Instant::now();
    let mut record = Record::open(args.report.as_deref(), plan.clone())?;
    while record.points() < plan.points {
        if args.minutes.is_some_and(|minutes| started.elapsed().as_secs() >= minutes * 60) {
            progress("the time is over; run it again with the same report to go on");
            break;
        }
        let number = record.next_round();
        // Unclear writes can only be aimed at: the last round of such a run is a whole one.
        let left =
            if plan.strike == Strike::LostAnswers { plan.round } else { plan.points - record.points() };
        let points = plan.round.min(left);
        let finished = round::run(&args, &plan, cluster.as_ref(), number, points)
            .await
            .with_context(|| format!("round {number} (seed {})", plan.seed + u64::from(number)))?;
        record.add(finished)?;
    }
    crate::report::print(&record.report(), None)?;
    anyhow::ensure!(record.holds(), "a rule was broken or a round got stuck; see the report");
    Ok(())
}

/// The server, if the plan needs one.
fn cluster(plan: &Plan) -> anyhow::Result<Option<Cluster>> {
    match (plan.store, plan.strike) {
        (Store::Sqlite, Strike::Nodes) => anyhow::bail!("one file serves one node; add `--store postgres`"),
        (Store::Postgres, Strike::PowerCut) => {
            anyhow::bail!("what a server forgets is its own affair; power cuts are for `--store sqlite`")
        }
        (Store::Sqlite, _) => Ok(None),
        (Store::Postgres, _) => {
            Ok(Some(Cluster::start().context("install Postgres, as `apt-get install postgresql` does")?))
        }
    }
}
