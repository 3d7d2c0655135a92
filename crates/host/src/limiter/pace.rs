//! A short limit: no rolling window ever holds more calls than allowed, and calls are spread over it.

use std::collections::VecDeque;
use std::num::NonZeroU32;
use std::time::Duration;

use super::spread::Spread;

/// Counts calls over a sliding window. Times are durations since one fixed origin.
///
/// When the vendor receives a call is not known, only that it does so before it answers. So a call counts from its
/// start until a whole period after its answer, and no latency can bunch calls into one window. The spread alone could
/// not promise that: a GCRA with room for bursts lets twice the calls through in one window.
#[derive(Debug)]
pub(super) struct Pace {
    calls: NonZeroU32,
    per: Duration,
    under_way: u32,
    /// When the calls that still count were answered, oldest first: at most `calls` of them.
    ended: VecDeque<Duration>,
    spread: Spread,
    others: Option<Others>,
}

/// Calls that others spend of the same quota.
#[derive(Debug, Clone, Copy)]
struct Others {
    calls: u32,
    told: Duration,
}

impl Pace {
    /// Allows `calls` (at least 1) in any window of `per`.
    pub(super) fn new(calls: u32, per: Duration) -> Self {
        let (ended, spread) = (VecDeque::new(), Spread::default());
        let calls = at_least_one(calls);
        Self { calls, per, under_way: 0, ended, spread, others: None }
    }

    /// Other numbers; calls already made go on counting.
    pub(super) fn change(&mut self, calls: u32, per: Duration) {
        (self.calls, self.per) = (at_least_one(calls), per);
    }

    /// The allowed calls in a window.
    pub(super) fn calls(&self) -> u32 {
        self.calls.get()
    }

    /// How long until a call may go with which at most `room` calls count; zero if it may go now.
    pub(super) fn wait(&mut self, room: u32, now: Duration) -> Duration {
        let used = self.used(now);
        if used >= room {
            // The calls under way count longer than any that has ended; how long is not known yet.
            let leaves = self.ended.get((used - room) as usize).map(|at| self.leaves(*at));
            return leaves.map_or(self.per / 10, |at| at.saturating_sub(now));
        }
        self.spread.wait(self.calls, self.per, self.even(used, now), now)
    }

    /// Counts a call that `wait` has just allowed.
    pub(super) fn take(&mut self, now: Duration) {
        let used = self.used(now);
        self.spread.take(self.calls, self.per, self.even(used, now), now);
        self.under_way += 1;
    }

    /// A counted call was answered, or given up.
    pub(super) fn end(&mut self, now: Duration) {
        self.under_way = self.under_way.saturating_sub(1);
        self.ended.push_back(now);
    }

    /// The vendor has just said that `remaining` of all its `calls` are left: what neither is left nor ours, others
    /// have spent.
    pub(super) fn hear(&mut self, calls: u32, remaining: u32, now: Duration) {
        let ours = self.used(now);
        self.others = Some(Others { calls: calls.saturating_sub(remaining + ours), told: now });
    }

    /// What others spend of the quota: as last heard for a tenth of the period, then less and less.
    pub(super) fn others(&self, now: Duration) -> u32 {
        let Some(others) = self.others else { return 0 };
        let age = now.saturating_sub(others.told).saturating_sub(self.per / 10);
        let left = self.per.saturating_sub(age).as_nanos() * u128::from(others.calls);
        u32::try_from(left.div_ceil(self.per.as_nanos().max(1))).unwrap_or(u32::MAX)
    }

    /// The shortest interval at which our own calls can go on without a halt, with so many in the window. What went at
    /// once after a quiet time is paid for evenly: otherwise the window would be full early, in each period again, and a
    /// call that comes just then would wait for as long as all the calls of the rush together.
    fn even(&self, used: u32, now: Duration) -> Duration {
        let room = self.calls.get().saturating_sub(used).max(1);
        let leaving = self.ended.iter().map(|at| self.leaves(*at)).chain([now + self.per]);
        let intervals = leaving.zip(room..).map(|(at, calls)| at.saturating_sub(now) / calls);
        intervals.max().unwrap_or_default()
    }

    fn used(&mut self, now: Duration) -> u32 {
        while self.ended.front().is_some_and(|at| self.leaves(*at) <= now) {
            self.ended.pop_front();
        }
        self.under_way.saturating_add(u32::try_from(self.ended.len()).unwrap_or(u32::MAX))
    }

    /// When a call that ended then is in no window any more that ends then or later.
    fn leaves(&self, ended: Duration) -> Duration {
        ended + self.per + Duration::from_nanos(1)
    }
}

