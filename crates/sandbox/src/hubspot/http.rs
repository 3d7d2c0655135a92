//! One HubSpot request from the wire to the answer: authentication, limits, switches, dispatch.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::call::{Call, Reply};
use super::errors::ApiError;
use super::limits::Policy;
use super::oauth_http;
use super::routes::{self, Area};
use super::state::{Grant, Hub, Stamp};
use crate::clock::{Millis, answer_after, iso};
use crate::fate::{Fate, Sky, cut};
use crate::oracle::{Actor, correlation_id};
use crate::serve::{Kill, Wire};
use crate::world::World;

/// A request that will be committed after its client has gone.
#[derive(Debug)]
pub(crate) struct LateCall {
    wire: Wire,
    grant: Grant,
    correlation: u64,
}

/// Answers one request.
pub(crate) async fn answer(world: &Arc<World>, wire: Wire, kill: &Kill) -> Reply {
    let arrived = Instant::now();
    let (reply, fate, hold) = {
        let mut hub = world.hub();
        let now = world.clock.now();
        hub.tick(now);
        let correlation = hub.next();
        let (reply, fate) = if oauth_http::serves(&wire.path) {
            authorization(&mut hub, &wire, now, correlation)
        } else {
            match begin(&mut hub, &wire, now, correlation) {
                Err(refusal) => (finish(refusal, correlation), Fate::default()),
                Ok((grant, fate)) => (execute(&mut hub, wire, grant, now, correlation, &fate), fate),
            }
        };
        let hold = Duration::from_millis(if fate.late { hub.faults.late_commit_hold_ms } else { 0 });
        let latency = hub.faults.latency_ms;
        let wait = fate.wait + Duration::from_millis(hub.dice.span(latency));
        (reply, Fate { wait, ..fate }, hold)
    };
    world.pump();
    let wait = fate.wait + hold;
    answer_after(arrived, wait).await;
    if fate.lose || fate.late {
        kill.now();
    }
    cut(reply, fate.truncate)
}

/// A write may change something; searches and batch reads are POSTs that do not.
fn is_write(wire: &Wire, segments: &[&str]) -> bool {
    wire.method != "GET" && !matches!(segments.last(), Some(&("search" | "read")))
}

/// Token, limits, and the switches that strike before anything is done.
fn begin(hub: &mut Hub, wire: &Wire, now: Millis, correlation: u64) -> Result<(Grant, Fate), Reply> {
    let segments = wire.segments();
    let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
    let search = routes::is_search(&segments);
    hub.oracle.request(if search { "hubspot search" } else { "hubspot request" });
    let grant = authenticate(hub, wire, now, correlation).map_err(|error| refusal(&error))?;
    if let Err(policy) = hub.meter.take(now, search) {
        hub.oracle.request("hubspot 429");
        return Err(throttled(hub, policy));
    }
    if !hub.faults.covers(&wire.path) {
        return Ok((grant, Fate::default()));
    }
    let faults = hub.faults.clone();
    let mut strikes = vec![(faults.throttle_daily, Policy::Daily)];
    strikes.push(if search {
        (faults.throttle_search, Policy::Search)
    } else {
        (faults.throttle_burst, Policy::Burst)
    });
    for (rate, policy) in strikes {
        if hub.fires(rate, policy.fault(), now, correlation) {
            return Err(throttled(hub, policy));
        }
    }
    Ok((grant, weather(hub, is_write(wire, &segments), now, correlation)?))
}

/// A call of the authorization server: no limits, and the same weather. A late commit is a lost answer here.
fn authorization(hub: &mut Hub, wire: &Wire, now: Millis, correlation: u64) -> (Reply, Fate) {
    hub.oracle.request("hubspot oauth");
    let struck = hub.faults.covers(&wire.path);
    let fate =
        if struck { weather(hub, wire.method == "POST", now, correlation) } else { Ok(Fate::default()) };
    match fate {
        Err(reply) => (finish(reply, correlation), Fate::default()),
        Ok(fate) => {
            let reply = oauth_http::answer(hub, wire, now);
            let reply = if fate.gateway_timeout { Reply::html(504, "Gateway timeout") } else { reply };
            (finish(reply, correlation), Fate { late: false, lose: fate.lose || fate.late, ..fate })
        }
    }
}

