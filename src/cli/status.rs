//! `usher status`: counts that add up, and what waits.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Value, json};
use usher_connector::LimitStanding;
use usher_model::ConnectionName;
use usher_store::{ConnectionStatus, Counts, RestingEndpoint};

use crate::cli::{Common, Outcome};
use crate::output;
use crate::setup::{self, Access};

pub(crate) async fn run(common: &Common) -> Outcome {
    let loaded = setup::load(&common.config)?;
    let store = setup::open_store(&loaded.settings, Access::Command).await?;
    let (counts, connections) = (store.counts().await?, store.connections().await?);
    let (paused, mode) = (store.paused().await?, store.mode().await?);
    let (resting, quotas) = (store.resting().await?, store.quotas().await?);
    store.close().await?;
    let mode = mode.unwrap_or(loaded.settings.mode).as_str();
    let now = crate::daemon::now();
    let pauses = pauses(quotas, now);
    if common.json {
        let mut status = as_json(&counts, &connections, mode, paused.as_ref());
        status["resting"] = resting.iter().map(rest_json).collect();
        status["vendor_pauses"] = json!(pauses);
        output::json(&status);
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
    for endpoint in &resting {
        let (name, direction, since) = (&endpoint.connection, endpoint.direction.as_str(), endpoint.since);
        let (problem, again) = (&endpoint.problem, endpoint.probe_at);
        output::data(&format!("{name}: {direction} RESTS since {since}: {problem}; asked again at {again}"));
    }
    for (connection, limit, until) in &pauses {
        output::data(&format!(
            "{connection}: limit `{limit}` is used up; the vendor wants no call before {until}"
        ));
    }
    output::data(&group("records", &counts.records));
    output::data(&group("ignored", &counts.ignored));
    output::data(&group("leads", &counts.leads));
    output::data(&group("writes", &counts.effects));
    output::data(&format!("oldest undecided: {}", age(counts.oldest_undecided, now)));
    output::data(&format!("oldest unwritten: {}", age(counts.oldest_unwritten, now)));
    Ok(())
}

/// Connection, limit and end of every pause that a vendor asked for, as last stored.
fn pauses(quotas: Vec<(ConnectionName, Value)>, now: Timestamp) -> Vec<(ConnectionName, String, Timestamp)> {
    let of = |(connection, value): (ConnectionName, Value)| {
        let limits: Vec<LimitStanding> = serde_json::from_value(value).unwrap_or_default();
        limits.into_iter().filter_map(move |limit| {
            let until = limit.blocked_until.filter(|until| *until > now)?;
            Some((connection.clone(), limit.limit, until))
        })
    };
    quotas.into_iter().flat_map(of).collect()
}

fn rest_json(endpoint: &RestingEndpoint) -> Value {
    json!({ "connection": endpoint.connection, "direction": endpoint.direction.as_str(), "since": endpoint.since,
        "probe_at": endpoint.probe_at, "problem": endpoint.problem })
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
) -> Value {
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
