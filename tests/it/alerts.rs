//! Alerts and the heartbeat of the running daemon, and what readiness says.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::{get, post};
use serde_json::{Value, json};
use usher_connector::Secret;
use usher_connector::signature::matches_hex;

use crate::installation::{Installation, client, text, until};

/// What somebody on call has received.
#[derive(Clone, Default)]
struct OnCall(Arc<Mutex<Received>>);

#[derive(Default)]
struct Received {
    messages: Vec<Value>,
    heartbeats: usize,
    deaf: bool,
}

impl OnCall {
    /// Listens; returns its address.
    async fn listen() -> (Self, String) {
        let on_call = Self::default();
        let router = axum::Router::new()
            .route("/alerts", post(take))
            .route("/alive", get(beat))
            .with_state(on_call.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        (on_call, address)
    }

    fn keys(&self) -> BTreeSet<String> {
        let received = self.0.lock().unwrap();
        let alerts = received.messages.iter().flat_map(|message| message["alerts"].as_array().unwrap());
        alerts.map(|alert| alert["key"].as_str().unwrap().to_owned()).collect()
    }

    fn forget(&self) -> Vec<Value> {
        std::mem::take(&mut self.0.lock().unwrap().messages)
    }
}

async fn take(State(on_call): State<OnCall>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let mut received = on_call.0.lock().unwrap();
    if received.deaf {
        return StatusCode::BAD_GATEWAY;
    }
    let signature = headers["usher-signature"].to_str().unwrap();
    let (time, digest) = signature.strip_prefix("t=").unwrap().split_once(",v1=").unwrap();
    let parts: [&[u8]; 3] = [time.as_bytes(), b".", &body];
    assert!(matches_hex(&Secret::new("alert-key"), &parts, digest), "the signature covers time and body");
    assert!(!text(&body).contains('@'), "no personal data: {}", text(&body));
    received.messages.push(serde_json::from_slice(&body).unwrap());
    StatusCode::OK
}

async fn beat(State(on_call): State<OnCall>) -> StatusCode {
    on_call.0.lock().unwrap().heartbeats += 1;
    StatusCode::OK
}

async fn installation(further: &str) -> (Installation, OnCall) {
    let (on_call, address) = OnCall::listen().await;
    let alerts = "alerts: { to: { file: alerts.url }, secret: { file: alerts.key }, heartbeat: { file: heartbeat.url }, refused_webhooks: 3 }";
    let installation = Installation::with("live", &format!("{alerts}\n{further}")).await;
    installation.write("alerts.url", &format!("{address}/alerts?token=x"));
    installation.write("alerts.key", "alert-key");
    installation.write("heartbeat.url", &format!("{address}/alive"));
    (installation, on_call)
}

async fn forge_hooks(installation: &Installation) {
    for _ in 0..3 {
        let post = client().post(installation.hook("site-form")).header("Typeform-Signature", "sha256=AAAA");
        assert_eq!(post.body("{}").send().await.unwrap().status(), 401);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn alerts_are_told_once_across_a_restart_and_shown() {
    let (installation, on_call) = installation("write: { guard: { max_per_hour: 1 } }").await;
    let daemon = installation.start().await;
    until("a heartbeat is heard", async || on_call.0.lock().unwrap().heartbeats > 0).await;
    on_call.0.lock().unwrap().deaf = true;
    for n in 0..3 {
        installation.submit(&format!("p{n}@acme{n}.example"), &format!("Person{n} Example"));
    }
    until("the flood is shown", async || {
        let status = installation.run(&["status"]).await;
        text(&status.stdout).contains("ALERT") && text(&status.stdout).contains("site-form is held")
    })
    .await;
    // Nobody heard of it before the restart; afterwards they do.
    assert_eq!(daemon.stop(), Some(0));
    assert!(on_call.forget().is_empty());
    on_call.0.lock().unwrap().deaf = false;
    let daemon = installation.start().await;
    until("the flood is told", async || on_call.keys().contains("held/site-form")).await;
    until("it is noted", async || installation.json(&["status"]).await["alerts"][0]["told"] == json!(true))
        .await;
    assert_eq!(daemon.stop(), Some(0));

    // FM-030: a sender whose signature does not fit gives up for good, so somebody must know.
    let told = on_call.forget();
    assert_eq!(told[0]["alerts"][0]["status"], json!("raised"), "{told:?}");
    let daemon = installation.start().await;
    forge_hooks(&installation).await;
    until("the forgeries are told", async || on_call.keys().contains("refused/site-form")).await;
    assert_eq!(on_call.keys().len(), 1, "what was told is not repeated: {:?}", on_call.keys());
    assert_eq!(daemon.stop(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_token_is_told_while_leads_are_taken() {
    let (installation, on_call) = installation("").await;
    installation.write("crm.token", "pat-wrong");
    let daemon = installation.start().await;
    until("it is told", async || {
        let keys = on_call.keys();
        keys.contains("connection/hubspot-main/reading-owners")
            && keys.contains("connection/hubspot-main/pulling-contacts")
    })
    .await;
    assert_eq!(installation.form_hook("t1", "SEO").await.status(), 200);
    assert_eq!(installation.sandbox.hubspot().summary().tasks_created, 0);
    assert_eq!(daemon.stop(), Some(0));
    installation.write("crm.token", &usher_sandbox::Options::default().hubspot_token);
    let daemon = installation.start().await;
    installation.drained(1).await;
    assert_eq!(installation.sandbox.hubspot().summary().tasks_created, 1);
    assert_eq!(daemon.stop(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_alert_settings_are_refused_with_what_to_do() {
    for (further, says) in [
        ("alerts: { to: ops-slack }", "not in this version"),
        ("alerts: { to: \"https://hooks.example.com/T0\" }", "a secret must not stand in this file"),
        ("alerts: { unwritten_after: 5 }", "has no unit"),
        ("retention: { payloads: for ever }", "bad-duration"),
        ("alerts: { tow: { env: X } }", "did you mean `to`"),
    ] {
        let installation = Installation::with("observe", further).await;
        let refused = installation.refused(&["check"]).await;
        assert!(refused.contains(says), "{further}: {refused}");
    }
    let installation = Installation::with("observe", "alerts: { to: { file: alerts.url } }").await;
    installation.write("alerts.url", "http://hooks.example.com/T0");
    let refused = installation.refused(&["run"]).await;
    assert!(refused.contains("alerts.to") && !refused.contains("hooks.example.com"), "{refused}");
}
