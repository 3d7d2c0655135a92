//! What a token endpoint's answer means. Nothing of a body is kept but codes: bodies hold tokens and secrets.

use std::time::Duration;

use jiff::SignedDuration;
use serde_json::Value;
use usher_connector::{Granted, Response, Secret, http_date, retry_after};
use usher_model::TroubleKind;

/// Fields in which vendors put the code of a failure: RFC 6749's, and what others use instead.
const CODE_FIELDS: [&str; 6] = ["error", "status", "category", "subCategory", "errorCode", "code"];
/// RFC 6749, section 5.2: the refresh token or code is invalid, expired, revoked, or was given to another client.
const DEAD_GRANT: &str = "invalid_grant";
/// Longer texts are no codes.
const LONGEST_CODE: usize = 60;

/// Tokens as a vendor gave them.
#[derive(Debug)]
pub struct TokenAnswer {
    /// The access token.
    pub(crate) access: Secret,
    /// The refresh token; `None` if the one before stays good, or there is none.
    pub(crate) refresh: Option<Secret>,
    /// How long the access token is good.
    pub(crate) lifetime: Option<SignedDuration>,
    /// What was granted.
    pub granted: Granted,
}

/// A vendor that gave no token.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct GrantError {
    kind: TroubleKind,
    message: String,
    pause: Option<Duration>,
    #[source]
    source: Option<reqwest::Error>,
}

impl GrantError {
    pub(super) fn new(kind: TroubleKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), pause: None, source: None }
    }

    pub(super) fn because(mut self, source: reqwest::Error) -> Self {
        self.source = Some(source);
        self
    }

    /// What helps.
    #[must_use]
    pub fn kind(&self) -> TroubleKind {
        self.kind
    }

    /// How long the vendor wants to be left alone.
    pub(crate) fn pause(&self) -> Option<Duration> {
        self.pause
    }
}

/// Why an answer is no token. `dead` are the vendor's own codes for a grant that is gone.
pub(super) fn refusal(response: &Response, host: &str, dead: &[&str]) -> GrantError {
    let status = response.status;
    if matches!(status, 408 | 425 | 429 | 500..) {
        let message = format!("{host} gives out no tokens at the moment (status {status})");
        return GrantError { pause: pause(response), ..GrantError::new(TroubleKind::Outage, message) };
    }
    let codes = codes(&response.body);
    if let Some(code) = codes.iter().find(|code| *code == DEAD_GRANT || dead.contains(&code.as_str())) {
        let message = format!("{host} says that the grant is gone: expired, revoked or spent ({code})");
        return GrantError::new(TroubleKind::Revoked, message);
    }
    let told = match codes.first() {
        Some(code) => format!(
            "refuses to give a token (status {status}, {code}); check client_id, client_secret and the app's settings"
        ),
        None if (300..400).contains(&status) => {
            format!(
                "answers with a redirect (status {status}), which is not followed; check base_url and token_url"
            )
        }
        None => format!("answers something that is no token (status {status}); check base_url and token_url"),
    };
    GrantError::new(TroubleKind::Refused, format!("{host} {told}"))
}

/// The answer's codes, as far as they look like codes.
fn codes(body: &[u8]) -> Vec<String> {
    let Ok(Value::Object(fields)) = serde_json::from_slice(body) else { return Vec::new() };
    let code = |field: &&str| {
        let text = fields.get(*field)?.as_str()?;
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
        // `status: error` is HubSpot's mark of any failure.
        let coded = text != "error" && text.len() <= LONGEST_CODE && text.bytes().all(plain);
        (coded && !text.is_empty()).then(|| text.to_owned())
    };
    CODE_FIELDS.iter().filter_map(code).collect()
}

fn pause(response: &Response) -> Option<Duration> {
    let now = response.header("date").and_then(http_date).unwrap_or_default();
    let pause = retry_after(response.header("retry-after")?, now)?;
    Some(pause.max(SignedDuration::ZERO).unsigned_abs())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn judged(status: u16, body: &str) -> GrantError {
        let response = Response { status, headers: http::HeaderMap::new(), body: body.as_bytes().to_vec() };
        refusal(&response, "login.example.com", &["BAD_REFRESH_TOKEN"])
    }

    #[test]
    fn fm_062_each_answer_of_a_token_endpoint_has_its_class() {
        use TroubleKind::{Outage, Refused, Revoked};
        let html = "<!DOCTYPE html><title>Sign in</title>";
        for (status, body, kind) in [
            (400, r#"{"error":"invalid_grant"}"#, Revoked),
            (401, r#"{"error":"invalid_grant","error_description":"canary"}"#, Revoked),
            (400, r#"{"status":"BAD_REFRESH_TOKEN","message":"canary"}"#, Revoked),
            (400, r#"{"status":"error","category":"BAD_REFRESH_TOKEN"}"#, Revoked),
            (200, r#"{"error":"invalid_grant"}"#, Revoked),
            (403, r#"{"error":"invalid_grant"}"#, Revoked),
            (400, r#"{"error":"invalid_client"}"#, Refused),
            (401, r#"{"error":"invalid_client"}"#, Refused),
            (400, r#"{"error":"unauthorized_client"}"#, Refused),
            (400, r#"{"error":"invalid_request"}"#, Refused),
            (400, r#"{"error":"invalid_scope"}"#, Refused),
            (400, r#"{"error":"unsupported_grant_type"}"#, Refused),
            (400, r#"{"status":"BAD_CLIENT_ID","message":"canary"}"#, Refused),
            (400, r#"{"error":"something_new"}"#, Refused),
            (400, r#"{"error":{"code":"invalid_grant"}}"#, Refused),
            (401, "", Refused),
            (403, html, Refused),
            (404, "{}", Refused),
            (200, html, Refused),
            (200, "", Refused),
            (200, r#"{"access_token":"canary""#, Refused),
            (200, r#"{"error":"invalid_client"}"#, Refused),
            (302, "", Refused),
            (307, "", Refused),
            (408, "", Outage),
            (429, "{}", Outage),
            (429, r#"{"error":"invalid_grant"}"#, Outage),
            (500, "{}", Outage),
            (502, html, Outage),
            (503, "", Outage),
            (504, "", Outage),
            (520, html, Outage),
            (530, html, Outage),
            (599, "", Outage),
        ] {
            let error = judged(status, body);
            assert_eq!(error.kind(), kind, "{status} {body}");
            assert!(!format!("{error} {error:?}").contains("canary"), "{status} {body}");
        }
    }

    #[test]
    fn fm_091_only_what_looks_like_a_code_is_shown() {
        for body in [r#"{"error":"canary secret"}"#, r#"{"error":"canary\nx"}"#] {
            assert!(!judged(400, body).to_string().contains("canary"));
        }
        let long = format!(r#"{{"error":"canary{}"}}"#, "x".repeat(LONGEST_CODE));
        assert!(!judged(400, &long).to_string().contains("canary"));
    }

    #[test]
    fn a_vendor_that_asks_for_a_pause_is_left_alone() {
        let mut headers = http::HeaderMap::new();
        headers.insert("retry-after", "120".parse().unwrap());
        let response = Response { status: 429, headers, body: Vec::new() };
        assert_eq!(refusal(&response, "x", &[]).pause(), Some(Duration::from_secs(120)));
    }
}
