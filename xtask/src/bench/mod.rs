//! Benches: what the parts cost in CPU, time and memory. They print figures and judge nothing.

pub(crate) mod decide;
mod engine;
pub(crate) mod pull;
pub(crate) mod serve;
pub(crate) mod start;
mod timed;
pub(crate) mod tokens;
pub(crate) mod worker;
