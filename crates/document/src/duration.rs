//! Lengths of time as people write them: `30s`, `5m`, `2h`, `7d`, `1h30m`.

use std::time::Duration;

const UNITS: [(&str, u64); 6] =
    [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000), ("w", 604_800_000)];

/// Parses `30s`, `5m`, `2h`, `7d`, `2w`, `500ms` or several of these together. A day is 24 hours.
/// The error says what is wrong, to be put behind "expected a duration".
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let mut rest = text.trim();
    if rest.is_empty() {
        return Err("it is empty".to_owned());
    }
    let mut total: u64 = 0;
    while !rest.is_empty() {
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (number, after) = rest.split_at(digits);
        let after = after.trim_start();
        let unit_len = after.len() - after.trim_start_matches(|c: char| c.is_alphabetic()).len();
        let (unit, tail) = after.split_at(unit_len);
        if number.is_empty() {
            return Err(format!("`{rest}` does not start with a whole number"));
        }
        let Some((_, factor)) = UNITS.iter().find(|(name, _)| *name == unit) else {
            return Err(match unit {
                "" => format!("`{number}` has no unit"),
                _ => format!("`{unit}` is no unit"),
            });
        };
        total = number
            .parse::<u64>()
            .ok()
            .and_then(|number| number.checked_mul(*factor))
            .and_then(|part| total.checked_add(part))
            .ok_or_else(|| format!("`{number}{unit}` is too long"))?;
        rest = tail.trim_start();
    }
    Ok(Duration::from_millis(total))
}
