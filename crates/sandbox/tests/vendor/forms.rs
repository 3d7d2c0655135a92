//! Typeform: lists, limits, webhooks, and its own CRM integration.

use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::{Value, json};
use usher_sandbox::typeform::sign;
use usher_sandbox::{Faults, FormSpec, Options, Span, Submission};

use crate::api::{Api, Receiver, map};

fn spec() -> FormSpec {
    serde_json::from_value(json!({"id": "lead", "title": "Contact us", "fields": [
        {"ref": "email", "type": "email", "title": "Your e-mail"},
        {"ref": "first_name", "type": "short_text"},
        {"ref": "need", "type": "dropdown", "title": "What do you need?"}]}))
    .unwrap()
}

fn answer(email: &str) -> Submission {
    let answers = map(&json!({"email": email, "first_name": "Lea", "need": "SEO"}));
    Submission {
        form: "lead".to_owned(),
        answers,
        hidden: map(&json!({"utm_source": "x"})),
        ..Submission::default()
    }
}

async fn start(options: Options) -> Api {
    let api = Api::with(Options { typeform_time_scale: 0.000_01, ..options }).await;
    api.sandbox.typeform().define(spec());
    api
}

fn unlimited() -> Options {
    Options { limits: None, typeform_per_second: None, ..Options::default() }
}

async fn list(api: &Api, query: &str) -> (u16, Value) {
    let url = format!("{}/forms/lead/responses?{query}", api.sandbox.typeform_url);
    let answer = api.client.get(url).bearer_auth("tfp_sandbox").send().await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap())
}

