//! Reads `Retry-After` and the dates that HTTP headers hold.

use jiff::fmt::rfc2822::DateTimeParser;
use jiff::{SignedDuration, Timestamp};

/// How long a `Retry-After` header asks to wait, counted from `now`; `None` if it is neither whole seconds nor a date.
///
/// A date in the past is zero. The value is the vendor's and may be absurdly long: whoever waits caps it.
#[must_use]
pub fn retry_after(value: &str, now: Timestamp) -> Option<SignedDuration> {
    let value = value.trim();
    if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        // More digits than an i64 holds still mean "very long".
        return Some(SignedDuration::from_secs(value.parse().unwrap_or(i64::MAX)));
    }
    http_date(value).map(|at| at.duration_since(now).max(SignedDuration::ZERO))
}

/// An HTTP date as RFC 9110 wants it sent (`Sun, 06 Nov 1994 08:49:37 GMT`). A wrong weekday is overlooked.
#[must_use]
pub fn http_date(value: &str) -> Option<Timestamp> {
    static PARSER: DateTimeParser = DateTimeParser::new().relaxed_weekday(true);
    PARSER.parse_timestamp(value.trim()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap_or(Timestamp::UNIX_EPOCH)
    }

    #[test]
    fn fm_065_reads_seconds_and_dates() {
        let now = at("1994-11-06T08:49:00Z");
        let cases = [
            ("0", Some(0)),
            (" 120 ", Some(120)),
            ("99999999999999999999999", Some(i64::MAX)),
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some(37)),
            ("Mon, 06 Nov 1994 08:49:37 GMT", Some(37)),
            ("Sun, 06 Nov 1994 08:48:00 GMT", Some(0)),
            ("", None),
            ("-5", None),
            ("1.5", None),
            ("soon", None),
            ("1994-11-06", None),
            ("٣", None),
        ];
        for (value, seconds) in cases {
            assert_eq!(retry_after(value, now), seconds.map(SignedDuration::from_secs), "{value:?}");
        }
    }
}
