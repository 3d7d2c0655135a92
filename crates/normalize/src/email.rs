//! Email addresses.

use serde::Serialize;

use crate::domain::host;
use crate::text::key;
use crate::{Reason, tidy};

/// A cleaned email address.
///
/// The key is the whole address in lower case *with* its tag: `ana+shop@acme.example` and `ana@acme.example` are
/// different keys, and so are addresses that differ in dots, because at most providers they are different people.
/// That two addresses differ only in a tag is at best a hint ([`Email::without_tag`]), never a proof.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct Email {
    /// The address in lower case: the key, and what CRMs store.
    pub address: String,
    /// The part before the `@`, in lower case.
    pub local: String,
    /// The part behind it, in lower case and ASCII (`xn--…` for other scripts).
    pub domain: String,
    /// The address to send to: the part before the `@` in the case it was written.
    pub written: String,
}

impl Email {
    /// The address without `+tag`.
    #[must_use]
    pub fn without_tag(&self) -> String {
        match self.local.split_once('+') {
            Some((local, _)) if !local.is_empty() => format!("{local}@{}", self.domain),
            _ => self.address.clone(),
        }
    }
}

/// Longest input that is looked at: an address has at most 254 bytes, `Name <address>` somewhat more.
const MAX_INPUT: usize = 1_000;

/// Cleans an address as people paste it: `mailto:`, `Name <a@b.example>`, invisible characters, full width.
pub fn email(text: &str) -> Result<Email, Reason> {
    if text.len() > MAX_INPUT {
        return Err(if text.trim().is_empty() { Reason::Empty } else { Reason::TooLong });
    }
    let visible: String = tidy(text).chars().filter(|c| !matches!(c, '\u{200c}' | '\u{200d}')).collect();
    let folded = key(&visible);
    if folded.is_empty() {
        return Err(Reason::Empty);
    }
    let folded = inner(&folded);
    let (local, domain) = folded.rsplit_once('@').ok_or(Reason::NoAt)?;
    if local.contains('@') || domain.contains([',', ';', ' ']) {
        return Err(if local.contains([',', ';', ' ']) || domain.contains([',', ';']) {
            Reason::Several
        } else {
            Reason::BadMailbox
        });
    }
    check_local(local)?;
    let domain = host(domain)?;
    let address = format!("{local}@{domain}");
    if address.len() > 254 {
        return Err(Reason::TooLong);
    }
    let as_written = inner(&visible).rsplit_once('@').map_or(local, |(before, _)| before);
    // Where folding changed more than the case, the folded form is the one that was checked.
    let sendable = if as_written.to_lowercase() == local { as_written } else { local };
    let written = format!("{sendable}@{domain}");
    Ok(Email { local: local.to_owned(), domain, address, written })
}

/// The address inside of what was pasted.
fn inner(text: &str) -> &str {
    let mut part = text;
    if let Some((_, after)) = part.rsplit_once('<') {
        part = after.split('>').next().unwrap_or(after);
    }
    let scheme = part.get(..7).filter(|scheme| scheme.eq_ignore_ascii_case("mailto:"));
    if scheme.is_some() {
        part = part[7..].split('?').next().unwrap_or_default();
    }
    part.trim_matches(|c: char| c.is_whitespace() || "<>\"'()[],;:.“”‘’«»".contains(c))
}

fn check_local(local: &str) -> Result<(), Reason> {
    let allowed = |c: char| {
        c.is_ascii_alphanumeric()
            || "!#$%&'*+-/=?^_`{|}~.".contains(c)
            || (!c.is_ascii() && c.is_alphanumeric())
    };
    let dots = local.starts_with('.') || local.ends_with('.') || local.contains("..");
    if local.is_empty() || local.len() > 64 || dots || !local.chars().all(allowed) {
        return Err(Reason::BadMailbox);
    }
    Ok(())
}
