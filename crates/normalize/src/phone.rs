//! Phone numbers to E.164.

use std::sync::LazyLock;

use phonenumber::{Mode, country};
use serde::Serialize;

use crate::Reason;
use crate::text::key;

/// A cleaned phone number.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct Phone {
    /// `+`, country code and number, such as `+493012345678`; without an extension.
    pub e164: String,
    /// The digits of an extension, where one was written.
    pub extension: Option<String>,
}

/// More digits than any number has, with prefix and extension.
const MAX_DIGITS: usize = 24;
const MAX_INPUT: usize = 200;

/// Cleans a phone number. `region` (ISO 3166, two letters) is where a number without country code is at home.
/// Only numbers of a known numbering plan pass.
pub fn phone(text: &str, region: Option<&str>) -> Result<Phone, Reason> {
    if text.len() > MAX_INPUT {
        return Err(if text.trim().is_empty() { Reason::Empty } else { Reason::TooLong });
    }
    let region = region.map(|code| code.trim().to_ascii_uppercase());
    let id = match region.as_deref() {
        Some(code) => Some(code.parse::<country::Id>().map_err(|_| Reason::UnknownRegion)?),
        None => None,
    };
    let folded = key(text);
    let folded = folded.strip_prefix("tel:").unwrap_or(&folded).trim();
    if folded.is_empty() {
        return Err(Reason::Empty);
    }
    let (number, extension) = split_extension(folded)?;
    let digits = dialled(number, region.as_deref())?;
    let parsed = read(id, &digits).map(|e164| Phone { e164, extension: extension.clone() });
    match (parsed, extension) {
        // `030 1234567-12`: German and others write the extension as a last group.
        (Err(reason), None) => match number.rsplit_once('-') {
            Some((number, last))
                if (1..=4).contains(&last.len()) && last.bytes().all(|b| b.is_ascii_digit()) =>
            {
                let e164 = read(id, &dialled(number, region.as_deref())?).map_err(|_| reason)?;
                Ok(Phone { e164, extension: Some(last.to_owned()) })
            }
            _ => Err(reason),
        },
        (parsed, _) => parsed,
    }
}

/// Loads the metadata of all countries. Takes seconds in a debug build; later calls cost nothing.
pub fn warm_up() {
    LazyLock::force(&ROOM);
    let _ = phone("+4930123456", None);
}

/// The crate keeps 100 compiled patterns and a country has some fifteen, so leads of many countries in turn compile
/// nearly all of them again and again: 6,000 numbers of 40 countries took 21 s unoptimised with 100 patterns, 8 s with
/// 200, 3 s with 300. A pattern takes some 150 KiB; an install whose leads come from few countries never fills this.
static ROOM: LazyLock<()> = LazyLock::new(|| {
    if let Ok(mut cache) = phonenumber::metadata::DATABASE.cache().lock() {
        cache.set_capacity(250);
    }
});

/// The number and the digits behind `ext.`, `x`, `#` and their like; any other letters are no phone number.
fn split_extension(text: &str) -> Result<(&str, Option<String>), Reason> {
    let Some(start) = text.find(|c: char| c.is_alphabetic() || c == '#' || c == ';') else {
        return Ok((text, None));
    };
    let (number, rest) = text.split_at(start);
    let word = rest.trim_end_matches(|c: char| c.is_numeric() || c.is_whitespace());
    let known = [
        "x",
        "ext",
        "ext.",
        "ext:",
        "extn",
        "extension",
        "#",
        ";ext=",
        "dw",
        "durchwahl",
        "poste",
        "int.",
        "anexo",
    ];
    let extension: String = rest[word.len()..].chars().filter(char::is_ascii_digit).collect();
    if !known.contains(&word.trim()) || extension.is_empty() || extension.len() > 8 {
        return Err(Reason::NotAPhone);
    }
    Ok((number, Some(extension)))
}

/// The digits as dialled, with `+` before a country code.
fn dialled(number: &str, region: Option<&str>) -> Result<String, Reason> {
    let international = number.trim_start_matches(['(', ' ']).starts_with('+');
    if number.matches('+').count() > 1 {
        return Err(Reason::Several);
    }
    if number.contains('+') && !international {
        return Err(Reason::NotAPhone);
    }
    let punctuation = |c: char| c.is_whitespace() || "+-–—‐‑.()/\\,_~·•|[]'".contains(c);
    let mut digits = String::new();
    // `+49 (0)30`: the zero is dialled at home only.
    for c in number
        .replace("(0)", if international || number.trim_start().starts_with("00") { "" } else { "0" })
        .chars()
    {
        match digit(c) {
            Some(digit) => digits.push(digit),
            None if punctuation(c) => {}
            None => return Err(Reason::NotAPhone),
        }
    }
    if digits.len() < 5 || digits.len() > MAX_DIGITS {
        return Err(Reason::NotAPhone);
    }
    let exit = match region {
        Some("US" | "CA") if digits.starts_with("011") => Some("011"),
        _ if digits.starts_with("00") => Some("00"),
        _ => None,
    };
    Ok(match (international, exit) {
        (true, _) => format!("+{digits}"),
        (false, Some(exit)) => format!("+{}", &digits[exit.len()..]),
        (false, None) => digits,
    })
}

/// ASCII digits of the decimal digits of other scripts that phones in the field use; `key` folded full width ones.
fn digit(c: char) -> Option<char> {
    let zero = match c {
        '0'..='9' => return Some(c),
        '\u{660}'..='\u{669}' => 0x660,
        '\u{6f0}'..='\u{6f9}' => 0x6f0,
        '\u{966}'..='\u{96f}' => 0x966,
        _ => return None,
    };
    char::from_digit(u32::from(c) - zero, 10)
}

fn read(region: Option<country::Id>, digits: &str) -> Result<String, Reason> {
    if region.is_none() && !digits.starts_with('+') {
        return Err(Reason::NoRegion);
    }
    LazyLock::force(&ROOM);
    let number = phonenumber::parse(region, digits).map_err(|_| Reason::NotAssigned)?;
    if !number.is_valid() {
        return Err(Reason::NotAssigned);
    }
    Ok(number.format().mode(Mode::E164).to_string())
}
