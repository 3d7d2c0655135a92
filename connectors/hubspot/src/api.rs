//! Paths, limits and requests of HubSpot's dated API.

use http::Method;
use serde_json::{Value, json};
use usher_connector::window::Ask;
use usher_connector::{Access, CallLane, Fault, Request};

/// The dated version of the API that every call uses; supported until about March 2028.
pub(crate) const VERSION: &str = "2026-09";

pub(crate) const CONTACTS: &str = "contacts";
pub(crate) const COMPANIES: &str = "companies";
pub(crate) const LEADS: &str = "leads";
pub(crate) const DEALS: &str = "deals";
pub(crate) const TASKS: &str = "tasks";
pub(crate) const USERS: &str = "users";

/// Inputs per batch call, and rows per list page.
pub(crate) const BATCH: usize = 100;
/// Rows per search page; the vendor's maximum.
pub(crate) const SEARCH_PAGE: usize = 200;
/// Characters that a search body may have.
pub(crate) const SEARCH_BODY: usize = 3_000;

/// Limit per app and ten seconds.
pub(crate) const BURST: &str = "burst";
/// Limit per account and day.
pub(crate) const DAILY: &str = "daily";
/// Limit of the search endpoints per account and second; they do not count against the burst limit.
pub(crate) const SEARCH: &str = "search";

pub(crate) const CALL: &[&str] = &[BURST, DAILY];
const SEARCH_CALL: &[&str] = &[SEARCH, DAILY];

/// `/crm/objects/<version>/<object>`.
pub(crate) fn objects(object: &str) -> String {
    format!("/crm/objects/{VERSION}/{object}")
}

/// The batch verb of an object type: `create`, `update`, `archive`, `read`.
pub(crate) fn batch(object: &str, verb: &str) -> String {
    format!("{}/batch/{verb}", objects(object))
}

/// The batch verb of an association: `read`, `associate/default`.
pub(crate) fn associations(from: &str, to: &str, verb: &str) -> String {
    format!("/crm/associations/{VERSION}/{from}/{to}/batch/{verb}")
}

/// A page of everything, without filter and sorting; no result cap.
pub(crate) fn list(path: String, after: Option<&str>, lane: CallLane) -> Request {
    let request = Request::get(path).query("limit", BATCH.to_string()).lane(lane).limits(CALL);
    match after {
        Some(after) => request.query("after", after),
        None => request,
    }
}

/// Reads by id or by `id_property`. These reads do not pass through the search index: they are strong.
pub(crate) fn read<'a>(
    object: &str,
    ids: impl IntoIterator<Item = &'a str>,
    id_property: Option<&str>,
    properties: &[&str],
    lane: CallLane,
) -> Result<Request, Fault> {
    let inputs: Vec<Value> = ids.into_iter().map(|id| json!({ "id": id })).collect();
    let mut body = json!({ "inputs": inputs, "properties": properties });
    if let Some(id_property) = id_property {
        body["idProperty"] = json!(id_property);
    }
    Ok(Request::new(Method::POST, batch(object, "read"), Access::Read).json(&body)?.lane(lane).limits(CALL))
}

/// Objects per read of a property's history: HubSpot's lists halve to 50 where history is asked for, and batch reads are
/// taken to do so too.
pub(crate) const HISTORY_BATCH: usize = 50;

/// Reads by id what a property is and was, and when, and by whom.
pub(crate) fn read_history(
    object: &str,
    ids: &[&str],
    property: &str,
    lane: CallLane,
) -> Result<Request, Fault> {
    let inputs: Vec<Value> = ids.iter().map(|id| json!({ "id": id })).collect();
    let body = json!({ "inputs": inputs, "properties": [property], "propertiesWithHistory": [property] });
    Ok(Request::new(Method::POST, batch(object, "read"), Access::Read).json(&body)?.lane(lane).limits(CALL))
}

/// A batch call that writes.
pub(crate) fn write(path: &str, inputs: &[&Value]) -> Result<Request, Fault> {
    Ok(Request::new(Method::POST, path, Access::Write).json(&json!({ "inputs": inputs }))?.limits(CALL))
}

/// Which objects are associated; pages of one parent are continued by `after`.
pub(crate) fn read_associations(
    from: &str,
    id: &str,
    to: &str,
    after: Option<&str>,
) -> Result<Request, Fault> {
    let input = match after {
        Some(after) => json!({ "id": id, "after": after }),
        None => json!({ "id": id }),
    };
    let request = Request::new(Method::POST, associations(from, to, "read"), Access::Read);
    Ok(request.json(&json!({ "inputs": [input] }))?.lane(CallLane::Verify).limits(CALL))
}

/// Which objects each of these is associated with: the first page of each.
pub(crate) fn read_many_associations<'a>(
    from: &str,
    ids: impl IntoIterator<Item = &'a str>,
    to: &str,
    lane: CallLane,
) -> Result<Request, Fault> {
    let inputs: Vec<Value> = ids.into_iter().map(|id| json!({ "id": id })).collect();
    let request = Request::new(Method::POST, associations(from, to, "read"), Access::Read);
    Ok(request.json(&json!({ "inputs": inputs }))?.lane(lane).limits(CALL))
}

/// A search; never a proof that something does not exist, since its index lags.
pub(crate) fn search(object: &str, body: &Value, lane: CallLane) -> Result<Request, Fault> {
    let path = format!("{}/search", objects(object));
    Ok(Request::new(Method::POST, path, Access::Read).json(body)?.lane(lane).limits(SEARCH_CALL))
}

/// The search for what has no time to be found by, in the order of ids.
pub(crate) fn search_without(
    object: &str,
    time_property: &str,
    after: Option<&str>,
    properties: &[&str],
    lane: CallLane,
) -> Result<Request, Fault> {
    let mut filters = vec![json!({ "propertyName": time_property, "operator": "NOT_HAS_PROPERTY" })];
    filters.extend(after.map(|id| json!({ "propertyName": "hs_object_id", "operator": "GT", "value": id })));
    let body = json!({
        "filterGroups": [{ "filters": filters }],
        "sorts": [{ "propertyName": "hs_object_id", "direction": "ASCENDING" }],
        "properties": properties,
        "limit": SEARCH_PAGE,
    });
    search(object, &body, lane)
}

/// The search that answers a window's question.
pub(crate) fn search_window(
    object: &str,
    time_property: &str,
    ask: &Ask,
    properties: &[&str],
    lane: CallLane,
) -> Result<Request, Fault> {
    let filter = |property: &str, operator: &str, value: String| json!({ "propertyName": property, "operator": operator, "value": value });
    let between = |from: i64, to: i64| {
        vec![filter(time_property, "GTE", from.to_string()), filter(time_property, "LTE", to.to_string())]
    };
    let (filters, sort) = match ask {
        Ask::Range { from, to } => (between(from.as_millisecond(), to.as_millisecond()), time_property),
        Ask::Ties { at, after } => {
            let mut filters = between(at.as_millisecond(), at.as_millisecond());
            filters.extend(after.as_ref().map(|id| filter("hs_object_id", "GT", id.as_str().to_owned())));
            (filters, "hs_object_id")
        }
    };
    let body = json!({
        "filterGroups": [{ "filters": filters }],
        "sorts": [{ "propertyName": sort, "direction": "ASCENDING" }],
        "properties": properties,
        "limit": SEARCH_PAGE,
    });
    search(object, &body, lane)
}
