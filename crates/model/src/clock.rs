//! Time as a capability: whoever needs "now" is handed a clock, so that tests own it.

use std::fmt::Debug;

use jiff::Timestamp;

/// Tells the time. Due times and records use this clock; leases in a shared database use the database's own.
pub trait Clock: Send + Sync + Debug {
    /// The present instant, UTC.
    fn now(&self) -> Timestamp;
}

/// The machine's clock, cut to milliseconds: the grain in which every instant is stored and compared.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        let now = Timestamp::now();
        Timestamp::from_millisecond(now.as_millisecond()).unwrap_or(now)
    }
}
