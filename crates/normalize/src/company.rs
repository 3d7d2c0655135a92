//! Names of companies.

use std::collections::HashSet;
use std::sync::LazyLock;

use serde::Serialize;

use crate::lists::lines;
use crate::text::{ascii_key, key, settle};
use crate::tidy;

/// A company's name for display and for comparison.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct CompanyName {
    /// As written, without noise.
    pub cleaned: String,
    /// ASCII words in lower case without legal form: `acme and sons` of "ACME & Sons GmbH & Co. KG". Not empty if
    /// the name has any letter or digit.
    pub core: String,
}

impl CompanyName {
    /// Whether this is what people type where they have no company: `n/a`, `test`, `self-employed`, `-`.
    #[must_use]
    pub fn is_placeholder(&self) -> bool {
        let listed = |name: &str| name.is_empty() || PLACEHOLDERS.contains(name);
        // `my company` loses its second word in the core.
        listed(&self.core) || listed(&ascii_key(&self.cleaned))
    }
}

struct Forms {
    /// Stand at the end; joined, in ASCII: `spzoo`.
    last: HashSet<String>,
    /// May stand at the start.
    first: HashSet<String>,
    /// In scripts without spaces between words; stand at the start or the end.
    joined: Vec<String>,
    /// Most words of any form.
    words: usize,
}

static FORMS: LazyLock<Forms> = LazyLock::new(Forms::load);
static PLACEHOLDERS: LazyLock<HashSet<&'static str>> =
    LazyLock::new(|| lines(include_str!("../lists/placeholder-names.txt")).collect());

impl Forms {
    fn load() -> Self {
        let mut forms = Self { last: HashSet::new(), first: HashSet::new(), joined: Vec::new(), words: 8 };
        for line in lines(include_str!("../lists/company-forms.txt")) {
            if !line.is_ascii() {
                forms.joined.push(key(line));
                continue;
            }
            let form = line.trim_start_matches('^');
            let joined: String = form.split(' ').collect();
            match line.starts_with('^') {
                true => forms.first.insert(joined),
                false => forms.last.insert(joined),
            };
        }
        // The longest first: `股份有限公司` ends with `有限公司`.
        forms.joined.sort_by_key(|form| std::cmp::Reverse(form.len()));
        forms
    }
}

/// Cleans a company's name.
#[must_use]
pub fn company(text: &str) -> CompanyName {
    CompanyName { cleaned: tidy(text), core: settle(text, core) }
}

fn core(text: &str) -> String {
    let folded = key(text);
    let bare = without_joined(&folded);
    let spoken: String = bare.chars().filter(|c| !matches!(c, '\'' | '’' | '`' | '´')).collect();
    let spoken = spoken.replace('&', " and ");
    let words: Vec<String> = spoken.split_whitespace().flat_map(split_word).collect();
    let mut words: &[String] = &words;
    while let Some(shorter) = shortened(words) {
        words = shorter;
    }
    words.join(" ")
}

fn without_joined(name: &str) -> &str {
    let mut name = name.trim();
    loop {
        let stripped = FORMS.joined.iter().find_map(|form| {
            let rest = name.strip_suffix(form.as_str()).or_else(|| name.strip_prefix(form.as_str()))?.trim();
            (!ascii_key(rest).is_empty()).then_some(rest)
        });
        match stripped {
            Some(rest) => name = rest,
            None => return name,
        }
    }
}

/// ASCII words of one written word; initials join, so that `s.p.a.` and `o.o.` are one word each.
fn split_word(word: &str) -> Vec<String> {
    let parts: Vec<String> =
        ascii_key(word).split(' ').filter(|part| !part.is_empty()).map(str::to_owned).collect();
    let initials = parts.len() > 1 && word.contains(['.', '/']) && parts.iter().all(|part| part.len() == 1);
    if initials { vec![parts.concat()] } else { parts }
}

/// One legal form, article or dangling "and" less, while something is left.
fn shortened(words: &[String]) -> Option<&[String]> {
    let (first, last) = (words.first()?, words.last()?);
    if words.len() < 2 {
        return None;
    }
    if last == "and" {
        return Some(&words[..words.len() - 1]);
    }
    if first == "the" || first == "and" {
        return Some(&words[1..]);
    }
    let most = FORMS.words.min(words.len() - 1);
    for count in (1..=most).rev() {
        let at = words.len() - count;
        if FORMS.last.contains(&words[at..].concat()) {
            return Some(&words[..at]);
        }
        if FORMS.first.contains(&words[..count].concat()) {
            return Some(&words[count..]);
        }
    }
    None
}
