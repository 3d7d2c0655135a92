//! Leases over writes: a process that was paused or cut off starts none after its lease.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant, SystemTime};

tokio::task_local! {
    static LEASE: (Lease, Life);
}

/// An instant on both clocks of the machine: the monotonic one may stand still while the machine sleeps, the wall clock
/// may be set.
#[derive(Debug, Clone, Copy)]
pub struct Moment {
    monotonic: Instant,
    wall: SystemTime,
}

impl Moment {
    /// The present one.
    #[must_use]
    pub fn now() -> Self {
        Self { monotonic: Instant::now(), wall: SystemTime::now() }
    }

    /// The longer of what both clocks say has passed. A wall clock that was set back says nothing.
    fn elapsed(self) -> Duration {
        self.monotonic.elapsed().max(self.wall.elapsed().unwrap_or_default())
    }
}

/// A time that somebody else has granted, counted from before the question: it ends here no later than there.
#[derive(Debug, Clone, Copy)]
pub struct Lease {
    since: Moment,
    lasts: Duration,
}

impl Lease {
    /// A lease of that length, asked for after `since`.
    #[must_use]
    pub fn new(since: Moment, lasts: Duration) -> Self {
        Self { since, lasts }
    }

    /// Whether it holds for that much longer.
    #[must_use]
    pub fn holds_for(&self, more: Duration) -> bool {
        self.since.elapsed().saturating_add(more) < self.lasts
    }
}

/// The lease of this process on its place among the nodes, as its heartbeats renew it; for ever until the first one.
#[derive(Debug, Clone, Default)]
pub struct Life(Arc<RwLock<Option<Lease>>>);

impl Life {
    /// It ends when the lease does.
    pub fn renew(&self, lease: Lease) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Some(lease);
    }

    /// It is over.
    pub fn end(&self) {
        self.renew(Lease::new(Moment::now(), Duration::ZERO));
    }

    /// Whether it goes on.
    #[must_use]
    pub fn goes_on(&self) -> bool {
        let lease = *self.0.read().unwrap_or_else(PoisonError::into_inner);
        lease.is_none_or(|lease| lease.holds_for(Duration::ZERO))
    }
}

/// Does the work; a write to a vendor that it would start when its answer could outlive the lease, or after the life of
/// this process among the nodes, is not sent.
pub async fn under<F: Future>(lease: Lease, life: Life, work: F) -> F::Output {
    LEASE.scope((lease, life), work).await
}

/// Whether a write may start that takes at most so long. Outside of [`under`] nobody else could send it.
pub(crate) fn permits(longest: Duration) -> bool {
    LEASE.try_with(|(lease, life)| lease.holds_for(longest) && life.goes_on()).unwrap_or(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_ends_by_whichever_clock_runs_ahead() {
        let hour = Duration::from_secs(3600);
        let now = Moment::now();
        assert!(Lease::new(now, hour).holds_for(hour / 2));
        assert!(!Lease::new(now, hour).holds_for(hour));
        // The machine slept for two hours: only the wall clock has seen it.
        let slept = Moment { wall: now.wall - 2 * hour, ..now };
        assert!(!Lease::new(slept, hour).holds_for(Duration::ZERO));
        // Somebody set the wall clock back: the other one counts.
        let set_back = Moment { wall: now.wall + 2 * hour, ..now };
        assert!(Lease::new(set_back, hour).holds_for(hour / 2));
    }

    #[tokio::test]
    async fn fm_078_nothing_is_permitted_after_the_lease_or_the_life() {
        let (minute, life) = (Duration::from_secs(60), Life::default());
        assert!(permits(minute));
        let lease = || Lease::new(Moment::now(), minute);
        let allowed =
            async |life: &Life, longest| under(lease(), life.clone(), async { permits(longest) }).await;
        assert!(allowed(&life, minute / 2).await);
        assert!(!allowed(&life, minute).await, "its answer could come after the lease");
        life.renew(lease());
        assert!(allowed(&life, minute / 2).await);
        life.end();
        assert!(!allowed(&life, minute / 2).await);
    }
}
