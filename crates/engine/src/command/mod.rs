//! What people ask the engine for: entering a lead, trying a connection, learning from history, taking back.

mod add;
mod backfill;
mod trial;
mod undo;

pub use add::{Added, Refused};
pub use backfill::{BackfillPlan, BackfillReport};
pub use trial::{TrialReport, TrialStep};
pub use undo::{UndoLine, UndoPlan};
