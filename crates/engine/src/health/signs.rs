//! Signs: what the running steps note in passing for the watchdog to read. In memory only; a restart starts afresh.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use usher_connector::{Fault, FaultClass};
use usher_model::ConnectionName;
use usher_store::{Direction, RestingEndpoint};

use crate::error::EngineError;
use crate::wake::Step;

/// Refused webhooks are counted over this time.
const REFUSALS_OVER: Duration = Duration::from_secs(600);
/// No more than these are remembered of one connection: a flood of forgeries must not fill the memory.
const REFUSALS_KEPT: usize = 1_000;
/// A watchdog that has not looked for so long does not run any more.
const SILENT: Duration = Duration::from_secs(60);

/// What the last look of the watchdog found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Health {
    /// Why no work should be sent here; empty if all is well.
    pub unready: Vec<String>,
}

#[derive(Debug, Default)]
struct Noted {
    /// When each step last got on; from its start on.
    moved: BTreeMap<&'static str, Instant>,
    troubles: BTreeMap<(ConnectionName, String), String>,
    refused: BTreeMap<ConnectionName, VecDeque<Instant>>,
    looked: Option<(Instant, Health)>,
}

/// What the steps note.
#[derive(Debug, Default)]
pub struct Signs(Mutex<Noted>);

impl Signs {
    fn noted(&self) -> MutexGuard<'_, Noted> {
        // Every change is complete in itself, so what a thread that panicked left is as good as any.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A step has begun, or got on: it did something, or a vendor kept it from doing so.
    pub fn moved(&self, step: Step) {
        self.noted().moved.insert(step.as_str(), Instant::now());
    }

    /// For how long a step did not get on; `None` for one that was never begun.
    pub(crate) fn idle(&self, step: Step) -> Option<Duration> {
        self.noted().moved.get(step.as_str()).map(Instant::elapsed)
    }

    /// Notes how a connection did at something: a fault that only an operator can mend stands until it goes well once.
    pub fn judge<T>(&self, connection: &ConnectionName, doing: &str, result: &Result<T, EngineError>) {
        match result {
            Ok(_) => self.went_well(connection, doing),
            Err(EngineError::Vendor { connection, fault, .. }) => self.failed(connection, doing, fault),
            Err(_) => {}
        }
    }

    pub(crate) fn went_well(&self, connection: &ConnectionName, doing: &str) {
        let mut noted = self.noted();
        if !noted.troubles.is_empty() {
            noted.troubles.remove(&(connection.clone(), doing.to_owned()));
        }
    }

    pub(crate) fn failed(&self, connection: &ConnectionName, doing: &str, fault: &Fault) {
        if matches!(fault.class(), FaultClass::Unauthorized | FaultClass::Misconfigured) {
            self.noted().troubles.insert((connection.clone(), doing.to_owned()), fault.to_string());
        }
    }

    /// An endpoint failed again and again, and rests.
    pub(crate) fn rests(&self, endpoint: &RestingEndpoint) {
        let place = (endpoint.connection.clone(), endpoint.direction.doing().to_owned());
        self.noted().troubles.insert(place, endpoint.problem.clone());
    }

    /// An endpoint is well again.
    pub(crate) fn rests_no_more(&self, connection: &ConnectionName, direction: Direction) {
        self.went_well(connection, direction.doing());
    }

    /// Standing faults: connection, what it was doing, in words.
    pub(crate) fn troubles(&self) -> Vec<(ConnectionName, String, String)> {
        let noted = self.noted();
        noted
            .troubles
            .iter()
            .map(|((name, doing), fault)| (name.clone(), doing.clone(), fault.clone()))
            .collect()
    }

    /// A webhook was refused for its signature or key.
    pub(crate) fn refused(&self, connection: &ConnectionName) {
        let mut noted = self.noted();
        let times = noted.refused.entry(connection.clone()).or_default();
        times.push_back(Instant::now());
        if times.len() > REFUSALS_KEPT {
            times.pop_front();
        }
    }

    /// How many webhooks each connection refused in the last ten minutes.
    pub(crate) fn refusals(&self) -> Vec<(ConnectionName, usize)> {
        let mut noted = self.noted();
        for times in noted.refused.values_mut() {
            while times.front().is_some_and(|time| time.elapsed() > REFUSALS_OVER) {
                times.pop_front();
            }
        }
        noted.refused.retain(|_, times| !times.is_empty());
        noted.refused.iter().map(|(name, times)| (name.clone(), times.len())).collect()
    }

    pub(crate) fn looked(&self, health: Health) {
        self.noted().looked = Some((Instant::now(), health));
    }

    /// What the watchdog found. One that has not looked for a minute is found dead itself.
    #[must_use]
    pub fn health(&self) -> Health {
        match &self.noted().looked {
            Some((at, _)) if at.elapsed() > SILENT => {
                Health { unready: vec!["the watchdog does not run any more; restart usher".to_owned()] }
            }
            Some((_, health)) => health.clone(),
            None => Health::default(),
        }
    }
}
