//! HubSpot's OAuth: the dated endpoints, which take credentials in the form and name the account as `hub_id`.

use serde_json::Value;
use usher_connector::{ClientAuth, Endpoint, Granted, OAuth, scopes_at, text_at};

/// The token answer has `hub_id` and `scopes` in some versions of the API; introspection (RFC 7662) has them in all.
/// Besides `invalid_grant`, HubSpot says `BAD_REFRESH_TOKEN` of a grant that is gone, as when the app was uninstalled.
pub(crate) const OAUTH: OAuth = OAuth {
    authorize_url: "https://app.hubspot.com/oauth/authorize",
    token: Endpoint::Api("/oauth/2026-09/token"),
    introspect: Some(Endpoint::Api("/oauth/2026-09/token/introspect")),
    client_auth: ClientAuth::Form,
    dead_grant: &["BAD_REFRESH_TOKEN"],
    api_hosts: &[],
    read,
};

fn read(answer: &Value) -> Granted {
    let scopes = match scopes_at(answer, "scopes") {
        scopes if scopes.is_empty() => scopes_at(answer, "scope"),
        scopes => scopes,
    };
    Granted { account: text_at(answer, "hub_id"), scopes, base_url: None }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn account_and_scopes_are_read_from_both_answers() {
        let token = json!({ "token_type": "bearer", "access_token": "a", "refresh_token": "r", "expires_in": 1800,
            "hub_id": 4711, "scopes": ["crm.objects.contacts.read", "oauth"] });
        let granted = read(&token);
        assert_eq!(granted.account.as_deref(), Some("4711"));
        assert_eq!(granted.scopes, ["crm.objects.contacts.read", "oauth"]);
        let introspection =
            json!({ "active": true, "hub_id": 4711, "scope": "crm.objects.contacts.read oauth" });
        assert_eq!(read(&introspection), granted);
        assert_eq!(read(&json!({ "active": false })), Granted::default());
    }
}
