//! Webhooks: signature, content type, and the payload.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderValue, Method};
use serde_json::{Value, json};
use usher_connector::signature::hmac_sha256;
use usher_connector::{Check, Inbound, Item, Parts, Secret};

use super::form::{Form, at, connect};

/// A body whose response and definition are the fixtures.
pub(super) fn hook_body() -> Value {
    let mut response: Value = serde_json::from_str(include_str!("../../fixtures/response.json")).unwrap();
    let definition: Value = serde_json::from_str(include_str!("../../fixtures/form.json")).unwrap();
    response["form_id"] = json!("abc123");
    response["definition"] = definition;
    json!({ "event_id": "e1", "event_type": "form_response", "form_response": response })
}

fn inbound(secrets: &[&str]) -> Arc<dyn Inbound> {
    connect(&Arc::new(Form::new([])), secrets).inbound.unwrap()
}

fn signed(secret: &str, body: &[u8]) -> String {
    format!("sha256={}", STANDARD.encode(hmac_sha256(&Secret::new(secret), &[body])))
}

fn parts(signature: &str, content_type: &'static str) -> Parts {
    let mut headers = HeaderMap::new();
    headers.insert("typeform-signature", HeaderValue::from_str(signature).unwrap());
    headers.insert("content-type", HeaderValue::from_static(content_type));
    Parts {
        method: Method::POST,
        url: "https://usher.example/hooks/site-form".into(),
        query: vec![],
        headers,
    }
}

fn status(check: Check) -> u16 {
    match check {
        Check::Store => 200,
        Check::Reply(_) => 299,
        Check::Refuse(refusal) => refusal.status,
    }
}

#[test]
fn fm_033_the_signature_is_over_the_raw_bytes() {
    let body = "{ \"event_type\" :\t\"form_response\", \"name\": \"Zoë \u{1f600}\" }\n".as_bytes();
    // Made with `openssl dgst -sha256 -hmac s3cret -binary | base64` over the bytes above.
    let signature = "sha256=F3Q+zYMJe4fN4tjfVQEtoPbsZotzE6ImziovJrLCofs=";
    let inbound = inbound(&["s3cret"]);
    assert_eq!(status(inbound.check(&parts(signature, "application/json"), body, at(0))), 200);
    let squeezed: Vec<u8> = body.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
    assert_eq!(status(inbound.check(&parts(signature, "application/json"), &squeezed, at(0))), 401);
}

#[test]
fn fm_035_old_and_new_secret_pass_during_rotation() {
    let inbound = inbound(&["new", "old"]);
    for (secret, expected) in [("new", 200), ("old", 200), ("older", 401)] {
        let check =
            inbound.check(&parts(&signed(secret, b"{}"), "application/json; charset=utf-8"), b"{}", at(0));
        assert_eq!(status(check), expected, "{secret}");
    }
}

#[test]
fn unsigned_and_undeclared_bodies_are_refused() {
    let hooks = inbound(&["s"]);
    let good = signed("s", b"{}");
    assert_eq!(status(hooks.check(&parts(&good, "text/plain"), b"{}", at(0))), 415);
    assert_eq!(status(hooks.check(&parts("", "application/json"), b"{}", at(0))), 401);
    assert_eq!(status(hooks.check(&parts(&good[7..], "application/json"), b"{}", at(0))), 401);
    let mut bare = parts(&good, "application/json");
    bare.headers.remove("typeform-signature");
    assert_eq!(status(hooks.check(&bare, b"{}", at(0))), 401);
    bare.method = Method::GET;
    assert_eq!(status(hooks.check(&bare, b"{}", at(0))), 400);
    // An empty secret would let anybody sign.
    let open = inbound(&[""]);
    assert_eq!(status(open.check(&parts(&signed("", b"{}"), "application/json"), b"{}", at(0))), 401);
}

#[test]
fn a_webhook_becomes_the_documented_payload() {
    let body = serde_json::to_vec(&hook_body()).unwrap();
    let items = inbound(&["s"]).split(&body, at(0));
    let [Ok(Item::Record(record))] = items.as_slice() else { panic!("{items:?}") };
    let payload: Value = serde_json::from_str(record.payload.get()).unwrap();
    let expected: Value = serde_json::from_str(include_str!("../../fixtures/payload.json")).unwrap();
    assert_eq!(payload, expected);
    assert_eq!(record.external_id.as_str(), "tok-1");
    assert_eq!(record.revision, "2026-11-22T10:00:00Z");
}

#[test]
fn bodies_that_are_no_responses_are_bad_items_without_values() {
    let hooks = inbound(&["s"]);
    let mut other_form = hook_body();
    other_form["form_response"]["form_id"] = json!("zzz");
    let mut undated = hook_body();
    undated["form_response"]["submitted_at"] = json!("yesterday");
    for (body, expected) in [
        (json!([1, 2]), "no Typeform webhook"),
        (json!({ "event_type": "ana@acme.example" }), "event type"),
        (json!({ "event_type": "form_response" }), "form_response"),
        (other_form, "another form"),
        (undated, "submitted_at"),
    ] {
        let items = hooks.split(&serde_json::to_vec(&body).unwrap(), at(0));
        let [Err(error)] = items.as_slice() else { panic!("{items:?}") };
        assert!(error.reason.contains(expected), "{error}");
        assert!(!error.reason.contains("ana@"));
    }
    for broken in [&b""[..], b"\xff\xfe", b"{\"event_type\":"] {
        assert!(matches!(hooks.split(broken, at(0)).as_slice(), [Err(_)]));
    }
    let partial = json!({ "event_type": "form_response_partial", "form_response": {} });
    assert!(matches!(hooks.split(&serde_json::to_vec(&partial).unwrap(), at(0)).as_slice(), [] | [Err(_)]));
}
