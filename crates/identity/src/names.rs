//! What is known of a person's name, and whether two names can belong to one human being.

use usher_model::Fields;
use usher_normalize::ascii_key;

/// Forms of address; they name nobody.
const HONORIFICS: &[&str] = &[
    "mr", "mrs", "ms", "miss", "mx", "sir", "dr", "prof", "herr", "frau", "dipl", "ing", "mme", "mlle", "sr",
    "sra", "jr",
];

/// The parts of a name, folded: no accents, no case, no order, no forms of address.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Names {
    parts: Vec<String>,
}

/// How two names stand to each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Likeness {
    /// Two different people.
    Contradict,
    /// At least one of the two is not known.
    Unknown,
    /// One can be a shorter form of the other.
    Agree,
    /// The same, and more than one part of it.
    Same,
}

impl Names {
    /// Reads the name fields of a lead. The parts of `full_name` and of first and last name count alike, because
    /// senders swap them.
    #[must_use]
    pub fn of(fields: &Fields) -> Self {
        let texts = ["first_name", "last_name"].into_iter().filter_map(|name| fields.text(name));
        let mut parts: Vec<String> = texts.flat_map(split).collect();
        if parts.is_empty() {
            parts = fields.text("full_name").map(split).unwrap_or_default();
        }
        parts.sort();
        parts.dedup();
        Self { parts }
    }

    /// Whether nothing is known.
    #[must_use]
    pub fn is_unknown(&self) -> bool {
        self.parts.is_empty()
    }

    /// Compares two names.
    ///
    /// They agree if a whole part is common (initials are no whole part) and what is left over fits: nothing on one
    /// side, or parts of which one begins with the other ("A." and "Ana", "Rob" and "Robert"). "Ana Silva" and
    /// "Tom Silva" contradict each other: families and offices share numbers.
    #[must_use]
    pub fn likeness(&self, other: &Self) -> Likeness {
        if self.is_unknown() || other.is_unknown() {
            return Likeness::Unknown;
        }
        if self == other {
            return if self.parts.len() > 1 { Likeness::Same } else { Likeness::Agree };
        }
        let (common, mine): (Vec<&String>, Vec<&String>) =
            self.parts.iter().partition(|part| other.parts.contains(part));
        let theirs: Vec<&String> = other.parts.iter().filter(|part| !self.parts.contains(part)).collect();
        let whole_part = common.iter().any(|part| part.chars().count() > 1);
        let fits = mine.is_empty() || theirs.is_empty() || fit(&mine, &theirs);
        if whole_part && fits { Likeness::Agree } else { Likeness::Contradict }
    }
}

fn fit(mine: &[&String], theirs: &[&String]) -> bool {
    mine.iter().any(|a| theirs.iter().any(|b| a.starts_with(b.as_str()) || b.starts_with(a.as_str())))
}

fn split(text: &str) -> Vec<String> {
    let folded = ascii_key(&text.replace(['\'', '’', '`', '´'], ""));
    let parts = folded.split(' ').filter(|part| !part.is_empty() && !HONORIFICS.contains(part));
    parts.map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn names(first: &str, last: &str) -> Names {
        let mut fields = Fields::default();
        for (name, text) in [("first_name", first), ("last_name", last)] {
            if !text.is_empty() {
                fields.values.insert(name.to_owned(), text.into());
            }
        }
        Names::of(&fields)
    }

    #[test]
    fn names_agree_or_contradict() {
        use Likeness::{Agree, Contradict, Same, Unknown};
        let table = [
            (("Ana", "Silva"), ("ANA", "SILVA"), Same),
            (("Ana", "Silva"), ("Silva", "Ana"), Same),
            (("José", "Müller"), ("Jose", "Muller"), Same),
            (("Dr. Ana", "Silva"), ("Ana", "Silva"), Same),
            (("Ana", ""), ("Ana", ""), Agree),
            (("A.", "Silva"), ("Ana", "Silva"), Agree),
            (("Rob", "Hill"), ("Robert", "Hill"), Agree),
            (("", "Silva"), ("Ana", "Silva"), Agree),
            (("Ana", "Silva"), ("Ana", "Silva Costa"), Agree),
            (("Seán", "O'Neil"), ("Sean", "ONeil"), Same),
            (("Ana", "Silva"), ("Tom", "Silva"), Contradict),
            (("Ana", "Silva"), ("Ana", "Costa"), Contradict),
            (("Ana", ""), ("Tom", ""), Contradict),
            (("A.", ""), ("Ana", "Silva"), Contradict),
            (("Ana", "Silva"), ("", ""), Unknown),
            (("Mr", ""), ("Ana", "Silva"), Unknown),
        ];
        for ((first, last), (other_first, other_last), expected) in table {
            let (a, b) = (names(first, last), names(other_first, other_last));
            assert_eq!(a.likeness(&b), expected, "{first} {last} / {other_first} {other_last}");
            assert_eq!(b.likeness(&a), expected, "the other way round");
        }
    }
}
