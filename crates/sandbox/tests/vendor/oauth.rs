//! The authorization server: consent, codes, PKCE, expiry, rotation, reuse.

use std::time::Duration;

use serde_json::{Value, json};
use usher_sandbox::{Faults, OAuthApp, OAuthCounts};

use crate::api::Api;

const REDIRECT: &str = "http://127.0.0.1:8471/callback";
/// The pair of RFC 7636, appendix B.
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
const TOKEN: &str = "/oauth/2026-09/token";

fn consent(change: (&str, &str)) -> Vec<(String, String)> {
    let usual = [
        ("client_id", "sandbox-app"),
        ("redirect_uri", REDIRECT),
        ("response_type", "code"),
        ("scope", "crm.objects.owners.read crm.objects.contacts.read"),
        ("state", "s1"),
        ("code_challenge", CHALLENGE),
        ("code_challenge_method", "S256"),
    ];
    changed(&usual, change)
}

fn changed(usual: &[(&str, &str)], (key, value): (&str, &str)) -> Vec<(String, String)> {
    let pick = |(name, usual): &(&str, &str)| {
        let value = if *name == key { value } else { usual };
        ((*name).to_owned(), value.to_owned())
    };
    usual.iter().map(pick).filter(|(_, value)| !value.is_empty()).collect()
}

impl Api {
    async fn authorize(&self, query: &[(String, String)]) -> (u16, String) {
        let client = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .unwrap();
        let url = format!("{}/oauth/authorize", self.sandbox.hubspot_url);
        let answer = client.get(url).query(query).send().await.unwrap();
        let to = answer.headers().get("location").map(|to| to.to_str().unwrap().to_owned());
        (answer.status().as_u16(), to.unwrap_or_default())
    }

    async fn code(&self) -> String {
        let (status, to) = self.authorize(&consent(("", ""))).await;
        assert_eq!(status, 302);
        let to = url::Url::parse(&to).unwrap();
        assert_eq!(to.query_pairs().find(|(key, _)| key == "state").unwrap().1, "s1");
        to.query_pairs().find(|(key, _)| key == "code").unwrap().1.into_owned()
    }

    async fn form(&self, path: &str, form: &[(String, String)]) -> (u16, Value) {
        let url = format!("{}{path}", self.sandbox.hubspot_url);
        let answer = self.client.post(url).form(form).send().await.unwrap();
        (answer.status().as_u16(), answer.json().await.unwrap_or_default())
    }

    async fn exchange(&self, code: &str, change: (&str, &str)) -> (u16, Value) {
        let usual = [
            ("grant_type", "authorization_code"),
            ("client_id", "sandbox-app"),
            ("client_secret", "sandbox-app-secret"),
            ("code", code),
            ("redirect_uri", REDIRECT),
            ("code_verifier", VERIFIER),
        ];
        self.form(TOKEN, &changed(&usual, change)).await
    }

    async fn refresh(&self, path: &str, token: &str) -> (u16, Value) {
        let usual = [
            ("grant_type", "refresh_token"),
            ("client_id", "sandbox-app"),
            ("client_secret", "sandbox-app-secret"),
            ("refresh_token", token),
        ];
        self.form(path, &changed(&usual, ("", ""))).await
    }

    async fn owners(&mut self, token: &Value) -> (u16, Value) {
        self.token = token.as_str().unwrap().to_owned();
        let reply = self.get("/crm/owners/2026-09").await;
        (reply.status, reply.body["category"].clone())
    }
}

#[tokio::test]
async fn a_consent_becomes_tokens_that_end() {
    let mut api = Api::start().await;
    let (status, granted) = api.exchange(&api.code().await, ("", "")).await;
    assert_eq!(status, 200, "{granted}");
    assert_eq!((&granted["token_type"], &granted["expires_in"]), (&json!("bearer"), &json!(1800)));
    assert_eq!(granted["hub_id"], 4711);
    assert_eq!(granted["scopes"], json!(["crm.objects.owners.read", "crm.objects.contacts.read"]));
    let access = granted["access_token"].clone();
    assert_eq!(api.owners(&access).await.0, 200);
    assert_eq!(api.get("/crm/objects/2026-09/companies").await.body["category"], "MISSING_SCOPES");
    let form = |token: &str| {
        let client = [("client_id", "sandbox-app"), ("client_secret", "sandbox-app-secret")];
        changed(&[client[0], client[1], ("token", token)], ("", ""))
    };
    let introspect = format!("{TOKEN}/introspect");
    let (_, told) = api.form(&introspect, &form(access.as_str().unwrap())).await;
    assert_eq!((&told["active"], &told["hub_id"]), (&json!(true), &json!(4711)));
    api.sandbox.advance(Duration::from_secs(1_800));
    assert_eq!(api.owners(&access).await, (401, json!("EXPIRED_AUTHENTICATION")));
    assert_eq!(api.form(&introspect, &form(access.as_str().unwrap())).await, (200, json!({"active": false})));
    let refresh = granted["refresh_token"].as_str().unwrap();
    let (_, renewed) = api.refresh(TOKEN, refresh).await;
    assert_eq!(renewed["refresh_token"], granted["refresh_token"], "HubSpot keeps it");
    assert_eq!(api.owners(&renewed["access_token"]).await.0, 200);
    api.sandbox.hubspot().expire_access();
    assert_eq!(api.owners(&renewed["access_token"]).await.1, "EXPIRED_AUTHENTICATION");
    assert_eq!(api.refresh(TOKEN, refresh).await.0, 200);
    let counts = OAuthCounts { exchanges: 1, refreshes: 2, ..OAuthCounts::default() };
    assert_eq!(api.sandbox.hubspot().oauth_counts(), counts);
}

