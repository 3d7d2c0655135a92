//! Plain words: times and names as a rep reads them in a task.

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

/// A near instant by weekday (`Mon 09:00`), a far one by date; in the given zone, else in UTC, which is then said.
pub(crate) fn when(at: Timestamp, now: Timestamp, zone: Option<&TimeZone>) -> String {
    let local = at.to_zoned(zone.cloned().unwrap_or(TimeZone::UTC));
    let near = at.duration_since(now) < SignedDuration::from_hours(6 * 24);
    let text = local.strftime(if near { "%a %H:%M" } else { "%Y-%m-%d %H:%M" });
    match zone {
        Some(_) => text.to_string(),
        None => format!("{text} UTC"),
    }
}

/// `one`, `one and two`, `one, two and three`.
pub(crate) fn list(words: &[String]) -> String {
    match words {
        [] => String::new(),
        [only] => only.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}
