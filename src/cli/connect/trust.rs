//! What a token is worth: the scopes that it lacks, and one call for each role that reads.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value, json};
use usher_connector::{Pull, Scope};
use usher_engine::settings::{ConnectionSettings, Settings};
use usher_model::{Lane, TokenRow};
use usher_store::Store;

use crate::daemon::now;
use crate::failure::Failure;
use crate::setup;

/// One thing that was tried.
pub(super) struct Tried {
    pub(super) what: String,
    pub(super) ok: bool,
    pub(super) detail: String,
}

/// The scopes that the connector can use and the vendor did not grant. Nothing if the vendor does not say what it
/// granted: the calls will tell.
pub(super) fn missing(connection: &ConnectionSettings, granted: &[String]) -> Vec<&'static Scope> {
    let scopes = connection.scopes();
    scopes.filter(|scope| !granted.is_empty() && !granted.iter().any(|name| name == scope.name)).collect()
}

/// Lists owners and reads one step of each stream. Stores nothing.
pub(super) async fn try_out(
    settings: &Settings,
    connection: &ConnectionSettings,
    store: &Arc<dyn Store>,
) -> Result<Vec<Tried>, Failure> {
    let (roles, _) = setup::connect(settings, connection, store)?;
    let mut tried = Vec::new();
    if let Some(directory) = &roles.directory {
        let listed = directory.owners().await.map(|owners| format!("{} listed", owners.len()));
        tried.push(outcome("owners", listed));
    }
    if let Some(source) = &roles.source {
        for stream in source.streams() {
            let lane = if stream.lanes.contains(&Lane::Backfill) { Lane::Backfill } else { Lane::Live };
            let (object, start) = (stream.object.clone(), Timestamp::UNIX_EPOCH);
            let batch = source.pull(&Pull { object, lane, cursor: None, now: now(), start }).await;
            let read = batch.map(|batch| format!("{} read", batch.records.len()));
            tried.push(outcome(stream.object.as_str(), read));
        }
    }
    Ok(tried)
}

fn outcome(what: &str, tried: Result<String, usher_connector::Fault>) -> Tried {
    let (ok, detail) = match tried {
        Ok(detail) => (true, detail),
        Err(fault) => (false, fault.to_string()),
    };
    Tried { what: what.to_owned(), ok, detail }
}

pub(super) fn as_json(
    connection: &ConnectionSettings,
    row: Option<&TokenRow>,
    missing: &[&Scope],
    tried: &[Tried],
) -> Value {
    let missing: Vec<Value> = missing
        .iter()
        .map(|scope| json!({ "scope": scope.name, "role": scope.role.as_str(), "why": scope.why }))
        .collect();
    let tried: Vec<Value> =
        tried.iter().map(|each| json!({ "what": each.what, "ok": each.ok, "detail": each.detail })).collect();
    json!({ "connection": connection.name, "token": row.map(crate::tokens::as_json), "missing": missing, "tried": tried })
}
