//! Decoding of values into types; each problem is reported where it stands.

use std::path::PathBuf;
use std::time::Duration;

use crate::{Cursor, Place, Value};

/// A type that can be read from a file.
pub trait Decode: Sized {
    /// Reads the value, or reports everything that is wrong with it and answers `None`.
    fn decode(at: &Cursor<'_>) -> Option<Self>;
}

/// A value with its place, for checks that come after decoding (a name that must exist elsewhere, for instance).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Located<T> {
    /// The value.
    pub value: T,
    /// Where it stands.
    pub place: Place,
}

/// A list, or a single value that stands for a list of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OneOrMany<T>(pub Vec<T>);

impl<T: Decode> Decode for Located<T> {
    fn decode(at: &Cursor<'_>) -> Option<Self> {
        let place = at.place();
        at.read().map(|value| Self { value, place })
    }
}

impl<T: Decode> Decode for Vec<T> {
    fn decode(at: &Cursor<'_>) -> Option<Self> {
        let read: Vec<Option<T>> = at.list()?.iter().map(Cursor::read).collect();
        read.into_iter().collect()
    }
}

impl<T: Decode> Decode for OneOrMany<T> {
    fn decode(at: &Cursor<'_>) -> Option<Self> {
        match at.node().value {
            Value::List(_) => at.read().map(Self),
            _ => at.read().map(|one| Self(vec![one])),
        }
    }
}

impl Decode for String {
    fn decode(at: &Cursor<'_>) -> Option<Self> {
        at.text().map(str::to_owned)
    }
}

impl Decode for PathBuf {
    fn decode(at: &Cursor<'_>) -> Option<Self> {
        at.text().map(Self::from)
    }
}

impl Decode for bool {
    fn decode(at: &Cursor<'_>) -> Option<Self> {
        match &at.node().value {
            Value::Bool(value) => Some(*value),
            Value::Text { text, plain: true } if is_old_bool(text) => {
                at.error("wrong-type", format!("expected `true` or `false`, found `{text}`"))
                    .found(text)
                    .hint("YAML 1.2 reads `yes`, `no`, `on` and `off` as texts")
                    .report();
                None
            }
            _ => {
                at.wrong_type("`true` or `false`");
                None
            }
        }
    }
}

fn is_old_bool(text: &str) -> bool {
    ["yes", "no", "on", "off", "y", "n"].contains(&text.to_ascii_lowercase().as_str())
}

impl Decode for f64 {
    fn decode(at: &Cursor<'_>) -> Option<Self> {
        match at.node().value {
            // Exact below 2^53; files do not hold larger amounts.
            Value::Int(value) => Some(value as Self),
            Value::Float(value) if value.is_finite() => Some(value),
            _ => {
                at.wrong_type("a number");
                None
            }
        }
    }
}

macro_rules! whole_numbers {
    ($($kind:ty),*) => {$(
        impl Decode for $kind {
            fn decode(at: &Cursor<'_>) -> Option<Self> {
                let expected = "a whole number";
                let Value::Int(value) = at.node().value else {
                    at.wrong_type(expected);
                    return None;
                };
                let fits = Self::try_from(value).ok();
                if fits.is_none() {
                    let (least, most) = (Self::MIN, Self::MAX);
                    at.error("out-of-range", format!("expected {expected} from {least} to {most}"))
                        .found(value.to_string())
                        .report();
                }
                fits
            }
        }
    )*};
}

whole_numbers!(i64, u64, u32, u16, u8, usize);

impl Decode for Duration {
    fn decode(at: &Cursor<'_>) -> Option<Self> {
        at.duration()
    }
}

impl Decode for serde_json::Value {
    fn decode(at: &Cursor<'_>) -> Option<Self> {
        Some(at.node().to_json())
    }
}
