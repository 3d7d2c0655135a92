//! A long limit as a count of calls over a sliding window.

use std::collections::VecDeque;
use std::time::Duration;

/// The window slides in this many steps.
pub(super) const STEPS: u32 = 96;

/// Counts calls. A daily limit is no pace: a morning's rush may spend half of it. Times are durations since one
/// fixed origin.
///
/// What was spent before a restart is not known here; the vendor's own headers say it.
#[derive(Debug)]
pub(super) struct Budget {
    calls: u32,
    per: Duration,
    used: u32,
    /// Calls by step number, oldest first; steps without calls are left out.
    steps: VecDeque<(u128, u32)>,
}

impl Budget {
    /// Allows `calls` (at least 1) in any window of `per`.
    pub(super) fn new(calls: u32, per: Duration) -> Self {
        Self { calls: calls.max(1), per: per.max(Duration::from_secs(1)), used: 0, steps: VecDeque::new() }
    }

    /// Other numbers; calls already made go on counting.
    pub(super) fn change(&mut self, calls: u32, per: Duration, now: Duration) {
        self.calls = calls.max(1);
        if self.per != per {
            let used = self.used;
            *self = Self::new(self.calls, per);
            if used > 0 {
                self.used = used;
                self.steps.push_back((self.step(now), used));
            }
        }
    }

    /// The allowed calls in a window.
    pub(super) fn calls(&self) -> u32 {
        self.calls
    }

    /// Calls made in the running window.
    pub(super) fn used(&mut self, now: Duration) -> u32 {
        self.forget(now);
        self.used
    }

    /// How long until a call may go that must leave `reserve` calls to others; zero if it may go now.
    pub(super) fn wait(&mut self, reserve: u32, now: Duration) -> Duration {
        self.forget(now);
        let allowed = self.calls.saturating_sub(reserve).max(1);
        let mut used = self.used;
        for (step, count) in &self.steps {
            if used < allowed {
                break;
            }
            used -= count;
            if used < allowed {
                return self.end_of(*step).saturating_sub(now);
            }
        }
        Duration::ZERO
    }

    /// Counts a call that `wait` has just allowed.
    pub(super) fn take(&mut self, now: Duration) {
        let step = self.step(now);
        match self.steps.back_mut() {
            Some((last, count)) if *last == step => *count += 1,
            _ => self.steps.push_back((step, 1)),
        }
        self.used += 1;
    }

    fn length(&self) -> u128 {
        (self.per / STEPS).as_nanos().max(1)
    }

    fn step(&self, now: Duration) -> u128 {
        now.as_nanos() / self.length()
    }

    /// When no window that ends then or later touches the step.
    fn end_of(&self, step: u128) -> Duration {
        let nanos = (step + 1) * self.length() + self.per.as_nanos();
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX)) + Duration::from_nanos(1)
    }

    fn forget(&mut self, now: Duration) {
        while let Some((step, count)) = self.steps.front().copied() {
            if self.end_of(step) > now {
                break;
            }
            self.used -= count;
            self.steps.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const DAY: Duration = Duration::from_secs(86_400);

    proptest! {
        #[test]
        fn no_rolling_window_exceeds_the_budget(calls in 1u32..40, gaps in prop::collection::vec(0u64..40_000, 1..400)) {
            let mut budget = Budget::new(calls, DAY);
            let mut now = Duration::ZERO;
            let mut times: Vec<Duration> = Vec::new();
            for gap in gaps {
                now += Duration::from_secs(gap / 8);
                now += budget.wait(0, now);
                prop_assert_eq!(budget.wait(0, now), Duration::ZERO);
                budget.take(now);
                times.push(now);
                let within = times.iter().filter(|at| now - **at <= DAY).count();
                prop_assert!(within <= calls as usize);
            }
        }
    }

    #[test]
    fn a_reserve_is_left_to_others() {
        let mut budget = Budget::new(10, DAY);
        for _ in 0..8 {
            assert_eq!(budget.wait(2, Duration::ZERO), Duration::ZERO);
            budget.take(Duration::ZERO);
        }
        assert!(budget.wait(2, Duration::ZERO) >= DAY);
        assert_eq!(budget.wait(0, Duration::ZERO), Duration::ZERO);
    }

    #[test]
    fn a_change_keeps_the_count() {
        let mut budget = Budget::new(10, DAY);
        for _ in 0..8 {
            budget.take(Duration::ZERO);
        }
        budget.change(5, DAY, Duration::ZERO);
        assert!(budget.wait(0, Duration::ZERO) > Duration::ZERO);
        budget.change(9, DAY * 2, Duration::ZERO);
        assert_eq!(budget.used(Duration::ZERO), 8);
        assert_eq!(budget.wait(0, Duration::ZERO), Duration::ZERO);
    }
}
