//! `usher status`: counts that add up, what waits, and what is wrong.

use std::collections::BTreeMap;

use clap::Args;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use usher_connector::LimitStanding;
use usher_engine::settings::Settings;
use usher_model::{ConnectionName, TokenRow};
use usher_store::{
    Alert, ConnectionStatus, Counts, Discrepancy, HookTally, NodeStatus, Recount, Responses, RestingEndpoint,
    Store, StoreError, Trouble,
};

use crate::cli::{Common, Outcome, capabilities, touches};
use crate::output;
use crate::setup::{self, Access};

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
        return capabilities::run(common, &loaded).await;
    }
    let store = setup::open_store(&loaded.settings, Access::Command).await?;
    let usual = loaded.settings.mode.as_str();
    let (status, now) = (Summary::read(&*store, usual).await?, crate::daemon::now());
    store.close().await?;
    if common.json {
        output::json(&status.json(now));
    } else {
        for line in status.lines(&loaded.settings, now) {
            output::data(&line);
        }
    }
    Ok(())
}

/// Everything that there is to say, as the storage has it at one moment.
struct Summary {
    mode: &'static str,
    paused: Option<(Timestamp, String)>,
    nodes: Vec<NodeStatus>,
    counts: Counts,
    discrepancies: Vec<Discrepancy>,
    connections: Vec<ConnectionStatus>,
    troubles: Vec<Trouble>,
    resting: Vec<RestingEndpoint>,
    /// As the daemon stored it last.
    quotas: Vec<(ConnectionName, Vec<LimitStanding>)>,
    recounts: Vec<Recount>,
    hooks: Vec<(ConnectionName, HookTally)>,
    tokens: Vec<TokenRow>,
    alerts: Vec<Alert>,
    /// How soon the leads of a week were touched.
    responses: Responses,
}

impl Summary {
    async fn read(store: &dyn Store, usual: &'static str) -> Result<Self, StoreError> {
        let mut alerts = store.alerts().await?;
        alerts.retain(|alert| alert.ended_at.is_none());
        Ok(Self {
            mode: store.mode().await?.map_or(usual, |mode| mode.as_str()),
            paused: store.paused().await?,
            nodes: store.nodes().await?,
            counts: store.counts().await?,
            discrepancies: store.discrepancies().await?,
            connections: store.connections().await?,
            troubles: store.troubles().await?,
            resting: store.resting().await?,
            quotas: quotas(store.quotas().await?),
            recounts: store.recounts().await?,
            hooks: store.hook_tallies().await?,
            tokens: store.tokens().await?,
            alerts,
            responses: store.responses(week_ago()).await?,
        })
    }

    fn lines(&self, settings: &Settings, now: Timestamp) -> Vec<String> {
        let mut lines = vec![format!("mode: {}", self.mode)];
        lines.extend(self.paused.as_ref().map(|(since, reason)| format!("PAUSED since {since}: {reason}")));
        let alerts = self.alerts.iter();
        lines.extend(alerts.map(|alert| format!("ALERT since {}: {}", alert.raised_at, alert.problem)));
        lines.extend(self.nodes.iter().map(node_line));
        for connection in &self.connections {
            let held = connection.held.as_ref();
            let held = held.map(|(since, reason)| format!("  HELD since {since}: {reason}"));
            let seen = connection.seen;
            lines.push(format!("{}: {seen} records seen{}", connection.name, held.unwrap_or_default()));
            let settings = settings.connections.iter().find(|settings| settings.name == connection.name);
            let token = settings.and_then(|of| crate::tokens::describe(of, &self.tokens, now));
            let further = token.into_iter().chain(self.about(&connection.name, now));
            lines.extend(further.map(|line| format!("  {line}")));
        }
        lines.push(group("records", &self.counts.records));
        lines.push(group("ignored", &self.counts.ignored));
        lines.push(group("leads", &self.counts.leads));
        lines.push(group("writes", &self.counts.effects));
        let wrong = self.discrepancies.iter();
        lines.extend(wrong.map(|found| format!("DOES NOT ADD UP: {} ({})", found.what, found.rows)));
        if self.discrepancies.is_empty() {
            lines.push("the counts add up".to_owned());
        }
        let responses = touches::response_line(&self.responses);
        lines.extend(responses.filter(|_| touches::are_watched(settings)));
        lines.push(format!("oldest undecided: {}", age(self.counts.oldest_undecided, now)));
        lines.push(format!("oldest unwritten: {}", age(self.counts.oldest_unwritten, now)));
        lines
    }

