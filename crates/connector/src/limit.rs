//! A vendor's rate limits as data, and how its answers are judged.

use std::time::Duration;

use crate::fault::Fault;
use crate::http::{Request, Response};

/// One limit of a vendor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LimitSpec {
    /// Its name, as requests cite it.
    pub name: &'static str,
    /// Calls allowed within `per`, before headers teach better.
    pub calls: u32,
    /// The period.
    pub per: Duration,
}

/// What an answer's headers say of a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LimitReport {
    /// The limit's name.
    pub name: &'static str,
    /// Calls allowed per period, where told.
    pub calls: Option<u32>,
    /// The period, where told.
    pub per: Option<Duration>,
    /// Calls left in the running period, where told.
    pub remaining: Option<u32>,
}

/// How a vendor speaks HTTP: the part of a connector that the host consults for every answer.
pub trait Protocol: Send + Sync {
    /// The vendor's limits with their documented defaults.
    fn limits(&self) -> Vec<LimitSpec>;

    /// What the headers of any answer, good or bad, say of the limits.
    fn read_limits(&self, response: &Response) -> Vec<LimitReport>;

    /// The class of a failure, or `Ok` for an answer that the connector wants to read itself.
    ///
    /// Unmatched 4xx must come out as `Rejected`; 5xx must come out as `Transient`, which the host turns into an
    /// unknown outcome for a write. Nothing unknown may map to `Ok`.
    fn judge(&self, request: &Request, response: &Response) -> Result<(), Fault>;
}
