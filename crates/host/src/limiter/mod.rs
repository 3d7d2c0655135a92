//! The limiter: who may call the vendor when. The best lane goes first, a lane's calls in order of arrival.
//!
//! A call that counts against several limits takes from all of them in one step, when all have room: a call that
//! held one limit's room while it waited for another's would be counted long before it is sent.

mod budget;
mod gate;
mod headroom;
mod limit;
mod pace;
mod settings;
mod spread;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::SignedDuration;
use tokio::time::Instant;
use usher_connector::{CallLane, Fault, FaultClass, LimitReport, LimitSpec};

use self::gate::{Gate, Limits, Place};
use self::limit::{Limit, Mark};
pub use self::settings::{Allowance, LimiterSettings, Share, ShareError};

/// A limit as `usher status` shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LimitStatus {
    /// Its name.
    pub name: &'static str,
    /// The vendor's units per period, declared or learned.
    pub units: u32,
    /// The period.
    pub per: Duration,
    /// Our part of `units`; `None` if we set ourselves no limit.
    pub allowed: Option<u32>,
    /// Units that we spent in the running period, for limits of an hour and longer; counted since the start.
    pub used: Option<u32>,
    /// Units left by the vendor's last word, unless that is too old.
    pub remaining: Option<u32>,
    /// How long the vendor wants no call.
    pub blocked_for: Option<Duration>,
    /// Calls waiting.
    pub waiting: usize,
    /// Calls under way.
    pub in_flight: u32,
}

/// What must survive a restart of the process: a vendor's pause, and what of a long limit is spent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Standing {
    pub(crate) limit: &'static str,
    pub(crate) blocked_for: Duration,
    pub(crate) strikes: u32,
    /// The vendor's number of units, for a long limit of which it has told anything.
    pub(crate) units: Option<u32>,
    /// Units by their age, the oldest first.
    pub(crate) spent: Vec<(Duration, u32)>,
}

/// Keeps one connection's calls within its vendor's limits.
#[derive(Debug)]
pub struct Limiter {
    origin: Instant,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    limits: Vec<Limit>,
    gate: Gate,
    /// What the last call of each lane counted against, and what it cost.
    cited: BTreeMap<CallLane, (Limits, u32)>,
}

/// Leave to make one call. Hold it until the answer has been reported.
#[derive(Debug)]
#[must_use = "a call is under way as long as its permit lives"]
pub struct Permit {
    limiter: Arc<Limiter>,
    limits: Limits,
    cost: u32,
    /// Of its limits, in declared order.
    marks: Vec<Mark>,
}

enum Turn {
    Go(Vec<Mark>),
    Sleep(Duration),
    Refused { limit: &'static str, wait: Duration },
}

impl Limiter {
    /// A limiter for those limits. `midnight` is how long it takes until the next day begins. Fails with a defect if a
    /// name occurs twice or if there are more than 64.
    pub fn new(specs: &[LimitSpec], settings: &LimiterSettings, midnight: Duration) -> Result<Self, Fault> {
        if specs.len() > gate::MOST_LIMITS {
            return Err(Fault::new(FaultClass::Defect, "a connector declares more than 64 limits"));
        }
        let mut limits: Vec<Limit> = Vec::with_capacity(specs.len());
        for spec in specs {
            if limits.iter().any(|limit| limit.name() == spec.name) {
                return Err(Fault::new(
                    FaultClass::Defect,
                    format!("the limit `{}` is declared twice", spec.name),
                ));
            }
            limits.push(Limit::new(*spec, settings.of(spec.name), midnight));
        }
        let state = State { limits, gate: Gate::default(), cited: BTreeMap::new() };
        Ok(Self { origin: Instant::now(), state: Mutex::new(state) })
    }

