//! The queue in front of the limits: who is first.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::Notify;
use usher_connector::CallLane;

use super::Limiter;

/// How many limits a limiter can have.
pub(super) const MOST_LIMITS: usize = 64;

/// A set of limits by their index.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Limits(u64);

impl Limits {
    pub(super) fn one(index: usize) -> Self {
        let mut limits = Self::default();
        limits.add(index);
        limits
    }

    pub(super) fn add(&mut self, index: usize) {
        self.0 |= 1 << index;
    }

    pub(super) fn has(self, index: usize) -> bool {
        self.0 & (1 << index) != 0
    }

    fn overlaps(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

/// Better lanes first, then the earlier arrival.
type Rank = (CallLane, u64);

#[derive(Debug)]
struct Waiter {
    limits: Limits,
    wake: Arc<Notify>,
}

/// Everybody who waits.
#[derive(Debug, Default)]
pub(super) struct Gate {
    arrivals: u64,
    waiters: BTreeMap<Rank, Waiter>,
}

impl Gate {
    /// Nobody of better rank waits for one of the same limits.
    pub(super) fn is_first(&self, place: &Place) -> bool {
        !self.waiters.range(..place.rank).any(|(_, before)| before.limits.overlaps(place.limits))
    }

    /// How many wait for one of those limits.
    pub(super) fn waiting(&self, limits: Limits) -> usize {
        self.waiters.values().filter(|waiter| waiter.limits.overlaps(limits)).count()
    }

    /// How many of that lane wait.
    pub(super) fn waiting_in(&self, lane: CallLane) -> usize {
        self.waiters.range((lane, 0)..=(lane, u64::MAX)).count()
    }

    /// Wakes those who are first.
    pub(super) fn wake(&self) {
        let mut before = Limits::default();
        for waiter in self.waiters.values() {
            if !waiter.limits.overlaps(before) {
                waiter.wake.notify_one();
            }
            before.0 |= waiter.limits.0;
        }
    }
}

/// A place in the queue, given up when dropped.
#[derive(Debug)]
pub(super) struct Place {
    limiter: Arc<Limiter>,
    rank: Rank,
    pub(super) limits: Limits,
    pub(super) cost: u32,
    wake: Arc<Notify>,
}

impl Place {
    pub(super) fn take(limiter: &Arc<Limiter>, lane: CallLane, (limits, cost): (Limits, u32)) -> Self {
        let wake = Arc::new(Notify::new());
        let rank = {
            let mut state = limiter.lock();
            let gate = &mut state.gate;
            gate.arrivals += 1;
            let rank = (lane, gate.arrivals);
            gate.waiters.insert(rank, Waiter { limits, wake: Arc::clone(&wake) });
            rank
        };
        Self { limiter: Arc::clone(limiter), rank, limits, cost, wake }
    }

    pub(super) fn lane(&self) -> CallLane {
        self.rank.0
    }

    /// Ends when this place may have become the first.
    pub(super) async fn woken(&self) {
        self.wake.notified().await;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut state = self.limiter.lock();
        state.gate.waiters.remove(&self.rank);
        state.gate.wake();
    }
}
