//! Wake-ups: one step tells the next that there is work. A lost wake-up costs a timer's period, never a lead.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

/// A step that can be woken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Step {
    /// Split stored webhook bodies.
    Split,
    /// Fetch hinted objects.
    Fetch,
    /// Prepare records.
    Prepare,
    /// Decide over leads.
    Decide,
    /// Deliver effects.
    Deliver,
}

impl Step {
    /// The name as shown.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Split => "split",
            Self::Fetch => "fetch",
            Self::Prepare => "prepare",
            Self::Decide => "decide",
            Self::Deliver => "deliver",
        }
    }
}

impl Step {
    /// How far apart the beginnings of two passes are at least. A pass costs nearly the same for one lead as for twenty,
    /// so webhooks that come thick and fast go on their way together; one that comes alone waits for nobody.
    #[must_use]
    pub fn apart(self) -> Duration {
        match self {
            Self::Split => Duration::from_millis(20),
            Self::Fetch | Self::Prepare | Self::Decide | Self::Deliver => Duration::ZERO,
        }
    }
}

/// One bell for each step; every listener hears it.
#[derive(Debug, Clone, Default)]
pub struct Wake {
    bells: Arc<[watch::Sender<u64>; 5]>,
}

/// Somebody who listens to a bell.
#[derive(Debug)]
pub struct Listener(watch::Receiver<u64>);

impl Wake {
    /// Says that there is work for the step.
    pub fn ring(&self, step: Step) {
        self.bells[step as usize].send_modify(|rung| *rung = rung.wrapping_add(1));
    }

    /// Listens to the step's bell from now on.
    #[must_use]
    pub fn listen(&self, step: Step) -> Listener {
        Listener(self.bells[step as usize].subscribe())
    }
}

impl Listener {
    /// Whoever has rung until now is about to be served.
    pub fn catch_up(&mut self) {
        self.0.mark_unchanged();
    }

    /// Waits until somebody rings; a ring that came since the last one heard is not lost.
    pub async fn rung(&mut self) {
        if self.0.changed().await.is_err() {
            // The engine is gone, and nobody will ever ring again.
            std::future::pending::<()>().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    fn hears(bell: &mut Listener) -> bool {
        bell.rung().now_or_never().is_some()
    }

    #[test]
    fn every_listener_hears_its_own_bell_once_however_often_it_rang() {
        let wake = Wake::default();
        wake.ring(Step::Split);
        let (mut one, mut other, mut decide) =
            (wake.listen(Step::Split), wake.listen(Step::Split), wake.listen(Step::Decide));
        assert!(!hears(&mut one), "it rang before");
        wake.ring(Step::Split);
        wake.ring(Step::Split);
        assert!(hears(&mut one) && hears(&mut other) && !hears(&mut decide));
        assert!(!hears(&mut one) && !hears(&mut other));
        wake.ring(Step::Split);
        drop(wake);
        assert!(hears(&mut one) && !hears(&mut one), "nobody can ring any more");
    }

    #[test]
    fn who_catches_up_is_woken_only_by_what_rings_later() {
        let wake = Wake::default();
        let mut bell = wake.listen(Step::Split);
        wake.ring(Step::Split);
        bell.catch_up();
        assert!(!hears(&mut bell));
        bell.catch_up();
        wake.ring(Step::Split);
        assert!(hears(&mut bell));
    }
}
