//! Countries to ISO 3166.

use std::collections::HashMap;
use std::sync::LazyLock;

use serde::Serialize;

use crate::Reason;
use crate::lists::lines;
use crate::text::ascii_key;

/// A country.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
pub struct Country {
    /// The ISO 3166-1 code of two capital letters; `XK` for Kosovo.
    pub iso2: &'static str,
}

static NAMES: LazyLock<HashMap<String, &'static str>> = LazyLock::new(load);

fn load() -> HashMap<String, &'static str> {
    let mut names = HashMap::new();
    for country in celes::Country::get_countries() {
        let name = ascii_key(country.long_name);
        names.insert(name.strip_prefix("the ").map_or(name.clone(), str::to_owned), country.alpha2);
        names.insert(country.alpha2.to_ascii_lowercase(), country.alpha2);
        names.insert(country.alpha3.to_ascii_lowercase(), country.alpha2);
    }
    // Ours win: they settle what is ambiguous.
    for line in lines(include_str!("../lists/countries.txt")) {
        if let Some((name, code)) = line.split_once(" = ") {
            names.insert(name.to_owned(), code);
        }
    }
    names
}

/// Reads a code or a name as people write it.
pub fn country(text: &str) -> Result<Country, Reason> {
    if text.len() > 1_000 {
        return Err(if text.trim().is_empty() { Reason::Empty } else { Reason::TooLong });
    }
    let spoken: String = text.chars().filter(|c| !matches!(c, '\'' | '’' | '`' | '´')).collect();
    let name = ascii_key(&spoken);
    let name = name.strip_prefix("the ").unwrap_or(&name);
    if name.is_empty() {
        return Err(Reason::Empty);
    }
    let find = |name: &str| NAMES.get(name).map(|iso2| Country { iso2 });
    let joined = || {
        let initials = name.split(' ').all(|word| word.len() == 1);
        initials.then(|| name.replace(' ', ""))
    };
    find(name).or_else(|| find(&joined()?)).ok_or(Reason::UnknownCountry)
}