    /// What is right and wrong with a connection's streams and webhooks.
    fn about(&self, connection: &ConnectionName, now: Timestamp) -> Vec<String> {
        let troubles = self.troubles.iter().filter(|trouble| trouble.connection == *connection);
        let mut lines: Vec<String> = troubles
            .map(|trouble| format!("DEGRADED {} since {}: {}", trouble.topic, trouble.since, trouble.problem))
            .collect();
        let resting = self.resting.iter().filter(|endpoint| endpoint.connection == *connection);
        lines.extend(resting.map(|endpoint| {
            let RestingEndpoint { direction, since, probe_at, problem, .. } = endpoint;
            format!("RESTS from {} since {since}: {problem}; asked again at {probe_at}", direction.doing())
        }));
        let pauses = self.pauses(now).filter(|(name, ..)| *name == connection);
        lines.extend(pauses.map(|(_, limit, until)| {
            format!("the limit `{limit}` is used up; the vendor wants no call before {until}")
        }));
        for (_, hook) in self.hooks.iter().filter(|(name, hook)| name == connection && hook.refused > 0) {
            let last = hook.last_refused.as_ref().map(|(at, reason)| format!(", last at {at}: {reason}"));
            lines.push(format!("{} webhooks refused{}", hook.refused, last.unwrap_or_default()));
        }
        let recounts = self.recounts.iter().filter(|recount| recount.connection == *connection);
        lines.extend(recounts.map(|recount| {
            let Recount { stream, at, seen, missed, gone, .. } = recount;
            format!("{stream}: {seen} rows counted at {at}, {missed} had been missed and are stored now, {gone} gone")
        }));
        lines
    }

    /// Connection, limit and end of every pause that a vendor asked for.
    fn pauses(&self, now: Timestamp) -> impl Iterator<Item = (&ConnectionName, &str, Timestamp)> {
        let limits =
            self.quotas.iter().flat_map(|(name, limits)| limits.iter().map(move |limit| (name, limit)));
        limits.filter_map(move |(name, limit)| {
            let until = limit.blocked_until.filter(|until| *until > now)?;
            Some((name, limit.limit.as_str(), until))
        })
    }

    fn json(&self, now: Timestamp) -> Value {
        let counts = &self.counts;
        json!({
            "mode": self.mode, "paused": self.paused,
            "records": counts.records, "ignored": counts.ignored, "leads": counts.leads, "writes": counts.effects,
            "deliveries_waiting": counts.deliveries_waiting, "hints_waiting": counts.hints_waiting,
            "oldest_undecided": counts.oldest_undecided, "oldest_unwritten": counts.oldest_unwritten,
            "first_touch": touches::responses_json(&self.responses),
            "discrepancies": list(&self.discrepancies, |found| json!({ "what": found.what, "rows": found.rows })),
            "nodes": list(&self.nodes, |node| json!({
                "name": node.name, "since": node.since, "alive": node.alive, "leads": node.leads })),
            "connections": list(&self.connections, |each| json!({
                "name": each.name, "started_at": each.started_at, "held": each.held, "seen": each.seen,
                "streams": each.streams })),
            "troubles": list(&self.troubles, |each| json!({
                "connection": each.connection, "topic": each.topic, "since": each.since, "problem": each.problem })),
            "resting": list(&self.resting, |each| json!({
                "connection": each.connection, "direction": each.direction.as_str(), "since": each.since,
                "probe_at": each.probe_at, "problem": each.problem })),
            "vendor_pauses": self.pauses(now).map(|(connection, limit, until)| json!({
                "connection": connection, "limit": limit, "until": until })).collect::<Value>(),
            "recounts": list(&self.recounts, |each| json!({
                "connection": each.connection, "stream": each.stream, "at": each.at, "seen": each.seen,
                "missed": each.missed, "gone": each.gone })),
            "webhooks": list(&self.hooks, |(name, hook)| json!({
                "connection": name, "heard_at": hook.heard_at, "refused": hook.refused,
                "last_refused": hook.last_refused })),
            "tokens": list(&self.tokens, crate::tokens::as_json),
            "alerts": list(&self.alerts, |alert| json!({
                "key": alert.key, "problem": alert.problem, "since": alert.raised_at,
                "told": alert.told.is_some() })),
        })
    }
}

/// What can not be read is left out: it is the daemon's business, which says so.
fn quotas(stored: Vec<(ConnectionName, Value)>) -> Vec<(ConnectionName, Vec<LimitStanding>)> {
    let read = |(name, value)| (name, serde_json::from_value(value).unwrap_or_default());
    stored.into_iter().map(read).collect()
}

fn week_ago() -> Timestamp {
    crate::daemon::now().saturating_sub(SignedDuration::from_hours(7 * 24)).unwrap_or(Timestamp::MIN)
}

fn list<T>(rows: &[T], shape: impl Fn(&T) -> Value) -> Value {
    rows.iter().map(shape).collect()
}

fn node_line(node: &NodeStatus) -> String {
    let does = match (node.leads, node.alive) {
        (true, _) => "leads",
        (false, true) => "lives",
        (false, false) => "is gone",
    };
    format!("node {} {does}, since {}", node.name, node.since)
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
