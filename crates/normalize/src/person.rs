//! Names of persons.

use serde::Serialize;

use crate::text::ascii_key;
use crate::tidy;

/// A full name in its two usual fields.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize)]
pub struct PersonName {
    /// Given names; also the only word of a name of one word.
    pub first: Option<String>,
    /// Family name with its particles (`van der Berg`).
    pub last: Option<String>,
}

const TITLES: [&str; 22] = [
    "mr", "mrs", "ms", "miss", "mx", "dr", "prof", "sir", "herr", "frau", "hr", "fr", "dipl", "ing", "mme",
    "mlle", "monsieur", "madame", "sr", "sra", "dott", "univ",
];
const ENDINGS: [&str; 12] = ["jr", "sr", "ii", "iii", "iv", "phd", "md", "mba", "msc", "bsc", "esq", "cpa"];
const PARTICLES: [&str; 26] = [
    "van", "von", "vom", "zu", "zur", "zum", "de", "del", "della", "dello", "di", "da", "das", "do", "dos",
    "du", "der", "den", "la", "le", "ten", "ter", "bin", "ibn", "al", "el",
];

/// Splits a full name: `Dr. Ana van der Berg`, `Gray, Philip`. A guess by the habits of western names; titles and
/// degrees are left out.
#[must_use]
pub fn person_name(text: &str) -> PersonName {
    let text = tidy(text);
    if let Some((last, first)) = text.split_once(',') {
        let (first, last) = (bare(first), bare(last));
        // "Ana Berg, MBA" has a comma and no given name behind it.
        let degrees = first.iter().all(|word| is(word, &ENDINGS));
        if !degrees && !last.is_empty() {
            return PersonName { first: joined(&first), last: joined(&last) };
        }
    }
    let text = text.replace(',', " ");
    let words = bare(&text);
    let particle = words.iter().skip(1).position(|word| is(word, &PARTICLES)).map(|at| at + 1);
    // A particle at the very end belongs to nothing.
    let split = particle.filter(|at| at + 1 < words.len()).unwrap_or(words.len().saturating_sub(1)).max(1);
    let split = split.min(words.len());
    PersonName { first: joined(&words[..split]), last: joined(&words[split..]) }
}

/// The words without titles before and degrees behind.
fn bare(text: &str) -> Vec<&str> {
    let words: Vec<&str> = text.split(' ').filter(|word| !word.is_empty()).collect();
    let most = words.len().saturating_sub(1);
    let titles = words.iter().take(most).take_while(|word| is(word, &TITLES)).count();
    let degrees = words.iter().skip(1).rev().take_while(|word| is(word, &ENDINGS)).count();
    let end = words.len() - degrees;
    words[titles.min(end.saturating_sub(1))..end].to_vec()
}

fn is(word: &str, list: &[&str]) -> bool {
    // No title or particle is longer, and folding is not free.
    word.len() <= 10 && list.contains(&ascii_key(word).replace(' ', "").as_str())
}

fn joined(words: &[&str]) -> Option<String> {
    (!words.is_empty()).then(|| words.join(" "))
}
