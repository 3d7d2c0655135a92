//! Skeleton's limits and what its status codes mean.

use std::time::Duration;

use usher_connector::{Fault, FaultClass, LimitReport, LimitSpec, Protocol, Request, Response};

use crate::api::CALLS;
use crate::wire::Refusal;

/// How Skeleton speaks HTTP.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SkeletonProtocol;

impl Protocol for SkeletonProtocol {
    fn limits(&self) -> Vec<LimitSpec> {
        vec![LimitSpec::calls(CALLS, 100, Duration::from_secs(10))]
    }

    fn read_limits(&self, _request: &Request, response: &Response) -> Vec<LimitReport> {
        let number = |name: &str| response.header(name).and_then(|text| text.trim().parse::<u32>().ok());
        let (units, remaining) = (number("x-ratelimit-limit"), number("x-ratelimit-remaining"));
        let told = units.is_some() || remaining.is_some();
        told.then_some(LimitReport { name: CALLS, units, per: None, remaining }).into_iter().collect()
    }

    fn judge(&self, _request: &Request, response: &Response) -> Result<(), Fault> {
        let refusal = Refusal::of(response);
        let code = refusal.as_ref().map_or("no code", Refusal::code);
        let fault = |class, what: &str| {
            Fault::new(class, format!("Skeleton answered {} ({code}): {what}", response.status))
        };
        match (response.status, &refusal) {
            (200..=299, _) => response.must_be_json(),
            (401, _) => Err(fault(FaultClass::Unauthorized, "the token is not accepted")
                .advise("make a new token in Skeleton and put it where `auth.token` points")),
            (403, Some(Refusal { scope: Some(scope), .. })) => {
                Err(fault(FaultClass::Misconfigured, &format!("the token lacks the scope `{scope}`"))
                    .advise("add it to the token in Skeleton"))
            }
            // The host reads `Retry-After` itself, as seconds and as a date.
            (429, _) => {
                let class = FaultClass::Throttled { limit: CALLS, retry_after: None };
                Err(fault(class, "too many calls"))
            }
            (500..=599, _) => Err(fault(FaultClass::Transient, "it is unwell")),
            // What these mean depends on the call; whoever made it reads them.
            (404 | 409 | 422, Some(_)) => Ok(()),
            _ => Err(fault(FaultClass::Rejected, "it refuses the call")),
        }
    }
}
