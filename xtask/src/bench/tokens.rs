//! `bench tokens`: access tokens that end under many workers, at a vendor that revokes on reuse.

use std::time::Instant;

use anyhow::Context;
use clap::Args;
use serde_json::json;
use usher_connector::Connector as _;
use usher_hubspot::HubSpot;
use usher_testkit::Storm;

use crate::process::Usage;
use crate::report::{print, round};

/// Access tokens that end under many workers, at a vendor that revokes on reuse
#[derive(Debug, Args)]
pub(crate) struct Tokens {
    /// How often the token ends
    #[arg(long, default_value_t = 10_000)]
    expiries: u32,
    /// Callers at the same moment
    #[arg(long, default_value_t = 64)]
    workers: u32,
    /// Nodes, each with a database handle of its own on one file
    #[arg(long, default_value_t = 2)]
    nodes: u32,
}

/// Lets the storm blow and prints what came of it.
pub(crate) async fn run(args: &Tokens) -> anyhow::Result<()> {
    let oauth = HubSpot.manifest().oauth.context("the connector has no OAuth")?;
    let (before, begun) = (Usage::own(), Instant::now());
    let blow = Storm { expiries: args.expiries, workers: args.workers, nodes: args.nodes };
    let wreckage = usher_testkit::storm(oauth, blow).await?;
    print(
        &json!({
            "workers": args.workers, "nodes": args.nodes, "result": wreckage,
            "seconds": round(begun.elapsed().as_secs_f64()), "cpu_seconds": round(Usage::own().cpu() - before.cpu()),
            "measured": "each expiry: the token ends (by time and, every other time, unknown to us), then all workers call at once; \
                         refreshes, reuse and lost connections as the simulator counts them; SQLite with synchronous=FULL",
        }),
        None,
    )
}
