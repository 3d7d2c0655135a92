//! What tests share: the conformance suite for connectors, the invariant checker, a clock that tests own.
//!
//! A connector proves itself in `tests/conformance.rs` by handing a rig from [`rigs`] (or one of its own) to
//! [`conformance::run`]. Whole-program tests hold the store against the simulators' oracle with [`Invariants`], and
//! wait for conditions with [`until`], never for a fixed time.

mod clock;
pub mod conformance;
mod invariants;
mod log;
mod relay;
pub mod rigs;
mod storm;
mod until;

pub use crate::clock::ManualClock;
pub use crate::invariants::{Invariants, Violation};
pub use crate::storm::{Storm, Wreckage, storm};
pub use crate::until::{TookTooLong, until};
