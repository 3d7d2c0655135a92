//! What a lead says about its company.

use usher_model::{AccountKey, AccountKeyKind, Fields};

use crate::keys;

/// The parts of a lead that can name a company.
#[derive(Debug)]
pub(crate) struct Clues<'f> {
    /// The company as written; `None` also where what is written names nothing.
    pub(crate) company: Option<&'f str>,
    /// Its cleaned form.
    pub(crate) name: Option<&'f str>,
    /// The website's domain, if it belongs to one company.
    pub(crate) website: Option<String>,
    /// The e-mail address's domain, if it belongs to one company.
    pub(crate) email: Option<String>,
    /// ISO 3166 two-letter code.
    pub(crate) country: Option<String>,
}

impl<'f> Clues<'f> {
    /// `keys` are the lead's own.
    pub(crate) fn of(fields: &'f Fields, keys: &'f [AccountKey]) -> Self {
        let name = keys.iter().find(|key| key.kind == AccountKeyKind::Name).map(|key| key.value.as_str());
        Self {
            company: fields.text("company").filter(|_| name.is_some()),
            name,
            website: fields.text("website").and_then(keys::company_domain),
            email: fields.text("email").and_then(keys::email_domain),
            country: fields.text("country").and_then(keys::country),
        }
    }

    /// The country that the lead names, or else the one that its domains end in.
    pub(crate) fn country_or_domains(&self) -> Option<String> {
        let domains = [&self.website, &self.email].into_iter().flatten();
        self.country.clone().or_else(|| domains.filter_map(|domain| country_of_domain(domain)).next())
    }
}

/// Endings of two letters that are sold to everybody.
const WORLDWIDE: &[&str] = &[
    "ai", "bz", "cc", "co", "eu", "fm", "gg", "im", "io", "la", "ly", "me", "sh", "so", "to", "tv", "vc",
    "ws",
];

/// The country of a domain that ends in its code.
pub(crate) fn country_of_domain(domain: &str) -> Option<String> {
    let (_, ending) = domain.rsplit_once('.')?;
    match ending {
        "uk" => Some("GB".to_owned()),
        _ if ending.len() == 2 && !WORLDWIDE.contains(&ending) => Some(ending.to_ascii_uppercase()),
        _ => None,
    }
}
