//! The simulators' clock: the wall clock plus an offset that tests can push forward.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Milliseconds since the Unix epoch, as both vendors count them.
pub type Millis = i64;

/// The wall clock with an offset, so that a test can let an hour pass without waiting.
#[derive(Debug, Default)]
pub(crate) struct Clock {
    offset: AtomicI64,
}

impl Clock {
    pub(crate) fn now(&self) -> Millis {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        i64::try_from(wall.as_millis()).unwrap_or(i64::MAX) + self.offset.load(Ordering::Relaxed)
    }

    pub(crate) fn advance(&self, by: Duration) {
        let by = i64::try_from(by.as_millis()).unwrap_or(0);
        self.offset.fetch_add(by, Ordering::Relaxed);
    }
}

/// ISO 8601 in UTC with milliseconds, the form of every HubSpot time.
pub(crate) fn iso(at: Millis) -> String {
    let mut out = String::with_capacity(24);
    push_iso(&mut out, at);
    out
}

/// Appends [`iso`] without an allocation of its own.
pub(crate) fn push_iso(out: &mut String, at: Millis) {
    let time = jiff::Timestamp::from_millisecond(at).unwrap_or_default();
    let civil = jiff::tz::TimeZone::UTC.to_datetime(time);
    let _ = write!(
        out,
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z",
        civil.year(),
        civil.month(),
        civil.day(),
        civil.hour(),
        civil.minute(),
        civil.second(),
        civil.millisecond()
    );
}

/// Seconds only, as Typeform writes `submitted_at`.
pub(crate) fn iso_seconds(at: Millis) -> String {
    let mut text = iso(at);
    text.replace_range(19..23, "");
    text
}

/// Reads epoch milliseconds or ISO 8601, the two forms that HubSpot accepts for a date-time value.
pub(crate) fn parse_time(text: &str) -> Option<Millis> {
    if let Ok(number) = text.parse::<i64>() {
        return Some(number);
    }
    if let Ok(time) = text.parse::<jiff::Timestamp>() {
        return Some(time.as_millisecond());
    }
    let civil = text.parse::<jiff::civil::DateTime>().ok()?;
    let zoned = civil.to_zoned(jiff::tz::TimeZone::UTC).ok()?;
    Some(zoned.timestamp().as_millisecond())
}

/// Waits until `wait` has passed since `begun`. The runtime's timer has a grain of a millisecond and rounds up, which
/// would make every call of a bench slower than asked for, so the last millisecond is spent yielding.
pub(crate) async fn answer_after(begun: Instant, wait: Duration) {
    let left = wait.saturating_sub(begun.elapsed());
    if let Some(most) = left.checked_sub(GRAIN) {
        tokio::time::sleep(most).await;
    }
    while begun.elapsed() < wait {
        tokio::task::yield_now().await;
    }
}

/// The runtime's timer rounds up to this, and wakes up late by as much again.
const GRAIN: Duration = Duration::from_millis(2);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_round_trip() {
        assert_eq!(iso(1_700_000_000_123), "2023-11-14T22:13:20.123Z");
        assert_eq!(iso_seconds(1_700_000_000_123), "2023-11-14T22:13:20Z");
        assert_eq!(parse_time("2023-11-14T22:13:20.123Z"), Some(1_700_000_000_123));
        assert_eq!(parse_time("1700000000123"), Some(1_700_000_000_123));
        assert_eq!(parse_time("2023-11-14T22:13:20"), Some(1_700_000_000_000));
        assert_eq!(parse_time("yesterday"), None);
    }
}
