//! The keys under which accounts are filed and leads look for them.

use usher_model::{AccountKey, AccountKeyKind, Fields};

/// The keys under which a lead's account may be found: domains of website and e-mail address, if they belong to one
/// company (never free mail, disposable mail or a shared platform), and the cleaned company name.
#[must_use]
pub fn lead_keys(fields: &Fields) -> Vec<AccountKey> {
    let website = fields.text("website").and_then(company_domain);
    let email = fields.text("email").and_then(email_domain);
    let name = fields.text("company").and_then(name);
    distinct(website.into_iter().chain(email), name)
}

/// The keys of an account by its name and its websites or domains, in any form.
#[must_use]
pub fn account_keys(account: &str, websites: &[String]) -> Vec<AccountKey> {
    distinct(websites.iter().filter_map(|website| company_domain(website)), name(account))
}

fn distinct(domains: impl Iterator<Item = String>, name: Option<String>) -> Vec<AccountKey> {
    let domains = domains.map(|value| AccountKey { kind: AccountKeyKind::Domain, value });
    let name = name.map(|value| AccountKey { kind: AccountKeyKind::Name, value });
    let mut keys: Vec<AccountKey> = Vec::new();
    for key in domains.chain(name) {
        if !keys.contains(&key) {
            keys.push(key);
        }
    }
    keys
}

/// The domain of a website or host if it belongs to one company. Of a page on a shared platform that is the page's
/// own host (`acme.github.io`), where it has one.
pub(crate) fn company_domain(text: &str) -> Option<String> {
    let domain = usher_normalize::domain(text).ok()?;
    let parent = domain.registrable.split_once('.').map_or("", |(_, parent)| parent);
    let shared =
        usher_normalize::is_shared_platform(&domain.host) && !usher_normalize::is_shared_platform(parent);
    let mail = is_free_mail(&domain.host);
    (!shared && !mail).then_some(domain.registrable)
}

/// The domain of an e-mail address if it belongs to one company.
pub(crate) fn email_domain(text: &str) -> Option<String> {
    let email = usher_normalize::email(text).ok()?;
    let domain = usher_normalize::domain(&email.domain).ok()?;
    let anybody = is_free_mail(&domain.host) || usher_normalize::is_shared_platform(&domain.host);
    (!anybody).then_some(domain.registrable)
}

fn is_free_mail(host: &str) -> bool {
    usher_normalize::is_free_mail(host) || usher_normalize::is_disposable(host)
}

fn name(text: &str) -> Option<String> {
    let name = usher_normalize::company(text);
    (!name.is_placeholder()).then_some(name.core)
}

pub(crate) fn country(text: &str) -> Option<String> {
    usher_normalize::country(text).ok().map(|country| country.iso2.to_owned())
}
