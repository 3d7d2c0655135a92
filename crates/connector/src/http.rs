//! Plain requests and answers, and the one door through which a connector reaches its vendor.

use std::fmt::Debug;
use std::time::Instant;

use ::http::{HeaderMap, Method};
use async_trait::async_trait;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::error::Category;

use crate::fault::{Fault, FaultClass};

/// Whether a call may change something at the vendor. Decides what an unclear failure means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Changes nothing; may be repeated (a search by POST is a read).
    Read,
    /// May change something; repeated only if it is proven that nothing was sent.
    Write,
}

/// What a call is for; when the budget is short, earlier lanes go first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CallLane {
    /// Writes of fresh leads.
    Write,
    /// Verification of unclear writes.
    Verify,
    /// The poll at the edge of now.
    Pull,
    /// What people do at the CRM: touches and outcomes.
    Watch,
    /// Directory, accounts, metadata.
    Refresh,
    /// History.
    Backfill,
}

/// The body of a request.
#[derive(Debug, Clone, PartialEq)]
pub enum Body {
    /// None.
    Empty,
    /// JSON, sent as `application/json`.
    Json(Vec<u8>),
    /// Pairs, sent as `application/x-www-form-urlencoded`.
    Form(Vec<(String, String)>),
}

/// One call to make. Equal requests are equal calls, which is how a dry run is held against the real thing.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// The HTTP method.
    pub method: Method,
    /// The path behind the connection's base URL, starting with `/`.
    pub path: String,
    /// Query pairs, unencoded.
    pub query: Vec<(String, String)>,
    /// Headers besides authentication and content type, which the host sets.
    pub headers: Vec<(&'static str, String)>,
    /// The body.
    pub body: Body,
    /// Whether it may change something.
    pub access: Access,
    /// What it is for.
    pub lane: CallLane,
    /// The limits that it counts against, by their names in [`crate::LimitSpec`].
    pub limits: &'static [&'static str],
    /// What it costs at limits that count cost; 1 unless told.
    pub cost: u32,
    /// Once this instant has passed, the call is of no use: it is given up as throttled, with nothing sent.
    pub before: Option<Instant>,
}

impl Request {
    /// A read in the pull lane without query and body.
    #[must_use]
    pub fn get(path: impl Into<String>) -> Self {
        Self::new(Method::GET, path, Access::Read)
    }

    /// Any other call.
    #[must_use]
    pub fn new(method: Method, path: impl Into<String>, access: Access) -> Self {
        let lane = if access == Access::Write { CallLane::Write } else { CallLane::Pull };
        Self {
            method,
            path: path.into(),
            query: Vec::new(),
            headers: Vec::new(),
            body: Body::Empty,
            access,
            lane,
            limits: &[],
            cost: 1,
            before: None,
        }
    }

    /// Adds a query pair.
    #[must_use]
    pub fn query(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.query.push((name.into(), value.into()));
        self
    }

    /// Sets a JSON body. Fails with a defect if the value has no JSON form.
    pub fn json(mut self, value: &impl Serialize) -> Result<Self, Fault> {
        let bytes = serde_json::to_vec(value).map_err(|error| {
            Fault::new(FaultClass::Defect, "a request body has no JSON form").because(error)
        })?;
        self.body = Body::Json(bytes);
        Ok(self)
    }

    /// Says what the call is for.
    #[must_use]
    pub fn lane(mut self, lane: CallLane) -> Self {
        self.lane = lane;
        self
    }

    /// Names the limits that the call counts against.
    #[must_use]
    pub fn limits(mut self, limits: &'static [&'static str]) -> Self {
        self.limits = limits;
        self
    }

    /// Says what the call costs.
    #[must_use]
    pub fn cost(mut self, cost: u32) -> Self {
        self.cost = cost;
        self
    }

    /// Says by when the call must have left.
    #[must_use]
    pub fn before(mut self, before: Option<Instant>) -> Self {
        self.before = before;
        self
    }
}

