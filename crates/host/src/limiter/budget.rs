//! A long limit as a count of calls over a sliding window.

use std::collections::VecDeque;
use std::time::Duration;

/// The window slides in this many steps.
pub(super) const STEPS: u32 = 96;

/// Counts calls. A daily limit is no pace: a morning's rush may spend half of it. Times are durations since one
/// fixed origin.
#[derive(Debug)]
pub(super) struct Budget {
    calls: u32,
    per: Duration,
    used: u32,
    /// Calls by step number, oldest first; steps without calls are left out. Those before the origin are negative.
    steps: VecDeque<(i128, u32)>,
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

    /// Calls of the running window by their age, the oldest first: what `resume` takes up in another process.
    pub(super) fn spent(&mut self, now: Duration) -> Vec<(Duration, u32)> {
        self.forget(now);
        let age = |step: i128| time(nanos(now) - (step + 1) * self.length());
        self.steps.iter().map(|(step, count)| (age(*step), *count)).collect()
    }

    /// Counts calls that another process made, the oldest first.
    pub(super) fn resume(&mut self, spent: &[(Duration, u32)], now: Duration) {
        for (age, count) in spent {
            let step = self.step(now) - nanos(*age).div_euclid(self.length());
            self.steps.push_back((step, *count));
            self.used = self.used.saturating_add(*count);
        }
    }

    fn length(&self) -> i128 {
        nanos(self.per / STEPS).max(1)
    }

    fn step(&self, now: Duration) -> i128 {
        nanos(now) / self.length()
    }

    /// When no window that ends then or later touches the step.
    fn end_of(&self, step: i128) -> Duration {
        time((step + 1) * self.length() + nanos(self.per)) + Duration::from_nanos(1)
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

fn nanos(duration: Duration) -> i128 {
    i128::try_from(duration.as_nanos()).unwrap_or(i128::MAX)
}

fn time(nanos: i128) -> Duration {
    Duration::from_nanos(u64::try_from(nanos.max(0)).unwrap_or(u64::MAX))
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

    proptest! {
        #[test]
        fn what_was_spent_before_a_restart_counts_as_long_as_it_would_have(
            made in prop::collection::vec(0u64..90_000, 1..20), restart in 0u64..100_000,
        ) {
            let mut made = made;
            made.sort_unstable();
            let mut before = Budget::new(20, DAY);
            made.iter().for_each(|at| before.take(Duration::from_secs(*at)));
            let end = Duration::from_secs(made[made.len() - 1]);
            let mut after = Budget::new(20, DAY);
            after.resume(&before.spent(end), Duration::ZERO);
            let later = Duration::from_secs(restart);
            // A step is 900 s long, and a call's place in it is not known.
            let most = before.used((end + later).saturating_sub(Duration::from_secs(1_800)));
            let least = before.used(end + later);
            prop_assert!((least..=most).contains(&after.used(later)));
        }
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
