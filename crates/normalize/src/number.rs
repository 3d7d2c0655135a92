//! Amounts as people write them.

use crate::Reason;
use crate::text::key;

/// Reads `20.000 €`, `20,000.50`, `1'500`, `20k`, `1.5m`, `$ 5,000+`. A single separator before exactly three
/// digits divides thousands (`20.000` is twenty thousand, `0.125` is not). A range is refused.
pub fn number(text: &str) -> Result<f64, Reason> {
    if text.len() > 100 {
        return Err(if text.trim().is_empty() { Reason::Empty } else { Reason::TooLong });
    }
    let folded = key(text).replace(' ', "").replace('−', "-");
    if folded.is_empty() {
        return Err(Reason::Empty);
    }
    let start = folded.find(|c: char| c.is_ascii_digit()).ok_or(Reason::NotANumber)?;
    let end = folded.rfind(|c: char| c.is_ascii_digit()).map_or(start, |at| at + 1);
    let (before, digits, after) = (&folded[..start], &folded[start..end], &folded[end..]);
    let (before, digits) = match before.strip_suffix('.') {
        Some(before) => (before, format!("0.{digits}")),
        None => (before, digits.to_owned()),
    };
    let negative = before.contains('-');
    let before = before.trim_matches(|c: char| "-+~<>≈".contains(c));
    if !is_unit(before) {
        return Err(Reason::NotANumber);
    }
    let (factor, unit) = scale(after.trim_matches(|c: char| "+-.".contains(c)));
    if !is_unit(unit) {
        return Err(Reason::NotANumber);
    }
    let value: f64 = plain(&digits)?.parse().map_err(|_| Reason::NotANumber)?;
    let value = value * factor;
    Ok(if negative && value != 0.0 { -value } else { value })
}

/// A currency by sign or code, or nothing.
fn is_unit(text: &str) -> bool {
    const CODES: [&str; 22] = [
        "", "eur", "euro", "euros", "usd", "us", "gbp", "chf", "fr", "sek", "nok", "dkk", "pln", "zł", "kč",
        "czk", "inr", "rs", "jpy", "aud", "cad", "ca",
    ];
    let word = text.trim_matches(|c: char| "$€£¥₹₽₺₩%.".contains(c));
    CODES.contains(&word)
}

fn scale(after: &str) -> (f64, &str) {
    const SCALES: [(&str, f64); 10] = [
        ("million", 1e6),
        ("mio", 1e6),
        ("mln", 1e6),
        ("mn", 1e6),
        ("tsd", 1e3),
        ("thousand", 1e3),
        ("bn", 1e9),
        ("m", 1e6),
        ("k", 1e3),
        ("", 1.0),
    ];
    let found = SCALES.iter().find_map(|(word, factor)| after.strip_prefix(word).map(|rest| (*factor, rest)));
    found.unwrap_or((1.0, after))
}

/// The digits with `.` for the fraction and nothing between thousands.
fn plain(digits: &str) -> Result<String, Reason> {
    let digits: String = digits.chars().filter(|c| !matches!(c, '\'' | '’' | '_')).collect();
    if !digits.chars().all(|c| c.is_ascii_digit() || c == '.' || c == ',') {
        return Err(if digits.contains(['-', '–', '—', '/']) {
            Reason::Several
        } else {
            Reason::NotANumber
        });
    }
    let (last_dot, last_comma) = (digits.rfind('.'), digits.rfind(','));
    let (decimal, thousands) = match (last_dot, last_comma) {
        (None, None) => return Ok(digits),
        (Some(dot), Some(comma)) if dot > comma => ('.', ','),
        (Some(_), Some(_)) => (',', '.'),
        (Some(_), None) => single(&digits, '.'),
        (None, Some(_)) => single(&digits, ','),
    };
    let (whole, fraction) = match digits.split_once(decimal) {
        Some((whole, fraction)) if !fraction.contains([',', '.']) => (whole, fraction),
        Some(_) => return Err(Reason::NotANumber),
        None => (digits.as_str(), ""),
    };
    let groups: Vec<&str> = whole.split(thousands).collect();
    // Indian amounts have groups of two (`1,00,000`), but the last is of three everywhere.
    let well_grouped = groups.len() == 1
        || (groups.last().is_some_and(|last| last.len() == 3)
            && groups.iter().all(|group| (1..=3).contains(&group.len())));
    if !well_grouped {
        return Err(Reason::NotANumber);
    }
    Ok(format!("{}.{fraction}0", groups.concat()))
}

/// What the only kind of separator means: (decimal, thousands).
fn single(digits: &str, separator: char) -> (char, char) {
    let other = if separator == '.' { ',' } else { '.' };
    let mut groups = digits.split(separator);
    let first = groups.next().unwrap_or_default();
    let rest: Vec<&str> = groups.collect();
    let thousands =
        rest.len() > 1 || (rest.iter().all(|group| group.len() == 3) && first.len() <= 3 && first != "0");
    if thousands { (other, separator) } else { (separator, other) }
}
