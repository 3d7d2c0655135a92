//! The machine's clock, watched: a jump of the wall clock is noticed before anybody acts on it.
//!
//! Due times, leases and settle windows are stored as instants of the wall clock, but stand for durations. When that
//! clock is set, an unclear write would seem settled an hour too early, or work would wait for an hour. So this clock
//! goes on as if nothing had happened until whoever stores those instants has moved them along.

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use usher_model::{Clock, SystemClock};

/// Time services correct less than this in one step; what is stored in milliseconds does not mind.
const TOLERATED: SignedDuration = SignedDuration::from_secs(2);

/// Both clocks at one instant: the wall's, and one that nobody can set and that counts a suspended machine's sleep.
#[derive(Debug, Clone, Copy)]
struct Reading {
    wall: Timestamp,
    steady: Duration,
}

/// A wall clock that does not jump.
pub struct WatchedClock {
    read: Box<dyn Fn() -> Reading + Send + Sync>,
    base: Mutex<Reading>,
}

impl WatchedClock {
    /// The machine's.
    #[must_use]
    pub fn system() -> Self {
        let start = std::time::Instant::now();
        Self::over(move || Reading { wall: SystemClock.now(), steady: steady(start) })
    }

    fn over(read: impl Fn() -> Reading + Send + Sync + 'static) -> Self {
        let base = Mutex::new(read());
        Self { read: Box::new(read), base }
    }

    fn base(&self) -> MutexGuard<'_, Reading> {
        // It is replaced as a whole, so what a thread that panicked left is a good reading.
        self.base.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How far the wall clock is from where it should be, if it was set since the last [`WatchedClock::follow`].
    #[must_use]
    pub fn jump(&self) -> Option<SignedDuration> {
        let reading = (self.read)();
        let by = reading.wall.duration_since(expected(&self.base(), &reading));
        (by.abs() > TOLERATED).then_some(by)
    }

    /// Goes by the wall clock again, after a jump.
    pub fn follow(&self) {
        let reading = (self.read)();
        *self.base() = reading;
    }
}

impl Clock for WatchedClock {
    fn now(&self) -> Timestamp {
        let reading = (self.read)();
        let mut base = self.base();
        let expected = expected(&base, &reading);
        if reading.wall.duration_since(expected).abs() > TOLERATED {
            return expected;
        }
        // The slow corrections of a time service are followed.
        *base = reading;
        reading.wall
    }
}

impl fmt::Debug for WatchedClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WatchedClock")
    }
}

fn expected(base: &Reading, reading: &Reading) -> Timestamp {
    let passed = reading.steady.saturating_sub(base.steady);
    let millis = i64::try_from(passed.as_millis()).unwrap_or(i64::MAX);
    base.wall.checked_add(SignedDuration::from_millis(millis)).unwrap_or(reading.wall)
}

/// `CLOCK_BOOTTIME` goes on while the machine sleeps, so that waking up is no jump.
#[cfg(target_os = "linux")]
fn steady(_start: std::time::Instant) -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or_default())
}

#[cfg(not(target_os = "linux"))]
fn steady(start: std::time::Instant) -> Duration {
    start.elapsed()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::UNIX_EPOCH + SignedDuration::from_secs(1_790_000_000 + seconds)
    }

    /// A clock and the hands that set it: (wall, steady).
    fn clock() -> (WatchedClock, impl Fn(i64, u64)) {
        let hands = Arc::new(Mutex::new((0, 100)));
        let set = Arc::clone(&hands);
        let read = move || {
            let (wall, steady) = *hands.lock().unwrap_or_else(PoisonError::into_inner);
            Reading { wall: at(wall), steady: Duration::from_secs(steady) }
        };
        let set = move |wall, steady| {
            *set.lock().unwrap_or_else(PoisonError::into_inner) = (wall, 100 + steady);
        };
        (WatchedClock::over(read), set)
    }

    #[test]
    fn fm_081_a_jump_is_not_followed_until_it_is_told_to() {
        for by in [3_600, -3_600, 30, -30] {
            let (clock, set) = clock();
            set(10, 10);
            assert_eq!((clock.now(), clock.jump()), (at(10), None));
            set(11 + by, 11);
            assert_eq!(clock.now(), at(11), "as if nothing had happened");
            assert_eq!(clock.jump(), Some(SignedDuration::from_secs(by)));
            set(15 + by, 15);
            assert_eq!(clock.now(), at(15));
            clock.follow();
            assert_eq!((clock.now(), clock.jump()), (at(15 + by), None));
        }
    }

    #[test]
    fn fm_081_sleep_is_no_jump_and_small_corrections_are_followed() {
        let (clock, set) = clock();
        set(900, 900);
        assert_eq!((clock.now(), clock.jump()), (at(900), None));
        for step in 1..=10 {
            set(900 + 2 * step, 900 + u64::try_from(step).unwrap_or_default());
            assert_eq!((clock.now(), clock.jump()), (at(900 + 2 * step), None));
        }
    }

    #[test]
    fn the_machine_s_clocks_agree() {
        let clock = WatchedClock::system();
        assert!(clock.now().duration_since(SystemClock.now()).abs() < TOLERATED);
        assert_eq!(clock.jump(), None);
    }
}