/// A complete answer. Its body is bounded by the host, so it may be read whole.
#[derive(Debug, Clone)]
pub struct Response {
    /// HTTP status.
    pub status: u16,
    /// Headers.
    pub headers: HeaderMap,
    /// The body as received, after content decoding.
    pub body: Vec<u8>,
}

impl Response {
    /// Whether the status is 2xx. A 2xx body is still read for failures of single rows.
    #[must_use]
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The header as text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// Whether the body begins as a JSON object or list does.
    #[must_use]
    pub fn looks_like_json(&self) -> bool {
        matches!(self.body.iter().find(|byte| !byte.is_ascii_whitespace()), Some(b'{' | b'['))
    }

    /// What [`crate::Protocol::judge`] owes a 2xx of a vendor that speaks JSON only: a page that a proxy or a login made is no
    /// success.
    pub fn must_be_json(&self) -> Result<(), Fault> {
        if self.looks_like_json() {
            return Ok(());
        }
        let message =
            format!("the answer with status {} is not JSON: it came from a proxy or was cut", self.status);
        Err(Fault::new(FaultClass::Transient, message)
            .advise("check `base_url` of the connection if it persists"))
    }

    /// Reads the body as JSON of an expected shape. What can not be read is `Transient` for a read (a proxy's HTML
    /// page, a body cut short); callers that wrote something turn it into an unknown outcome.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, Fault> {
        serde_json::from_slice(&self.body).map_err(|error| {
            let message =
                format!("the vendor answered status {} with a body of an unexpected shape", self.status);
            Fault::new(FaultClass::Transient, message).because(Shape::from(error))
        })
    }
}

/// Why a text is not the JSON that was expected, by place and kind alone: serde's own words quote what they met, and a
/// vendor's answer holds personal data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{} at line {line}, column {column}", what(*category))]
pub struct Shape {
    /// The line, from 1; 0 if the text is not at hand any more.
    pub line: usize,
    /// The byte within the line, from 1; 0 as above.
    pub column: usize,
    /// The kind of failure.
    pub category: Category,
}

impl From<serde_json::Error> for Shape {
    fn from(error: serde_json::Error) -> Self {
        Self { line: error.line(), column: error.column(), category: error.classify() }
    }
}

fn what(category: Category) -> &'static str {
    match category {
        Category::Io => "reading fails",
        Category::Syntax => "no JSON",
        Category::Data => "another type or a missing field",
        Category::Eof => "the text ends too early",
    }
}

/// The door to the vendor: adds base URL and authentication, keeps the limits, bounds time and size, and retries what
/// is provably safe. An `Ok` answer has passed the connector's own [`crate::Protocol::judge`].
#[async_trait]
pub trait Http: Send + Sync + Debug {
    /// Makes the call. The fault's class is final for this attempt: a `Read` never ends as an unknown outcome, and a
    /// `Write` ends as transient or throttled only if it is proven that the vendor did nothing.
    async fn send(&self, request: Request) -> Result<Response, Fault>;
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::error::Error as _;

    use super::*;

    #[test]
    fn an_unreadable_answer_is_told_by_place_and_never_by_what_it_holds() {
        for (body, told) in [
            ("{\n\"id\":\"ana@acme.example\"}", "another type or a missing field at line 2, column 23"),
            ("<html>ana@acme.example", "no JSON at line 1, column 1"),
            ("{\"id\":", "the text ends too early at line 1, column 6"),
        ] {
            let answer = Response { status: 200, headers: HeaderMap::new(), body: body.as_bytes().to_vec() };
            let fault = answer.json::<std::collections::BTreeMap<String, u32>>().unwrap_err();
            assert_eq!(fault.source().unwrap().to_string(), told);
            assert!(!format!("{fault:?}").contains("ana@"), "{fault:?}");
        }
    }
}
