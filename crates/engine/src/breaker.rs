//! Breakers: an endpoint that keeps failing rests, and one call at a time asks whether it is well again.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::Ordering;
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::{SignedDuration, Timestamp};
use usher_connector::{Fault, FaultClass};
use usher_model::ConnectionName;
use usher_store::{Direction, RestingEndpoint};

use crate::engine::Engine;
use crate::error::EngineError;
use crate::wake::Step;

/// Outcomes that are looked at: so many at least and at most.
const OUTCOMES: std::ops::RangeInclusive<usize> = 10..=20;
/// An endpoint rests when at most one of so many calls succeeds: bad weather, in which a third of all calls fails, is
/// worked through.
const ONE_IN: usize = 10;
/// Between two calls that ask.
const REST: SignedDuration = SignedDuration::from_secs(30);

/// What an endpoint may be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Leave {
    /// Everything.
    Go,
    /// One call, to see whether it is well again.
    Probe,
    /// Nothing before this instant.
    Rest(Timestamp),
}

/// One endpoint.
#[derive(Debug, Default)]
struct Breaker {
    /// Whether the last calls failed.
    failed: VecDeque<bool>,
    resting: Option<RestingEndpoint>,
}

/// What is to be stored after a call.
#[derive(Debug, PartialEq, Eq)]
enum Change {
    Rests(RestingEndpoint),
    Well,
}

/// The endpoints of every connection.
#[derive(Debug, Default)]
pub(crate) struct Breakers {
    endpoints: Mutex<BTreeMap<(ConnectionName, Direction), Breaker>>,
}

impl Breakers {
    /// As another process left them.
    pub(crate) fn resume(resting: Vec<RestingEndpoint>) -> Self {
        let of = |resting: RestingEndpoint| {
            let key = (resting.connection.clone(), resting.direction);
            (key, Breaker { resting: Some(resting), ..Breaker::default() })
        };
        Self { endpoints: Mutex::new(resting.into_iter().map(of).collect()) }
    }

    /// What the endpoint may be asked now. Whoever gets leave to probe makes the call: nobody else does for a while.
    pub(crate) fn leave(&self, connection: &ConnectionName, direction: Direction, now: Timestamp) -> Leave {
        let mut endpoints = self.lock();
        let resting =
            endpoints.get_mut(&(connection.clone(), direction)).and_then(|each| each.resting.as_mut());
        match resting {
            None => Leave::Go,
            // Beyond a rest's end lies only what a clock that was set back has left there.
            Some(resting) if now < resting.probe_at && resting.probe_at <= later(now) => {
                Leave::Rest(resting.probe_at)
            }
            Some(resting) => {
                resting.probe_at = later(now);
                Leave::Probe
            }
        }
    }

    /// The probe that there was leave for was not made: somebody else may make it.
    fn unasked(&self, connection: &ConnectionName, direction: Direction, now: Timestamp) {
        let mut endpoints = self.lock();
        let breaker = endpoints.get_mut(&(connection.clone(), direction));
        if let Some(resting) = breaker.and_then(|each| each.resting.as_mut()) {
            resting.probe_at = now;
        }
    }

    /// Learns from a call: `problem` says why it failed.
    fn note(
        &self,
        connection: &ConnectionName,
        direction: Direction,
        problem: Option<&Fault>,
        now: Timestamp,
    ) -> Option<Change> {
        let mut endpoints = self.lock();
        let breaker = endpoints.entry((connection.clone(), direction)).or_default();
        let Some(problem) = problem else {
            let was = breaker.resting.take();
            if was.is_some() {
                breaker.failed.clear();
            }
            breaker.count(false);
            return was.map(|_| Change::Well);
        };
        breaker.count(true);
        let since = match &breaker.resting {
            Some(resting) => resting.since,
            None if breaker.is_dead() => now,
            None => return None,
        };
        let connection = connection.clone();
        let resting = RestingEndpoint {
            connection,
            direction,
            since,
            probe_at: later(now),
            problem: problem.to_string(),
        };
        breaker.resting = Some(resting.clone());
        Some(Change::Rests(resting))
    }

    /// A step under the lock leaves the state whole, so a panic elsewhere does not spoil it.
    fn lock(&self) -> MutexGuard<'_, BTreeMap<(ConnectionName, Direction), Breaker>> {
        self.endpoints.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Breaker {
    fn count(&mut self, failed: bool) {
        if self.failed.len() == *OUTCOMES.end() {
            self.failed.pop_front();
        }
        self.failed.push_back(failed);
    }

    fn is_dead(&self) -> bool {
        let well = self.failed.iter().filter(|failed| !**failed).count();
        self.failed.len() >= *OUTCOMES.start() && well * ONE_IN <= self.failed.len()
    }
}

fn later(now: Timestamp) -> Timestamp {
    now.saturating_add(REST).unwrap_or(Timestamp::MAX)
}

/// What a fault says about its endpoint: nothing if we were asked to slow down, nothing bad if it only refused.
fn verdict(fault: Option<&Fault>) -> Option<Option<&Fault>> {
    match fault.map(Fault::class) {
        Some(FaultClass::Throttled { .. }) => None,
        Some(
            FaultClass::Transient
            | FaultClass::OutcomeUnknown
            | FaultClass::Unauthorized
            | FaultClass::Misconfigured,
        ) => Some(fault),
        Some(FaultClass::Rejected | FaultClass::Defect) | None => Some(None),
    }
}

impl Engine {
    /// What the endpoint may be asked now.
    pub(crate) fn may_call(&self, connection: &ConnectionName, direction: Direction) -> Leave {
        self.breakers.leave(connection, direction, self.now())
    }

