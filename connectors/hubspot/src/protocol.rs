//! HubSpot's rate limits and what its status codes mean.

use std::time::Duration;

use jiff::SignedDuration;
use usher_connector::{Access, Fault, FaultClass, LimitReport, LimitSpec, Protocol, Request, Response};

use crate::api::{BURST, DAILY, SEARCH};
use crate::wire::ErrorBody;

/// How HubSpot speaks HTTP.
#[derive(Debug, Clone, Copy)]
pub(crate) struct HubSpotProtocol;

const TEN_SECONDS: Duration = Duration::from_secs(10);
const DAY: Duration = Duration::from_secs(24 * 3_600);

impl Protocol for HubSpotProtocol {
    fn limits(&self) -> Vec<LimitSpec> {
        vec![
            // Pro and Enterprise; Free and Starter have 100, and the headers of the first answer say so.
            LimitSpec::calls(BURST, 190, TEN_SECONDS),
            LimitSpec::calls(DAILY, 250_000, DAY),
            // Per account, all apps together; search answers carry no headers that could teach better.
            LimitSpec::calls(SEARCH, 5, Duration::from_secs(1)),
        ]
    }

    fn read_limits(&self, _request: &Request, response: &Response) -> Vec<LimitReport> {
        let number = |name: &str| response.header(name).and_then(|text| text.trim().parse::<u32>().ok());
        let burst = LimitReport {
            name: BURST,
            units: number("X-HubSpot-RateLimit-Max"),
            per: number("X-HubSpot-RateLimit-Interval-Milliseconds")
                .map(|ms| Duration::from_millis(ms.into())),
            remaining: number("X-HubSpot-RateLimit-Remaining"),
        };
        let daily = LimitReport {
            name: DAILY,
            units: number("X-HubSpot-RateLimit-Daily"),
            per: None,
            remaining: number("X-HubSpot-RateLimit-Daily-Remaining"),
        };
        [burst, daily]
            .into_iter()
            .filter(|report| report.units.is_some() || report.remaining.is_some())
            .collect()
    }

    fn judge(&self, request: &Request, response: &Response) -> Result<(), Fault> {
        match response.status {
            200..=299 => judge_success(response),
            401 => {
                Err(Fault::new(FaultClass::Unauthorized, "HubSpot does not accept the token (status 401)")
                    .advise("renew it in HubSpot and set it where `auth.token` of the connection points to"))
            }
            403 => Err(judge_forbidden(response)),
            429 => Err(judge_throttled(request, response)),
            // 423 is a lock, 477 an account that moves between data centres: both pass by themselves.
            status @ (423 | 477 | 500..=599) => Err(Fault::new(
                FaultClass::Transient,
                format!("HubSpot is not available at the moment (status {status})"),
            )),
            300..=399 => Err(Fault::new(
                FaultClass::Rejected,
                format!("HubSpot answered with a redirect (status {})", response.status),
            )
            .advise("check `base_url` of the connection")),
            400 | 404 | 409 if reads_refusals_itself(request) && error_body(response).is_some() => Ok(()),
            status => Err(Fault::new(
                FaultClass::Rejected,
                format!("HubSpot refused the call with status {status}: {}", words(response)),
            )),
        }
    }
}

/// Batch writes split a refused batch to find the row that is to blame, so they read the refusal themselves.
fn reads_refusals_itself(request: &Request) -> bool {
    request.access == Access::Write && request.path.contains("/batch/")
}

fn judge_success(response: &Response) -> Result<(), Fault> {
    if response.status == 204 && response.body.is_empty() {
        return Ok(());
    }
    response.must_be_json()
}

fn judge_forbidden(response: &Response) -> Fault {
    let error = error_body(response).unwrap_or_default();
    if !error.is("MISSING_SCOPES") {
        return Fault::new(
            FaultClass::Rejected,
            format!("HubSpot forbids the call (status 403): {}", error.words()),
        );
    }
    let mut scopes: Vec<String> = error
        .errors
        .iter()
        .chain([&error])
        .flat_map(|error| [error.context("requiredGranularScopes"), error.context("requiredScopes")].concat())
        .collect();
    scopes.sort();
    scopes.dedup();
    let named = if scopes.is_empty() { "HubSpot names none".to_owned() } else { scopes.join(", ") };
    Fault::new(FaultClass::Misconfigured, format!("the token lacks a scope: {named}"))
        .advise("add it to the service key or app in HubSpot; an app must be installed again afterwards")
}

