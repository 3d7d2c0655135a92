//! Working hours, absences and business-time arithmetic.
//!
//! A [`Calendar`] is a weekly pattern in one IANA time zone; an [`Availability`] is a calendar (or none, which
//! means always) minus absences. All intervals are half-open: the first instant counts, the last does not.
//!
//! Local times become instants by one rule, which also settles the days on which clocks change: *the first
//! instant at which the local clock shows that time or a later one*. So a time that a gap leaves out moves
//! forward to the end of the gap, and a time that occurs twice means its first occurrence.
//!
//! Searches look at most [`HORIZON_DAYS`] ahead and answer `None` beyond it.

mod absence;
mod calendar;
mod decode;
mod local;
mod week;

#[cfg(test)]
mod tests;

pub use absence::{Absences, Availability};
pub use calendar::{Calendar, CalendarError, HORIZON_DAYS};
pub use week::{Week, WeekError};
