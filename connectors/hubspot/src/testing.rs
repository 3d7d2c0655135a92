//! A scripted vendor for the tests: a closure answers each request, judged as the host would judge it.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use http::HeaderMap;
use jiff::Timestamp;
use serde_json::{Value, json};
use usher_connector::{Access, Body, CallLane, Fault, FaultClass, Http, Protocol, Request, Response};

use crate::protocol::HubSpotProtocol;

type Answers = Box<dyn FnMut(&Request) -> (u16, Value) + Send>;

pub(crate) struct Script {
    answers: Mutex<Answers>,
    seen: Mutex<Vec<Request>>,
}

impl fmt::Debug for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Script")
    }
}

/// A vendor that answers by this closure.
pub(crate) fn vendor(answers: impl FnMut(&Request) -> (u16, Value) + Send + 'static) -> Arc<Script> {
    Arc::new(Script { answers: Mutex::new(Box::new(answers)), seen: Mutex::default() })
}

impl Script {
    /// Every request so far.
    pub(crate) fn seen(&self) -> Vec<Request> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The requests that may change something.
    pub(crate) fn writes(&self) -> Vec<Request> {
        self.seen().into_iter().filter(|request| request.access == Access::Write).collect()
    }
}

#[async_trait]
impl Http for Script {
    async fn send(&self, request: Request) -> Result<Response, Fault> {
        // Which values contacts take is asked before contacts are made; here they take all.
        if (request.access, request.lane) == (Access::Read, CallLane::Write)
            && request.path.starts_with("/crm/properties/")
        {
            return Ok(response(200, &json!({ "results": [] })));
        }
        let (status, body) = (self.answers.lock().unwrap_or_else(PoisonError::into_inner))(&request);
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).push(request.clone());
        let answer = response(status, &body);
        HubSpotProtocol.judge(&request, &answer).map_err(|fault| match (request.access, fault.class()) {
            (Access::Write, FaultClass::Transient) => fault.reclassed(FaultClass::OutcomeUnknown),
            _ => fault,
        })?;
        Ok(answer)
    }
}

/// An answer with that body; a text is the body as it is, so that it need not be JSON.
pub(crate) fn response(status: u16, body: &Value) -> Response {
    let body = match body {
        Value::Null => Vec::new(),
        Value::String(text) => text.clone().into_bytes(),
        other => other.to_string().into_bytes(),
    };
    Response { status, headers: HeaderMap::new(), body }
}

/// The JSON body of a request; `null` if it has none.
pub(crate) fn body(request: &Request) -> Value {
    match &request.body {
        Body::Json(bytes) => serde_json::from_slice(bytes).unwrap_or(Value::Null),
        _ => Value::Null,
    }
}

/// The `id` of every input of a batch request.
pub(crate) fn ids(request: &Request) -> Vec<String> {
    let body = body(request);
    let inputs = body["inputs"].as_array().cloned().unwrap_or_default();
    inputs.iter().map(|input| input["id"].as_str().unwrap_or_default().to_owned()).collect()
}

/// An instant, so many milliseconds after some start.
pub(crate) fn at(ms: i64) -> Timestamp {
    Timestamp::from_millisecond(1_795_341_600_000 + ms).unwrap_or_default()
}
