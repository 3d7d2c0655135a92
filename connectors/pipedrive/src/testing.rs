//! A scripted vendor for the tests: a closure answers each request, judged as the host would judge it.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use http::HeaderMap;
use serde_json::{Value, json};
use usher_connector::{Access, Fault, FaultClass, Http, Protocol, Request, Response};

use crate::protocol::PipedriveProtocol;

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
}

#[async_trait]
impl Http for Script {
    async fn send(&self, request: Request) -> Result<Response, Fault> {
        let (status, body) = (self.answers.lock().unwrap_or_else(PoisonError::into_inner))(&request);
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).push(request.clone());
        let answer = response(status, &body);
        PipedriveProtocol.judge(&request, &answer).map_err(|fault| {
            match (request.access, fault.class()) {
                (Access::Write, FaultClass::Transient) => fault.reclassed(FaultClass::OutcomeUnknown),
                _ => fault,
            }
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

/// A query value of a request.
pub(crate) fn query(request: &Request, name: &str) -> String {
    request.query.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone()).unwrap_or_default()
}

/// The last page of a list of v2.
pub(crate) fn listed(rows: &Value) -> (u16, Value) {
    (200, json!({ "success": true, "data": rows, "additional_data": { "next_cursor": null } }))
}
