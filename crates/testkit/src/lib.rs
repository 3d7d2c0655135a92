//! What tests share: the conformance suite for connectors, the invariant checker, a clock that tests own.
//!
//! A connector proves itself in `tests/conformance.rs` by handing a rig from [`rigs`] (or one of its own) to
//! [`conformance::run`]. Whole-program tests and fault runs hold the database against the simulators'
//! oracle with [`invariants`], and wait for conditions with [`until`], never for a fixed time.

mod clock;
pub mod conformance;
mod detour;
pub mod invariants;
mod log;
mod lossy;
mod port;
mod postgres;
mod relay;
pub mod rigs;
mod script;
mod serve;
mod settings;
mod storm;
mod until;

pub use crate::clock::ManualClock;
pub use crate::detour::Detour;
pub use crate::lossy::{Cut, Honesty, LossyDisk};
pub use crate::port::free_port;
pub use crate::postgres::Cluster;
pub use crate::script::{Script, answered, asked};
pub use crate::serve::{Asked, Reply, serve};
pub use crate::settings::settings_of;
pub use crate::storm::{Storm, Wreckage, storm};
pub use crate::until::{TookTooLong, until};
