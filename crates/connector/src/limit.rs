//! A vendor's rate limits as data, and how its answers are judged.

use std::fmt::Debug;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::fault::Fault;
use crate::http::{CallLane, Request, Response};

/// One limit of a vendor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LimitSpec {
    /// Its name, as requests cite it.
    pub name: &'static str,
    /// Units allowed within `per`, before headers teach better.
    pub units: u32,
    /// The period.
    pub per: Duration,
    /// What is counted, and when the count begins anew.
    pub measure: Measure,
}

/// What a limit counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Measure {
    /// Calls, in any window as long as the period.
    Calls,
    /// What calls cost ([`Request::cost`]), from midnight to midnight. Midnight is taken as UTC's; a vendor that says how
    /// much is left corrects that.
    DailyCost,
}

impl LimitSpec {
    /// A limit of calls in any window of that length.
    #[must_use]
    pub const fn calls(name: &'static str, units: u32, per: Duration) -> Self {
        Self { name, units, per, measure: Measure::Calls }
    }

    /// A limit of what calls cost in a day.
    #[must_use]
    pub const fn daily_cost(name: &'static str, units: u32) -> Self {
        Self { name, units, per: Duration::from_secs(86_400), measure: Measure::DailyCost }
    }
}

/// What an answer's headers say of a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LimitReport {
    /// The limit's name.
    pub name: &'static str,
    /// Units allowed per period, where told.
    pub units: Option<u32>,
    /// The period, where told.
    pub per: Option<Duration>,
    /// Units left in the running period, where told.
    pub remaining: Option<u32>,
}

/// How a vendor speaks HTTP: the part of a connector that the host consults for every answer.
pub trait Protocol: Send + Sync {
    /// The vendor's limits with their documented defaults.
    fn limits(&self) -> Vec<LimitSpec>;

    /// What the headers of any answer, good or bad, say of the limits.
    fn read_limits(&self, request: &Request, response: &Response) -> Vec<LimitReport>;

    /// The class of a failure, or `Ok` for an answer that the connector wants to read itself.
    ///
    /// Unmatched 4xx must come out as `Rejected`; 5xx must come out as `Transient`, which the host turns into an
    /// unknown outcome for a write. Nothing unknown may map to `Ok`.
    fn judge(&self, request: &Request, response: &Response) -> Result<(), Fault>;
}

/// What the host knows of a connection's limits, for whoever plans its calls.
pub trait Gauge: Send + Sync + Debug {
    /// How long a call of that lane would wait for the limits now.
    fn wait(&self, lane: CallLane) -> Duration;

    /// How many calls of that lane wait for the limits now; whoever comes goes after them.
    fn waiting(&self, lane: CallLane) -> usize;

    /// Where each limit stands.
    fn standing(&self) -> Vec<LimitStanding>;

    /// Takes up where another process stopped. To be called before the first call.
    fn resume(&self, standing: Vec<LimitStanding>);
}

/// What of a limit must survive a restart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LimitStanding {
    /// The limit's name.
    pub limit: String,
    /// The vendor wants no call before this instant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blocked_until: Option<Timestamp>,
    /// Refusals in a row after which one call at a time asks.
    #[serde(default)]
    pub strikes: u32,
    /// For a limit of an hour and longer of which the vendor has told anything: its units per period.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub units: Option<u32>,
    /// For a limit of an hour and longer: units spent, each group by the end of its time, the oldest first.
    #[serde(default)]
    pub spent: Vec<(Timestamp, u32)>,
}
