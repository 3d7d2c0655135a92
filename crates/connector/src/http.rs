//! Plain requests and answers, and the one door through which a connector reaches its vendor.

use std::fmt::Debug;

use ::http::{HeaderMap, Method};
use async_trait::async_trait;
use serde::Serialize;
use serde::de::DeserializeOwned;

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

    /// Reads the body as JSON of an expected shape. What can not be read is `Transient` for a read (a proxy's HTML
    /// page, a body cut short); callers that wrote something turn it into an unknown outcome.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, Fault> {
        serde_json::from_slice(&self.body).map_err(|error| {
            let message =
                format!("the vendor answered status {} with a body of an unexpected shape", self.status);
            Fault::new(FaultClass::Transient, message).because(error)
        })
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