fn judge_throttled(request: &Request, response: &Response) -> Fault {
    let error = error_body(response).unwrap_or_default();
    let said =
        format!("{} {}", error.policy.unwrap_or_default(), error.message.unwrap_or_default()).to_lowercase();
    // "ten_secondly" contains "secondly", which alone means the search limit.
    let limit = if said.contains("daily") {
        DAILY
    } else if said.contains("ten_secondly") {
        BURST
    } else if said.contains("secondly") || request.limits.contains(&SEARCH) {
        SEARCH
    } else {
        BURST
    };
    let retry_after = response
        .header("Retry-After")
        .and_then(|text| text.trim().parse::<u32>().ok())
        .map(|seconds| SignedDuration::from_secs(seconds.into()));
    Fault::new(
        FaultClass::Throttled { limit, retry_after },
        format!("HubSpot's {limit} limit is used up (status 429)"),
    )
}

/// The body of a refusal, if it has HubSpot's shape.
pub(crate) fn error_body(response: &Response) -> Option<ErrorBody> {
    let body: ErrorBody = serde_json::from_slice(&response.body).ok()?;
    let shaped =
        [&body.status, &body.category, &body.message, &body.policy].iter().any(|field| field.is_some());
    shaped.then_some(body)
}

fn words(response: &Response) -> String {
    error_body(response).map_or_else(|| "the answer has no error body".to_owned(), |error| error.words())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use http::Method;
    use serde_json::{Value, json};

    use super::*;
    use crate::api;
    use usher_testkit::answered;

    fn judged(request: &Request, status: u16, body: &Value) -> Result<(), Fault> {
        HubSpotProtocol.judge(request, &answered(status, body))
    }

    fn write() -> Request {
        api::write(&api::batch("contacts", "create"), &[]).unwrap()
    }

    #[test]
    fn every_status_has_its_class() {
        let error =
            json!({ "status": "error", "category": "VALIDATION_ERROR", "message": "ana@acme.example" });
        let read = Request::get("/crm/owners/2026-09");
        for (status, class) in [
            (400, FaultClass::Rejected),
            (401, FaultClass::Unauthorized),
            (403, FaultClass::Rejected),
            (404, FaultClass::Rejected),
            (409, FaultClass::Rejected),
            (418, FaultClass::Rejected),
            (302, FaultClass::Rejected),
            (423, FaultClass::Transient),
            (477, FaultClass::Transient),
            (500, FaultClass::Transient),
            (502, FaultClass::Transient),
            (504, FaultClass::Transient),
            (524, FaultClass::Transient),
        ] {
            let fault = judged(&read, status, &error).unwrap_err();
            assert_eq!(fault.class(), class, "{status}");
            assert!(!fault.to_string().contains("ana@"), "{fault}");
        }
        let delete = Request::new(Method::DELETE, "/crm/objects/2026-09/contacts/1", Access::Write);
        assert_eq!(judged(&delete, 400, &error).unwrap_err().class(), FaultClass::Rejected);
        assert!(judged(&write(), 400, &error).is_ok(), "a batch write reads its refusal itself");
        assert!(judged(&write(), 409, &error).is_ok());
        assert_eq!(judged(&write(), 400, &json!("<html>")).unwrap_err().class(), FaultClass::Rejected);
        assert_eq!(judged(&write(), 500, &error).unwrap_err().class(), FaultClass::Transient);
    }

    #[test]
    fn fm_017_a_page_that_is_no_json_is_no_success() {
        for body in ["<html>login</html>", "", "  ", "ok"] {
            let answer = Response { body: body.as_bytes().to_vec(), ..answered(200, &json!({})) };
            let fault = HubSpotProtocol.judge(&Request::get("/x"), &answer).unwrap_err();
            assert_eq!(fault.class(), FaultClass::Transient, "{body:?}");
        }
        assert!(judged(&Request::get("/x"), 200, &json!({ "results": [] })).is_ok());
        let empty = Response { body: Vec::new(), ..answered(204, &json!({})) };
        assert!(HubSpotProtocol.judge(&write(), &empty).is_ok());
    }

    #[test]
    fn fm_062_only_a_401_says_that_the_token_is_bad() {
        let read = Request::get("/crm/owners/2026-09");
        let error = |category: &str| json!({ "status": "error", "category": category, "message": "…" });
        let html = json!("<!DOCTYPE html><title>Sign in</title>");
        for (status, body, class) in [
            (401, error("EXPIRED_AUTHENTICATION"), FaultClass::Unauthorized),
            (401, error("INVALID_AUTHENTICATION"), FaultClass::Unauthorized),
            (401, error("SOMETHING_NEW"), FaultClass::Unauthorized),
            (401, html.clone(), FaultClass::Unauthorized),
            (401, Value::Null, FaultClass::Unauthorized),
            (403, error("MISSING_SCOPES"), FaultClass::Misconfigured),
            (403, error("INVALID_AUTHENTICATION"), FaultClass::Rejected),
            (400, error("INVALID_AUTHENTICATION"), FaultClass::Rejected),
            (200, html.clone(), FaultClass::Transient),
            (302, html.clone(), FaultClass::Rejected),
            (500, error("INVALID_AUTHENTICATION"), FaultClass::Transient),
            (530, html, FaultClass::Transient),
        ] {
            for request in [&read, &write()] {
                let fault = match judged(request, status, &body) {
                    Err(fault) => fault,
                    // A batch write reads its own 400.
                    Ok(()) if status == 400 => continue,
                    Ok(()) => panic!("{status} {body} passes"),
                };
                assert_eq!(fault.class(), class, "{status} {body}");
            }
        }
    }

    #[test]
    fn fm_018_a_missing_scope_is_named() {
        let body = json!({ "status": "error", "category": "MISSING_SCOPES", "message": "…", "errors":
            [{ "message": "…", "context": { "requiredGranularScopes": ["crm.objects.users.read"] } }] });
        let fault = judged(&Request::get("/x"), 403, &body).unwrap_err();
        assert_eq!(fault.class(), FaultClass::Misconfigured);
        assert!(fault.to_string().contains("crm.objects.users.read"), "{fault}");
    }

    #[test]
    fn fm_064_each_kind_of_429_empties_its_own_limit() {
        let limit_of = |request: &Request, body: Value| {
            let mut answer = answered(429, &body);
            answer.headers.insert("Retry-After", "7".parse().unwrap());
            match HubSpotProtocol.judge(request, &answer).unwrap_err().class() {
                FaultClass::Throttled { limit, retry_after } => {
                    (limit, retry_after.map(|wait| wait.as_secs()))
                }
                other => panic!("{other:?}"),
            }
        };
        let call = Request::get("/crm/owners/2026-09");
        let search = api::search("contacts", &json!({}), usher_connector::CallLane::Pull).unwrap();
        let ten = json!({ "policyName": "TEN_SECONDLY_ROLLING", "message": "ten_secondly_rolling limit." });
        assert_eq!(limit_of(&search, ten), (BURST, Some(7)));
        assert_eq!(limit_of(&call, json!({ "policyName": "DAILY" })), (DAILY, Some(7)));
        assert_eq!(
            limit_of(&search, json!({ "message": "You have reached your secondly limit." })),
            (SEARCH, Some(7))
        );
        assert_eq!(limit_of(&search, json!({})), (SEARCH, Some(7)));
        assert_eq!(limit_of(&call, json!({})), (BURST, Some(7)));
    }

    #[test]
    fn limits_are_learned_from_headers() {
        let (call, mut answer) = (Request::get("/x"), answered(200, &json!({})));
        for (name, value) in [
            ("x-hubspot-ratelimit-max", "100"),
            ("x-hubspot-ratelimit-interval-milliseconds", "10000"),
            ("x-hubspot-ratelimit-remaining", "88"),
            ("x-hubspot-ratelimit-daily-remaining", "249000"),
        ] {
            answer.headers.insert(name, value.parse().unwrap());
        }
        let reports = HubSpotProtocol.read_limits(&call, &answer);
        assert_eq!(
            reports[0],
            LimitReport { name: BURST, units: Some(100), per: Some(TEN_SECONDS), remaining: Some(88) }
        );
        assert_eq!(reports[1].remaining, Some(249_000));
        assert_eq!(HubSpotProtocol.read_limits(&call, &answered(200, &json!({}))), []);
    }
}
