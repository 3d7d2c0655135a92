//! What of a call may be logged.

use std::fmt;

use http::HeaderMap;

/// Headers that are shown as they are; of the others not even the names are.
const SHOWN: [&str; 5] = ["content-type", "content-length", "date", "retry-after", "server"];

/// Parts of names of headers that are shown too: quotas, and ids that a vendor's support asks for.
const SHOWN_PARTS: [&str; 5] = ["ratelimit", "rate-limit", "request-id", "correlation-id", "trace-id"];

/// Longer values are no quota and no id.
const LONGEST: usize = 128;

/// A path for the log: what looks like a mail address or a phone number is left out, and so is the query.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ShownPath<'a>(pub(crate) &'a str);

impl fmt::Display for ShownPath<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.0.split(['?', '#']).next().unwrap_or_default();
        for (index, part) in path.split('/').enumerate() {
            if index > 0 {
                f.write_str("/")?;
            }
            f.write_str(if names_a_person(part) { "…" } else { part })?;
        }
        Ok(())
    }
}

fn names_a_person(part: &str) -> bool {
    let lower = part.to_ascii_lowercase();
    ["@", "%40", "+", "%2b", " ", "%20"].iter().any(|mark| lower.contains(mark)) || !part.is_ascii()
}

/// Headers for the log.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ShownHeaders<'a>(pub(crate) &'a HeaderMap);

impl fmt::Display for ShownHeaders<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_map();
        for (name, value) in self.0 {
            let name = name.as_str();
            let listed = SHOWN.contains(&name) || SHOWN_PARTS.iter().any(|part| name.contains(part));
            if listed && value.len() <= LONGEST && !value.is_sensitive() {
                shown.entry(&name, value);
            }
        }
        shown.finish()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn fm_092_paths_lose_persons_and_queries() {
        let cases = [
            ("/crm/v3/objects/contacts/501", "/crm/v3/objects/contacts/501"),
            ("/contacts/ann@example.com/tasks", "/contacts/…/tasks"),
            ("/contacts/ann%40example.com", "/contacts/…"),
            ("/phones/+4930123", "/phones/…"),
            ("/names/Ann%20Lee", "/names/…"),
            ("/names/Zoë", "/names/…"),
            ("/a?token=canary", "/a"),
        ];
        for (path, shown) in cases {
            assert_eq!(ShownPath(path).to_string(), shown);
        }
    }

    #[test]
    fn fm_091_only_listed_headers_are_shown() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("content-type", "application/json"),
            ("x-vendor-ratelimit-remaining", "7"),
            ("x-request-id", "abc"),
            ("set-cookie", "canary"),
            ("x-echo-authorization", "canary"),
            ("location", "https://example.com/?token=canary"),
        ] {
            headers.insert(name, value.parse().unwrap());
        }
        headers.insert("x-trace-id", "canary".repeat(40).parse().unwrap());
        let shown = ShownHeaders(&headers).to_string();
        assert!(!shown.contains("canary"));
        assert!(!shown.contains("cookie"));
        assert_eq!(
            shown,
            r#"{"content-type": "application/json", "x-vendor-ratelimit-remaining": "7", "x-request-id": "abc"}"#
        );
    }
}
