//! A long limit as a count over a sliding window, or over a day that begins at a fixed hour.

use std::collections::VecDeque;
use std::time::Duration;

/// The window slides in this many steps.
pub(super) const STEPS: u32 = 96;

/// Counts units: calls, or what calls cost. A daily limit is no pace: a morning's rush may spend half of it. Times are
/// durations since one fixed origin.
///
/// A vendor whose words tell what is spent has the last one on when its day begins: past our midnight the count goes on
/// until an answer says less, and a spent budget lets one call in each step ask.
#[derive(Debug)]
pub(super) struct Budget {
    units: u32,
    per: Duration,
    /// When the count begins anew; none for a window that slides.
    renews: Option<Duration>,
    /// The vendor tells what is spent of its day.
    told: bool,
    /// The count is of the day before as far as we know; from then on a call may ask.
    carried: Option<Duration>,
    used: u32,
    /// Units by step number, oldest first; steps without any are left out. Those before the origin are negative.
    steps: VecDeque<(i128, u32)>,
}

impl Budget {
    /// Allows `units` (at least 1) in any window of `per`, or between two renewals.
    pub(super) fn new(units: u32, per: Duration, renews: Option<Duration>) -> Self {
        let (units, per) = (units.max(1), per.max(Duration::from_secs(1)));
        Self { units, per, renews, told: false, carried: None, used: 0, steps: VecDeque::new() }
    }

    /// Other numbers; what is spent goes on counting.
    pub(super) fn change(&mut self, units: u32, per: Duration, now: Duration) {
        self.units = units.max(1);
        if self.per != per {
            let used = self.used;
            *self = Self { told: self.told, ..Self::new(self.units, per, self.renews) };
            if used > 0 {
                self.used = used;
                self.steps.push_back((self.step(now), used));
            }
        }
    }

    /// The allowed units in a window.
    pub(super) fn units(&self) -> u32 {
        self.units
    }

    /// Units spent in the running window.
    pub(super) fn used(&mut self, now: Duration) -> u32 {
        self.forget(now);
        self.used
    }

    /// How long until so many units may be spent, with `reserve` left to others; zero if they may be now.
    pub(super) fn wait(&mut self, units: u32, reserve: u32, now: Duration) -> Duration {
        self.forget(now);
        let mut used = self.used;
        for (step, count) in &self.steps {
            if self.fits(used, units, reserve) {
                break;
            }
            used -= count;
            if self.fits(used, units, reserve) {
                let end = self.end_of(*step);
                return self.carried.map_or(end, |asks| asks.min(end)).saturating_sub(now);
            }
        }
        Duration::ZERO
    }

    fn fits(&self, used: u32, units: u32, reserve: u32) -> bool {
        used.saturating_add(units) <= self.units.saturating_sub(reserve).max(units)
    }

    /// Counts units that `wait` has just allowed.
    pub(super) fn take(&mut self, units: u32, reserve: u32, now: Duration) {
        self.forget(now);
        if !self.fits(self.used, units, reserve) {
            self.carried = self.carried.map(|_| now + self.per / STEPS);
        }
        let step = self.step(now);
        match self.steps.back_mut() {
            Some((last, count)) if *last == step => *count += units,
            _ => self.steps.push_back((step, units)),
        }
        self.used += units;
    }

    /// By the vendor's word everybody together has spent no more than this of its day. What we have counted beyond was
    /// of the day before. A sliding window has no day.
    pub(super) fn hear(&mut self, spent: u32) {
        self.told = self.renews.is_some();
        if self.used > spent {
            self.carried = None;
        }
        while self.told && self.used > spent {
            let Some((_, count)) = self.steps.front_mut() else { break };
            let old = (*count).min(self.used - spent);
            *count -= old;
            self.used -= old;
            if *count == 0 {
                self.steps.pop_front();
            }
        }
    }

    /// Units of the running window by their age, the oldest first: what `resume` takes up in another process.
    pub(super) fn spent(&mut self, now: Duration) -> Vec<(Duration, u32)> {
        self.forget(now);
        let age = |step: i128| time(nanos(now) - (step + 1) * self.length());
        self.steps.iter().map(|(step, count)| (age(*step), *count)).collect()
    }

