//! Pipedrive's OAuth: a token answer names the account's own host.

use serde_json::Value;
use usher_connector::{ClientAuth, Endpoint, Granted, OAuth, text_at};

/// The account is known by its host: the token answer has no other word for it.
pub(crate) const OAUTH: OAuth = OAuth {
    authorize_url: "https://oauth.pipedrive.com/oauth/authorize",
    token: Endpoint::Url("https://oauth.pipedrive.com/oauth/token"),
    introspect: None,
    client_auth: ClientAuth::Basic,
    dead_grant: &[],
    api_hosts: &[".pipedrive.com"],
    read,
};

/// Scopes are separated by commas, unlike RFC 6749 has it.
fn read(answer: &Value) -> Granted {
    let scopes = text_at(answer, "scope").unwrap_or_default();
    let scopes = scopes.split([',', ' ']).filter(|scope| !scope.is_empty()).map(str::to_owned);
    let host = text_at(answer, "api_domain");
    let account = host.as_deref().map(|url| url.trim_start_matches("https://").to_owned());
    Granted { account, scopes: scopes.collect(), base_url: host }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_answer_names_host_and_scopes() {
        let granted = read(
            &json!({ "access_token": "a", "refresh_token": "r", "token_type": "Bearer", "expires_in": 3600,
            "scope": "base,contacts:full users:read", "api_domain": "https://agency.pipedrive.com" }),
        );
        assert_eq!(granted.base_url.as_deref(), Some("https://agency.pipedrive.com"));
        assert_eq!(granted.account.as_deref(), Some("agency.pipedrive.com"));
        assert_eq!(granted.scopes, ["base", "contacts:full", "users:read"]);
        assert!(
            OAUTH.allows_host("agency.pipedrive.com") && !OAUTH.allows_host("pipedrive.com.evil.example")
        );
    }
}