    /// Waits until a call of that lane and cost may count against all those limits, at most `patience`.
    ///
    /// A wait known to be longer is refused at once, as throttled with the time to wait. Dropping the future gives
    /// up the place and takes nothing.
    pub async fn acquire(
        self: &Arc<Self>,
        names: &[&'static str],
        cost: u32,
        lane: CallLane,
        patience: Duration,
    ) -> Result<Permit, Fault> {
        let limits = self.resolve(names)?;
        let deadline = Instant::now() + patience;
        let place = Place::take(self, lane, (limits, cost));
        loop {
            match self.turn(&place, deadline) {
                Turn::Go(marks) => return Ok(Permit { limiter: Arc::clone(self), limits, cost, marks }),
                Turn::Refused { limit, wait } => return Err(refusal(limit, wait)),
                Turn::Sleep(pause) => {
                    // A wake-up that comes between the look and the sleep is kept by the place.
                    let _ = tokio::time::timeout(pause, place.woken()).await;
                }
            }
        }
    }

    /// Lets no call through before `pause` is over, or for a decent while if the vendor did not say how long.
    /// Absurd pauses are cut. Returns the pause; `None` if there is no such limit.
    pub fn block(&self, name: &str, pause: Option<Duration>) -> Option<Duration> {
        let now = self.now();
        let mut state = self.lock();
        let limit = state.limits.iter_mut().find(|limit| limit.name() == name)?;
        Some(limit.block(pause, now))
    }

    /// The vendor let a call through that counts against those limits: whoever waited for that may go.
    pub fn passed(&self, names: &[&'static str]) {
        let now = self.now();
        let mut state = self.lock();
        let State { limits, gate, .. } = &mut *state;
        let mut opened = false;
        for limit in limits.iter_mut().filter(|limit| names.contains(&limit.name())) {
            opened |= limit.passed(now);
        }
        if opened {
            gate.wake();
        }
    }

    /// How long a call of that lane would wait now if it is like the last one of its lane.
    pub(crate) fn wait(&self, lane: CallLane) -> Duration {
        let now = self.now();
        let mut state = self.lock();
        let State { limits, cited, .. } = &mut *state;
        let Some((cited, cost)) = cited.get(&lane) else { return Duration::ZERO };
        let counted = limits.iter_mut().enumerate().filter(|(index, _)| cited.has(*index));
        counted.map(|(_, limit)| limit.wait(lane, *cost, now)).max().unwrap_or_default()
    }

    /// How many calls of that lane wait.
    pub(crate) fn waiting(&self, lane: CallLane) -> usize {
        self.lock().gate.waiting_in(lane)
    }

    /// What another process must know to go on.
    pub(crate) fn standing(&self) -> Vec<Standing> {
        let now = self.now();
        self.lock().limits.iter_mut().map(|limit| limit.standing(now)).collect()
    }

    /// Takes up where another process stopped. To be called before the first call.
    pub(crate) fn resume(&self, standing: &[Standing]) {
        let now = self.now();
        let mut state = self.lock();
        for limit in &mut state.limits {
            if let Some(standing) = standing.iter().find(|standing| standing.limit == limit.name()) {
                limit.resume(standing, now);
            }
        }
    }

    /// The limits as they stand, in declared order.
    #[must_use]
    pub fn snapshot(&self) -> Vec<LimitStatus> {
        let now = self.now();
        let mut state = self.lock();
        let State { limits, gate, .. } = &mut *state;
        let status =
            |(index, limit): (usize, &mut Limit)| limit.status(now, gate.waiting(Limits::one(index)));
        limits.iter_mut().enumerate().map(status).collect()
    }

    fn turn(&self, place: &Place, deadline: Instant) -> Turn {
        let now = self.now();
        let left = deadline.saturating_duration_since(Instant::now());
        let mut state = self.lock();
        let State { limits, gate, cited } = &mut *state;
        cited.insert(place.lane(), (place.limits, place.cost));
        let slowest = limits
            .iter_mut()
            .enumerate()
            .filter(|(index, _)| place.limits.has(*index))
            .map(|(_, limit)| (limit.wait(place.lane(), place.cost, now), limit.name()))
            .max_by_key(|(wait, _)| *wait);
        let Some((wait, limit)) = slowest else { return Turn::Go(Vec::new()) };
        let first = gate.is_first(place);
        if wait > left || (left.is_zero() && !(first && wait.is_zero())) {
            return Turn::Refused { limit, wait: wait.max(Duration::from_secs(1)) };
        }
        if !first {
            return Turn::Sleep(left);
        }
        if !wait.is_zero() {
            return Turn::Sleep(wait);
        }
        let counted = limits.iter_mut().enumerate().filter(|(index, _)| place.limits.has(*index));
        Turn::Go(counted.map(|(_, limit)| limit.take(place.lane(), place.cost, now)).collect())
    }

    fn resolve(&self, names: &[&'static str]) -> Result<Limits, Fault> {
        let state = self.lock();
        let mut limits = Limits::default();
        for name in names {
            let Some(index) = state.limits.iter().position(|limit| limit.name() == *name) else {
                let message =
                    format!("a request cites the limit `{name}`, which its connector does not declare");
                return Err(Fault::new(FaultClass::Defect, message));
            };
            limits.add(index);
        }
        Ok(limits)
    }

    fn now(&self) -> Duration {
        self.origin.elapsed()
    }

    /// Every step under the lock leaves the state whole, so a panic elsewhere does not spoil it.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Permit {
    /// Learns from the headers of the call's answer. Limits that the connector did not declare are passed over.
    pub fn report(&self, reports: &[LimitReport]) {
        if reports.is_empty() {
            return;
        }
        let now = self.limiter.now();
        let mut state = self.limiter.lock();
        let mut marks = self.marks.iter();
        for (index, limit) in state.limits.iter_mut().enumerate() {
            let own = if self.limits.has(index) { marks.next() } else { None };
            let mark = own.copied().unwrap_or_else(|| limit.mark());
            let name = limit.name();
            for report in reports.iter().filter(|report| report.name == name) {
                limit.report(report, mark, now);
            }
        }
        state.gate.wake();
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let now = self.limiter.now();
        let mut state = self.limiter.lock();
        let State { limits, gate, .. } = &mut *state;
        let mut probed = false;
        for (_, limit) in limits.iter_mut().enumerate().filter(|(index, _)| self.limits.has(*index)) {
            limit.release(self.cost, now);
            probed |= limit.is_probing();
        }
        if probed {
            gate.wake();
        }
    }
}

fn refusal(limit: &'static str, wait: Duration) -> Fault {
    let retry_after = SignedDuration::try_from(wait).ok();
    let message = format!("the limit `{limit}` has no room for {} s", wait.as_secs().max(1));
    Fault::new(FaultClass::Throttled { limit, retry_after }, message)
}