fn at_least_one(calls: u32) -> NonZeroU32 {
    NonZeroU32::new(calls).unwrap_or(NonZeroU32::MIN)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// Most calls in any closed window of that length.
    fn densest(mut times: Vec<Duration>, per: Duration) -> usize {
        times.sort_unstable();
        let (mut first, mut most) = (0, 0);
        for (last, at) in times.iter().enumerate() {
            while *at - times[first] > per {
                first += 1;
            }
            most = most.max(last - first + 1);
        }
        most
    }

    /// A call: how long it comes after the last one, how long it takes, when within that time the vendor receives it.
    type Call = (u64, u64, f64);

    fn calls() -> impl Strategy<Value = Vec<Call>> {
        let gap = prop_oneof![8 => Just(0), 1 => 0u64..2_000, 1 => 0u64..20_000];
        let latency = prop_oneof![4 => 0u64..50, 1 => 0u64..30_000];
        prop::collection::vec((gap, latency, 0.0..=1.0), 1..600)
    }

    /// Calls as soon as allowed; returns when the vendor receives each.
    fn greedy(pace: &mut Pace, now: &mut Duration, calls: &[Call]) -> Vec<Duration> {
        let (mut open, mut received): (Vec<Duration>, _) = (Vec::new(), Vec::new());
        let answer = |pace: &mut Pace, open: &mut Vec<Duration>, until: Duration| {
            open.sort_unstable();
            let due = open.partition_point(|end| *end <= until);
            open.drain(..due).for_each(|end| pace.end(end));
        };
        for (gap, latency, share) in calls {
            *now += Duration::from_millis(*gap);
            loop {
                answer(pace, &mut open, *now);
                let wait = pace.wait(pace.calls(), *now);
                if wait.is_zero() {
                    break;
                }
                let ends = open.first().copied().filter(|end| *end < *now + wait);
                *now = ends.unwrap_or(*now + wait);
            }
            pace.take(*now);
            let latency = Duration::from_millis(*latency);
            received.push(*now + latency.mul_f64(*share));
            open.push(*now + latency);
        }
        answer(pace, &mut open, Duration::MAX);
        received
    }

    proptest! {
        #[test]
        fn no_rolling_window_exceeds_the_limit(calls in 1u32..300, per in 1u64..20_000, made in calls()) {
            let per = Duration::from_millis(per);
            let received = greedy(&mut Pace::new(calls, per), &mut (5 * SECOND), &made);
            prop_assert!(densest(received, per) <= calls as usize);
        }

        #[test]
        fn a_raised_limit_holds_across_the_change(
            calls in 1u32..100, more in 0u32..100, per in 1u64..20_000, before in calls(), after in calls(),
        ) {
            let per = Duration::from_millis(per);
            let (mut pace, mut now) = (Pace::new(calls, per), 5 * SECOND);
            let mut received = greedy(&mut pace, &mut now, &before);
            pace.change(calls + more, per);
            now += Duration::from_secs(60);
            received.extend(greedy(&mut pace, &mut now, &after));
            prop_assert!(densest(received, per) <= (calls + more) as usize);
        }
    }

    #[test]
    fn a_lowered_limit_still_counts_what_was_made() {
        let (mut pace, mut now) = (Pace::new(100, 10 * SECOND), 60 * SECOND);
        let mut received = greedy(&mut pace, &mut now, &[(0, 0, 0.0); 50]);
        let lowered = now;
        pace.change(20, 10 * SECOND);
        received.extend(greedy(&mut pace, &mut now, &[(0, 0, 0.0); 60]));
        assert!(received[50] > lowered);
        received.retain(|at| *at > lowered);
        assert!(densest(received, 10 * SECOND) <= 20);
    }

    #[test]
    fn nearly_all_of_the_limit_is_usable_and_not_in_one_heap() {
        for calls in [1, 2, 5, 50, 100, 190] {
            let (mut pace, mut now) = (Pace::new(calls, 10 * SECOND), SECOND);
            // Every call takes 200 ms, which costs as much of every period.
            let times = greedy(&mut pace, &mut now, &vec![(0, 200, 0.0); calls as usize * 20]);
            let rate = times.len() as f64 / (times[times.len() - 1] - times[0]).as_secs_f64();
            assert!(rate * 10.0 >= 0.95 * f64::from(calls), "{calls}: {rate}");
            assert!(densest(times, SECOND) <= (calls / 5).max(1) as usize, "{calls}");
        }
    }

    #[test]
    fn a_rush_after_a_quiet_time_is_paid_for_evenly() {
        let (mut pace, mut now) = (Pace::new(190, 10 * SECOND), SECOND);
        // Somebody polls once in a second; then there is more to do than the limit allows.
        let polls = greedy(&mut pace, &mut now, &[(1_000, 0, 0.0); 20]);
        let rush = greedy(&mut pace, &mut now, &[(0, 0, 0.0); 1_000]);
        assert_eq!(rush[14], polls[19], "nearly a tenth goes at once");
        let gaps = rush.windows(2).map(|pair| pair[1] - pair[0]);
        assert!(gaps.max() < Some(SECOND / 10), "nobody waits for the whole rush");
        let rate = rush.len() as f64 / (rush[999] - rush[0]).as_secs_f64();
        assert!(rate > 0.99 * 19.0, "{rate}");
    }

    #[test]
    fn fm_066_what_others_spend_is_left_to_them_and_slowly_forgotten() {
        let mut pace = Pace::new(100, 10 * SECOND);
        pace.take(SECOND);
        pace.end(SECOND);
        pace.hear(100, 29, SECOND);
        assert_eq!(pace.others(SECOND), 70);
        assert_eq!(pace.others(2 * SECOND), 70);
        assert_eq!(pace.others(7 * SECOND), 35);
        assert_eq!(pace.others(12 * SECOND), 0);
    }
}
