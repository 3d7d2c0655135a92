//! Errors as problem documents (RFC 9457): what went wrong and what to do, nothing about our insides.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

/// How long a sender should wait before it comes again, in seconds.
const RETRY_AFTER: &str = "5";

/// A problem document.
#[derive(Debug, Serialize)]
pub(crate) struct Problem {
    #[serde(rename = "type")]
    kind: &'static str,
    title: String,
    status: u16,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    problems: Vec<String>,
}

impl Problem {
    pub(crate) fn new(status: StatusCode, kind: &'static str, title: impl Into<String>) -> Self {
        Self { kind, title: title.into(), status: status.as_u16(), problems: Vec::new() }
    }

    pub(crate) fn with(mut self, problems: Vec<String>) -> Self {
        self.problems = problems;
        self
    }

    /// Come again: nothing was stored.
    pub(crate) fn unavailable(title: &str) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "usher:unavailable", title)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, Json(&self)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER));
        }
        response
    }
}
