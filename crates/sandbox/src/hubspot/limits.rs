//! Rate limits: rolling ten seconds, daily, and the search limit of its own.
//!
//! API-FACTS HubSpot: Rate limits. Search answers carry no rate headers and do not count in the rolling limit.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::call::Reply;
use super::errors::ApiError;
use crate::clock::Millis;

/// The account's limits; `None` in [`crate::Options`] turns them all off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Requests per rolling ten seconds.
    pub per_ten_seconds: u32,
    /// Requests per day.
    pub per_day: u64,
    /// Searches per second.
    pub searches_per_second: u32,
}

impl Default for Limits {
    /// A private app on Professional or Enterprise.
    fn default() -> Self {
        Self { per_ten_seconds: 190, per_day: 625_000, searches_per_second: 5 }
    }
}

/// Counts requests against the limits.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    pub(crate) limits: Option<Limits>,
    window: VecDeque<Millis>,
    searches: VecDeque<Millis>,
    day: Millis,
    today: u64,
}

/// Which limit was hit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Policy {
    Burst,
    Daily,
    Search,
}

impl Policy {
    /// The vendor's 429 body.
    pub(crate) fn error(self) -> ApiError {
        let (message, policy) = match self {
            Self::Burst => ("You have reached your ten_secondly_rolling limit.", "TEN_SECONDLY_ROLLING"),
            Self::Daily => ("You have reached your daily limit.", "DAILY"),
            // The policy name for search is not documented; the message is.
            Self::Search => ("You have reached your secondly limit.", "SECONDLY"),
        };
        let body =
            json!({"status": "error", "message": message, "errorType": "RATE_LIMIT", "policyName": policy});
        ApiError { status: 429, body: Box::new(body), whole: true }
    }

    pub(crate) fn fault(self) -> &'static str {
        match self {
            Self::Burst => "throttle_burst",
            Self::Daily => "throttle_daily",
            Self::Search => "throttle_search",
        }
    }
}

const DAY: Millis = 86_400_000;

impl Meter {
    pub(crate) fn new(limits: Option<Limits>) -> Self {
        Self { limits, ..Self::default() }
    }

    fn roll(&mut self, now: Millis) {
        while self.window.front().is_some_and(|at| *at <= now - 10_000) {
            self.window.pop_front();
        }
        while self.searches.front().is_some_and(|at| *at <= now - 1_000) {
            self.searches.pop_front();
        }
        if self.day != now.div_euclid(DAY) {
            (self.day, self.today) = (now.div_euclid(DAY), 0);
        }
    }

    /// Counts a request, or names the limit that it would break.
    pub(crate) fn take(&mut self, now: Millis, search: bool) -> Result<(), Policy> {
        let Some(limits) = self.limits else { return Ok(()) };
        self.roll(now);
        if self.today >= limits.per_day {
            return Err(Policy::Daily);
        }
        if search {
            if self.searches.len() >= limits.searches_per_second as usize {
                return Err(Policy::Search);
            }
            self.searches.push_back(now);
        } else {
            if self.window.len() >= limits.per_ten_seconds as usize {
                return Err(Policy::Burst);
            }
            self.window.push_back(now);
        }
        self.today += 1;
        Ok(())
    }

    /// The rate headers of an answer that is no search.
    pub(crate) fn headers(&self, reply: Reply) -> Reply {
        let Some(limits) = self.limits else { return reply };
        let left = (limits.per_ten_seconds as usize).saturating_sub(self.window.len());
        let daily = limits.per_day.saturating_sub(self.today);
        reply
            .header("X-HubSpot-RateLimit-Daily", limits.per_day.to_string())
            .header("X-HubSpot-RateLimit-Daily-Remaining", daily.to_string())
            .header("X-HubSpot-RateLimit-Interval-Milliseconds", "10000")
            .header("X-HubSpot-RateLimit-Max", limits.per_ten_seconds.to_string())
            .header("X-HubSpot-RateLimit-Remaining", left.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_limit_is_counted_apart() {
        let mut meter = Meter::new(Some(Limits { per_ten_seconds: 2, per_day: 5, searches_per_second: 1 }));
        assert_eq!(meter.take(0, false), Ok(()));
        assert_eq!(meter.take(0, false), Ok(()));
        assert_eq!(meter.take(9_999, false), Err(Policy::Burst));
        assert_eq!(meter.take(9_999, true), Ok(()));
        assert_eq!(meter.take(10_500, true), Err(Policy::Search));
        assert_eq!(meter.take(10_500, false), Ok(()));
        assert_eq!(meter.take(10_500, false), Ok(()));
        assert_eq!(meter.take(10_500, true), Err(Policy::Daily));
        assert_eq!(meter.take(DAY, true), Ok(()));
    }
}