/// The switches that strike any call.
fn weather(hub: &mut Hub, write: bool, now: Millis, correlation: u64) -> Result<Fate, Reply> {
    let faults = hub.faults.clone();
    let mut sky = Sky { faults: &faults, dice: &mut hub.dice, oracle: &mut hub.oracle, at: now, correlation };
    if let Some(reply) = sky.wall() {
        return Err(reply);
    }
    if sky.fires(faults.locked, "locked") {
        return Err(refusal(&ApiError::new(423, "LOCKED", "The resource is currently locked")));
    }
    if sky.fires(faults.moving, "moving") {
        let error = ApiError::new(477, "MIGRATION_IN_PROGRESS", "The account is being migrated");
        return Err(refusal(&error).header("Retry-After", "1"));
    }
    Ok(sky.fate(write))
}

fn throttled(hub: &Hub, policy: Policy) -> Reply {
    let reply = refusal(&policy.error());
    if policy == Policy::Search { reply } else { hub.meter.headers(reply) }
}

fn authenticate(hub: &mut Hub, wire: &Wire, now: Millis, correlation: u64) -> Result<Grant, ApiError> {
    let token = wire.authorization.as_deref().and_then(|header| {
        let (scheme, token) = header.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
    });
    let grant = token.and_then(|token| hub.grants.iter().find(|grant| grant.token == token)).cloned();
    let grant = grant.ok_or_else(ApiError::unauthenticated)?;
    if grant.family.is_some_and(|family| hub.oauth.is_revoked(family)) {
        return Err(ApiError::unauthenticated());
    }
    if hub.faults.expired_token || grant.is_over(now) {
        hub.oracle.fire(now, "expired_token", correlation);
        return Err(ApiError::expired(&iso(now)));
    }
    Ok(grant)
}

fn refusal(error: &ApiError) -> Reply {
    Reply::json(error.status, &error.body)
}

fn execute(hub: &mut Hub, wire: Wire, grant: Grant, now: Millis, correlation: u64, fate: &Fate) -> Reply {
    if fate.late {
        let due = hub.after(now, hub.faults.late_commit_ms);
        hub.schedule(due, super::later::Later::Commit(Box::new(LateCall { wire, grant, correlation })));
        return Reply::empty(500);
    }
    let search = wire.path.ends_with("/search");
    let reply = perform(hub, &wire, &grant, now, correlation);
    let reply = finish(reply, correlation);
    if fate.gateway_timeout {
        return Reply::html(504, "Gateway timeout");
    }
    if search { reply } else { hub.meter.headers(reply) }
}

fn perform(hub: &mut Hub, wire: &Wire, grant: &Grant, now: Millis, correlation: u64) -> Reply {
    let segments = wire.segments();
    let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
    let Some(route) = routes::route(&segments) else { return refusal(&ApiError::route()) };
    let revoked = hub.faults.revoked_scopes.clone();
    let call = Call {
        version: route.version,
        stamp: Stamp { at: now, actor: Actor::Api(grant.number), correlation },
        grant,
        revoked: &revoked,
        query: &wire.query,
        body: &wire.body,
    };
    let area: Area = route.area;
    match routes::dispatch(hub, &wire.method, area, route.rest, &call) {
        Ok(reply) => reply,
        Err(error) => refusal(&error),
    }
}

/// Commits a late request; nobody reads the answer.
pub(crate) fn commit_late(hub: &mut Hub, at: Millis, late: &LateCall) {
    hub.oracle.request("hubspot late commit");
    perform(hub, &late.wire, &late.grant, at, late.correlation);
}

/// Adds the correlation id to an error's body and to the headers.
fn finish(mut reply: Reply, correlation: u64) -> Reply {
    let id = correlation_id(correlation);
    if reply.status >= 400
        && let Ok(mut body) = serde_json::from_slice::<serde_json::Value>(&reply.body)
        && body.is_object()
    {
        body["correlationId"] = id.clone().into();
        reply.body = serde_json::to_vec(&body).unwrap_or_default();
    }
    reply.header("X-HubSpot-Correlation-Id", id)
}
