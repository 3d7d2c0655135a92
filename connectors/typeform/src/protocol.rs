//! Typeform's limits and how its answers are judged.

use std::time::Duration;

use http::Method;
use jiff::fmt::rfc2822;
use jiff::{SignedDuration, Timestamp};
use usher_connector::{Fault, FaultClass, LimitReport, LimitSpec, Protocol, Request, Response};

use crate::wire::ErrorBody;

/// Calls per token: 2 a second, whatever the call.
pub(crate) const CALLS: &str = "calls";

/// How Typeform speaks HTTP.
#[derive(Debug)]
pub(crate) struct TypeformProtocol;

impl Protocol for TypeformProtocol {
    fn limits(&self) -> Vec<LimitSpec> {
        vec![LimitSpec::calls(CALLS, 2, Duration::from_secs(1))]
    }

    /// Typeform sends no rate-limit headers.
    fn read_limits(&self, _request: &Request, _response: &Response) -> Vec<LimitReport> {
        Vec::new()
    }

    fn judge(&self, request: &Request, response: &Response) -> Result<(), Fault> {
        let status = response.status;
        let code = error_code(response);
        let fault =
            |class, what: &str| Fault::new(class, format!("Typeform answered {status}{code}: {what}"));
        match status {
            200..=299 => Ok(()),
            401 => Err(fault(FaultClass::Unauthorized, "the token is not accepted")
                .advise("make a new personal token in Typeform and put it where `auth.token` points")),
            // Somebody else was quicker.
            404 if request.method == Method::DELETE => Ok(()),
            403 if request.path.contains("/webhooks") => Err(fault(FaultClass::Misconfigured, "the token may not keep webhooks")
                .advise("give the token the scopes `webhooks:read` and `webhooks:write`, or remove `http.public_url` and enter the webhook by hand")),
            403 => Err(fault(FaultClass::Misconfigured, "the token may not read this form")
                .advise("give the token the scopes `responses:read` and `forms:read`, from an account that sees the form")),
            404 => Err(fault(FaultClass::Misconfigured, "the form does not exist there")
                .advise("check `form`, and `base_url` if the account is in the EU data centre")),
            429 => {
                let class = FaultClass::Throttled { limit: CALLS, retry_after: retry_after(response) };
                Err(fault(class, "too many calls"))
            }
            408 | 500..=599 => Err(fault(FaultClass::Transient, "it is unwell")),
            _ => Err(fault(FaultClass::Rejected, "it refuses the call")),
        }
    }
}

/// The vendor's own code, such as ` (FORM_NOT_FOUND)`; its description may quote values and stays out.
fn error_code(response: &Response) -> String {
    let body: Option<ErrorBody> = serde_json::from_slice(&response.body).ok();
    let code = body.map(|body| body.code).unwrap_or_default();
    let tame = code.len() <= 64 && code.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'));
    if code.is_empty() || !tame { String::new() } else { format!(" ({code})") }
}

/// Seconds, or a date held against the answer's own `Date`, so that no clock of ours takes part. A date in the past
/// means no wait.
fn retry_after(response: &Response) -> Option<SignedDuration> {
    let text = response.header("retry-after")?.trim();
    if let Ok(seconds) = text.parse::<u32>() {
        return Some(SignedDuration::from_secs(i64::from(seconds)));
    }
    let date = |text: &str| rfc2822::parse(text).ok().map(|zoned| zoned.timestamp());
    let until: Timestamp = date(text)?;
    let sent = date(response.header("date")?)?;
    Some(until.duration_since(sent).max(SignedDuration::ZERO))
}
