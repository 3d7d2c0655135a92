//! How a vendor's OAuth 2 works, as data and pure functions. The host makes the calls.

use serde_json::Value;

/// Where an endpoint is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Endpoint {
    /// A path behind the connection's base URL, starting with `/`.
    Api(&'static str),
    /// A whole URL.
    Url(&'static str),
}

/// How the app authenticates itself at the token endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientAuth {
    /// `client_id` and `client_secret` in the form.
    Form,
    /// HTTP Basic.
    Basic,
}

/// A vendor's OAuth 2: authorization code with PKCE, refresh tokens.
#[derive(Debug, Clone, Copy)]
pub struct OAuth {
    /// The page on which an administrator of the account consents.
    pub authorize_url: &'static str,
    /// Where codes and refresh tokens are exchanged.
    pub token: Endpoint,
    /// Where the host asks whose token it has if the token answer does not say (RFC 7662); `None` if the answer always
    /// says so.
    pub introspect: Option<Endpoint>,
    /// How the app authenticates itself.
    pub client_auth: ClientAuth,
    /// The vendor's own codes for a refresh token that is spent, revoked or unknown, besides `invalid_grant`.
    pub dead_grant: &'static [&'static str],
    /// Hosts that a token answer may name as the account's API; a leading dot stands for every subdomain. Empty if the
    /// vendor names none.
    pub api_hosts: &'static [&'static str],
    /// Reads what the vendor granted from a token answer or an introspection answer.
    pub read: fn(&Value) -> Granted,
}

/// What an answer says of a grant. What it does not say is left empty.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Granted {
    /// The vendor's id of the account.
    pub account: Option<String>,
    /// The permissions granted.
    pub scopes: Vec<String>,
    /// Where the account's API is.
    pub base_url: Option<String>,
}

impl OAuth {
    /// Whether a token answer may name that host as the account's API.
    #[must_use]
    pub fn allows_host(&self, host: &str) -> bool {
        let host = host.to_ascii_lowercase();
        self.api_hosts.iter().any(|allowed| match allowed.strip_prefix('.') {
            Some(domain) => {
                host.strip_suffix(domain).is_some_and(|rest| rest.len() > 1 && rest.ends_with('.'))
            }
            None => host == *allowed,
        })
    }
}

/// The text or number at `key`, as text.
#[must_use]
pub fn text_at(answer: &Value, key: &str) -> Option<String> {
    match answer.get(key)? {
        Value::String(text) if !text.is_empty() => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// The scopes at `key`: a list of texts, or one text with blanks between them as RFC 6749 has it.
#[must_use]
pub fn scopes_at(answer: &Value, key: &str) -> Vec<String> {
    match answer.get(key) {
        Some(Value::String(text)) => text.split_whitespace().map(str::to_owned).collect(),
        Some(Value::Array(items)) => items.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn fm_062_only_listed_hosts_and_their_subdomains_are_allowed() {
        let oauth = OAuth {
            authorize_url: "https://login.example.com",
            token: Endpoint::Api("/token"),
            introspect: None,
            client_auth: ClientAuth::Form,
            dead_grant: &[],
            api_hosts: &["api.example.com", ".my.example.com"],
            read: |_| Granted::default(),
        };
        for good in ["api.example.com", "API.example.com", "acme.my.example.com", "a.b.my.example.com"] {
            assert!(oauth.allows_host(good), "{good}");
        }
        for bad in [
            "example.com",
            "my.example.com",
            ".my.example.com",
            "evilmy.example.com",
            "api.example.com.evil.example",
            "x.api.example.com",
            "",
            "127.0.0.1",
        ] {
            assert!(!oauth.allows_host(bad), "{bad}");
        }
    }

    #[test]
    fn answers_are_read_in_the_forms_that_vendors_use() {
        let answer =
            json!({ "hub_id": 4711, "org": "o-1", "none": "", "scopes": ["a", 7, "b"], "scope": "a  b" });
        assert_eq!(text_at(&answer, "hub_id").as_deref(), Some("4711"));
        assert_eq!(text_at(&answer, "org").as_deref(), Some("o-1"));
        assert_eq!((text_at(&answer, "none"), text_at(&answer, "scopes")), (None, None));
        assert_eq!(scopes_at(&answer, "scopes"), ["a", "b"]);
        assert_eq!(scopes_at(&answer, "scope"), ["a", "b"]);
        assert!(scopes_at(&answer, "hub_id").is_empty());
    }
}
