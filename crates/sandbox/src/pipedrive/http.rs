//! One Pipedrive request from the wire to the answer: token, limits, switches, endpoint.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::call::{By, Call};
use super::errors::Problem;
use super::later::Later;
use super::limits::{Price, Refusal};
use super::oauth;
use super::routes::{Found, Operation, route};
use super::scopes::opens;
use super::state::{Drive, Token};
use crate::clock::{Millis, answer_after};
use crate::fate::{Fate, Sky, cut};
use crate::oracle::Actor;
use crate::reply::Reply;
use crate::serve::{Kill, Wire};
use crate::world::World;

/// A request that will be committed after its client has gone.
#[derive(Debug)]
pub(crate) struct LateCall {
    wire: Wire,
    token: Token,
    correlation: u64,
}

/// Answers one request.
pub(crate) async fn answer(world: &Arc<World>, wire: Wire, kill: &Kill) -> Reply {
    let arrived = Instant::now();
    let (reply, fate, wait) = {
        let mut drive = world.drive();
        let now = world.clock.now();
        drive.tick(now);
        let correlation = drive.next();
        let (reply, fate) = if oauth::serves(&wire.path) {
            authorization(&mut drive, &wire, now, correlation)
        } else {
            handle(&mut drive, wire, now, correlation)
        };
        let hold = if fate.late { drive.faults.late_commit_hold_ms } else { 0 };
        let latency = drive.faults.latency_ms;
        let wait = fate.wait + Duration::from_millis(hold + drive.dice.span(latency));
        (reply, fate, wait)
    };
    world.pump();
    answer_after(arrived, wait).await;
    if fate.lose || fate.late {
        kill.now();
    }
    cut(reply, fate.truncate)
}

fn handle(drive: &mut Drive, wire: Wire, now: Millis, correlation: u64) -> (Reply, Fate) {
    let token = match authenticate(drive, &wire, now, correlation) {
        Ok(token) => token,
        Err(problem) => return (problem.reply(), Fate::default()),
    };
    let price = price(&wire);
    drive.oracle.request(if price.search { "pipedrive search" } else { "pipedrive request" });
    let (reply, struck, fate) = match begin(drive, &wire, &token, price, (now, correlation)) {
        Err(Stop::Reply(reply)) => (reply, None, Fate::default()),
        Err(Stop::Struck(refusal)) => (refusal.reply(), Some(refusal), Fate::default()),
        Ok(fate) => (execute(drive, wire, token.clone(), (now, correlation), &fate), None, fate),
    };
    // A gateway knows nothing of limits.
    let reply = if reply.status >= 500 {
        reply
    } else {
        drive.meter.headers(reply, now, &token, price.search, struck)
    };
    (reply, fate)
}

/// A call of the authorization server: no limits, and the same weather. A late commit is a lost answer here.
fn authorization(drive: &mut Drive, wire: &Wire, now: Millis, correlation: u64) -> (Reply, Fate) {
    drive.oracle.request("pipedrive oauth");
    let mut fate = Fate::default();
    if drive.faults.covers(&wire.path) {
        let faults = drive.faults.clone();
        let (dice, oracle) = (&mut drive.dice, &mut drive.oracle);
        let mut sky = Sky { faults: &faults, dice, oracle, at: now, correlation };
        if let Some(reply) = sky.wall() {
            return (reply, fate);
        }
        fate = sky.fate(wire.method == "POST");
    }
    let reply = oauth::answer(drive, wire, now);
    let reply = if fate.gateway_timeout { Reply::html(504, "Gateway timeout") } else { reply };
    (reply, Fate { late: false, lose: fate.lose || fate.late, ..fate })
}

fn find(wire: &Wire) -> Option<&'static Operation> {
    let segments = wire.segments();
    let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
    match route(&wire.method, &segments) {
        Found::Operation(operation, _) => Some(operation),
        Found::OtherMethod | Found::Nothing => None,
    }
}

fn price(wire: &Wire) -> Price {
    let operation = find(wire);
    Price {
        tokens: operation.map_or(0, |operation| operation.cost),
        search: operation.is_some_and(|operation| operation.search),
        counts_as_write: matches!(wire.method.as_str(), "POST" | "PUT"),
    }
}

