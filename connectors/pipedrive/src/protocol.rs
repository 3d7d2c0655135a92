//! Pipedrive's limits and what its status codes mean.

use std::time::Duration;

use jiff::SignedDuration;
use serde::Deserialize;
use usher_connector::{Access, Fault, FaultClass, LimitReport, LimitSpec, Protocol, Request, Response};

use crate::api::{BURST, SEARCH, TOKENS};

/// How Pipedrive speaks HTTP.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PipedriveProtocol;

const TWO_SECONDS: Duration = Duration::from_secs(2);
/// Whoever goes on calling after 429s gets a page instead of JSON. For how long is not documented.
const BANNED: SignedDuration = SignedDuration::from_mins(1);

impl Protocol for PipedriveProtocol {
    /// The smallest plan, one seat, an API token; the first answers tell what the account has.
    fn limits(&self) -> Vec<LimitSpec> {
        vec![
            LimitSpec::calls(BURST, 20, TWO_SECONDS),
            LimitSpec::calls(SEARCH, 10, TWO_SECONDS),
            LimitSpec::daily_cost(TOKENS, 30_000),
        ]
    }

    fn read_limits(&self, request: &Request, response: &Response) -> Vec<LimitReport> {
        let number = |name: &str| response.header(name).and_then(|text| text.trim().parse::<u32>().ok());
        let report = |name, limit: &str, left: &str| LimitReport {
            name,
            units: number(limit),
            per: None,
            remaining: number(left),
        };
        // A search's answer speaks of the limit of searches.
        let short = if is_search(request) { SEARCH } else { BURST };
        let reports = [
            report(short, "x-ratelimit-limit", "x-ratelimit-remaining"),
            report(TOKENS, "x-daily-ratelimit-token-limit", "x-daily-ratelimit-token-remaining"),
        ];
        reports.into_iter().filter(|report| report.units.is_some() || report.remaining.is_some()).collect()
    }

    fn judge(&self, request: &Request, response: &Response) -> Result<(), Fault> {
        match response.status {
            200..=299 => response.must_be_json(),
            401 => Err(Fault::new(
                FaultClass::Unauthorized,
                "Pipedrive does not accept the token (status 401)",
            )
            .advise(
                "copy it again from Pipedrive (Personal preferences → API) to where `auth.token` points",
            )),
            402 => {
                Err(Fault::new(FaultClass::Misconfigured, "the Pipedrive account is not open (status 402)")
                    .advise("see to the account's payment in Pipedrive"))
            }
            403 => Err(judge_forbidden(request, response)),
            429 => Err(judge_throttled(request, response)),
            status @ 500..=599 => Err(Fault::new(
                FaultClass::Transient,
                format!("Pipedrive is not available at the moment (status {status})"),
            )),
            status @ 300..=399 => {
                let message = format!("Pipedrive answered with a redirect (status {status})");
                Err(Fault::new(FaultClass::Rejected, message).advise("check `base_url` of the connection"))
            }
            400 | 404 | 410 if reads_refusals_itself(request) && refusal(response).is_some() => Ok(()),
            status => {
                let words =
                    refusal(response).map_or_else(|| "no reason given".to_owned(), |refusal| refusal.words());
                let message = format!("Pipedrive refused the call with status {status}: {words}");
                Err(Fault::new(FaultClass::Rejected, message))
            }
        }
    }
}

/// A write tells why it is refused, a read of one object that it is gone, a page that its cursor is no good any more.
fn reads_refusals_itself(request: &Request) -> bool {
    let last = request.path.rsplit('/').next().unwrap_or_default();
    request.access == Access::Write
        || last.starts_with(|first: char| first.is_ascii_digit())
        || last.contains('-')
        || last == "changelog"
        || request.query.iter().any(|(name, _)| name == "cursor")
}

fn is_search(request: &Request) -> bool {
    request.limits.contains(&SEARCH)
}

