//! Benches: what the parts cost in CPU, time and memory. They print figures and judge nothing.

pub(crate) mod ack;
pub(crate) mod budget;
pub(crate) mod decide;
mod engine;
pub(crate) mod hook;
pub(crate) mod outage;
pub(crate) mod pull;
mod rig;
pub(crate) mod serve;
mod slow_sync;
pub(crate) mod start;
mod timed;
pub(crate) mod tokens;
pub(crate) mod worker;
pub(crate) mod write;
