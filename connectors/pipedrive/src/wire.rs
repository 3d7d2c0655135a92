//! Pipedrive's answers, as far as they are read.

use jiff::Timestamp;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use usher_connector::{Fault, FaultClass, Response, Shape};
use usher_model::ExternalId;

/// An object as the API shows it, whole.
pub(crate) type Object = Map<String, Value>;

/// A page of a list, whichever version it comes from.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) rows: Vec<Value>,
    pub(crate) next: Option<Next>,
}

/// Where the next page begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Next {
    /// v2: opaque.
    Cursor(String),
    /// v1: the number of rows before it.
    Start(u64),
}

#[derive(Deserialize)]
struct Body<T> {
    success: bool,
    data: T,
    #[serde(default)]
    additional_data: Option<Additional>,
}

#[derive(Deserialize)]
struct Additional {
    #[serde(default)]
    next_cursor: Option<String>,
    #[serde(default)]
    pagination: Option<Pagination>,
    // The schema of getLeads has them here, its example in `pagination`.
    #[serde(default)]
    more_items_in_collection: bool,
    #[serde(default)]
    next_start: Option<u64>,
    #[serde(default)]
    start: u64,
    #[serde(default)]
    limit: u64,
}

#[derive(Deserialize)]
struct Pagination {
    #[serde(default)]
    more_items_in_collection: bool,
    #[serde(default)]
    next_start: Option<u64>,
    #[serde(default)]
    start: u64,
    #[serde(default)]
    limit: u64,
}

/// The page in an answer. Only what is surely a page may end a list.
pub(crate) fn page(answer: &Response) -> Result<Page, Fault> {
    let body: Body<Vec<Value>> = read(answer)?;
    let Some(told) = body.additional_data else { return Err(unreadable()) };
    let paged = told.pagination.unwrap_or(Pagination {
        more_items_in_collection: told.more_items_in_collection,
        next_start: told.next_start,
        start: told.start,
        limit: told.limit,
    });
    let start = paged.more_items_in_collection.then(|| paged.next_start.unwrap_or(paged.start + paged.limit));
    let next = told.next_cursor.map(Next::Cursor).or(start.map(Next::Start));
    Ok(Page { rows: body.data, next })
}

/// What stands under `data`.
pub(crate) fn data<T: DeserializeOwned>(answer: &Response) -> Result<T, Fault> {
    read(answer).map(|body: Body<T>| body.data)
}

fn read<T: DeserializeOwned>(answer: &Response) -> Result<Body<T>, Fault> {
    match serde_json::from_slice::<Body<T>>(&answer.body) {
        Ok(body) if body.success => Ok(body),
        Ok(_) => Err(unreadable()),
        Err(error) => Err(unreadable().because(Shape::from(error))),
    }
}

fn unreadable() -> Fault {
    Fault::new(FaultClass::Transient, "Pipedrive's answer does not have the documented shape, or was cut")
}

/// A list whose next page is the page just read.
pub(crate) fn repeats() -> Fault {
    Fault::new(FaultClass::Transient, "Pipedrive's list points back to the page just read")
        .advise("nothing is skipped; if it persists, report it to Pipedrive")
}

/// The id as text: a number, or the UUID of a lead.
pub(crate) fn id(object: &Object) -> Option<String> {
    plain(object.get("id")?)
}

/// The id of another object that a field names; v1 shows some as objects.
pub(crate) fn refers(object: &Object, field: &str) -> Option<String> {
    let value = object.get(field)?;
    plain(value).or_else(|| plain(value.get("id")?))
}

/// The owner; a row without the field does not say whether somebody owns the object.
pub(crate) fn owner(object: &Object) -> Result<Option<ExternalId>, Fault> {
    match object.get("owner_id") {
        Some(_) => Ok(refers(object, "owner_id").map(ExternalId::new)),
        None => {
            let message = "an object in Pipedrive's answer does not show its owner";
            Err(Fault::new(FaultClass::Transient, message))
        }
    }
}

