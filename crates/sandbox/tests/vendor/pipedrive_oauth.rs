//! Pipedrive's authorization server: consent, tokens, refreshes that keep a grant alive.

use std::time::Duration;

use serde_json::Value;
use usher_sandbox::{Faults, PipedriveApp};

use crate::pipedrive::{ANA, Pipe};

/// Asks for consent, with changes of the query; the status, and the code or error that the browser brings back.
pub(crate) async fn consent(pipe: &Pipe, change: &[(&str, &str)]) -> (u16, String) {
    let app = pipe.sim().app();
    let mut query = vec![
        ("client_id", app.client_id.as_str()),
        ("redirect_uri", app.redirect_url.as_str()),
        ("state", "s 1"),
    ];
    for (key, value) in change {
        query.retain(|(name, _)| name != key);
        query.push((key, value));
    }
    let client =
        reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build().unwrap();
    let url = format!("{}/oauth/authorize", pipe.sandbox.pipedrive_url);
    let answer = client.get(url).query(&query).send().await.unwrap();
    let status = answer.status().as_u16();
    let Some(back) = answer.headers().get("location") else { return (status, String::new()) };
    let back = back.to_str().unwrap();
    assert!(back.starts_with(&app.redirect_url) && back.contains("state=s+1"), "{back}");
    let (_, query) = back.split_once('?').unwrap();
    (status, query.split('&').next().unwrap().split_once('=').unwrap().1.to_owned())
}

async fn token(pipe: &Pipe, secret: &str, form: &[(&str, &str)]) -> (u16, Value) {
    let app = pipe.sim().app();
    let url = format!("{}/oauth/token", pipe.sandbox.pipedrive_url);
    let request = pipe.client.post(url).basic_auth(app.client_id, Some(secret)).form(form);
    let answer = request.send().await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap())
}

pub(crate) async fn exchange(pipe: &Pipe, code: &str) -> (u16, Value) {
    let app = pipe.sim().app();
    let form = [("grant_type", "authorization_code"), ("code", code), ("redirect_uri", &app.redirect_url)];
    token(pipe, &app.client_secret, &form).await
}

async fn refresh(pipe: &Pipe, refresh: &Value) -> (u16, Value) {
    let form = [("grant_type", "refresh_token"), ("refresh_token", refresh.as_str().unwrap())];
    token(pipe, &pipe.sim().app().client_secret, &form).await
}

/// The status of a call with an access token, and who it is.
async fn me(pipe: &Pipe, granted: &Value) -> (u16, Value) {
    let url = format!("{}/api/v1/users/me", granted["api_domain"].as_str().unwrap());
    let answer =
        pipe.client.get(url).bearer_auth(granted["access_token"].as_str().unwrap()).send().await.unwrap();
    let status = answer.status().as_u16();
    (status, answer.json::<Value>().await.unwrap()["data"]["id"].clone())
}

#[tokio::test]
async fn a_consent_becomes_tokens_of_whoever_consented() {
    let pipe = Pipe::start().await;
    pipe.sim().put_app(PipedriveApp { user: ANA, ..pipe.sim().app() });
    let (status, code) = consent(&pipe, &[]).await;
    assert_eq!(status, 302);
    let (status, granted) = exchange(&pipe, &code).await;
    assert_eq!(
        (status, &granted["token_type"], &granted["expires_in"]),
        (200, &"Bearer".into(), &3_599.into())
    );
    assert_eq!(granted["api_domain"], pipe.sandbox.pipedrive_url.as_str());
    assert_eq!(me(&pipe, &granted).await, (200, ANA.into()));
    let (status, again) = exchange(&pipe, &code).await;
    assert_eq!((status, &again["error"]), (400, &"invalid_grant".into()), "a code is good once");
    pipe.sandbox.advance(Duration::from_secs(3_600));
    assert_eq!(me(&pipe, &granted).await.0, 401);
    let (status, fresh) = refresh(&pipe, &granted["refresh_token"]).await;
    assert_eq!((status, &fresh["refresh_token"]), (200, &granted["refresh_token"]));
    assert_eq!(me(&pipe, &fresh).await.0, 200);
    pipe.sim().expire_access();
    assert_eq!(me(&pipe, &fresh).await.0, 401);
    assert_eq!(pipe.get("v1/users/me").await.status, 200, "API tokens stay");
    pipe.sim().revoke_grants();
    assert_eq!(refresh(&pipe, &granted["refresh_token"]).await.1["error"], "invalid_grant");
}

