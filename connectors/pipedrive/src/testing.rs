//! A scripted Pipedrive for the tests.

use std::sync::Arc;

use serde_json::{Value, json};
use usher_connector::Request;
use usher_testkit::Script;

use crate::protocol::PipedriveProtocol;

/// A vendor that answers by this closure.
pub(crate) fn vendor(answers: impl FnMut(&Request) -> (u16, Value) + Send + 'static) -> Arc<Script> {
    Script::new(PipedriveProtocol, answers)
}

/// A query value of a request.
pub(crate) fn query(request: &Request, name: &str) -> String {
    request.query.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone()).unwrap_or_default()
}

/// The last page of a list of v2.
pub(crate) fn listed(rows: &Value) -> (u16, Value) {
    (200, json!({ "success": true, "data": rows, "additional_data": { "next_cursor": null } }))
}
