//! One limit: our quota, the vendor's last word on it, and its pauses.

use std::time::Duration;

use usher_connector::{CallLane, LimitReport, LimitSpec, Measure};

use super::budget::{Budget, STEPS};
use super::headroom::{Headroom, reserve};
use super::pace::Pace;
use super::settings::Allowance;
use super::{LimitStatus, Standing};

/// From this period on a limit is a budget to spend, below it a pace to keep.
const BUDGET_FROM: Duration = Duration::from_secs(3600);

/// Periods are cut to this: longer ones would overflow the pacing arithmetic.
const LONGEST: Duration = Duration::from_secs(366 * 86_400);

/// A `Retry-After` is obeyed up to this or the limit's period, whichever is longer (FM-065).
const LONGEST_PAUSE: Duration = Duration::from_secs(3600);

/// How long a call waits, unless woken, for the answer to the one that asks whether the vendor lets calls through again.
const PROBE: Duration = Duration::from_secs(1);

#[derive(Debug)]
enum Quota {
    None,
    Pace(Pace),
    Budget(Budget, Option<Headroom>),
}

/// Where a limit stood when a call was counted.
#[derive(Debug, Clone, Copy)]
pub(super) struct Mark {
    /// What the calls counted that had ended by then.
    ended: u64,
    /// What the call itself counts.
    units: u32,
}

/// One limit. Times are durations since the limiter's origin.
#[derive(Debug)]
pub(super) struct Limit {
    name: &'static str,
    measure: Measure,
    allowance: Allowance,
    /// The vendor's numbers, declared or learned.
    units: u32,
    per: Duration,
    /// The vendor has told how many there are, or how many are left.
    told: bool,
    quota: Quota,
    /// The vendor's last word on what is left, and when it came.
    remaining: Option<(u32, Duration)>,
    blocked_until: Duration,
    /// Refusals in a row without a word of how long; while there are any, one call at a time asks.
    strikes: u32,
    in_flight: u32,
    /// What the calls in flight count.
    under_way: u32,
    /// What the calls that have ended count, since the start.
    ended: u64,
}

impl Limit {
    /// `midnight` is when the next day begins.
    pub(super) fn new(spec: LimitSpec, allowance: Allowance, midnight: Duration) -> Self {
        let per = spec.per.clamp(Duration::from_millis(1), LONGEST);
        let quota = match allowance {
            Allowance::Unlimited => Quota::None,
            Allowance::Share(share) if per >= BUDGET_FROM => {
                let renews = (spec.measure == Measure::DailyCost).then_some(midnight);
                Quota::Budget(Budget::new(share.of(spec.units), per, renews), None)
            }
            Allowance::Share(share) => Quota::Pace(Pace::new(share.of(spec.units), per)),
        };
        Self {
            name: spec.name,
            measure: spec.measure,
            allowance,
            units: spec.units,
            per,
            told: false,
            quota,
            remaining: None,
            blocked_until: Duration::ZERO,
            strikes: 0,
            in_flight: 0,
            under_way: 0,
            ended: 0,
        }
    }

    /// What a call of that cost counts here.
    fn counts(&self, cost: u32) -> u32 {
        match self.measure {
            Measure::Calls => 1,
            Measure::DailyCost => cost,
        }
    }

