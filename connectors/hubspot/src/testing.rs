//! A scripted HubSpot for the tests.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value, json};
use usher_connector::{Access, CallLane, Request};
use usher_testkit::{Script, asked};

use crate::protocol::HubSpotProtocol;

/// A vendor that answers by this closure. Which values objects take is asked before they are made; here they take all.
pub(crate) fn vendor(mut answers: impl FnMut(&Request) -> (u16, Value) + Send + 'static) -> Arc<Script> {
    Script::new(HubSpotProtocol, move |request| {
        if is_about_values(request) { (200, json!({ "results": [] })) } else { answers(request) }
    })
}

/// Every request so far, those about the values that objects take left out.
pub(crate) fn seen(script: &Script) -> Vec<Request> {
    script.seen().into_iter().filter(|request| !is_about_values(request)).collect()
}

fn is_about_values(request: &Request) -> bool {
    (request.access, request.lane) == (Access::Read, CallLane::Write)
        && request.path.starts_with("/crm/properties/")
}

/// The `id` of every input of a batch request.
pub(crate) fn ids(request: &Request) -> Vec<String> {
    let body = asked(request);
    let inputs = body["inputs"].as_array().cloned().unwrap_or_default();
    inputs.iter().map(|input| input["id"].as_str().unwrap_or_default().to_owned()).collect()
}

/// An instant, so many milliseconds after some start.
pub(crate) fn at(ms: i64) -> Timestamp {
    Timestamp::from_millisecond(1_795_341_600_000 + ms).unwrap_or_default()
}
