//! Skeleton's paths, and the requests that are made of them.
//!
//! Every list is JSON, `{ "rows": […], "more": true }`, of at most a hundred rows. It takes `updated_from` and `updated_to`
//! in milliseconds, both included, and `sort=updated_at` or `sort=id` with `after=<id>`. Lists show a change at once.

#[cfg(feature = "target")]
use http::Method;
#[cfg(feature = "target")]
use serde_json::Value;
#[cfg(feature = "target")]
use usher_connector::Access;
use usher_connector::window::Ask;
use usher_connector::{CallLane, Fault, Http, Request};

use crate::wire::Page;

/// Limit of all calls of a token.
pub(crate) const CALLS: &str = "calls";
/// Rows per page; the vendor's maximum.
const PAGE: usize = 100;
/// Ids that one list may name.
#[cfg(feature = "source")]
pub(crate) const IDS: usize = 100;

/// A page of a list.
pub(crate) fn list(path: &str, lane: CallLane) -> Request {
    Request::get(path).lane(lane).limits(&[CALLS]).query("limit", PAGE.to_string())
}

/// The page that answers a window's question.
pub(crate) fn changed(path: &str, ask: &Ask, lane: CallLane) -> Request {
    let millis = |at: &jiff::Timestamp| at.as_millisecond().to_string();
    match ask {
        Ask::Range { from, to } => list(path, lane)
            .query("updated_from", millis(from))
            .query("updated_to", millis(to))
            .query("sort", "updated_at"),
        Ask::Ties { at, after } => {
            let ties = list(path, lane).query("updated_from", millis(at)).query("updated_to", millis(at));
            behind(ties, after.as_ref().map(|id| id.as_str()))
        }
    }
}

/// The rows behind an id, in the order of ids.
pub(crate) fn behind(list: Request, after: Option<&str>) -> Request {
    let sorted = list.query("sort", "id");
    match after {
        Some(id) => sorted.query("after", id),
        None => sorted,
    }
}

/// Reads a page.
pub(crate) async fn page(http: &dyn Http, request: Request) -> Result<Page, Fault> {
    http.send(request).await?.json()
}

/// One object by id.
#[cfg(feature = "target")]
pub(crate) fn one(path: &str, id: &str, lane: CallLane) -> Request {
    Request::get(format!("{path}/{id}")).lane(lane).limits(&[CALLS])
}

#[cfg(feature = "target")]
pub(crate) fn create(path: &str, body: &Value) -> Result<Request, Fault> {
    Request::new(Method::POST, path, Access::Write).limits(&[CALLS]).json(body)
}

#[cfg(feature = "target")]
pub(crate) fn change(path: &str, id: &str, body: &Value) -> Result<Request, Fault> {
    Request::new(Method::PATCH, format!("{path}/{id}"), Access::Write).limits(&[CALLS]).json(body)
}

/// The answer shows the object as it was.
#[cfg(feature = "target")]
pub(crate) fn delete(path: &str, id: &str) -> Request {
    Request::new(Method::DELETE, format!("{path}/{id}"), Access::Write).limits(&[CALLS])
}
