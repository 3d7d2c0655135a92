//! The committed word lists, and questions about domains.

use std::collections::HashSet;
use std::sync::LazyLock;

type Words = HashSet<&'static str>;

static FREE: LazyLock<Words> = LazyLock::new(|| words(include_str!("../lists/free-mail.txt")));
static DISPOSABLE: LazyLock<Words> = LazyLock::new(|| words(include_str!("../lists/disposable-mail.txt")));
static PLATFORMS: LazyLock<Words> = LazyLock::new(|| words(include_str!("../lists/shared-platforms.txt")));

/// Whether anybody gets a mailbox at this domain: it then says nothing about a company.
#[must_use]
pub fn is_free_mail(domain: &str) -> bool {
    lists(&FREE, domain)
}

/// Whether the domain hands out throw-away mailboxes.
#[must_use]
pub fn is_disposable(domain: &str) -> bool {
    lists(&DISPOSABLE, domain)
}

/// Whether many companies have a page on this host (`linkedin.com`, `x.business.site`).
#[must_use]
pub fn is_shared_platform(host: &str) -> bool {
    lists(&PLATFORMS, host)
}

/// The lines of a list without comments and empty ones.
pub(crate) fn lines(list: &'static str) -> impl Iterator<Item = &'static str> {
    list.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'))
}

fn words(list: &'static str) -> Words {
    lines(list).flat_map(str::split_whitespace).collect()
}

/// The domain itself or one that it is a part of.
fn lists(words: &Words, domain: &str) -> bool {
    // Longer than any host: no need to fold it.
    if domain.len() > 1_000 {
        return false;
    }
    let domain = domain.trim().trim_end_matches('.').to_ascii_lowercase();
    let mut rest = domain.as_str();
    loop {
        if words.contains(rest) {
            return true;
        }
        match rest.split_once('.') {
            Some((_, parent)) => rest = parent,
            None => return false,
        }
    }
}
