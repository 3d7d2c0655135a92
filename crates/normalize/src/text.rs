//! Cleaning of plain text: what shows tidily, and what is compared.

use unicode_normalization::UnicodeNormalization;

/// Longest text that a key is made of, in bytes; longer ones are cut. Fields of a CRM hold 65,536.
const MAX_KEY: usize = 4_096;

/// For display: composed form, no control or invisible characters, white space collapsed and trimmed. Joiners
/// between letters and emoji stay, case and accents stay.
#[must_use]
pub fn tidy(text: &str) -> String {
    collapse(text.nfc().filter(|c| !is_noise(*c)))
}

/// [`tidy`], in lower case.
#[must_use]
pub fn lower(text: &str) -> String {
    // Lower case may decompose (`İ`) and so needs another composition.
    tidy(&tidy(text).to_lowercase())
}

/// For comparison: compatibility form (full width, ligatures), no invisible characters at all, lower case. At most
/// about 4 KiB of it.
#[must_use]
pub fn key(text: &str) -> String {
    let text = cut(text);
    if text.is_ascii() {
        return collapse(text.chars().filter(|c| !is_noise(*c)).map(|c| c.to_ascii_lowercase()));
    }
    settle(text, |text| {
        let visible = text.nfkc().filter(|c| !is_noise(*c) && !is_joiner(*c));
        let lower: String = visible.flat_map(char::to_lowercase).collect();
        collapse(lower.nfkc())
    })
}

/// [`key`] in ASCII letters, digits and single spaces: accents and other scripts transliterated, punctuation to
/// spaces.
#[must_use]
pub fn ascii_key(text: &str) -> String {
    let key = key(text);
    let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { ' ' };
    if key.is_ascii() {
        return collapse(key.chars().map(plain));
    }
    settle(&key, |text| {
        let ascii = deunicode::deunicode(text).to_lowercase();
        collapse(ascii.chars().map(plain))
    })
}

/// Repeats a step until nothing changes, which is what makes the result idempotent. Two rounds are the rule.
pub(crate) fn settle(text: &str, step: impl Fn(&str) -> String) -> String {
    let mut now = step(text);
    for _ in 0..8 {
        let next = step(&now);
        if next == now {
            break;
        }
        now = next;
    }
    now
}

fn cut(text: &str) -> &str {
    let mut end = text.len().min(MAX_KEY);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

pub(crate) fn collapse(chars: impl Iterator<Item = char>) -> String {
    let mut out = String::new();
    let mut gap = false;
    for c in chars {
        if c.is_whitespace() {
            gap = !out.is_empty();
            continue;
        }
        if gap {
            out.push(' ');
            gap = false;
        }
        out.push(c);
    }
    out
}

/// Controls, marks of direction, and characters without width that carry no meaning.
fn is_noise(c: char) -> bool {
    (c.is_control() && !c.is_whitespace())
        || matches!(c, '\u{ad}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}')
        || matches!(c, '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{180e}' | '\u{61c}')
}

/// Joiners and variation selectors: they matter to the look of a text, not to what it says.
fn is_joiner(c: char) -> bool {
    matches!(c, '\u{200c}' | '\u{200d}' | '\u{fe00}'..='\u{fe0f}' | '\u{34f}')
}
