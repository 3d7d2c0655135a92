//! What a failed attempt means: the fault's final class, and whether the call may be repeated.

use std::time::Duration;

use usher_connector::{Access, Fault, FaultClass, Response};

use super::exchange::Broken;

/// A failed attempt.
#[derive(Debug)]
pub(super) struct Failure {
    /// The fault with its final class.
    pub(super) fault: Fault,
    /// The same call may be made again, after `pause`.
    pub(super) repeat: bool,
    /// The pause that the vendor asked for.
    pub(super) pause: Option<Duration>,
}

impl Failure {
    /// A failure that ends the call.
    pub(super) fn last(fault: Fault) -> Self {
        Self { fault, repeat: false, pause: None }
    }
}

impl Broken {
    /// The failure of a call with that access.
    pub(super) fn settle(self, access: Access, host: &str) -> Failure {
        let unclear = match access {
            Access::Read => FaultClass::Transient,
            Access::Write => FaultClass::OutcomeUnknown,
        };
        let again = access == Access::Read;
        match self {
            Self::Unsent(error) => Failure {
                fault: Fault::new(FaultClass::Transient, format!("no connection to {host}"))
                    .advise("check the network, `base_url`, the proxy settings and the vendor's status page")
                    .because(error),
                repeat: true,
                pause: None,
            },
            Self::TimedOut(error) => {
                let fault = Fault::new(unclear, format!("{host} did not answer in time")).because(error);
                Failure { fault, repeat: again, pause: None }
            }
            Self::Cut(error) => {
                let fault = Fault::new(
                    unclear,
                    format!("the connection to {host} broke before the whole answer came"),
                );
                Failure { fault: fault.because(error), repeat: again, pause: None }
            }
            Self::TooLong { limit } => Failure::last(too_long(access, host, limit)),
        }
    }
}

/// The same read would bring the same body, so it is not repeated.
fn too_long(access: Access, host: &str, limit: usize) -> Fault {
    let class = match access {
        Access::Read => FaultClass::Misconfigured,
        Access::Write => FaultClass::OutcomeUnknown,
    };
    Fault::new(class, format!("the answer of {host} is longer than {limit} bytes"))
        .advise("check that `base_url` leads to the vendor's API")
}

/// Answers that no connector gets to judge: redirects, which are never followed.
pub(super) fn refuse(response: &Response) -> Option<Fault> {
    match response.status {
        // 302 and 303 may also follow a write that was done; `settle` knows.
        300..400 => {
            let message = format!("the vendor answered with a redirect (status {})", response.status);
            let fault = Fault::new(FaultClass::Misconfigured, message);
            Some(fault.advise("check `base_url`: redirects are not followed"))
        }
        100..200 => {
            Some(Fault::new(FaultClass::Transient, "the vendor answered with an interim status only"))
        }
        _ => None,
    }
}

/// A vendor's failure is no success, whatever a connector made of it.
pub(super) fn not_success(response: &Response) -> Result<(), Fault> {
    if response.status < 500 {
        return Ok(());
    }
    Err(Fault::new(FaultClass::Transient, format!("the vendor failed with status {}", response.status)))
}

/// The final class of a judged answer.
///
/// A read never ends as an unknown outcome. A write ends as repeatable only where the status itself says that the
/// vendor did nothing: 4xx, without 408, which a proxy also sends about a request that it has passed on.
pub(super) fn settle(access: Access, status: u16, fault: Fault) -> Fault {
    let refused = (400..500).contains(&status) && status != 408;
    let moved = matches!(status, 301 | 307 | 308);
    let class = match (access, fault.class()) {
        (Access::Read, FaultClass::OutcomeUnknown) => FaultClass::Transient,
        (Access::Write, FaultClass::Transient | FaultClass::Throttled { .. }) if !refused => {
            FaultClass::OutcomeUnknown
        }
        (Access::Write, FaultClass::Misconfigured) if (300..400).contains(&status) && !moved => {
            FaultClass::OutcomeUnknown
        }
        (_, class) => class,
    };
    fault.reclassed(class)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settled(access: Access, status: u16, class: FaultClass) -> &'static str {
        settle(access, status, Fault::new(class, "x")).class().as_str()
    }

    #[test]
    fn a_judged_answer_gets_its_final_class() {
        let throttled = FaultClass::Throttled { limit: "burst", retry_after: None };
        let cases = [
            (Access::Read, 503, FaultClass::Transient, "transient"),
            (Access::Read, 200, FaultClass::OutcomeUnknown, "transient"),
            (Access::Read, 401, FaultClass::Unauthorized, "unauthorized"),
            (Access::Write, 503, FaultClass::Transient, "outcome_unknown"),
            (Access::Write, 200, FaultClass::Transient, "outcome_unknown"),
            (Access::Write, 408, FaultClass::Transient, "outcome_unknown"),
            (Access::Write, 503, throttled, "outcome_unknown"),
            (Access::Write, 429, throttled, "throttled"),
            (Access::Write, 423, FaultClass::Transient, "transient"),
            (Access::Write, 400, FaultClass::Rejected, "rejected"),
            (Access::Write, 401, FaultClass::Unauthorized, "unauthorized"),
            (Access::Write, 403, FaultClass::Misconfigured, "misconfigured"),
            (Access::Write, 308, FaultClass::Misconfigured, "misconfigured"),
            (Access::Write, 302, FaultClass::Misconfigured, "outcome_unknown"),
            (Access::Write, 207, FaultClass::OutcomeUnknown, "outcome_unknown"),
        ];
        for (access, status, class, expected) in cases {
            assert_eq!(settled(access, status, class), expected, "{access:?} {status} {class:?}");
        }
    }
}
