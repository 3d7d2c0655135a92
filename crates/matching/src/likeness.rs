//! Whether a company name in a form can mean a given account; names are messy, so this errs towards yes.

use usher_normalize::ascii_key;

/// Words that stand for a place wider than a country, or for a local company.
const REGIONS: &[&str] = &[
    "africa",
    "america",
    "americas",
    "anz",
    "apac",
    "asean",
    "asia",
    "benelux",
    "cee",
    "dach",
    "emea",
    "eu",
    "europe",
    "gcc",
    "iberia",
    "iberica",
    "international",
    "italia",
    "latam",
    "levant",
    "mena",
    "nordic",
    "nordics",
    "pacific",
    "uk",
    "usa",
];

/// The words of a name: no accents, no case, no marks.
pub(crate) fn words(name: &str) -> Vec<String> {
    let folded = ascii_key(&name.replace(['\'', '’'], ""));
    folded.split(' ').filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

/// Whether `company` is `account` with a country or region added, as in "Acme France".
pub(crate) fn adds_a_place(company: &str, account: &str) -> bool {
    let known = words(account);
    let added = words(company).into_iter().filter(|word| !known.iter().any(|other| near(word, other)));
    added.into_iter().any(|word| is_place(&word))
}

fn is_place(word: &str) -> bool {
    REGIONS.contains(&word) || (word.len() > 3 && usher_normalize::country(word).is_ok())
}

/// Whether `company` can be a way to write `account`, or the name behind the domain.
pub(crate) fn alike(company: &str, account: &str, domain: Option<&str>) -> bool {
    let (ours, theirs) = (words(company), words(account));
    let telling = |word: &&String| word.len() > 2 && crate::legal::form(&format!("x {word}")).is_none();
    if ours.iter().filter(telling).any(|word| theirs.iter().filter(telling).any(|other| near(word, other))) {
        return true;
    }
    let (joined, other) = (ours.concat(), theirs.concat());
    let label = domain.and_then(|domain| domain.split('.').next()).unwrap_or_default().replace('-', "");
    strsim::normalized_damerau_levenshtein(&joined, &other) >= 0.6
        || (label.len() > 2 && (label.contains(&joined) || joined.contains(&label)))
        || (ours.len() == 1 && is_short_form(&joined, &other))
}

fn near(word: &str, other: &str) -> bool {
    word == other
        || (word.len() > 3 && other.len() > 3 && strsim::normalized_damerau_levenshtein(word, other) >= 0.75)
}

/// "ppes" for "plugandplayenergysociedad": first letter first, all letters in order.
fn is_short_form(short: &str, long: &str) -> bool {
    let mut rest = long.chars();
    (2..=14).contains(&short.len())
        && short.chars().next() == long.chars().next()
        && short.chars().all(|letter| rest.any(|c| c == letter))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn likeness_of_names() {
        let table = [
            ("Acme Widgets", "ACME Widget Co", None, true),
            ("Accme", "Acme Ltd", None, true),
            ("PPES", "Plug and Play Energy Sociedad Limitada", None, true),
            ("Rally-Auto Grp", "RallyAuto Inc", None, true),
            ("Northwind", "Acme Holding", Some("northwind.example"), true),
            ("Tuco Entertainment", "Harvel Tractors and Farm Equipment", Some("harvel.example"), false),
            ("Stream Ltd", "Harvel Ltd", Some("harvel.example"), false),
        ];
        for (company, account, domain, expected) in table {
            assert_eq!(alike(company, account, domain), expected, "{company} / {account}");
        }
    }

    #[test]
    fn added_places_hint_at_a_subsidiary() {
        assert!(adds_a_place("PayPal India", "PayPal Holdings, Inc."));
        assert!(adds_a_place("Ascentage Pharma Iberia S.L", "Ascentage Pharma Group"));
        assert!(!adds_a_place("Durva India Energy", "DURVA INDIA ENERGY LTD"));
        assert!(!adds_a_place("Acme Widgets", "Acme"));
    }
}
