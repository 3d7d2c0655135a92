//! `usher status`: counts that add up, and what waits.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::json;
use usher_store::{Alert, ConnectionStatus, Counts, Store, StoreError};

use crate::cli::{Common, Outcome};
use crate::output;
use crate::setup::{self, Access};

pub(crate) async fn run(common: &Common) -> Outcome {
    let loaded = setup::load(&common.config)?;
    let store = setup::open_store(&loaded.settings, Access::Command).await?;
    let (counts, connections) = (store.counts().await?, store.connections().await?);
    let (paused, mode) = (store.paused().await?, store.mode().await?);
    let (alerts, discrepancies) = (open_alerts(&*store).await?, store.discrepancies().await?);
    store.close().await?;
    let mode = mode.unwrap_or(loaded.settings.mode).as_str();
    if common.json {
        let mut status = as_json(&counts, &connections, mode, paused.as_ref());
        status["alerts"] = alerts.iter().map(alert_json).collect();
        status["discrepancies"] =
            discrepancies.iter().map(|found| json!({ "what": found.what, "rows": found.rows })).collect();
        output::json(&status);
        return Ok(());
    }
    output::data(&format!("mode: {mode}"));
    if let Some((since, reason)) = &paused {
        output::data(&format!("PAUSED since {since}: {reason}"));
    }
    for alert in &alerts {
        output::data(&format!("ALERT since {}: {}", alert.raised_at, alert.problem));
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
    for found in &discrepancies {
        output::data(&format!("DOES NOT ADD UP: {} ({})", found.what, found.rows));
    }
    if discrepancies.is_empty() {
        output::data("the counts add up");
    }
    let now = crate::daemon::now();
    output::data(&format!("oldest undecided: {}", age(counts.oldest_undecided, now)));
    output::data(&format!("oldest unwritten: {}", age(counts.oldest_unwritten, now)));
    Ok(())
}

async fn open_alerts(store: &dyn Store) -> Result<Vec<Alert>, StoreError> {
    let mut alerts = store.alerts().await?;
    alerts.retain(|alert| alert.ended_at.is_none());
    Ok(alerts)
}

fn alert_json(alert: &Alert) -> serde_json::Value {
    json!({ "key": alert.key, "problem": alert.problem, "since": alert.raised_at, "told": alert.told.is_some() })
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
