//! Spreads calls evenly: a GCRA that can be looked at without counting.

use std::cell::Cell;
use std::num::NonZeroU32;
use std::time::Duration;

use governor::clock::Clock;
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::{NotKeyed, StateStore};
use governor::{Quota, RateLimiter};

/// A call at the usual interval takes so many cells of the GCRA, one that keeps a longer interval more.
const CELLS: u32 = 100;

/// When the next call is due if all are spread evenly over the period, however the period's calls change meanwhile.
/// Times are durations since one fixed origin.
#[derive(Debug, Default)]
pub(super) struct Spread {
    /// The theoretical arrival time, in nanoseconds.
    arrival: u64,
}

impl Spread {
    /// How long until a call may go of which there are `calls` in `per`, this one `interval` after the last one; zero if
    /// it may go now. After a quiet time a tenth of them may go at once.
    pub(super) fn wait(
        &self,
        calls: NonZeroU32,
        per: Duration,
        interval: Duration,
        now: Duration,
    ) -> Duration {
        self.check(calls, per, interval, now).0
    }

    /// Counts a call that `wait` has just allowed.
    pub(super) fn take(&mut self, calls: NonZeroU32, per: Duration, interval: Duration, now: Duration) {
        self.arrival = self.check(calls, per, interval, now).1;
    }

    fn check(&self, calls: NonZeroU32, per: Duration, interval: Duration, now: Duration) -> (Duration, u64) {
        let usual = per / calls.get();
        let burst = (calls.get() / 10).max(1).saturating_mul(CELLS);
        let cells = interval.as_nanos() * u128::from(CELLS) / usual.as_nanos().max(1);
        let cells = u32::try_from(cells).unwrap_or(burst).clamp(CELLS, burst);
        let quota = Quota::with_period((usual / CELLS).max(Duration::from_nanos(1)));
        let (Some(quota), Some(cells), Some(burst)) = (quota, NonZeroU32::new(cells), NonZeroU32::new(burst))
        else {
            return (Duration::ZERO, self.arrival);
        };
        // It counts from its clock's first word on, which is the origin.
        let gcra = RateLimiter::<_, _, _, NoOpMiddleware<Duration>>::new(
            quota.allow_burst(burst),
            Arrival(Cell::new(self.arrival)),
            Given::default(),
        );
        gcra.clock().0.set(now);
        // It never costs more than the burst, so there is always capacity for it.
        let denied = gcra.check_n(cells).ok().and_then(Result::err);
        let wait = denied.map_or(Duration::ZERO, |denied| denied.wait_time_from(now));
        (wait, gcra.into_state_store().0.get())
    }
}

struct Arrival(Cell<u64>);

impl StateStore for Arrival {
    type Key = NotKeyed;

    fn measure_and_replace<T, F, E>(&self, _key: &NotKeyed, decide: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let (value, after) = decide(Some(self.0.get().into()))?;
        self.0.set(after.as_u64());
        Ok(value)
    }
}

/// A clock that tells what it was given, at first the origin.
#[derive(Debug, Clone, Default)]
struct Given(Cell<Duration>);

impl Clock for Given {
    type Instant = Duration;

    fn now(&self) -> Duration {
        self.0.get()
    }
}