fn plain(value: &Value) -> Option<String> {
    match value {
        Value::String(text) if !text.is_empty() => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// The text of a field; an empty one counts as none.
pub(crate) fn text<'a>(object: &'a Object, field: &str) -> Option<&'a str> {
    object.get(field)?.as_str().filter(|text| !text.is_empty())
}

pub(crate) fn flag(object: &Object, field: &str) -> bool {
    object.get(field).and_then(Value::as_bool).unwrap_or_default()
}

/// The time of a field.
pub(crate) fn time(object: &Object, field: &str) -> Option<Timestamp> {
    instant(text(object, field)?)
}

/// A time as Pipedrive writes it: RFC 3339, or in older parts of v1 a date and a time of UTC with a blank between.
pub(crate) fn instant(text: &str) -> Option<Timestamp> {
    let known = text.parse().ok();
    known.or_else(|| {
        text.parse::<jiff::civil::DateTime>()
            .ok()?
            .to_zoned(jiff::tz::TimeZone::UTC)
            .ok()
            .map(|at| at.timestamp())
    })
}

/// The beginning of its second.
pub(crate) fn second(at: Timestamp) -> Timestamp {
    Timestamp::from_second(at.as_millisecond().div_euclid(1_000)).unwrap_or(at)
}

/// The values of `emails` or `phones`, the primary one first.
pub(crate) fn values<'a>(object: &'a Object, field: &str) -> Vec<&'a str> {
    let rows = object.get(field).and_then(Value::as_array).into_iter().flatten();
    let mut rows: Vec<_> = rows
        .filter_map(|row| Some((row.get("primary") != Some(&Value::Bool(true)), row.get("value")?.as_str()?)))
        .collect();
    rows.sort_by_key(|(behind, _)| *behind);
    rows.into_iter().map(|(_, value)| value).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;
    use usher_testkit::answered;

    #[test]
    fn fm_017_only_a_page_of_the_documented_shape_is_a_page() {
        for bad in [
            json!({}),
            json!([]),
            Value::Null,
            json!("<html>"),
            json!({ "success": true, "data": null }),
            json!({ "success": true, "data": [] }),
            json!({ "success": false, "data": [], "additional_data": { "next_cursor": null } }),
            json!({ "status": "ok", "data": [], "additional_data": { "next_cursor": null } }),
        ] {
            assert_eq!(page(&answered(200, &bad)).unwrap_err().class(), FaultClass::Transient, "{bad}");
        }
        let told = |additional: Value| {
            page(&answered(200, &json!({ "success": true, "data": [1], "additional_data": additional })))
                .unwrap()
                .next
        };
        assert_eq!(told(json!({ "next_cursor": null })), None);
        assert_eq!(told(json!({ "next_cursor": "abc" })), Some(Next::Cursor("abc".to_owned())));
        let paged = json!({ "start": 0, "limit": 500, "more_items_in_collection": true });
        assert_eq!(told(json!({ "pagination": paged })), Some(Next::Start(500)));
        assert_eq!(told(paged), Some(Next::Start(500)));
        assert_eq!(
            told(json!({ "pagination": { "start": 0, "limit": 500, "more_items_in_collection": false } })),
            None
        );
    }

    #[test]
    fn fm_021_times_have_two_known_forms() {
        assert_eq!(instant("2026-11-23T10:00:00Z").unwrap().as_second(), 1_795_428_000);
        assert_eq!(instant("2026-11-23T10:00:00.250Z").unwrap().as_millisecond(), 1_795_428_000_250);
        assert_eq!(instant("2026-11-23 10:00:00").unwrap().as_second(), 1_795_428_000);
        assert_eq!(instant("tomorrow"), None);
    }

    #[test]
    fn the_primary_value_comes_first() {
        let person =
            json!({ "emails": [{ "value": "b", "primary": false }, { "value": "a", "primary": true }, {}] });
        assert_eq!(values(person.as_object().unwrap(), "emails"), ["a", "b"]);
    }
}
