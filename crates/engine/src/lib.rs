//! The bounded steps of a lead's way: receive, split, pull, fetch, prepare, decide, deliver, refresh.
//!
//! An [`Engine`] holds what the steps need: the store, the connected accounts, the routing policy, the clock. Each
//! step does a bounded amount of work in few transactions and reports what it did; whoever calls it (the daemon, a
//! single pass, a test) owns the loop. Nothing a step does is kept in memory only: a step that is killed is repeated.

mod breaker;
mod command;
mod connected;
mod engine;
mod error;
mod health;
mod node;
pub mod settings;
mod slices;
mod standing;
mod step;
mod tokens;
mod wake;

pub use command::{Added, BackfillPlan, BackfillReport, Refused, TrialReport, TrialStep, UndoLine, UndoPlan};
pub use connected::{Connected, Connector, Registry};
pub use engine::{Engine, Setup};
pub use error::EngineError;
pub use health::{Health, Notice, NoticeKind, Signs, Watchdog};
pub use step::deliver::DeliverReport;
pub use step::pull::PullReport;
pub use step::receive::Received;
pub use step::reconcile::ReconcileReport;
pub use step::refresh::RefreshReport;
pub use step::watch::WatchReport;
pub use tokens::StoredTokens;
pub use wake::{Listener, Step, Wake};

#[cfg(test)]
mod tests;
