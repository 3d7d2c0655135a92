//! The search endpoint: body limits, parsing, paging (API-FACTS HubSpot: Search).

use serde::Deserialize;
use serde_json::Value;

use super::call::{Call, Reply};
use super::errors::ApiError;
use super::json::{Want, push_view};
use super::kinds::KINDS;
use super::search_filter::{Cond, Filter, Target};
use super::search_plan::{Sort, run};
use super::state::Hub;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Body {
    #[serde(default)]
    filter_groups: Vec<Group>,
    /// The short form of one group.
    #[serde(default)]
    filters: Vec<Filter>,
    #[serde(default)]
    sorts: Vec<Value>,
    #[serde(default)]
    properties: Vec<String>,
    #[serde(default)]
    query: Option<String>,
    #[serde(default)]
    limit: Option<usize>,
    #[serde(default)]
    after: Option<Value>,
}

#[derive(Debug, Deserialize)]
struct Group {
    #[serde(default)]
    filters: Vec<Filter>,
}

/// A checked search.
#[derive(Debug)]
pub(crate) struct Search {
    /// Groups are OR, the conditions of one are AND; no group matches everything.
    pub(crate) groups: Vec<Vec<Cond>>,
    pub(crate) sort: Sort,
    pub(crate) query: Option<String>,
    pub(crate) offset: usize,
    pub(crate) limit: usize,
}

/// HubSpot docs "Search the CRM": the request body may have 3,000 characters.
const MAX_BODY: usize = 3_000;
const MAX_LIMIT: usize = 200;
const RESULT_CAP: u64 = 10_000;

/// `POST .../{object}/search`.
pub(crate) fn search(hub: &mut Hub, call: &Call<'_>, kind: usize) -> Result<Reply, ApiError> {
    call.need(KINDS[kind].read_scope)?;
    if call.body.len() > MAX_BODY && String::from_utf8_lossy(call.body).chars().count() > MAX_BODY {
        return Err(ApiError::validation("The request body exceeds the maximum of 3000 characters."));
    }
    let body: Body = call.json()?;
    let cap = hub.faults.search_cap.unwrap_or(RESULT_CAP);
    let search = compile(hub, kind, &body)?;
    if (search.offset + search.limit) as u64 > cap {
        return Err(ApiError::validation(format!(
            "Paging beyond {cap} results is not supported for search."
        )));
    }
    let rate = hub.faults.shuffled;
    let untidy = hub.fires(rate, "shuffled", call.stamp.at, call.stamp.correlation);
    let (total, mut ids) = run(&hub.tables[kind], &hub.links, &search);
    let next = search.offset + ids.len();
    if untidy {
        hub.dice.untidy(&mut ids);
    }
    let table = &hub.tables[kind];
    let want = Want::named(table, &body.properties);
    let mut out = String::with_capacity(256 + ids.len() * 1_024);
    out.push_str(&format!("{{\"total\":{total},\"results\":["));
    for (at, view) in ids.iter().filter_map(|id| table.shown(*id)).enumerate() {
        if at > 0 {
            out.push(',');
        }
        push_view(&mut out, &table.registry, view, &want);
    }
    out.push(']');
    if next < total && !ids.is_empty() {
        out.push_str(&format!(
            ",\"paging\":{{\"next\":{{\"after\":\"{next}\",\"link\":\"?after={next}\"}}}}"
        ));
    }
    out.push('}');
    Ok(Reply::bytes(200, out.into_bytes()))
}

fn compile(hub: &Hub, kind: usize, body: &Body) -> Result<Search, ApiError> {
    let mut groups: Vec<&[Filter]> =
        body.filter_groups.iter().map(|group| group.filters.as_slice()).collect();
    if !body.filters.is_empty() {
        groups.push(&body.filters);
    }
    if groups.len() > 5 {
        return Err(ApiError::validation("Exceeded maximum number of filterGroups: 5"));
    }
    if groups.iter().any(|filters| filters.len() > 6) {
        return Err(ApiError::validation("Exceeded maximum number of filters per filterGroup: 6"));
    }
    if groups.iter().map(|filters| filters.len()).sum::<usize>() > 18 {
        return Err(ApiError::validation("Exceeded maximum number of filters: 18"));
    }
    let registry = &hub.tables[kind].registry;
    let mut compiled = Vec::new();
    for filters in groups.into_iter().filter(|filters| !filters.is_empty()) {
        compiled
            .push(filters.iter().map(|filter| Cond::new(registry, filter)).collect::<Result<Vec<_>, _>>()?);
    }
    let limit = body.limit.unwrap_or(10);
    if limit > MAX_LIMIT {
        return Err(ApiError::validation(format!("limit must be at most {MAX_LIMIT}, got {limit}")));
    }
    let offset = match &body.after {
        None | Some(Value::Null) => 0,
        Some(Value::String(text)) if text.is_empty() => 0,
        Some(Value::String(text)) => text.parse().map_err(|_| bad_after(text))?,
        Some(Value::Number(number)) => {
            number.as_u64().map_or(0, |number| usize::try_from(number).unwrap_or(0))
        }
        Some(other) => return Err(bad_after(&other.to_string())),
    };
    let query = body.query.clone().filter(|text| !text.trim().is_empty()).map(|text| text.to_lowercase());
    Ok(Search { groups: compiled, sort: sort(hub, kind, &body.sorts)?, query, offset, limit })
}

fn bad_after(text: &str) -> ApiError {
    ApiError::validation(format!("Invalid after value {text}: it has to be an integer."))
}

fn sort(hub: &Hub, kind: usize, sorts: &[Value]) -> Result<Sort, ApiError> {
    let [first, rest @ ..] = sorts else { return Ok(Sort { by: Target::Created, descending: false }) };
    if !rest.is_empty() {
        return Err(ApiError::validation("Only one sort is supported."));
    }
    let (name, descending) = match first {
        Value::String(text) => match text.strip_prefix('-') {
            Some(name) => (name.to_owned(), true),
            None => (text.clone(), false),
        },
        other => {
            let word = |key: &str| other.get(key).and_then(Value::as_str);
            let name =
                word("propertyName").ok_or_else(|| ApiError::malformed("a sort names no propertyName"))?;
            (name.to_owned(), word("direction") == Some("DESCENDING"))
        }
    };
    Ok(Sort { by: Target::find(&hub.tables[kind].registry, &name)?, descending })
}