/// API tokens come in `x-api-token` or as `api_token` in the query, those of OAuth as Bearer
/// (API-FACTS Pipedrive; security schemes of the v2 document).
fn authenticate(drive: &mut Drive, wire: &Wire, now: Millis, correlation: u64) -> Result<Token, Problem> {
    let query = || wire.query.iter().find(|(name, _)| name == "api_token").map(|(_, value)| value.as_str());
    let key = wire.api_token.as_deref().or_else(query);
    let bearer = wire.authorization.as_deref().and_then(|header| {
        let (scheme, token) = header.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
    });
    let (sent, oauth) = match (key, bearer) {
        (Some(key), _) => (key, false),
        (None, Some(bearer)) => (bearer, true),
        (None, None) => return Err(Problem::unauthorized()),
    };
    let known = drive.tokens.iter().find(|token| token.token == sent && token.oauth == oauth);
    let token = known.cloned().ok_or_else(Problem::unauthorized)?;
    if drive.faults.expired_token || token.expired || token.until.is_some_and(|until| until <= now) {
        drive.oracle.fire(now, "expired_token", correlation);
        return Err(Problem::unauthorized());
    }
    Ok(token)
}

/// Why a call comes to nothing.
enum Stop {
    Reply(Reply),
    /// A switch, whose limit shows as used up.
    Struck(Refusal),
}

/// Limits, scopes, and the switches that strike before anything is done.
fn begin(
    drive: &mut Drive,
    wire: &Wire,
    token: &Token,
    price: Price,
    (now, correlation): (Millis, u64),
) -> Result<Fate, Stop> {
    if let Err(refusal) = drive.meter.take(now, token, price) {
        drive.oracle.request(if refusal == Refusal::Blocked {
            "pipedrive 403 page"
        } else {
            "pipedrive 429"
        });
        return Err(Stop::Reply(refusal.reply()));
    }
    let revoked = &drive.faults.revoked_scopes;
    if token.oauth && find(wire).is_some_and(|operation| !opens(&token.granted, revoked, operation)) {
        return Err(Stop::Reply(Problem::scope().reply()));
    }
    if !drive.faults.covers(&wire.path) {
        return Ok(Fate::default());
    }
    let faults = drive.faults.clone();
    let (dice, oracle) = (&mut drive.dice, &mut drive.oracle);
    let mut sky = Sky { faults: &faults, dice, oracle, at: now, correlation };
    if sky.fires(faults.throttle_daily, "throttle_daily") {
        return Err(Stop::Struck(Refusal::Daily));
    }
    if price.search && sky.fires(faults.throttle_search, "throttle_search") {
        return Err(Stop::Struck(Refusal::Search));
    }
    if !price.search && sky.fires(faults.throttle_burst, "throttle_burst") {
        return Err(Stop::Struck(Refusal::Burst));
    }
    if sky.fires(faults.blocked, "blocked") {
        return Err(Stop::Struck(Refusal::Blocked));
    }
    if sky.fires(faults.unpaid, "unpaid") {
        let problem =
            Problem::new(402, "Company account is not open (possible reason: payment info missing)");
        return Err(Stop::Reply(problem.reply()));
    }
    match sky.wall() {
        Some(reply) => Err(Stop::Reply(reply)),
        None => Ok(sky.fate(wire.method != "GET")),
    }
}

fn execute(drive: &mut Drive, wire: Wire, token: Token, at: (Millis, u64), fate: &Fate) -> Reply {
    let (now, correlation) = at;
    if fate.late {
        let due = drive.after(now, drive.faults.late_commit_ms);
        drive.schedule(due, Later::Commit(Box::new(LateCall { wire, token, correlation })));
        return Reply::empty(500);
    }
    let reply = perform(drive, &wire, &token, now, correlation);
    if fate.gateway_timeout { Reply::html(504, "Gateway timeout") } else { reply }
}

fn perform(drive: &mut Drive, wire: &Wire, token: &Token, now: Millis, correlation: u64) -> Reply {
    let segments = wire.segments();
    let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
    let by = By { at: now, actor: Actor::Api(token.number), user: token.user, correlation };
    let answer = match route(&wire.method, &segments) {
        Found::Operation(operation, id) => {
            (operation.run)(drive, &Call { by, id, query: &wire.query, body: &wire.body })
        }
        Found::OtherMethod => Err(Problem::new(405, "Method not allowed")),
        Found::Nothing => Err(Problem::new(404, "Unknown method .")),
    };
    answer.unwrap_or_else(|problem| problem.reply())
}

/// Commits a late request; nobody reads the answer.
pub(crate) fn commit_late(drive: &mut Drive, at: Millis, late: &LateCall) {
    drive.oracle.request("pipedrive late commit");
    perform(drive, &late.wire, &late.token, at, late.correlation);
}