fn tokens(body: &Value) -> Vec<String> {
    body["items"].as_array().unwrap().iter().map(|item| item["token"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn fm_014_time_windows_and_tokens_do_not_mix_and_all_pages_are_read() {
    let api = start(unlimited()).await;
    let base = 1_700_000_000_000_i64;
    for n in 0..3_005_i64 {
        let at = Some(base + n * 1_000);
        let token = Some(format!("t{n}"));
        api.sandbox
            .typeform()
            .submit(&Submission { submitted_at: at, token, ..answer("a@x.example") })
            .unwrap();
    }
    let (status, first) = list(&api, "page_size=1000&since=1700000000").await;
    assert_eq!((status, &first["total_items"], &first["page_count"]), (200, &json!(3_005), &json!(4)));
    let mut seen = tokens(&first);
    assert_eq!(seen[0], "t3004");
    while seen.len() < 3_005 {
        let last = seen.last().unwrap().clone();
        let (status, mixed) = list(&api, &format!("page_size=1000&before={last}&since=1700000000")).await;
        assert_eq!((status, &mixed["code"]), (400, &json!("VALIDATION_ERROR")));
        let (_, page) = list(&api, &format!("page_size=1000&before={last}")).await;
        seen.extend(tokens(&page));
    }
    let (_, after) = list(&api, "page_size=2&after=t10").await;
    assert_eq!(tokens(&after), ["t11", "t12"]);
    let (_, window) = list(&api, "since=2023-11-14T22:13:21&until=1700000003").await;
    assert_eq!(tokens(&window), ["t3", "t2", "t1"]);
    assert_eq!(list(&api, "page_size=1001").await.0, 400);
    assert_eq!(list(&api, "after=t1&before=t2").await.0, 400);
    assert_eq!(list(&api, "response_type=partial").await.1["total_items"], 0);
    let item = &window["items"][0];
    assert_eq!(item["submitted_at"], "2023-11-14T22:13:23Z");
    assert_eq!(item["answers"][0]["email"], "a@x.example");
    assert_eq!(item["answers"][2]["choice"]["label"], "SEO");
    assert_eq!(item["hidden"]["utm_source"], "x");
}

#[tokio::test]
async fn two_requests_a_second_and_a_token_are_required() {
    let api = start(Options { typeform_per_second: Some(2), ..unlimited() }).await;
    assert_eq!(list(&api, "").await.0, 200);
    assert_eq!(list(&api, "").await.0, 200);
    let (status, body) = list(&api, "").await;
    assert!(status == 429 && body["code"].is_string() && body["description"].is_string());
    api.sandbox.advance(Duration::from_secs(1));
    assert_eq!(list(&api, "").await.0, 200);
    let url = format!("{}/forms/lead/responses", api.sandbox.typeform_url);
    let bare = api.client.get(url).bearer_auth("other").send().await.unwrap();
    assert_eq!(bare.status(), 401);
    assert_eq!(bare.json::<Value>().await.unwrap()["code"], "AUTHENTICATION_FAILED");
}

#[tokio::test]
async fn fresh_responses_may_be_missing_from_the_list() {
    let api = start(unlimited()).await;
    api.sandbox.set_faults(Faults { form_lag_ms: Span(60_000, 60_000), ..Faults::default() });
    api.sandbox.typeform().submit(&answer("a@x.example")).unwrap();
    assert_eq!(list(&api, "").await.1["total_items"], 0);
    api.sandbox.advance(Duration::from_secs(61));
    assert_eq!(list(&api, "").await.1["total_items"], 1);
}

async fn put_hook(api: &Api, url: &str) -> u16 {
    let path = format!("{}/forms/lead/webhooks/usher", api.sandbox.typeform_url);
    let body = json!({"url": url, "enabled": true, "secret": "s3", "verify_ssl": false});
    api.client.put(path).bearer_auth("tfp_sandbox").json(&body).send().await.unwrap().status().as_u16()
}

async fn hook_enabled(api: &Api) -> bool {
    let path = format!("{}/forms/lead/webhooks/usher", api.sandbox.typeform_url);
    let answer = api.client.get(path).bearer_auth("tfp_sandbox").send().await.unwrap();
    answer.json::<Value>().await.unwrap()["enabled"].as_bool().unwrap()
}

#[tokio::test]
async fn webhooks_are_signed_retried_and_disabled_by_410() {
    let api = start(unlimited()).await;
    let mut receiver = Receiver::start().await;
    assert_eq!(put_hook(&api, &receiver.url).await, 200);
    receiver.status.store(503, Ordering::SeqCst);
    let token = api.sandbox.typeform().submit(&answer("hook@x.example")).unwrap();
    let first = receiver.next().await;
    assert_eq!(first.headers["typeform-signature"], sign("s3", &first.body));
    let event: Value = serde_json::from_slice(&first.body).unwrap();
    assert_eq!(event["event_type"], "form_response");
    assert_eq!(event["form_response"]["token"], json!(token));
    assert_eq!(event["form_response"]["definition"]["fields"][2]["title"], "What do you need?");
    let again = receiver.next().await;
    assert_eq!(again.body, first.body);
    receiver.status.store(200, Ordering::SeqCst);
    receiver.next().await;

    receiver.status.store(410, Ordering::SeqCst);
    api.sandbox.typeform().submit(&answer("gone@x.example")).unwrap();
    receiver.next().await;
    while hook_enabled(&api).await {
        tokio::task::yield_now().await;
    }
    assert_eq!(api.sandbox.hubspot().summary().faults["webhook_disabled"], 1);
}

#[tokio::test]
async fn fm_038_the_form_tools_own_integration_is_first_or_late() {
    let api = start(unlimited()).await;
    let email =
        "/crm/v3/objects/contacts/first@x.example?idProperty=email&properties=hs_object_source,firstname";
    api.sandbox.set_faults(Faults { form_tool_first: 1.0, ..Faults::default() });
    api.sandbox.typeform().submit(&answer("first@x.example")).unwrap();
    let read = api.get(email).await;
    assert_eq!(read.body["properties"]["hs_object_source"], "INTEGRATION");
    assert_eq!(read.body["properties"]["firstname"], "Lea");
    api.sandbox.set_faults(Faults {
        form_tool_first: 1.0,
        form_tool_delay_ms: Span(5_000, 5_000),
        ..Faults::default()
    });
    api.sandbox.typeform().submit(&answer("later@x.example")).unwrap();
    assert_eq!(api.sandbox.hubspot().count("contacts"), 1);
    api.sandbox.advance(Duration::from_secs(6));
    assert_eq!(api.sandbox.hubspot().count("contacts"), 2);
    let form = Submission { crm_source: Some("FORM".to_owned()), ..answer("form@x.example") };
    api.sandbox.set_faults(Faults::default());
    api.sandbox.typeform().submit(&form).unwrap();
    assert_eq!(api.sandbox.hubspot().count("contacts"), 3);
    assert_eq!(api.sandbox.hubspot().summary().objects["contacts"].created_by_api, 0);
}