#[tokio::test]
async fn fm_018_a_token_opens_what_its_scopes_open() {
    let pipe = Pipe::start().await;
    let scope = "base,contacts:read,admin".to_owned();
    pipe.sim().put_app(PipedriveApp { scope, ..pipe.sim().app() });
    let granted = exchange(&pipe, &consent(&pipe, &[]).await.1).await.1;
    let call = async |method: &str, path: &str| {
        let url = format!("{}/api/{path}", pipe.sandbox.pipedrive_url);
        let request = pipe.client.request(method.parse().unwrap(), url);
        let request = request.bearer_auth(granted["access_token"].as_str().unwrap());
        let answer = request.json(&serde_json::json!({"name": "Lea"})).send().await.unwrap();
        (answer.status().as_u16(), answer.json::<Value>().await.unwrap()["error"].clone())
    };
    for (method, path, status) in [
        ("GET", "v1/users/me", 200),
        ("GET", "v2/persons", 200),
        ("GET", "v2/persons/search?term=lea", 200),
        ("GET", "v1/webhooks", 200),
        ("POST", "v2/persons", 403),
        ("GET", "v1/users", 403),
        ("GET", "v2/deals", 403),
        ("GET", "v1/leads", 403),
        ("GET", "v2/itemSearch/field", 403),
    ] {
        let (found, error) = call(method, path).await;
        assert_eq!(found, status, "{method} {path}");
        assert_eq!(error == "Scope and URL mismatch", status == 403, "{error}");
    }
    assert_eq!(pipe.post("v2/persons", serde_json::json!({"name": "Lea"})).await.status, 200, "an API token");
    let revoked_scopes = vec!["contacts:read".to_owned()];
    pipe.sandbox.set_faults(Faults { revoked_scopes, ..Faults::default() });
    assert_eq!(call("GET", "v2/persons").await.0, 403);
    assert_eq!(call("GET", "v1/webhooks").await.0, 200);
}

#[tokio::test]
async fn fm_061_a_refresh_token_dies_after_sixty_days_without_use() {
    let pipe = Pipe::start().await;
    let granted = exchange(&pipe, &consent(&pipe, &[]).await.1).await.1;
    let days = |days: u64| Duration::from_secs(days * 86_400);
    pipe.sandbox.advance(days(59));
    assert_eq!(refresh(&pipe, &granted["refresh_token"]).await.0, 200);
    // The use has extended it.
    pipe.sandbox.advance(days(59));
    assert_eq!(refresh(&pipe, &granted["refresh_token"]).await.0, 200);
    pipe.sandbox.advance(days(60));
    assert_eq!(refresh(&pipe, &granted["refresh_token"]).await.1["error"], "invalid_grant");
}

#[tokio::test]
async fn what_is_not_registered_is_refused() {
    let pipe = Pipe::start().await;
    assert_eq!(consent(&pipe, &[("client_id", "other")]).await, (400, String::new()));
    assert_eq!(consent(&pipe, &[("redirect_uri", "https://evil.example/")]).await, (400, String::new()));
    pipe.sim().put_app(PipedriveApp { denies: true, ..pipe.sim().app() });
    assert_eq!(consent(&pipe, &[]).await, (302, "user_denied".to_owned()));
    pipe.sim().put_app(PipedriveApp { denies: false, rotates: true, ..pipe.sim().app() });
    let code = consent(&pipe, &[]).await.1;
    let form = [("grant_type", "authorization_code"), ("code", code.as_str())];
    assert_eq!(token(&pipe, "wrong", &form).await.0, 401);
    assert_eq!(token(&pipe, &pipe.sim().app().client_secret, &form).await.0, 400, "without its callback URL");
    assert_eq!(token(&pipe, &pipe.sim().app().client_secret, &[("grant_type", "password")]).await.0, 400);
    let granted = exchange(&pipe, &code).await.1;
    let next = refresh(&pipe, &granted["refresh_token"]).await.1;
    assert_ne!(next["refresh_token"], granted["refresh_token"]);
    assert_eq!(refresh(&pipe, &granted["refresh_token"]).await.0, 400, "spent");
    let late = consent(&pipe, &[]).await.1;
    pipe.sandbox.advance(Duration::from_secs(301));
    assert_eq!(exchange(&pipe, &late).await.0, 400);
    pipe.once(Faults { server_error: 1.0, ..Faults::default() });
    assert!(
        [502, 503].contains(
            &pipe
                .client
                .get(format!("{}/oauth/authorize", pipe.sandbox.pipedrive_url))
                .send()
                .await
                .unwrap()
                .status()
                .as_u16()
        )
    );
}
