//! `usher status`: counts that add up, and what waits.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::json;
use usher_store::{ConnectionStatus, Counts, NodeStatus, Recount, Store, StoreError};

use crate::cli::{Common, Outcome};
use crate::output;
use crate::setup::{self, Access};

pub(crate) async fn run(common: &Common) -> Outcome {
    let loaded = setup::load(&common.config)?;
    let store = setup::open_store(&loaded.settings, Access::Command).await?;
    let (counts, connections) = (store.counts().await?, store.connections().await?);
    let (paused, mode, nodes) = (store.paused().await?, store.mode().await?, store.nodes().await?);
    let standing = Standing::read(&*store).await?;
    let tokens = store.tokens().await?;
    store.close().await?;
    let mode = mode.unwrap_or(loaded.settings.mode).as_str();
    if common.json {
        let mut shown = as_json(&counts, &connections, mode, paused.as_ref(), &nodes);
        standing.add_to(&mut shown);
        shown["tokens"] = tokens.iter().map(crate::tokens::as_json).collect();
        output::json(&shown);
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
        for line in standing.lines(connection.name.as_str()) {
            output::data(&format!("  {line}"));
        }
    }
    let now = crate::daemon::now();
    for connection in &loaded.settings.connections {
        if let Some(token) = crate::tokens::describe(connection, &tokens, now) {
            output::data(&format!("{}: {token}", connection.name));
        }
    }
    output::data(&group("records", &counts.records));
    output::data(&group("ignored", &counts.ignored));
    output::data(&group("leads", &counts.leads));
    output::data(&group("writes", &counts.effects));
    output::data(&format!("oldest undecided: {}", age(counts.oldest_undecided, now)));
    output::data(&format!("oldest unwritten: {}", age(counts.oldest_unwritten, now)));
    Ok(())
}

/// What is right and wrong with the connections.
struct Standing {
    troubles: Vec<usher_store::Trouble>,
    recounts: Vec<Recount>,
    hooks: Vec<(usher_model::ConnectionName, usher_store::HookTally)>,
}

impl Standing {
    async fn read(store: &dyn Store) -> Result<Self, StoreError> {
        let (troubles, recounts) = (store.troubles().await?, store.recounts().await?);
        Ok(Self { troubles, recounts, hooks: store.hook_tallies().await? })
    }

    /// What there is to say of one connection.
    fn lines(&self, connection: &str) -> Vec<String> {
        let troubles = self.troubles.iter().filter(|trouble| trouble.connection.as_str() == connection);
        let mut lines: Vec<String> = troubles
            .map(|trouble| format!("DEGRADED {} since {}: {}", trouble.topic, trouble.since, trouble.problem))
            .collect();
        for (_, hook) in
            self.hooks.iter().filter(|(name, hook)| name.as_str() == connection && hook.refused > 0)
        {
            let last = hook.last_refused.as_ref().map(|(at, reason)| format!(", last at {at}: {reason}"));
            lines.push(format!("{} webhooks refused{}", hook.refused, last.unwrap_or_default()));
        }
        let recounts = self.recounts.iter().filter(|recount| recount.connection.as_str() == connection);
        lines.extend(recounts.map(|recount| {
            let Recount { stream, at, seen, missed, gone, .. } = recount;
            format!("{stream}: {seen} rows counted at {at}, {missed} had been missed and are stored now, {gone} gone")
        }));
        lines
    }

    fn add_to(&self, shown: &mut serde_json::Value) {
        let troubles = self.troubles.iter().map(|each| {
            json!({ "connection": each.connection, "topic": each.topic, "since": each.since, "problem": each.problem })
        });
        let recounts = self.recounts.iter().map(|each| {
            json!({ "connection": each.connection, "stream": each.stream, "at": each.at, "seen": each.seen,
                "missed": each.missed, "gone": each.gone })
        });
        let hooks = self.hooks.iter().map(|(name, hook)| {
            json!({ "connection": name, "heard_at": hook.heard_at, "refused": hook.refused, "last_refused": hook.last_refused })
        });
        shown["troubles"] = troubles.collect();
        shown["recounts"] = recounts.collect();
        shown["webhooks"] = hooks.collect();
    }
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
