//! The report file: the plan, every finished round, and their sums. An aborted run goes on from it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Plan;
use super::strike::Struck;
use crate::report::{percentile, round};

/// A finished round.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Round {
    pub(super) number: u32,
    pub(super) seed: u64,
    /// Strikes, or unclear writes: what the plan counts.
    pub(super) points: u32,
    pub(super) struck: Struck,
    /// Figures that may be added up over rounds.
    pub(super) counts: BTreeMap<String, i64>,
    /// Share of the vendors' calls that were disturbed.
    pub(super) disturbed: f64,
    /// Seconds: load, and from its end until everything was at rest.
    pub(super) seconds: [f64; 2],
    /// The hungriest process, MiB.
    pub(super) peak_mib: u64,
    /// Did not come to rest.
    pub(super) stuck: bool,
    /// Rules that did not hold, as the checker tells them, with the strike after which it did.
    pub(super) broken: Vec<Value>,
}

/// The plan and what is done of it.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Record {
    plan: Plan,
    rounds: Vec<Round>,
    #[serde(skip)]
    file: Option<PathBuf>,
}

impl Record {
    /// Opens the report of an aborted run, or begins one.
    pub(super) fn open(file: Option<&Path>, plan: Plan) -> anyhow::Result<Self> {
        let mut record = match file.filter(|file| file.exists()) {
            Some(file) => {
                let text = fs::read_to_string(file).context("reading the report")?;
                serde_json::from_str(&text).context("this is no report of a fault run; name another file")?
            }
            None => Self { plan: plan.clone(), rounds: Vec::new(), file: None },
        };
        let same = Plan { points: plan.points, ..record.plan } == plan;
        anyhow::ensure!(same, "the report is of a run with other settings; name another file");
        record.plan = plan;
        record.file = file.map(Path::to_owned);
        Ok(record)
    }

    /// What is done, in the plan's measure.
    pub(super) fn points(&self) -> u32 {
        self.rounds.iter().map(|round| round.points).sum()
    }

    pub(super) fn next_round(&self) -> u32 {
        self.rounds.last().map_or(0, |round| round.number + 1)
    }

    /// Adds a finished round and writes the file: the old one stays until the new one is whole.
    pub(super) fn add(&mut self, round: Round) -> anyhow::Result<()> {
        self.rounds.push(round);
        let Some(file) = &self.file else { return Ok(()) };
        let fresh = file.with_extension("new");
        fs::write(&fresh, serde_json::to_string_pretty(&self.report())?).context("writing the report")?;
        fs::rename(&fresh, file).context("replacing the report")
    }

    /// Whether every rule held in every round.
    pub(super) fn holds(&self) -> bool {
        self.rounds.iter().all(|round| round.broken.is_empty() && !round.stuck)
    }

    /// The whole report.
    pub(super) fn report(&self) -> Value {
        let mut counts: BTreeMap<&str, i64> = BTreeMap::new();
        for (name, count) in self.rounds.iter().flat_map(|round| &round.counts) {
            *counts.entry(name).or_default() += count;
        }
        let sum = |of: fn(&Round) -> f64| self.rounds.iter().map(of).sum::<f64>();
        let load = sum(|round| round.seconds[0]);
        json!({
            "plan": self.plan,
            "total": {
                "points": self.points(), "rounds": self.rounds.len(),
                "broken": self.rounds.iter().map(|round| round.broken.len()).sum::<usize>(),
                "stuck": self.rounds.iter().filter(|round| round.stuck).count(),
                "unsynced_writes_forgotten_or_torn": self.rounds.iter().map(|round| round.struck.unsynced).sum::<usize>(),
                "disturbed": round(sum(|round| round.disturbed) / self.rounds.len().max(1) as f64),
                "people_per_second": round(counts.get("people").copied().unwrap_or_default() as f64 / load.max(0.001)),
                "seconds": { "load": round(load), "to_rest": round(sum(|round| round.seconds[1])) },
                "takeover_seconds": takeovers(&self.rounds),
                "peak_mib": self.rounds.iter().map(|round| round.peak_mib).max(),
                "counts": counts,
            },
            "rounds": self.rounds,
        })
    }
}

/// Seconds from a blow at the leader until another node led; nothing if no node was struck.
fn takeovers(rounds: &[Round]) -> Value {
    let all = rounds.iter().flat_map(|round| &round.struck.takeovers);
    let mut all: Vec<u64> = all.map(|seconds| (seconds * 1000.0) as u64).collect();
    if all.is_empty() {
        return Value::Null;
    }
    all.sort_unstable();
    let at = |percent| round(percentile(&all, percent) as f64 / 1000.0);
    json!({ "count": all.len(), "p50": at(50), "p99": at(99), "max": at(100) })
}
