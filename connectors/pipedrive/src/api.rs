//! Paths, costs and requests of Pipedrive's two API versions. Costs are those of the official documents (`x-token-cost`).

use http::Method;
use jiff::Timestamp;
use serde_json::Value;
use usher_connector::{Access, CallLane, Fault, Request};

use crate::wire::{self, Next};

pub(crate) const PERSONS: &str = "persons";
pub(crate) const ORGANIZATIONS: &str = "organizations";
pub(crate) const DEALS: &str = "deals";
pub(crate) const LEADS: &str = "leads";
pub(crate) const ACTIVITIES: &str = "activities";
pub(crate) const NOTES: &str = "notes";

/// Rows per page; the vendor's maximum.
pub(crate) const PAGE: usize = 500;
/// Ids that one list may name.
pub(crate) const IDS: usize = 100;

/// Limit of all calls of a token in two seconds.
pub(crate) const BURST: &str = "burst";
/// Limit of searches of a token in two seconds; they count as calls too.
pub(crate) const SEARCH: &str = "search";
/// The company's budget of a day.
pub(crate) const TOKENS: &str = "tokens";

/// Rows of a page by offset that were on the page before, far fewer than a page has.
const OVERLAP: u64 = 20;

const CALL: &[&str] = &[BURST, TOKENS];
const SEARCH_CALL: &[&str] = &[BURST, SEARCH, TOKENS];

/// `/api/v2/<rest>`.
fn v2(rest: &str) -> String {
    format!("/api/v2/{rest}")
}

/// `/v1/<rest>`: leads, users, webhooks and changelogs have no place in v2.
fn v1(rest: &str) -> String {
    format!("/v1/{rest}")
}

fn get(path: String, cost: u32, lane: CallLane) -> Request {
    Request::get(path).lane(lane).limits(CALL).cost(cost)
}

fn write(method: Method, path: String, cost: u32) -> Request {
    Request::new(method, path, Access::Write).limits(CALL).cost(cost)
}

/// One object by id. A deleted one is shown for 30 days, with `is_deleted`.
pub(crate) fn one(objects: &str, id: &str, lane: CallLane) -> Request {
    match objects {
        LEADS => get(v1(&format!("{LEADS}/{id}")), 2, lane),
        _ => get(v2(&format!("{objects}/{id}")), 1, lane),
    }
}

/// The living objects of these ids.
pub(crate) fn several(objects: &str, ids: &[&str], lane: CallLane) -> Request {
    list(objects, lane).query("ids", ids.join(","))
}

/// A page of living objects of v2.
pub(crate) fn list(objects: &str, lane: CallLane) -> Request {
    get(v2(objects), 10, lane).query("limit", PAGE.to_string())
}

/// A page of a list of v1: leads that are not archived, or notes.
pub(crate) fn old_list(objects: &str, lane: CallLane) -> Request {
    get(v1(objects), 20, lane).query("limit", PAGE.to_string())
}

/// A page of leads that are not archived.
pub(crate) fn leads(lane: CallLane) -> Request {
    old_list(LEADS, lane)
}

/// A page of a person's leads or deals. Those that somebody archived are a list of their own.
pub(crate) fn of_person(objects: &str, person: &str, archived: bool) -> Request {
    let request = match (objects, archived) {
        (LEADS, false) => leads(CallLane::Verify),
        (LEADS, true) => get(v1("leads/archived"), 40, CallLane::Verify).query("limit", PAGE.to_string()),
        (_, false) => list(objects, CallLane::Verify),
        (_, true) => {
            get(v2(&format!("{objects}/archived")), 20, CallLane::Verify).query("limit", PAGE.to_string())
        }
    };
    request.query("person_id", person)
}

/// A page of a person's open leads or deals, the youngest first.
pub(crate) fn youngest_of_person(objects: &str, person: &str) -> Request {
    let request = match objects {
        LEADS => leads(CallLane::Write).query("sort", "add_time DESC"),
        _ => list(objects, CallLane::Write)
            .query("status", "open")
            .query("sort_by", "add_time")
            .query("sort_direction", "desc"),
    };
    request.query("person_id", person)
}

/// A search for a whole value; never a proof that something is not there, since its index may lag.
pub(crate) fn search(objects: &str, field: &str, term: &str, lane: CallLane) -> Request {
    let path = v2(&format!("{objects}/search"));
    get(path, 20, lane)
        .limits(SEARCH_CALL)
        .query("fields", field)
        .query("exact_match", "true")
        .query("term", term)
}

/// A page of the definitions of an object's fields; leads take the deals'.
pub(crate) fn fields(objects: &str, cursor: Option<&str>, lane: CallLane) -> Request {
    let path = match objects {
        PERSONS => "personFields",
        ORGANIZATIONS => "organizationFields",
        _ => "dealFields",
    };
    after(get(v2(path), 10, lane).query("limit", PAGE.to_string()), cursor)
}

/// Every user, gone ones too.
pub(crate) fn users() -> Request {
    get(v1("users"), 20, CallLane::Refresh)
}

/// The user of the token.
pub(crate) fn me(lane: CallLane) -> Request {
    get(v1("users/me"), 2, lane)
}

/// A page of what changed in a person or deal, the newest first.
pub(crate) fn changelog(objects: &str, id: &str) -> Request {
    get(v1(&format!("{objects}/{id}/changelog")), 20, CallLane::Refresh).query("limit", PAGE.to_string())
}

pub(crate) fn create(objects: &str, body: &Value) -> Result<Request, Fault> {
    let request = match objects {
        LEADS => write(Method::POST, v1(LEADS), 10),
        _ => write(Method::POST, v2(objects), 5),
    };
    request.json(body)
}

pub(crate) fn change(objects: &str, id: &str, body: &Value) -> Result<Request, Fault> {
    let request = match objects {
        LEADS => write(Method::PATCH, v1(&format!("{LEADS}/{id}")), 10),
        _ => write(Method::PATCH, v2(&format!("{objects}/{id}")), 5),
    };
    request.json(body)
}

pub(crate) fn delete(objects: &str, id: &str) -> Request {
    match objects {
        LEADS => write(Method::DELETE, v1(&format!("{LEADS}/{id}")), 6),
        _ => write(Method::DELETE, v2(&format!("{objects}/{id}")), 3),
    }
}

/// Every webhook that the token's user may see.
pub(crate) fn webhooks() -> Request {
    get(v1("webhooks"), 10, CallLane::Refresh)
}

pub(crate) fn create_webhook(body: &Value) -> Result<Request, Fault> {
    Ok(write(Method::POST, v1("webhooks"), 10).json(body)?.lane(CallLane::Refresh))
}

pub(crate) fn delete_webhook(id: u64) -> Request {
    write(Method::DELETE, v1(&format!("webhooks/{id}")), 6).lane(CallLane::Refresh)
}

/// The next page of a list of v2.
pub(crate) fn after(request: Request, cursor: Option<&str>) -> Request {
    match cursor {
        Some(cursor) => request.query("cursor", cursor),
        None => request,
    }
}

/// The page that begins there, whichever version it is of. By offset it begins a little earlier: what was archived,
/// converted or changed since the page before has moved the others up, and they would never be listed.
pub(crate) fn behind(request: Request, next: Option<&Next>) -> Request {
    match next {
        None => request,
        Some(Next::Cursor(cursor)) => after(request, Some(cursor)),
        Some(Next::Start(start)) => request.query("start", start.saturating_sub(OVERLAP).to_string()),
    }
}

/// A time as filters take it: whole seconds, rounded down. Fractions are refused.
pub(crate) fn second(at: Timestamp) -> String {
    wire::second(at).to_string()
}
