//! What people ask the engine for: entering a lead, trying a connection, learning from history.

mod add;
mod backfill;
mod trial;

pub use add::{Added, Refused};
pub use backfill::{BackfillPlan, BackfillReport};
pub use trial::{TrialReport, TrialStep};