    /// Counts what another process spent, the oldest first; `told` if the vendor told it what was spent.
    pub(super) fn resume(&mut self, spent: &[(Duration, u32)], told: bool, now: Duration) {
        self.told = told && self.renews.is_some();
        let yesterday = |age: Duration| self.renews.is_some_and(|renews| now + self.per < renews + age);
        let counts = |age: Duration| !yesterday(age) || self.told && age < self.per;
        let spent: Vec<_> = spent.iter().filter(|(age, _)| counts(*age)).collect();
        self.carried = spent.iter().any(|(age, _)| yesterday(*age)).then_some(now);
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
        if let Some(renews) = self.renews {
            return renews;
        }
        time((step + 1) * self.length() + nanos(self.per)) + Duration::from_nanos(1)
    }

    fn forget(&mut self, now: Duration) {
        if self.told
            && self.carried.is_none()
            && self.used > 0
            && self.renews.is_some_and(|renews| renews <= now)
        {
            self.carried = Some(now);
            self.renews = self.renews.map(|renews| renews + self.per);
        }
        while let Some((step, count)) = self.steps.front().copied() {
            if self.end_of(step) > now {
                break;
            }
            self.used -= count;
            self.steps.pop_front();
        }
        while let Some(renews) = self.renews.as_mut().filter(|renews| **renews <= now) {
            *renews += self.per;
        }
        self.carried = self.carried.filter(|_| self.used > 0);
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
            let mut budget = Budget::new(calls, DAY, None);
            let mut now = Duration::ZERO;
            let mut times: Vec<Duration> = Vec::new();
            for gap in gaps {
                now += Duration::from_secs(gap / 8);
                now += budget.wait(1, 0, now);
                prop_assert_eq!(budget.wait(1, 0, now), Duration::ZERO);
                budget.take(1, 0, now);
                times.push(now);
                let within = times.iter().filter(|at| now - **at <= DAY).count();
                prop_assert!(within <= calls as usize);
            }
        }
    }

    #[test]
    fn a_reserve_is_left_to_others() {
        let mut budget = Budget::new(10, DAY, None);
        for _ in 0..8 {
            assert_eq!(budget.wait(1, 2, Duration::ZERO), Duration::ZERO);
            budget.take(1, 0, Duration::ZERO);
        }
        assert!(budget.wait(1, 2, Duration::ZERO) >= DAY);
        assert_eq!(budget.wait(1, 0, Duration::ZERO), Duration::ZERO);
    }

    proptest! {
        #[test]
        fn what_was_spent_before_a_restart_counts_as_long_as_it_would_have(
            made in prop::collection::vec(0u64..90_000, 1..20), restart in 0u64..100_000,
        ) {
            let mut made = made;
            made.sort_unstable();
            let mut before = Budget::new(20, DAY, None);
            made.iter().for_each(|at| before.take(1, 0, Duration::from_secs(*at)));
            let end = Duration::from_secs(made[made.len() - 1]);
            let mut after = Budget::new(20, DAY, None);
            after.resume(&before.spent(end), false, Duration::ZERO);
            let later = Duration::from_secs(restart);
            // A step is 900 s long, and a call's place in it is not known.
            let most = before.used((end + later).saturating_sub(Duration::from_secs(1_800)));
            let least = before.used(end + later);
            prop_assert!((least..=most).contains(&after.used(later)));
        }
    }

    #[test]
    fn a_change_keeps_the_count() {
        let mut budget = Budget::new(10, DAY, None);
        for _ in 0..8 {
            budget.take(1, 0, Duration::ZERO);
        }
        budget.change(5, DAY, Duration::ZERO);
        assert!(budget.wait(1, 0, Duration::ZERO) > Duration::ZERO);
        budget.change(9, DAY * 2, Duration::ZERO);
        assert_eq!(budget.used(Duration::ZERO), 8);
        assert_eq!(budget.wait(1, 0, Duration::ZERO), Duration::ZERO);
    }

    #[test]
    fn fm_063_a_day_of_cost_begins_anew_at_its_hour() {
        let hour = Duration::from_secs(3_600);
        let mut budget = Budget::new(100, DAY, Some(hour));
        budget.take(60, 0, Duration::ZERO);
        assert_eq!(budget.wait(40, 0, Duration::ZERO), Duration::ZERO);
        assert_eq!(
            budget.wait(41, 0, hour / 2),
            hour / 2,
            "what does not fit waits for midnight, not for a day"
        );
        assert_eq!(budget.wait(41, 0, hour), Duration::ZERO);
        budget.take(100, 0, hour);
        assert_eq!(budget.wait(1, 0, hour), DAY);
        assert_eq!(budget.used(hour + DAY), 0);
    }

    #[test]
    fn fm_063_the_day_before_is_not_taken_up_after_a_restart() {
        let hour = Duration::from_secs(3_600);
        let mut before = Budget::new(100, DAY, Some(5 * hour));
        before.take(30, 0, Duration::ZERO);
        before.take(20, 0, 6 * hour);
        before.take(10, 0, 8 * hour);
        assert_eq!(before.spent(8 * hour).iter().map(|(_, units)| units).sum::<u32>(), 30);
        // The process starts again two hours before midnight, with midnight 2 h later than its own origin.
        let mut after = Budget::new(100, DAY, Some(2 * hour));
        after.resume(&[(23 * hour, 30), (21 * hour, 20), (hour, 10)], false, Duration::ZERO);
        assert_eq!(after.used(Duration::ZERO), 30);
        assert_eq!(after.used(2 * hour), 0);
    }

    #[test]
    fn fm_063_the_vendors_word_says_that_its_day_began_earlier() {
        let mut budget = Budget::new(100, DAY, Some(DAY));
        (0..4).for_each(|hour| budget.take(20, 0, Duration::from_secs(hour * 3_600)));
        budget.hear(90);
        assert_eq!(budget.used(Duration::from_secs(4 * 3_600)), 80, "others spend too");
        budget.hear(25);
        assert_eq!(budget.used(Duration::from_secs(4 * 3_600)), 25);
        let mut sliding = Budget::new(100, DAY, None);
        sliding.take(80, 0, Duration::ZERO);
        sliding.hear(25);
        assert_eq!(sliding.used(Duration::ZERO), 80);
    }

    #[test]
    fn fm_063_past_midnight_the_count_goes_on_until_the_vendors_word_says_less() {
        let hour = Duration::from_secs(3_600);
        let step = DAY / STEPS;
        let mut budget = Budget::new(100, DAY, Some(10 * hour));
        budget.take(90, 0, hour);
        budget.hear(95);
        let midnight = 10 * hour;
        assert_eq!(budget.used(midnight), 90, "the vendor's day may end later");
        assert_eq!(budget.wait(10, 0, midnight), Duration::ZERO, "what is left may be spent");
        assert_eq!(budget.wait(20, 0, midnight), Duration::ZERO, "one call asks");
        budget.take(20, 0, midnight);
        budget.hear(120);
        assert_eq!(budget.wait(20, 0, midnight), step, "not yet: the next one asks a step later");
        budget.take(20, 0, midnight + step);
        budget.hear(25);
        assert_eq!(budget.used(midnight + step), 25, "the vendor's day has begun");
        assert_eq!(budget.wait(70, 0, midnight + step), Duration::ZERO);
        assert!(budget.wait(80, 0, midnight + step) > 20 * hour, "and this one is not carried on");
    }

    #[test]
    fn a_count_is_carried_on_for_one_day_at_most() {
        let mut budget = Budget::new(100, DAY, Some(DAY));
        budget.take(100, 0, Duration::ZERO);
        budget.hear(100);
        assert_eq!(budget.used(DAY), 100);
        assert_eq!(budget.used(2 * DAY), 0);
        budget.take(10, 0, 2 * DAY);
        assert_eq!(budget.used(4 * DAY), 0, "nothing is carried over a day without a call");
    }

    #[test]
    fn fm_063_the_day_before_counts_on_after_a_restart_where_the_vendor_tells() {
        let hour = Duration::from_secs(3_600);
        let spent = [(25 * hour, 10), (5 * hour, 90)];
        let mut after = Budget::new(100, DAY, Some(22 * hour));
        after.resume(&spent, true, Duration::ZERO);
        assert_eq!(after.used(Duration::ZERO), 90);
        assert_eq!(after.wait(20, 0, Duration::ZERO), Duration::ZERO, "one call asks");
        after.take(20, 0, Duration::ZERO);
        assert!(after.wait(20, 0, Duration::ZERO) > Duration::ZERO);
        after.hear(20);
        assert_eq!(after.used(Duration::ZERO), 20);
    }
}
