//! Slices of one step that run beside each other, only where one would wait for a slow vendor otherwise.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Slices under way at a time.
const MOST: usize = 4;
/// A slice begins beside another that has taken so long already. Sooner, it would only take work away from the next
/// one, and two calls would do what one can.
const AFTER: Duration = Duration::from_millis(50);

/// The slices of a step that are under way.
#[derive(Debug, Default)]
pub(crate) struct Slices {
    since: Mutex<Vec<Instant>>,
}

/// Leave to run a slice, for as long as it lives.
#[derive(Debug)]
pub(crate) struct Slice<'a> {
    slices: &'a Slices,
    since: Instant,
}

impl Slices {
    /// Begins a slice; `None` if the ones under way had better go on alone. Whoever is refused comes again by its timer,
    /// and the slice that ends looks for more by itself.
    pub(crate) fn begin(&self) -> Option<Slice<'_>> {
        let (mut since, now) = (self.lock(), Instant::now());
        let youngest = since.iter().max().map(|began| now.saturating_duration_since(*began));
        if since.len() >= MOST || youngest.is_some_and(|age| age < AFTER) {
            return None;
        }
        since.push(now);
        Some(Slice { slices: self, since: now })
    }

    /// A step under the lock leaves the state whole, so a panic elsewhere does not spoil it.
    fn lock(&self) -> MutexGuard<'_, Vec<Instant>> {
        self.since.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Slice<'_> {
    fn drop(&mut self) {
        let mut since = self.slices.lock();
        if let Some(at) = since.iter().position(|began| *began == self.since) {
            since.swap_remove(at);
        }
    }
}
