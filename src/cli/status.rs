//! `usher status`: counts that add up, and what waits.

use std::collections::BTreeMap;

use clap::Args;
use jiff::Timestamp;
use serde_json::json;
use usher_store::{ConnectionStatus, Counts};

use crate::cli::{Common, Outcome};
use crate::output;
use crate::setup::{self, Access, Loaded};

/// What was seen, decided, written, and what waits
#[derive(Debug, Args)]
pub(crate) struct Status {
    /// Instead: what usher can write at each connection, and how an unclear write is verified
    #[arg(long)]
    capabilities: bool,
}

pub(crate) async fn run(common: &Common, args: &Status) -> Outcome {
    let loaded = setup::load(&common.config)?;
    if args.capabilities {
        return capabilities(common, &loaded);
    }
    let store = setup::open_store(&loaded.settings, Access::Command).await?;
    let (counts, connections) = (store.counts().await?, store.connections().await?);
    let (paused, mode) = (store.paused().await?, store.mode().await?);
    store.close().await?;
    let mode = mode.unwrap_or(loaded.settings.mode).as_str();
    if common.json {
        output::json(&as_json(&counts, &connections, mode, paused.as_ref()));
        return Ok(());
    }
    output::data(&format!("mode: {mode}"));
    if let Some((since, reason)) = &paused {
        output::data(&format!("PAUSED since {since}: {reason}"));
    }
    for connection in &connections {
        let held = connection.held.as_ref().map(|(since, reason)| format!("  HELD since {since}: {reason}"));
        output::data(&format!(
            "{}: {} records seen{}",
            connection.name,
            connection.seen,
            held.unwrap_or_default()
        ));
    }
    output::data(&group("records", &counts.records));
    output::data(&group("ignored", &counts.ignored));
    output::data(&group("leads", &counts.leads));
    output::data(&group("writes", &counts.effects));
    let now = crate::daemon::now();
    output::data(&format!("oldest undecided: {}", age(counts.oldest_undecided, now)));
    output::data(&format!("oldest unwritten: {}", age(counts.oldest_unwritten, now)));
    Ok(())
}

/// What each target can do. Makes no call.
fn capabilities(common: &Common, loaded: &Loaded) -> Outcome {
    let settle = loaded.settings.write.settle.as_secs_f64();
    let (mut rows, mut lines) = (Vec::new(), Vec::new());
    for (name, roles) in setup::roles(loaded)? {
        for each in roles.target.iter().flat_map(|target| target.capabilities()) {
            let (kind, verify) = (each.kind.as_str(), each.verify.as_str());
            rows.push(json!({
                "connection": name, "write": kind, "object": each.object, "max_batch": each.max_batch,
                "keyed": each.keyed, "verified_by": verify, "settle_seconds": settle,
            }));
            let keyed = if each.keyed { "yes" } else { "no" };
            let columns = [name.as_str(), kind, each.object, &each.max_batch.to_string(), keyed, verify];
            lines.push(columns.map(str::to_owned).to_vec());
        }
    }
    if common.json {
        output::json(&rows);
        return Ok(());
    }
    let head = ["connection", "write", "object", "per call", "keyed", "verified by"];
    output::data(&output::table(&head, &lines));
    output::note(&format!(
        "keyed: the vendor itself lets a repeat make nothing new. An unclear write is looked up for {settle} s \
         (write.settle) before it may be sent again"
    ));
    Ok(())
}

fn group(name: &str, counts: &BTreeMap<String, u64>) -> String {
    let sum: u64 = counts.values().sum();
    let some = counts.iter().filter(|(_, count)| **count > 0);
    let parts: Vec<String> = some.map(|(state, count)| format!("{count} {state}")).collect();
    let parts = if parts.is_empty() { String::new() } else { format!(" = {}", parts.join(" + ")) };
    format!("{name}: {sum}{parts}")
}

fn age(since: Option<Timestamp>, now: Timestamp) -> String {
    since.map_or_else(
        || "none".to_owned(),
        |since| format!("{} s ago", now.duration_since(since).as_secs().max(0)),
    )
}

fn as_json(
    counts: &Counts,
    connections: &[ConnectionStatus],
    mode: &str,
    paused: Option<&(Timestamp, String)>,
) -> serde_json::Value {
    let connections: Vec<_> = connections
        .iter()
        .map(|each| json!({ "name": each.name, "started_at": each.started_at, "held": each.held, "seen": each.seen, "streams": each.streams }))
        .collect();
    json!({
        "mode": mode, "paused": paused, "connections": connections,
        "records": counts.records, "ignored": counts.ignored, "leads": counts.leads, "writes": counts.effects,
        "deliveries_waiting": counts.deliveries_waiting, "hints_waiting": counts.hints_waiting,
        "oldest_undecided": counts.oldest_undecided, "oldest_unwritten": counts.oldest_unwritten,
    })
}
