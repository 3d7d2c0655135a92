//! The steps against a vendor in memory and a store in memory, on a clock that the test owns.
#![allow(clippy::unwrap_used)]

mod companies;
mod identity;
mod intake;
mod objects;
mod storage;
mod vendor;
mod watch;
pub(crate) mod world;
