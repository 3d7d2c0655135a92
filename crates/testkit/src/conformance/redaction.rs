//! FM-091 and FM-092: neither a secret nor a person in logs and faults.

use anyhow::ensure;

use super::bench::Bench;
use super::{CANARY, Outcome};

/// Runs last: it reads what all other checks left behind.
pub(super) async fn canary(bench: &Bench) -> Outcome {
    let (log, told) = (bench.log.text(), bench.told());
    if bench.configured.protocol().is_some() {
        ensure!(log.contains("called the vendor"), "the log was not captured");
        ensure!(log.contains("TRACE"), "the libraries' own words were not captured");
    }
    let (_, token) = bench.rig.vendor.clone().unwrap_or_default();
    let secrets = bench.rig.secrets.iter().map(|(_, secret)| secret.as_str());
    for needle in secrets.chain([CANARY, token.as_str()]).filter(|needle| !needle.is_empty()) {
        for (place, text) in [("the log", &log), ("a fault", &told)] {
            let leak = text.lines().find(|line| line.contains(needle));
            ensure!(leak.is_none(), "{place} holds `{needle}`: {}", leak.unwrap_or_default());
        }
    }
    Ok(())
}