fn judge_forbidden(request: &Request, response: &Response) -> Fault {
    if !response.looks_like_json() {
        let class = FaultClass::Throttled { limit: BURST, retry_after: Some(BANNED) };
        let message = "Pipedrive shuts its door for a while, as it does to those who call on after refusals (status 403)";
        return Fault::new(class, message);
    }
    let refusal = refusal(response).unwrap_or_default();
    if !refusal.says("scope") {
        let message = format!("Pipedrive forbids the call (status 403): {}", refusal.words());
        return Fault::new(FaultClass::Rejected, message)
            .advise("check what the token's user may see and change in Pipedrive");
    }
    // The vendor does not say which.
    let message = format!("the token lacks a scope: {}", scope_of(request));
    Fault::new(FaultClass::Misconfigured, message)
        .advise("add it to the app in Pipedrive's Developer Hub, then run `usher connect` again")
}

/// The scope that a call needs, by the official documents.
fn scope_of(request: &Request) -> &'static str {
    let path = request.path.as_str();
    let has = |part: &str| path.contains(part);
    match request.access {
        _ if has("/changelog") => "recents:read",
        _ if has("/users/me") => "base",
        _ if has("/users") => "users:read",
        _ if has("/webhooks") => "admin",
        Access::Write if has("/activities") => "activities:full",
        Access::Read if has("/activities") => "activities:read",
        Access::Write if has("/leads") => "leads:full",
        Access::Write if has("/deals") => "deals:full",
        Access::Write => "contacts:full",
        Access::Read if has("/leads") => "leads:read",
        Access::Read if has("/deal") || has("/notes") => "deals:read",
        Access::Read => "contacts:read",
    }
}

/// The words of a 429 are not documented, so the headers tell which limit it was: the budget that is left does not suffice
/// for the call, or, where that is not told, the window of the short limit still has room.
fn judge_throttled(request: &Request, response: &Response) -> Fault {
    let number = |name: &str| response.header(name).and_then(|text| text.trim().parse::<u32>().ok());
    let asked = number("Retry-After").map(|seconds| SignedDuration::from_secs(seconds.into()));
    let reset =
        number("x-ratelimit-reset").map(|seconds| SignedDuration::from_secs(i64::from(seconds).max(1)));
    let spent = number("x-daily-ratelimit-token-remaining").map(|left| left < request.cost);
    let room = number("x-ratelimit-remaining").is_some_and(|left| left > 0);
    let (limit, retry_after) = match (spent.unwrap_or(room), is_search(request)) {
        (true, _) => (TOKENS, asked),
        (false, true) => (SEARCH, asked.or(reset)),
        (false, false) => (BURST, asked.or(reset)),
    };
    Fault::new(
        FaultClass::Throttled { limit, retry_after },
        format!("Pipedrive's limit `{limit}` is used up (status 429)"),
    )
}

/// A refusal in Pipedrive's shape.
#[derive(Debug, Clone, Default, Deserialize)]
pub(crate) struct Refusal {
    success: bool,
    #[serde(default)]
    error: Option<String>,
    #[serde(default)]
    code: Option<String>,
}

/// The body of a refusal, if it has Pipedrive's shape.
pub(crate) fn refusal(response: &Response) -> Option<Refusal> {
    serde_json::from_slice(&response.body).ok().filter(|refusal: &Refusal| !refusal.success)
}

impl Refusal {
    /// Whether the vendor's words have that word.
    fn says(&self, word: &str) -> bool {
        self.error.as_deref().unwrap_or_default().to_lowercase().contains(word)
    }

    /// The owner is what the vendor does not accept.
    pub(crate) fn is_about_owner(&self) -> bool {
        self.says("owner") || self.says("user")
    }

    /// What the call names does not exist.
    pub(crate) fn is_not_found(&self) -> bool {
        self.says("not found")
    }

    /// The field that the refusal begins with.
    fn field(&self) -> Option<&str> {
        let words = self.error.as_deref()?;
        let rest = words.split_once(": ").map_or(words, |(_, rest)| rest);
        let field = rest.split([':', ' ']).next()?;
        let safe = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_.".contains(&byte);
        (field.contains(['_', '.']) && field.bytes().all(safe)).then_some(field)
    }

