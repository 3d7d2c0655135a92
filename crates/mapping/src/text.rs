//! What storage can not hold or nobody reads: NUL characters, half surrogate pairs, texts without end.

use std::borrow::Cow;

use serde_json::Value;
use unicode_segmentation::GraphemeCursor;

/// Longest text that a field keeps, in bytes. The raw payload keeps the rest.
pub(crate) const MAX_TEXT: usize = 64 * 1024;

/// A text without NUL and not longer than [`MAX_TEXT`], and what was done to it.
pub(crate) fn storable(text: &str) -> (Cow<'_, str>, Option<String>) {
    let mut notes = Vec::new();
    let mut kept = Cow::Borrowed(text);
    if text.contains('\0') {
        let without = text.replace('\0', "");
        notes.push(format!("{} NUL characters removed", text.len() - without.len()));
        kept = Cow::Owned(without);
    }
    if kept.len() > MAX_TEXT {
        let end = cut_at(&kept, MAX_TEXT);
        notes.push(format!("cut from {} to {end} bytes", kept.len()));
        kept = Cow::Owned(kept[..end].to_owned());
    }
    (kept, (!notes.is_empty()).then(|| notes.join("; ")))
}

/// The last border between graphemes at or before `limit`; between characters, if one grapheme fills everything.
fn cut_at(text: &str, limit: usize) -> usize {
    let at = text.floor_char_boundary(limit);
    let mut cursor = GraphemeCursor::new(at, text.len(), true);
    if cursor.is_boundary(text, 0).unwrap_or(true) {
        return at;
    }
    match cursor.prev_boundary(text, 0) {
        Ok(Some(border)) if border > 0 => border,
        _ => at,
    }
}

/// As [`storable`] for a whole JSON value: every text and every key in it.
pub(crate) fn storable_value(value: &Value) -> (Value, Option<String>) {
    if !needs_care(value) {
        return (value.clone(), None);
    }
    let mut notes = Vec::new();
    let clean = clean_value(value, &mut notes);
    (clean, (!notes.is_empty()).then(|| notes.join("; ")))
}

fn needs_care(value: &Value) -> bool {
    let text = |text: &str| text.len() > MAX_TEXT || text.contains('\0');
    match value {
        Value::String(one) => text(one),
        Value::Array(items) => items.iter().any(needs_care),
        Value::Object(entries) => entries.iter().any(|(key, value)| text(key) || needs_care(value)),
        _ => false,
    }
}

fn clean_value(value: &Value, notes: &mut Vec<String>) -> Value {
    match value {
        Value::String(one) => Value::String(clean_text(one, notes)),
        Value::Array(items) => items.iter().map(|item| clean_value(item, notes)).collect(),
        Value::Object(entries) => {
            let mut kept = serde_json::Map::new();
            for (key, value) in entries {
                kept.insert(clean_text(key, notes), clean_value(value, notes));
            }
            Value::Object(kept)
        }
        other => other.clone(),
    }
}

fn clean_text(text: &str, notes: &mut Vec<String>) -> String {
    let (kept, note) = storable(text);
    notes.extend(note);
    kept.into_owned()
}

/// JSON in which every escape of half a surrogate pair is replaced by U+FFFD; `None` if there is none.
/// Some senders cut texts in the middle of an emoji, which is no valid text in any encoding.
pub(crate) fn without_half_surrogates(json: &str) -> Option<String> {
    let mut fixed = String::with_capacity(json.len());
    let mut rest = json;
    let mut found = false;
    while let Some(at) = rest.find('\\') {
        fixed.push_str(&rest[..at]);
        rest = &rest[at..];
        let taken = match surrogate(rest) {
            Some(Half::High) if matches!(rest.get(6..).and_then(surrogate), Some(Half::Low)) => 12,
            Some(_) => {
                found = true;
                fixed.push_str("\\ufffd");
                rest = &rest[6..];
                continue;
            }
            None => rest.chars().take(2).map(char::len_utf8).sum(),
        };
        fixed.push_str(&rest[..taken]);
        rest = &rest[taken..];
    }
    fixed.push_str(rest);
    found.then_some(fixed)
}

enum Half {
    High,
    Low,
}

/// Which half of a pair the escape at the start of `rest` is.
fn surrogate(rest: &str) -> Option<Half> {
    let digits = rest.strip_prefix("\\u")?.get(..4)?;
    match u16::from_str_radix(digits, 16).ok()? {
        0xD800..=0xDBFF => Some(Half::High),
        0xDC00..=0xDFFF => Some(Half::Low),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn fm_088_long_texts_are_cut_between_graphemes() {
        // A family emoji is one grapheme of 25 bytes; 64 KiB is no multiple of it.
        let family = "👨‍👩‍👧‍👦";
        let long = family.repeat(MAX_TEXT / family.len() + 2);
        let (kept, note) = storable(&long);
        assert!(kept.len() <= MAX_TEXT && MAX_TEXT - kept.len() < family.len());
        assert_eq!(kept.len() % family.len(), 0, "cut inside a grapheme");
        assert!(note.unwrap().starts_with("cut from"));
    }

    #[test]
    fn fm_088_one_endless_grapheme_is_cut_between_characters() {
        let zalgo = format!("a{}", "\u{301}".repeat(MAX_TEXT));
        let (kept, _) = storable(&zalgo);
        assert_eq!(kept.len(), MAX_TEXT - 1);
    }

    #[test]
    fn fm_076_nul_is_removed_everywhere() {
        let (kept, note) = storable_value(&json!({"a\0": ["x\0y", {"b": "\0"}], "n": 1}));
        assert_eq!(kept, json!({"a": ["xy", {"b": ""}], "n": 1}));
        assert!(note.unwrap().contains("1 NUL characters removed"));
    }

    #[test]
    fn fm_076_half_surrogates_become_replacement_characters() {
        let table = [
            (r#"{"a":"x\ud83d"}"#, Some(r#"{"a":"x\ufffd"}"#)),
            (r#"{"a":"\ude00x"}"#, Some(r#"{"a":"\ufffdx"}"#)),
            (r#"{"a":"\ud83d\ud83d\ude00"}"#, Some(r#"{"a":"\ufffd\ud83d\ude00"}"#)),
            (r#"{"a":"\ud83d\n"}"#, Some(r#"{"a":"\ufffd\n"}"#)),
            (r#"{"a":"\ud83d\ude00"}"#, None),
            (r#"{"a":"\\ud83d"}"#, None),
            (r#"{"a":"\u12"#, None),
            ("\\", None),
            ("\\é", None),
        ];
        for (json, expected) in table {
            assert_eq!(without_half_surrogates(json).as_deref(), expected, "{json}");
        }
    }

    proptest! {
        #[test]
        fn repairing_never_panics_and_is_idempotent(text in r#"(\\|u|d8|3d|de00|[a-f0-9é"]){0,40}"#) {
            if let Some(fixed) = without_half_surrogates(&text) {
                prop_assert_eq!(without_half_surrogates(&fixed), None);
            }
        }
    }
}
