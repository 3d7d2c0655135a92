//! Domains from websites, hosts and email addresses.

use serde::Serialize;
use url::Host;

use crate::Reason;
use crate::text::key;

/// A cleaned domain.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct Domain {
    /// The host in lower case and ASCII, without `www.`, such as `shop.acme.co.uk`.
    pub host: String,
    /// The part that somebody registered, such as `acme.co.uk`, by the public suffix list with its private part:
    /// of `x.github.io` all of it.
    pub registrable: String,
}

/// Longest input that is looked at; addresses with long queries are cut before their query.
const MAX_INPUT: usize = 8_192;

/// Cleans a URL, a host or an email address to its domain.
pub fn domain(text: &str) -> Result<Domain, Reason> {
    if text.len() > MAX_INPUT {
        return Err(if text.trim().is_empty() { Reason::Empty } else { Reason::TooLong });
    }
    let folded = key(text);
    let trimmed = folded.trim_matches(|c: char| c.is_whitespace() || "<>\"'()[],;".contains(c));
    if trimmed.is_empty() {
        return Err(Reason::Empty);
    }
    let rest = trimmed.strip_prefix("mailto:").unwrap_or(trimmed);
    let rest = rest.split_once("://").map_or(rest, |(_, after)| after);
    let rest = rest.trim_start_matches('/');
    let authority = rest.split(['/', '?', '#', '\\']).next().unwrap_or_default();
    let authority = authority.rsplit_once('@').map_or(authority, |(_, after)| after);
    let without_port = match authority.rsplit_once(':') {
        Some((host, port)) if port.chars().all(|c| c.is_ascii_digit()) => host,
        _ => authority,
    };
    let host = without_www(host(without_port)?);
    match psl::domain_str(&host) {
        Some(registrable) => Ok(Domain { registrable: registrable.to_owned(), host }),
        None => Err(Reason::NotRegistrable),
    }
}

/// A host in ASCII and lower case with at least one dot.
pub(crate) fn host(text: &str) -> Result<String, Reason> {
    let text = text.trim().trim_end_matches('.');
    if text.is_empty() || text.len() > 1_000 {
        return Err(Reason::BadDomain);
    }
    // The URL standard decodes `%41` in hosts; no host of a company is written so.
    if text.contains('%') {
        return Err(Reason::BadDomain);
    }
    let ascii = match Host::parse(text) {
        Ok(Host::Domain(ascii)) => ascii.trim_end_matches('.').to_ascii_lowercase(),
        Ok(_) => return Err(Reason::NotRegistrable),
        Err(_) => return Err(Reason::BadDomain),
    };
    if !ascii.contains('.') {
        return Err(Reason::NotRegistrable);
    }
    let valid = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    let numeric_end = ascii.rsplit('.').next().is_some_and(|last| last.bytes().all(|b| b.is_ascii_digit()));
    if ascii.len() > 253 || numeric_end || !ascii.split('.').all(valid) {
        return Err(Reason::BadDomain);
    }
    Ok(ascii)
}

fn without_www(mut host: String) -> String {
    while let Some(rest) = host.strip_prefix("www.").filter(|rest| rest.contains('.')) {
        host = rest.to_owned();
    }
    host
}