    pub(super) fn name(&self) -> &'static str {
        self.name
    }

    /// How long until a call of that lane and cost may go; zero if it may go now. Takes nothing.
    pub(super) fn wait(&mut self, lane: CallLane, cost: u32, now: Duration) -> Duration {
        let (spare, allowance, units) = (self.reserve(lane), self.allowance, self.counts(cost));
        let by_quota = match &mut self.quota {
            Quota::None => Duration::ZERO,
            Quota::Pace(pace) => {
                let ours = allowance.of(self.units.saturating_sub(pace.others(now)));
                pace.wait(ours.saturating_sub(spare), now)
            }
            Quota::Budget(budget, room) => {
                let by_vendor = room.map_or(Duration::ZERO, |room| room.wait(units, spare, now));
                budget.wait(units, spare, now).max(by_vendor)
            }
        };
        let probed = if self.is_probing() && self.in_flight > 0 { PROBE } else { Duration::ZERO };
        by_quota.max(probed).max(self.blocked_until.saturating_sub(now))
    }

    /// The vendor has refused and not yet let a call through.
    pub(super) fn is_probing(&self) -> bool {
        self.strikes > 0
    }

    /// The vendor has let a call through. True if it had refused before. Calls that were under way when it refused
    /// prove nothing.
    pub(super) fn passed(&mut self, now: Duration) -> bool {
        let opened = self.is_probing() && now >= self.blocked_until;
        if opened {
            self.strikes = 0;
        }
        opened
    }

    /// Counts a call that `wait` has just allowed. Returns the mark that its report is to bear.
    pub(super) fn take(&mut self, lane: CallLane, cost: u32, now: Duration) -> Mark {
        let (spare, units) = (self.reserve(lane), self.counts(cost));
        match &mut self.quota {
            Quota::None => {}
            Quota::Pace(pace) => pace.take(now),
            Quota::Budget(budget, room) => {
                budget.take(units, spare, now);
                if let Some(room) = room {
                    room.take(units, spare, now);
                }
            }
        }
        self.in_flight += 1;
        self.under_way += units;
        Mark { ended: self.ended, units }
    }

    /// The mark of an answer whose call did not count here.
    pub(super) fn mark(&self) -> Mark {
        Mark { ended: self.ended, units: 0 }
    }

    /// A counted call has ended.
    pub(super) fn release(&mut self, cost: u32, now: Duration) {
        self.in_flight = self.in_flight.saturating_sub(1);
        let units = self.counts(cost);
        self.under_way = self.under_way.saturating_sub(units);
        self.ended += u64::from(units);
        if let Quota::Pace(pace) = &mut self.quota {
            pace.end(now);
        }
    }

    /// Learns from an answer whose call is still counted as in flight.
    pub(super) fn report(&mut self, report: &LimitReport, mark: Mark, now: Duration) {
        self.told = true;
        self.learn(report.units, report.per, now);
        let Some(remaining) = report.remaining else { return };
        self.remaining = Some((remaining, now));
        let (memory, allowance) = (self.memory(), self.allowance);
        // Answers overtake each other: only what had ended before the call left is surely counted in its answer.
        let since = u32::try_from(self.ended - mark.ended).unwrap_or(u32::MAX);
        let unseen = self.under_way.saturating_add(since).saturating_sub(mark.units);
        match &mut self.quota {
            Quota::None => {}
            Quota::Pace(pace) => pace.hear(self.units, remaining, now),
            Quota::Budget(budget, room) => {
                budget.hear(self.units.saturating_sub(remaining).saturating_add(unseen));
                let ours = allowance.of(remaining.saturating_sub(unseen));
                *room = Some(Headroom::new(ours, now, memory));
            }
        }
    }

    fn learn(&mut self, units: Option<u32>, per: Option<Duration>, now: Duration) {
        let units = units.filter(|units| *units > 0).unwrap_or(self.units);
        let per = per.filter(|per| !per.is_zero()).unwrap_or(self.per).min(LONGEST);
        if (units, per) == (self.units, self.per) {
            return;
        }
        let ours = self.allowance.of(units);
        match &mut self.quota {
            Quota::None => {}
            Quota::Pace(pace) if per < BUDGET_FROM => pace.change(ours, per),
            Quota::Budget(budget, _) if per >= BUDGET_FROM => budget.change(ours, per, now),
            // A limit that turns from a pace into a budget is another limit: keep to what was declared.
            _ => return,
        }
        tracing::info!(limit = self.name, units, period_ms = per.as_millis(), "learned the vendor's limit");
        (self.units, self.per) = (units, per);
    }

    /// No call before the pause is over. Without a duration, a time after which asking again is decent: it doubles
    /// with each refusal, because an exhausted day may end in a minute or in twenty hours.
    pub(super) fn block(&mut self, pause: Option<Duration>, now: Duration) -> Duration {
        let cap = self.per.max(LONGEST_PAUSE);
        let pause = pause.unwrap_or_else(|| self.guess(now));
        if pause > cap {
            let (asked_s, limit) = (pause.as_secs(), self.name);
            tracing::warn!(
                limit,
                asked_s,
                obeyed_s = cap.as_secs(),
                "the vendor asks for a pause without measure"
            );
        }
        let pause = pause.min(cap);
        self.blocked_until = self.blocked_until.max(now + pause);
        pause
    }

    /// Calls that were under way together and are refused together count once.
    fn guess(&mut self, now: Duration) -> Duration {
        if now < self.blocked_until {
            return self.blocked_until - now;
        }
        let longest = self.memory();
        let first = (longest / 16).max(Duration::from_secs(1));
        let pause = first.saturating_mul(1 << self.strikes.min(8));
        self.strikes = self.strikes.saturating_add(1);
        pause.min(longest)
    }

    /// What another process must know to go on; nothing if a fresh start is as good.
    pub(super) fn standing(&mut self, now: Duration) -> Standing {
        let (units, spent) = match &mut self.quota {
            Quota::Budget(budget, _) => (self.told.then_some(self.units), budget.spent(now)),
            Quota::None | Quota::Pace(_) => (None, Vec::new()),
        };
        let blocked_for = self.blocked_until.saturating_sub(now);
        Standing { limit: self.name, blocked_for, strikes: self.strikes, units, spent }
    }

    /// Takes up where another process stopped.
    pub(super) fn resume(&mut self, standing: &Standing, now: Duration) {
        self.strikes = standing.strikes;
        self.blocked_until = now + standing.blocked_for.min(self.per.max(LONGEST_PAUSE));
        if let Quota::Budget(..) = &self.quota {
            // Without it what was spent of a large plan would close a small one, and no call would learn better.
            self.learn(standing.units, None, now);
            self.told = standing.units.is_some();
        }
        if let Quota::Budget(budget, _) = &mut self.quota {
            budget.resume(&standing.spent, standing.units.is_some(), now);
        }
    }

    pub(super) fn status(&mut self, now: Duration, waiting: usize) -> LimitStatus {
        let (allowed, used) = match &mut self.quota {
            Quota::None => (None, None),
            Quota::Pace(pace) => (Some(pace.calls()), None),
            Quota::Budget(budget, _) => (Some(budget.units()), Some(budget.used(now))),
        };
        let memory = self.memory();
        let remaining = self.remaining.filter(|(_, told)| now < *told + memory).map(|(left, _)| left);
        LimitStatus {
            name: self.name,
            units: self.units,
            per: self.per,
            allowed,
            used,
            remaining,
            blocked_for: Some(self.blocked_until.saturating_sub(now)).filter(|pause| !pause.is_zero()),
            waiting,
            in_flight: self.in_flight,
        }
    }

    fn reserve(&self, lane: CallLane) -> u32 {
        reserve(lane, self.allowance.of(self.units))
    }

    /// How long a word of the vendor holds: a period, or a step of a budget.
    fn memory(&self) -> Duration {
        if self.per >= BUDGET_FROM { self.per / STEPS } else { self.per.max(Duration::from_secs(1)) }
    }
}
