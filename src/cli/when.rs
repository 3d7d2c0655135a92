//! Instants on the command line: as they are, or how long ago.

use jiff::{SignedDuration, Timestamp};

use crate::failure::Failure;

/// The instant that a text names: `2026-11-22T10:00:00Z`, or `2h` for two hours ago.
pub(crate) fn instant(text: &str) -> Result<Timestamp, Failure> {
    if let Ok(instant) = text.parse() {
        return Ok(instant);
    }
    let length = usher_document::parse_duration(text).map_err(|_| {
        Failure::input(format!("`{text}` is no instant; write it as 2h (ago) or 2026-11-22T10:00:00Z"))
    })?;
    let length = SignedDuration::try_from(length).unwrap_or(SignedDuration::MAX);
    Ok(crate::daemon::now().saturating_sub(length).unwrap_or(Timestamp::UNIX_EPOCH))
}
