//! `usher status`: counts that add up, and what waits.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::json;
use usher_store::{ConnectionStatus, Counts, NodeStatus};

use crate::cli::{Common, Outcome};
use crate::output;
use crate::setup::{self, Access};

pub(crate) async fn run(common: &Common) -> Outcome {
    let loaded = setup::load(&common.config)?;
    let store = setup::open_store(&loaded.settings, Access::Command).await?;
    let (counts, connections) = (store.counts().await?, store.connections().await?);
    let (paused, mode, nodes) = (store.paused().await?, store.mode().await?, store.nodes().await?);
    store.close().await?;
    let mode = mode.unwrap_or(loaded.settings.mode).as_str();
    if common.json {
        output::json(&as_json(&counts, &connections, mode, paused.as_ref(), &nodes));
        return Ok(());
    }
    output::data(&format!("mode: {mode}"));
    if let Some((since, reason)) = &paused {
        output::data(&format!("PAUSED since {since}: {reason}"));
    }
    for node in &nodes {
        let does = if node.leads {
            "leads"
        } else if node.alive {
            "lives"
        } else {
            "is gone"
        };
        output::data(&format!("node {} {does}, since {}", node.name, node.since));
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
    nodes: &[NodeStatus],
) -> serde_json::Value {
    let connections: Vec<_> = connections
        .iter()
        .map(|each| json!({ "name": each.name, "started_at": each.started_at, "held": each.held, "seen": each.seen, "streams": each.streams }))
        .collect();
    let nodes: Vec<_> = nodes
        .iter()
        .map(|node| json!({ "name": node.name, "since": node.since, "alive": node.alive, "leads": node.leads }))
        .collect();
    json!({
        "mode": mode, "paused": paused, "nodes": nodes, "connections": connections,
        "records": counts.records, "ignored": counts.ignored, "leads": counts.leads, "writes": counts.effects,
        "deliveries_waiting": counts.deliveries_waiting, "hints_waiting": counts.hints_waiting,
        "oldest_undecided": counts.oldest_undecided, "oldest_unwritten": counts.oldest_unwritten,
    })
}
