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
    use jiff::fmt::rfc2822::DateTimePrinter;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn fm_065_no_form_asks_for_less_than_nothing_and_dates_mean_what_seconds_mean(
            text in "\\PC{0,40}", now in 0i64..4_000_000_000, seconds in -100_000i64..100_000,
        ) {
            let now = Timestamp::from_second(now).unwrap_or_default();
            prop_assert!(retry_after(&text, now).is_none_or(|wait| !wait.is_negative()));
            let date = DateTimePrinter::new().timestamp_to_rfc9110_string(&(now + SignedDuration::from_secs(seconds)));
            let wait = SignedDuration::from_secs(seconds.max(0));
            prop_assert_eq!(retry_after(&date.unwrap_or_default(), now), Some(wait));
            prop_assert_eq!(retry_after(&seconds.max(0).to_string(), now), Some(wait));
        }
    }

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
