//! Waiting for a condition instead of for a time.

use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval, timeout_at};

/// How often a condition is looked at.
const LOOK: Duration = Duration::from_millis(5);

/// A condition that did not come about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the condition did not hold within {limit:?}")]
pub struct TookTooLong {
    /// How long it was waited for.
    pub limit: Duration,
}

/// Waits until the condition holds and hands out what it found: `until(async || story.task_id(), limit)`.
///
/// The condition is looked at every 5 milliseconds, and at least once. A look that itself hangs ends with the limit.
pub async fn until<T, C: AsyncFnMut() -> Option<T>>(
    mut condition: C,
    limit: Duration,
) -> Result<T, TookTooLong> {
    let deadline = Instant::now() + limit;
    let mut looks = interval(LOOK);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let found = timeout_at(deadline, async {
        loop {
            looks.tick().await;
            if let Some(found) = condition().await {
                return found;
            }
        }
    });
    found.await.map_err(|_| TookTooLong { limit })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_ends_with_the_condition_or_with_the_limit() {
        let started = Instant::now();
        let found =
            until(async || (started.elapsed() > Duration::from_secs(3)).then_some(7), Duration::from_secs(9));
        assert_eq!(found.await, Ok(7));
        assert!(started.elapsed() < Duration::from_secs(4));
        let limit = Duration::from_secs(2);
        assert_eq!(until(async || None::<()>, limit).await, Err(TookTooLong { limit }));
        let hangs = until(async || std::future::pending::<Option<()>>().await, limit).await;
        assert_eq!(hangs, Err(TookTooLong { limit }));
    }
}
