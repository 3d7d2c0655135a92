//! A scripted vendor for a connector's own tests: a closure answers each request, judged as the host would judge it.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use http::HeaderMap;
use serde_json::Value;
use usher_connector::{Access, Body, Fault, FaultClass, Http, Protocol, Request, Response};

type Answers = Box<dyn FnMut(&Request) -> (u16, Value) + Send>;

/// What a scripted vendor answers and has seen.
pub struct Script {
    protocol: Box<dyn Protocol>,
    answers: Mutex<Answers>,
    seen: Mutex<Vec<Request>>,
}

impl fmt::Debug for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Script")
    }
}

impl Script {
    /// A vendor of that protocol that answers by this closure: status and body.
    pub fn new(
        protocol: impl Protocol + 'static,
        answers: impl FnMut(&Request) -> (u16, Value) + Send + 'static,
    ) -> Arc<Self> {
        let (protocol, answers) = (Box::new(protocol), Mutex::new(Box::new(answers) as Answers));
        Arc::new(Self { protocol, answers, seen: Mutex::default() })
    }

    /// Every request so far.
    #[must_use]
    pub fn seen(&self) -> Vec<Request> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The requests that may change something.
    #[must_use]
    pub fn writes(&self) -> Vec<Request> {
        self.seen().into_iter().filter(|request| request.access == Access::Write).collect()
    }
}

#[async_trait]
impl Http for Script {
    async fn send(&self, request: Request) -> Result<Response, Fault> {
        let (status, body) = (self.answers.lock().unwrap_or_else(PoisonError::into_inner))(&request);
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).push(request.clone());
        let answer = answered(status, &body);
        self.protocol.judge(&request, &answer).map_err(|fault| match (request.access, fault.class()) {
            (Access::Write, FaultClass::Transient) => fault.reclassed(FaultClass::OutcomeUnknown),
            _ => fault,
        })?;
        Ok(answer)
    }
}

/// An answer with that body; a text is the body as it is, so that it need not be JSON.
#[must_use]
pub fn answered(status: u16, body: &Value) -> Response {
    let body = match body {
        Value::Null => Vec::new(),
        Value::String(text) => text.clone().into_bytes(),
        other => other.to_string().into_bytes(),
    };
    Response { status, headers: HeaderMap::new(), body }
}

/// The JSON body of a request; `null` if it has none.
#[must_use]
pub fn asked(request: &Request) -> Value {
    match &request.body {
        Body::Json(bytes) => serde_json::from_slice(bytes).unwrap_or(Value::Null),
        _ => Value::Null,
    }
}