    /// There was nothing to ask for.
    pub(crate) fn unasked(&self, connection: &ConnectionName, direction: Direction, leave: Leave) {
        if leave == Leave::Probe {
            self.breakers.unasked(connection, direction, self.now());
        }
    }

    /// Learns how a call went, and stores what changed by it.
    pub(crate) async fn note(
        &self,
        connection: &ConnectionName,
        direction: Direction,
        fault: Option<&Fault>,
    ) -> Result<(), EngineError> {
        let Some(problem) = verdict(fault) else { return Ok(()) };
        match self.breakers.note(connection, direction, problem, self.now()) {
            None => {}
            Some(Change::Rests(endpoint)) => {
                let (direction, problem) = (direction.as_str(), &endpoint.problem);
                tracing::error!(%connection, direction, problem, "rests: it fails again and again; asked every 30 s");
                self.signs().rests(&endpoint);
                self.store.rest(endpoint).await?;
            }
            Some(Change::Well) => {
                tracing::info!(%connection, direction = direction.as_str(), "is well again");
                self.signs().rests_no_more(connection, direction);
                self.store.well(connection, direction).await?;
                if *connection == self.crm {
                    self.hastening.store(true, Ordering::Relaxed);
                    self.wake().ring(Step::Prepare);
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::UNIX_EPOCH + SignedDuration::from_secs(seconds)
    }

    fn crm() -> ConnectionName {
        ConnectionName::new("crm")
    }

    fn dead() -> Fault {
        Fault::new(FaultClass::Transient, "no connection")
    }

    #[test]
    fn fm_070_a_dead_endpoint_rests_is_asked_by_one_call_and_closes() {
        let breakers = Breakers::default();
        for call in 1..10 {
            assert_eq!(breakers.note(&crm(), Direction::Write, Some(&dead()), at(call)), None);
        }
        assert!(matches!(
            breakers.note(&crm(), Direction::Write, Some(&dead()), at(10)),
            Some(Change::Rests(_))
        ));
        assert_eq!(breakers.leave(&crm(), Direction::Write, at(39)), Leave::Rest(at(40)));
        assert_eq!(breakers.leave(&crm(), Direction::Pull, at(11)), Leave::Go);
        // However many ask, one call goes in thirty seconds.
        let asked =
            (40..=100).filter(|second| breakers.leave(&crm(), Direction::Write, at(*second)) == Leave::Probe);
        assert_eq!(asked.collect::<Vec<_>>(), [40, 70, 100]);
        let stored = breakers.note(&crm(), Direction::Write, Some(&dead()), at(101));
        let Some(Change::Rests(resting)) = stored else { panic!("{stored:?}") };
        assert_eq!((resting.since, resting.probe_at), (at(10), at(131)));
        let breakers = Breakers::resume(vec![resting]);
        assert_eq!(breakers.leave(&crm(), Direction::Write, at(130)), Leave::Rest(at(131)));
        assert_eq!(breakers.leave(&crm(), Direction::Write, at(131)), Leave::Probe);
        breakers.unasked(&crm(), Direction::Write, at(131));
        assert_eq!(breakers.leave(&crm(), Direction::Write, at(131)), Leave::Probe);
        assert_eq!(breakers.leave(&crm(), Direction::Write, at(60)), Leave::Probe, "the clock was set back");
        assert_eq!(breakers.note(&crm(), Direction::Write, None, at(132)), Some(Change::Well));
        assert_eq!(breakers.leave(&crm(), Direction::Write, at(132)), Leave::Go);
        // What failed before it was well does not count again.
        assert_eq!(breakers.note(&crm(), Direction::Write, Some(&dead()), at(133)), None);
    }

    #[test]
    fn bad_weather_is_no_death() {
        let breakers = Breakers::default();
        for call in 0..1_000 {
            let fault = (call % 3 != 0).then(dead);
            assert_eq!(breakers.note(&crm(), Direction::Pull, fault.as_ref(), at(call)), None);
        }
    }

    #[test]
    fn a_refusal_shows_that_the_endpoint_is_there_and_a_full_limit_shows_nothing() {
        let class = |class| Fault::new(class, "x");
        let refused = class(FaultClass::Rejected);
        assert!(verdict(Some(&refused)).is_some_and(|problem| problem.is_none()));
        let full = class(FaultClass::Throttled { limit: "burst", retry_after: None });
        assert!(verdict(Some(&full)).is_none());
        assert!(verdict(Some(&dead())).is_some_and(|problem| problem.is_some()));
    }
}
