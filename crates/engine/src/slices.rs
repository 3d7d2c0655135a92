//! Slices of one step that run beside each other, only where one would wait for a slow vendor otherwise.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Slices under way at a time, and while the vendor's limits are short: more would only be places in a queue that a fresh
/// lead has to pass.
const MOST: usize = 4;
const MOST_WHILE_SHORT: usize = 1;
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
    pub(crate) fn begin(&self, short: bool) -> Option<Slice<'_>> {
        let (mut since, now) = (self.lock(), Instant::now());
        let youngest = since.iter().max().map(|began| now.saturating_duration_since(*began));
        let most = if short { MOST_WHILE_SHORT } else { MOST };
        if since.len() >= most || youngest.is_some_and(|age| age < AFTER) {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn fm_071_while_the_limits_are_short_one_slice_is_under_way_and_no_more() {
        let slices = Slices::default();
        let mut held = Vec::new();
        for short in [true, false] {
            let most = if short { MOST_WHILE_SHORT } else { MOST };
            while held.len() < most {
                tokio::time::advance(AFTER).await;
                held.extend(slices.begin(short));
                assert!(slices.begin(short).is_none(), "the last one has only begun");
            }
            tokio::time::advance(AFTER).await;
            assert!(slices.begin(short).is_none());
        }
        held.pop();
        assert!(slices.begin(true).is_none());
        assert!(slices.begin(false).is_some());
    }
}
