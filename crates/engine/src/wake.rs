//! Wake-ups: one step tells the next that there is work. A lost wake-up costs a timer's period, never a lead.

use std::sync::Arc;

use tokio::sync::Notify;

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

/// One bell for each step.
#[derive(Debug, Clone, Default)]
pub struct Wake {
    bells: Arc<[Notify; 5]>,
}

impl Wake {
    fn bell(&self, step: Step) -> &Notify {
        let [split, fetch, prepare, decide, deliver] = &*self.bells;
        match step {
            Step::Split => split,
            Step::Fetch => fetch,
            Step::Prepare => prepare,
            Step::Decide => decide,
            Step::Deliver => deliver,
        }
    }

    /// Says that there is work for the step.
    pub fn ring(&self, step: Step) {
        self.bell(step).notify_one();
    }

    /// Waits until somebody says so; a ring that came before is not lost.
    pub async fn rung(&self, step: Step) {
        self.bell(step).notified().await;
    }
}
