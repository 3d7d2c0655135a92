//! A short limit as a GCRA whose calls never exceed the limit in any rolling window.

use std::cell::Cell;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use governor::clock::Clock;
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::{NotKeyed, StateStore};
use governor::{Quota, RateLimiter};

/// Windows longer than the limit's by this share still hold no more than the allowed calls: calls that we space
/// out arrive bunched when the network's latency varies.
const JITTER_SHARE: u32 = 20;

/// Paces calls. Times are durations since one fixed origin.
#[derive(Debug)]
pub(super) struct Pace {
    calls: u32,
    interval: Duration,
    burst: NonZeroU32,
    arrival: Arrival,
    gcra: RateLimiter<NotKeyed, Arrival, Given, NoOpMiddleware<Duration>>,
}

impl Pace {
    /// Allows `calls` (at least 1) in any window of `per`.
    pub(super) fn new(calls: u32, per: Duration) -> Self {
        Self::with_arrival(calls, per, Arrival::default())
    }

    /// The same limit with other numbers. Calls already made go on counting; if the limit shrinks, no burst is left.
    pub(super) fn changed(&self, calls: u32, per: Duration, now: Duration) -> Self {
        let next = Self::with_arrival(calls, per, self.arrival.clone());
        if next.interval > self.interval {
            let full = now + next.interval.saturating_mul(next.burst.get());
            next.arrival.raise(full);
        }
        next
    }

    fn with_arrival(calls: u32, per: Duration, arrival: Arrival) -> Self {
        let (burst, interval) = shape(calls, per);
        let quota =
            Quota::with_period(interval).unwrap_or(Quota::per_second(NonZeroU32::MIN)).allow_burst(burst);
        let gcra = RateLimiter::new(quota, arrival.clone(), Given::default());
        Self { calls: calls.max(1), interval, burst, arrival, gcra }
    }

    /// The allowed calls in a window.
    pub(super) fn calls(&self) -> u32 {
        self.calls
    }

    /// How long until the next call may go; zero if it may go now. Takes nothing.
    pub(super) fn wait(&self, now: Duration) -> Duration {
        let before = self.arrival.0.load(Ordering::Relaxed);
        let wait = self.check(now);
        self.arrival.0.store(before, Ordering::Relaxed);
        wait
    }

    /// Counts a call that `wait` has just allowed.
    pub(super) fn take(&self, now: Duration) {
        self.check(now);
    }

    fn check(&self, now: Duration) -> Duration {
        self.gcra.clock().0.set(now);
        self.gcra.check().err().map_or(Duration::ZERO, |denied| denied.wait_time_from(now))
    }
}

/// Burst `b` and interval `t` for `n` calls in any window of `p`.
///
/// A GCRA admits the k-th call of a run at the earliest `(k - b)·t` after its first, so `n + 1` calls span at least
/// `(n + 1 - b)·t`. That must be longer than `p`, hence `t = p·(1 + jitter) / (n + 1 - b)`. The textbook `b = n`,
/// `t = p / n` would let `2n` calls through in one window.
fn shape(calls: u32, per: Duration) -> (NonZeroU32, Duration) {
    let calls = calls.max(1);
    let burst = NonZeroU32::new(calls / 10).unwrap_or(NonZeroU32::MIN);
    let stretched = per + per / JITTER_SHARE + Duration::from_nanos(1);
    let spaces = u128::from(calls + 1 - burst.get());
    let nanos = stretched.as_nanos().div_ceil(spaces).max(1);
    (burst, Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX)))
}

/// The theoretical arrival time, in nanoseconds since the origin; shared so that it can be looked at and put back.
#[derive(Debug, Clone, Default)]
struct Arrival(Arc<AtomicU64>);

impl Arrival {
    fn raise(&self, to: Duration) {
        let nanos = u64::try_from(to.as_nanos()).unwrap_or(u64::MAX);
        self.0.fetch_max(nanos, Ordering::Relaxed);
    }
}

impl StateStore for Arrival {
    type Key = NotKeyed;

    // Only ever used behind the limiter's lock, so there is no race to lose.
    fn measure_and_replace<T, F, E>(&self, _key: &NotKeyed, decide: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let before = self.0.load(Ordering::Relaxed);
        let (value, after) = decide((before != 0).then(|| before.into()))?;
        self.0.store(after.as_u64(), Ordering::Relaxed);
        Ok(value)
    }
}

/// A clock that tells what it was given.
#[derive(Debug, Default)]
struct Given(Cell<Duration>);

impl Clock for Given {
    type Instant = Duration;

    fn now(&self) -> Duration {
        self.0.get()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Most calls in any closed window of that length.
    fn densest(times: &[Duration], per: Duration) -> usize {
        let mut first = 0;
        let mut most = 0;
        for (last, at) in times.iter().enumerate() {
            while *at - times[first] > per {
                first += 1;
            }
            most = most.max(last - first + 1);
        }
        most
    }

    /// Calls as soon as allowed, with idle gaps in between to let the burst refill.
    fn greedy(pace: &Pace, from: Duration, gaps: &[Duration]) -> Vec<Duration> {
        let mut now = from;
        let mut times = Vec::new();
        for gap in gaps {
            now += *gap;
            now += pace.wait(now);
            assert_eq!(pace.wait(now), Duration::ZERO);
            pace.take(now);
            times.push(now);
        }
        times
    }

    fn gaps() -> impl Strategy<Value = Vec<Duration>> {
        let gap = prop_oneof![8 => Just(0), 1 => 0u64..2_000, 1 => 0u64..20_000];
        prop::collection::vec(gap.prop_map(Duration::from_millis), 1..600)
    }

    proptest! {
        #[test]
        fn no_rolling_window_exceeds_the_limit(calls in 1u32..300, per in 1u64..20_000, gaps in gaps()) {
            let per = Duration::from_millis(per);
            let times = greedy(&Pace::new(calls, per), Duration::from_secs(5), &gaps);
            prop_assert!(densest(&times, per) <= calls as usize);
        }

        #[test]
        fn a_raised_limit_holds_across_the_change(
            calls in 1u32..100, more in 0u32..100, per in 1u64..20_000, before in gaps(), after in gaps(),
        ) {
            let per = Duration::from_millis(per);
            let pace = Pace::new(calls, per);
            let mut times = greedy(&pace, Duration::from_secs(5), &before);
            let now = times[times.len() - 1];
            times.extend(greedy(&pace.changed(calls + more, per, now), now, &after));
            prop_assert!(densest(&times, per) <= (calls + more) as usize);
        }
    }

    #[test]
    fn a_lowered_limit_starts_without_burst() {
        let per = Duration::from_secs(10);
        let pace = Pace::new(100, per);
        let now = Duration::from_secs(60);
        let lowered = pace.changed(20, per, now);
        let times = greedy(&lowered, now, &[Duration::ZERO; 60]);
        assert!(times[0] > now);
        assert!(densest(&times, per) <= 20);
    }

    #[test]
    fn most_of_the_limit_is_usable() {
        for calls in [1, 2, 5, 50, 100, 190] {
            let per = Duration::from_secs(10);
            let times = greedy(
                &Pace::new(calls, per),
                Duration::from_secs(1),
                &vec![Duration::ZERO; calls as usize * 20],
            );
            let rate = times.len() as f64 / (times[times.len() - 1] - times[0]).as_secs_f64();
            assert!(rate * per.as_secs_f64() >= 0.85 * f64::from(calls), "{calls}: {rate}");
        }
    }
}