#[tokio::test]
async fn consent_is_refused_on_the_page_unless_everything_is_registered() {
    let api = Api::start().await;
    for change in [
        ("client_id", "other"),
        ("redirect_uri", "http://127.0.0.1:8471/callback/"),
        ("redirect_uri", "http://127.0.0.1:9/callback"),
        ("redirect_uri", ""),
        ("code_challenge", ""),
        ("code_challenge_method", "plain"),
        ("code_challenge_method", ""),
        ("response_type", "token"),
        ("scope", ""),
    ] {
        assert_eq!(api.authorize(&consent(change)).await, (400, String::new()), "{change:?}");
    }
    api.sandbox.hubspot().put_app(OAuthApp { denies: true, ..OAuthApp::default() });
    let (status, to) = api.authorize(&consent(("", ""))).await;
    assert_eq!((status, to.as_str()), (302, &*format!("{REDIRECT}?error=access_denied&state=s1")));
}

#[tokio::test]
async fn a_code_is_good_once_for_who_asked_for_it() {
    let mut api = Api::start().await;
    for (change, status) in [
        (("client_id", "other"), "BAD_CLIENT_ID"),
        (("client_secret", "other"), "BAD_CLIENT_SECRET"),
        (("code", "other"), "BAD_AUTH_CODE"),
        (("redirect_uri", "http://localhost:8471/callback"), "MISMATCH_REDIRECT_URI_AUTH_CODE"),
        (("code_verifier", ""), "BAD_CODE_VERIFIER"),
        (("code_verifier", "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXK"), "BAD_CODE_VERIFIER"),
        (("grant_type", "password"), "BAD_GRANT_TYPE"),
    ] {
        let (code, refusal) = api.exchange(&api.code().await, change).await;
        assert_eq!((code, &refusal["status"]), (400, &json!(status)), "{change:?}");
        assert!(refusal["error"].is_string() && refusal["correlationId"].is_string());
    }
    let late = api.code().await;
    api.sandbox.advance(Duration::from_secs(60));
    assert_eq!(api.exchange(&late, ("", "")).await.0, 400);
    let code = api.code().await;
    let (_, granted) = api.exchange(&code, ("", "")).await;
    assert_eq!(api.exchange(&code, ("", "")).await.0, 400);
    assert_eq!(
        api.owners(&granted["access_token"]).await,
        (401, json!("INVALID_AUTHENTICATION")),
        "a code that comes back takes what it was exchanged for with it"
    );
}

#[tokio::test]
async fn a_spent_refresh_token_revokes_its_family() {
    let mut api = Api::start().await;
    let app = OAuthApp { rotates: true, names_account: false, ..OAuthApp::default() };
    api.sandbox.hubspot().put_app(app);
    let (_, first) = api.exchange(&api.code().await, ("", "")).await;
    assert_eq!(first.get("hub_id"), None);
    let (_, other) = api.exchange(&api.code().await, ("", "")).await;
    let token = |granted: &Value| granted["refresh_token"].as_str().unwrap().to_owned();
    let (_, second) = api.refresh(TOKEN, &token(&first)).await;
    assert_ne!(first["refresh_token"], second["refresh_token"]);
    let (status, refusal) = api.refresh("/oauth/v1/token", &token(&first)).await;
    assert_eq!((status, &refusal["status"]), (400, &json!("BAD_REFRESH_TOKEN")));
    assert_eq!(refusal.get("error"), None, "the old endpoint has its own shape only");
    let (_, refusal) = api.refresh(TOKEN, &token(&second)).await;
    assert_eq!(refusal["error"], "invalid_grant", "the whole family is gone");
    assert_eq!(api.owners(&second["access_token"]).await.1, "INVALID_AUTHENTICATION");
    assert_eq!(api.owners(&other["access_token"]).await.0, 200, "the other consent stands");
    let counts = api.sandbox.hubspot().oauth_counts();
    assert_eq!((counts.refreshes, counts.refused, counts.reused, counts.revoked), (1, 2, 1, 1));
    api.sandbox.hubspot().revoke_grants();
    assert_eq!(api.refresh(TOKEN, &token(&other)).await.0, 400);
}

#[tokio::test]
async fn a_lost_answer_has_spent_the_token_all_the_same() {
    let api = Api::start().await;
    api.sandbox.hubspot().put_app(OAuthApp { rotates: true, ..OAuthApp::default() });
    let (_, first) = api.exchange(&api.code().await, ("", "")).await;
    let token = first["refresh_token"].as_str().unwrap();
    api.sandbox.set_faults(Faults { lost_response: 1.0, ..Faults::default() });
    let url = format!("{}{TOKEN}", api.sandbox.hubspot_url);
    let form = [
        ("grant_type", "refresh_token"),
        ("client_id", "sandbox-app"),
        ("client_secret", "sandbox-app-secret"),
        ("refresh_token", token),
    ];
    assert!(api.client.post(url).form(&form).send().await.is_err());
    api.sandbox.set_faults(Faults::default());
    assert_eq!(api.refresh(TOKEN, token).await.0, 400);
    assert_eq!(api.sandbox.hubspot().oauth_counts().reused, 1);
}