    /// What is wrong, by code and field. Never the vendor's own words: they quote values.
    pub(crate) fn words(&self) -> String {
        let code = self
            .code
            .as_deref()
            .filter(|code| code.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_'));
        let field = self.field().map(|field| format!("at `{field}`"));
        let parts: Vec<&str> = code.into_iter().chain(field.as_deref()).collect();
        if parts.is_empty() { "no reason given".to_owned() } else { parts.join(" ") }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::{Value, json};
    use usher_connector::CallLane;

    use super::*;
    use crate::api::{self, PERSONS};
    use usher_testkit::answered;

    fn judged(request: &Request, status: u16, body: &Value) -> Result<(), Fault> {
        PipedriveProtocol.judge(request, &answered(status, body))
    }

    fn calls() -> (Request, Request, Request) {
        let list = api::list(PERSONS, CallLane::Pull);
        let one = api::one(PERSONS, "7", CallLane::Write);
        (list, one, api::create(PERSONS, &json!({})).unwrap())
    }

    #[test]
    fn every_status_has_its_class() {
        let error = json!({ "success": false, "error": "Validation failed: owner_id: ana@acme.example", "data": null });
        let (list, one, write) = calls();
        for (status, class) in [
            (400, FaultClass::Rejected),
            (401, FaultClass::Unauthorized),
            (402, FaultClass::Misconfigured),
            (403, FaultClass::Rejected),
            (404, FaultClass::Rejected),
            (418, FaultClass::Rejected),
            (302, FaultClass::Rejected),
            (500, FaultClass::Transient),
            (503, FaultClass::Transient),
        ] {
            let fault = judged(&list, status, &error).unwrap_err();
            assert_eq!(fault.class(), class, "{status}");
            assert!(!fault.to_string().contains("ana@"), "{fault}");
        }
        for status in [400, 404, 410] {
            assert!(judged(&one, status, &error).is_ok() && judged(&write, status, &error).is_ok());
            assert!(
                judged(&write, status, &json!("<html>")).is_err()
                    && judged(&write, status, &json!({})).is_err()
            );
        }
        assert!(judged(&list.query("cursor", "x"), 400, &error).is_ok());
        assert_eq!(judged(&write, 500, &error).unwrap_err().class(), FaultClass::Transient);
    }

    #[test]
    fn fm_017_a_page_that_is_no_json_is_no_success() {
        let (list, ..) = calls();
        for body in ["<html>login</html>", "", "  ", "ok"] {
            assert_eq!(
                judged(&list, 200, &json!(body)).unwrap_err().class(),
                FaultClass::Transient,
                "{body:?}"
            );
        }
        assert!(judged(&list, 200, &json!({ "success": true })).is_ok());
    }

    #[test]
    fn fm_018_a_missing_scope_is_named_though_the_vendor_names_none() {
        let body = json!({ "success": false, "error": "Scope and URL mismatch", "errorCode": 403 });
        let (list, _, write) = calls();
        for (request, scope) in [
            (list, "contacts:read"),
            (write, "contacts:full"),
            (api::users(), "users:read"),
            (api::webhooks(), "admin"),
            (api::changelog(PERSONS, "7"), "recents:read"),
            (api::changelog(api::DEALS, "7"), "recents:read"),
            (api::me(CallLane::Write), "base"),
            (api::create(api::ACTIVITIES, &json!({})).unwrap(), "activities:full"),
            (api::list(api::ACTIVITIES, CallLane::Verify), "activities:read"),
            (api::list(api::DEALS, CallLane::Write), "deals:read"),
            (api::of_person(api::DEALS, "7", true), "deals:read"),
            (api::change(api::DEALS, "7", &json!({})).unwrap(), "deals:full"),
            (api::delete(api::DEALS, "7"), "deals:full"),
            (api::old_list(api::NOTES, CallLane::Watch), "deals:read"),
            (api::leads(CallLane::Pull), "leads:read"),
            (api::of_person(api::LEADS, "7", true), "leads:read"),
            (api::one(api::LEADS, "7", CallLane::Write), "leads:read"),
            (api::change(api::LEADS, "7", &json!({})).unwrap(), "leads:full"),
            (api::fields(api::LEADS, None, CallLane::Pull), "deals:read"),
            (api::fields(api::DEALS, None, CallLane::Pull), "deals:read"),
            (api::fields(PERSONS, None, CallLane::Pull), "contacts:read"),
            (api::change(api::ORGANIZATIONS, "7", &json!({})).unwrap(), "contacts:full"),
            (api::search(api::ORGANIZATIONS, "name", "a", CallLane::Write), "contacts:read"),
        ] {
            let fault = judged(&request, 403, &body).unwrap_err();
            assert_eq!(fault.class(), FaultClass::Misconfigured);
            let path = &request.path;
            assert!(fault.to_string().contains(&format!(": {scope}")), "{path}: {fault}");
        }
    }

    fn limit_of(request: &Request, headers: &[(&'static str, &str)]) -> (&'static str, Option<i64>) {
        let mut answer = answered(429, &json!({ "success": false, "error": "Too many requests" }));
        headers.iter().for_each(|(name, value)| drop(answer.headers.insert(*name, value.parse().unwrap())));
        match PipedriveProtocol.judge(request, &answer).unwrap_err().class() {
            FaultClass::Throttled { limit, retry_after } => (limit, retry_after.map(|wait| wait.as_secs())),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn fm_064_each_kind_of_429_empties_its_own_limit() {
        let list = api::list(PERSONS, CallLane::Pull);
        let search = api::search(PERSONS, "email", "a", CallLane::Pull);
        let full = [("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "2")];
        assert_eq!(limit_of(&list, &full), (BURST, Some(2)));
        assert_eq!(limit_of(&search, &full), (SEARCH, Some(2)));
        assert_eq!(limit_of(&list, &[]), (BURST, None));
        let roomy = [("x-ratelimit-remaining", "19"), ("x-ratelimit-reset", "2")];
        assert_eq!(limit_of(&list, &roomy), (TOKENS, None), "the window's reset is of no use to a spent day");
        let spent = [("x-ratelimit-remaining", "0"), ("x-daily-ratelimit-token-remaining", "9")];
        assert_eq!(limit_of(&list, &spent), (TOKENS, None), "a list costs 10");
        let left = [("x-ratelimit-remaining", "19"), ("x-daily-ratelimit-token-remaining", "10")];
        assert_eq!(limit_of(&list, &left), (BURST, None));
        assert_eq!(limit_of(&list, &[("Retry-After", "7")]), (BURST, Some(7)));
    }

    #[test]
    fn fm_064_a_403_page_is_a_pause_of_all_calls() {
        let (list, ..) = calls();
        let fault = judged(&list, 403, &json!("<html>Access denied</html>")).unwrap_err();
        assert_eq!(fault.class(), FaultClass::Throttled { limit: BURST, retry_after: Some(BANNED) });
        assert!(
            [list, api::users(), api::search(PERSONS, "email", "a", CallLane::Pull)]
                .iter()
                .all(|call| call.limits.contains(&BURST))
        );
    }

    #[test]
    fn limits_are_learned_from_headers() {
        let mut answer = answered(200, &json!({}));
        for (name, value) in [
            ("x-ratelimit-limit", "40"),
            ("x-ratelimit-remaining", "39"),
            ("x-daily-ratelimit-token-limit", "60000"),
            ("x-daily-ratelimit-token-remaining", "59990"),
        ] {
            answer.headers.insert(name, value.parse().unwrap());
        }
        let told = |request: &Request| -> Vec<_> {
            let reports = PipedriveProtocol.read_limits(request, &answer);
            reports.into_iter().map(|report| (report.name, report.units, report.remaining)).collect()
        };
        let tokens = (TOKENS, Some(60_000), Some(59_990));
        assert_eq!(told(&api::users()), [(BURST, Some(40), Some(39)), tokens]);
        assert_eq!(told(&api::search(PERSONS, "email", "a", CallLane::Pull))[0].0, SEARCH);
        assert_eq!(PipedriveProtocol.read_limits(&api::users(), &answered(200, &json!({}))), []);
    }
}
