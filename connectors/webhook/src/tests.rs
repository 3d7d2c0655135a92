//! Tests: proofs, refusals, shapes.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use jiff::Timestamp;
use serde_json::{Value, json};
use usher_connector::signature::{decode_base64, hmac_sha256};
use usher_connector::{
    Check, Connector, Fault, FaultClass, FileEntry, Files, Host, Http, Inbound, Item, Parts, Request,
    Response, Secret,
};
use usher_document::{Cursor, Diagnostics, SourceFile, parse};
use usher_model::{ConnectionName, Record};

use crate::Webhook;

/// The published example of Standard Webhooks, as its reference libraries test it.
const KEY: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const ID: &str = "msg_p5jXN8AQM9LWM0D4loKWxJek";
const TIME: i64 = 1_614_265_330;
const BODY: &[u8] = br#"{"test": 2432232314}"#;
const SIGNATURE: &str = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
const STANDARD_YAML: &str = "inbound: { standard: { secret: [{ env: A }, { env: B }] } }\n";

#[derive(Debug)]
struct Nothing;

#[async_trait]
impl Http for Nothing {
    async fn send(&self, _request: Request) -> Result<Response, Fault> {
        Err(Fault::new(FaultClass::Defect, "a webhook connector makes no calls"))
    }
}

impl Files for Nothing {
    fn list(&self, _path: &Path) -> std::io::Result<Vec<FileEntry>> {
        Err(std::io::ErrorKind::Unsupported.into())
    }

    fn read(&self, _path: &Path, _offset: u64, _limit: usize) -> std::io::Result<Vec<u8>> {
        Err(std::io::ErrorKind::Unsupported.into())
    }
}

fn configure(yaml: &str) -> (Option<Arc<dyn usher_connector::Configured>>, Vec<String>) {
    let file = SourceFile::new("usher.yaml", yaml);
    let node = parse(&file).unwrap();
    let log = Diagnostics::default();
    let mut map = Cursor::root(&file, &node, &log).map().unwrap();
    let configured = Webhook.configure(&mut map);
    let _ = map.optional_at("connector");
    map.finish();
    (configured, log.into_sorted().into_iter().map(|problem| problem.message).collect())
}

/// An inbound role whose secrets, in the order of the file, are these.
fn inbound(yaml: &str, secrets: &[&str]) -> Arc<dyn Inbound> {
    let (configured, problems) = configure(yaml);
    let configured = configured.unwrap_or_else(|| panic!("{problems:?}"));
    let names = configured.secrets().into_iter().map(|(name, _)| name);
    let secrets: BTreeMap<_, _> = names.zip(secrets.iter().map(|secret| Secret::new(*secret))).collect();
    let host = Host {
        connection: ConnectionName::new("hook"),
        http: Arc::new(Nothing),
        files: Arc::new(Nothing),
        secrets,
    };
    configured.connect(host).inbound.unwrap()
}

fn parts(headers: &[(&str, &str)]) -> Parts {
    let mut all = HeaderMap::new();
    all.insert("content-type", HeaderValue::from_static("application/json"));
    for (name, value) in headers {
        all.insert(HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_str(value).unwrap());
    }
    Parts {
        method: Method::POST,
        url: "https://usher.example/hooks/hook".into(),
        query: vec![],
        headers: all,
    }
}

fn standard_parts(signature: &str) -> Parts {
    parts(&[("webhook-id", ID), ("webhook-timestamp", &TIME.to_string()), ("webhook-signature", signature)])
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn status(check: Check) -> u16 {
    match check {
        Check::Store => 200,
        Check::Reply(_) => 299,
        Check::Refuse(refusal) => refusal.status,
    }
}

fn sign(key: &str, time: i64) -> String {
    let key = Secret::new(decode_base64(key.trim_start_matches("whsec_")).unwrap());
    let time = time.to_string();
    format!("v1,{}", STANDARD.encode(hmac_sha256(&key, &[ID.as_bytes(), b".", time.as_bytes(), b".", BODY])))
}

fn records(yaml: &str, body: &[u8]) -> Vec<Result<Record, String>> {
    let items = inbound(yaml, &[KEY]).split(body, at(TIME));
    items
        .into_iter()
        .map(|item| match item {
            Ok(Item::Record(record)) => Ok(record),
            Ok(hint) => panic!("{hint:?}"),
            Err(error) => Err(error.to_string()),
        })
        .collect()
}

fn payload(record: &Record) -> Value {
    serde_json::from_str(record.payload.get()).unwrap()
}

#[test]
fn the_example_for_init_configures() {
    assert_eq!(configure(Webhook.manifest().example.yaml).1, Vec::<String>::new());
}

#[test]
fn every_problem_is_reported() {
    let yaml =
        "inbound: { shared_secret: { header: \"no header\", secret: hunter2 } }\naccepts: [xml]\nid: a..b\n";
    let (configured, problems) = configure(yaml);
    assert!(configured.is_none());
    let all = problems.join("\n");
    for expected in ["a secret must not stand", "`xml` is not known", "no path into the body"] {
        assert!(all.contains(expected), "{expected} missing in\n{all}");
    }
    assert!(!all.contains("hunter2"));
    assert!(configure("id: x\n").1.join("\n").contains("`inbound` is missing"));
    let two =
        "inbound: { standard: { secret: { env: A } }, basic: { user: { env: A }, password: { env: B } } }\n";
    assert!(configure(two).0.is_none());
    let header = "inbound: { shared_secret: { header: \"no header\", secret: { env: A } } }\n";
    assert!(configure(header).1.join("\n").contains("no name of a header"));
}

#[test]
fn fm_033_the_published_example_passes_and_other_bytes_do_not() {
    let hooks = inbound(STANDARD_YAML, &[KEY]);
    assert_eq!(status(hooks.check(&standard_parts(SIGNATURE), BODY, at(TIME))), 200);
    assert_eq!(status(hooks.check(&standard_parts(SIGNATURE), br#"{"test":2432232314}"#, at(TIME))), 401);
    let mut other_id = standard_parts(SIGNATURE);
    other_id.headers.insert("webhook-id", HeaderValue::from_static("msg_other"));
    assert_eq!(status(hooks.check(&other_id, BODY, at(TIME))), 401);
    for missing in ["webhook-id", "webhook-timestamp", "webhook-signature"] {
        let mut cut = standard_parts(SIGNATURE);
        cut.headers.remove(missing);
        assert_eq!(status(hooks.check(&cut, BODY, at(TIME))), 401, "{missing}");
    }
}

#[test]
fn fm_035_replays_are_refused_after_five_minutes_in_either_direction() {
    let hooks = inbound(STANDARD_YAML, &[KEY]);
    for (offset, expected) in [(0, 200), (240, 200), (-240, 200), (360, 401), (-360, 401), (2_592_000, 401)] {
        assert_eq!(
            status(hooks.check(&standard_parts(SIGNATURE), BODY, at(TIME + offset))),
            expected,
            "{offset} s"
        );
    }
    let mut odd = standard_parts("v1,x");
    for time in ["", "soon", "99999999999999999999", "-1", "9223372036854775807"] {
        odd.headers.insert("webhook-timestamp", HeaderValue::from_str(time).unwrap());
        assert_eq!(status(hooks.check(&odd, BODY, at(TIME))), 401);
    }
}

#[test]
fn fm_035_several_secrets_and_several_signatures_pass_during_rotation() {
    let next = "whsec_bmV4dCBzZWNyZXQgb2YgdGhlIHNlbmRlcg==";
    let both = inbound(STANDARD_YAML, &[next, KEY]);
    let lone = inbound(STANDARD_YAML, &[next]);
    let of_next = sign(next, TIME);
    assert_eq!(status(both.check(&standard_parts(SIGNATURE), BODY, at(TIME))), 200);
    assert_eq!(status(both.check(&standard_parts(&of_next), BODY, at(TIME))), 200);
    assert_eq!(status(lone.check(&standard_parts(SIGNATURE), BODY, at(TIME))), 401);
    let list = format!("v1a,AAAA v1,AAAA {SIGNATURE} {of_next}");
    assert_eq!(status(lone.check(&standard_parts(&list), BODY, at(TIME))), 200);
    let wrong_version = SIGNATURE.replace("v1,", "v2,");
    assert_eq!(status(both.check(&standard_parts(&wrong_version), BODY, at(TIME))), 401);
}

#[test]
fn a_secret_that_is_empty_or_no_base64_lets_nobody_in() {
    for secret in ["", "whsec_", "whsec_not base64!", "\n"] {
        let hooks = inbound(STANDARD_YAML, &[secret]);
        let empty_key = format!("v1,{}", STANDARD.encode(hmac_sha256(&Secret::new(""), &[BODY])));
        for signature in [SIGNATURE, &empty_key] {
            assert_eq!(status(hooks.check(&standard_parts(signature), BODY, at(TIME))), 401, "{secret:?}");
        }
    }
    let shared = inbound("inbound: { shared_secret: { header: X-Token, secret: { env: A } } }\n", &[""]);
    assert_eq!(status(shared.check(&parts(&[("x-token", "")]), BODY, at(TIME))), 401);
    let basic = inbound("inbound: { basic: { user: { env: A }, password: { env: B } } }\n", &["", ""]);
    assert_eq!(status(basic.check(&parts(&[("authorization", "Basic Og==")]), BODY, at(TIME))), 401);
}

#[test]
fn shared_secrets_stand_in_a_header_or_in_the_query() {
    let header =
        inbound("inbound: { shared_secret: { header: X-Token, secret: { env: A } } }\n", &["s3cret\n"]);
    for (value, expected) in [("s3cret", 200), ("s3cre", 401), ("s3crets", 401), ("", 401)] {
        assert_eq!(status(header.check(&parts(&[("X-Token", value)]), BODY, at(TIME))), expected, "{value}");
    }
    assert_eq!(status(header.check(&parts(&[]), BODY, at(TIME))), 401);
    let bearer =
        inbound("inbound: { shared_secret: { header: Authorization, secret: { env: A } } }\n", &["s3cret"]);
    assert_eq!(status(bearer.check(&parts(&[("authorization", "Bearer s3cret")]), BODY, at(TIME))), 200);
    let query = inbound("inbound: { shared_secret: { query: token, secret: { env: A } } }\n", &["s3cret"]);
    let mut request = parts(&[]);
    assert_eq!(status(query.check(&request, BODY, at(TIME))), 401);
    request.query = vec![("token".into(), "s3cret".into())];
    assert_eq!(status(query.check(&request, BODY, at(TIME))), 200);
}

#[test]
fn basic_authentication_needs_both_halves() {
    let hooks = inbound("inbound: { basic: { user: { env: A }, password: { env: B } } }\n", &["ana", "p:w"]);
    for (credentials, expected) in
        [("ana:p:w", 200), ("ana:pw", 401), ("bob:p:w", 401), ("ana", 401), (":", 401)]
    {
        let header = format!("basic {}", STANDARD.encode(credentials));
        assert_eq!(
            status(hooks.check(&parts(&[("authorization", &header)]), BODY, at(TIME))),
            expected,
            "{credentials}"
        );
    }
    for odd in ["Basic", "Basic !!!", "Bearer x", ""] {
        assert_eq!(status(hooks.check(&parts(&[("authorization", odd)]), BODY, at(TIME))), 401, "{odd}");
    }
}

#[test]
fn fm_036_only_declared_content_types_and_sizes_pass() {
    let check = |yaml: &str, content_type: &'static str, body: &[u8]| {
        let mut request = parts(&[("x-token", "s")]);
        request.headers.insert("content-type", HeaderValue::from_static(content_type));
        status(inbound(yaml, &["s"]).check(&request, body, at(TIME)))
    };
    let any = "inbound: { shared_secret: { header: X-Token, secret: { env: A } } }\n";
    let only_json = "inbound: { shared_secret: { header: X-Token, secret: { env: A } } }\naccepts: [json]\n";
    for (content_type, with_any, with_json) in [
        ("application/json; charset=utf-8", 200, 200),
        ("application/cloudevents+json", 200, 200),
        ("Application/X-WWW-Form-Urlencoded", 200, 415),
        ("multipart/form-data; boundary=x", 415, 415),
        ("text/plain", 415, 415),
        ("", 415, 415),
    ] {
        assert_eq!(check(any, content_type, b"{}"), with_any, "{content_type}");
        assert_eq!(check(only_json, content_type, b"{}"), with_json, "{content_type}");
    }
    assert_eq!(check(any, "application/json", &vec![b' '; 1024 * 1024]), 200);
    assert_eq!(check(any, "application/json", &vec![b' '; 1024 * 1024 + 1]), 413);
    let hooks = inbound(any, &["s"]);
    let zipped = parts(&[("x-token", "s"), ("content-encoding", "gzip")]);
    assert_eq!(status(hooks.check(&zipped, b"", at(TIME))), 415);
    let mut get = parts(&[("x-token", "s")]);
    get.method = Method::GET;
    assert_eq!(status(hooks.check(&get, b"", at(TIME))), 400);
}

#[test]
fn fm_036_hostile_bodies_are_bad_items_and_never_panic() {
    let deep = |levels: usize| format!("{{\"a\":{}1{}}}", "[".repeat(levels), "]".repeat(levels));
    assert!(records(STANDARD_YAML, deep(63).as_bytes())[0].is_ok());
    assert!(records(STANDARD_YAML, deep(64).as_bytes())[0].as_ref().unwrap_err().contains("64 levels"));
    let abyss = deep(400_000);
    let bodies: [&[u8]; 9] = [
        b"",
        b"{",
        b"[",
        b"\xff\xfe\x00",
        b"null",
        b"\"ana@acme.example\"",
        b"[[[",
        b"{\"a\":1}{",
        abyss.as_bytes(),
    ];
    for body in bodies {
        let all = records(STANDARD_YAML, body);
        assert!(matches!(all.as_slice(), [Err(reason)] if !reason.contains("ana@")), "{all:?}");
    }
}

#[test]
fn fm_029_one_bad_item_of_a_list_harms_no_other() {
    let mut items: Vec<Value> = (0..100).map(|n| json!({ "id": n })).collect();
    items[37] = json!("ana@acme.example");
    let yaml = format!("{STANDARD_YAML}id: id\n");
    let all = records(&yaml, &serde_json::to_vec(&items).unwrap());
    assert_eq!(all.iter().filter(|item| item.is_ok()).count(), 99);
    assert!(all[37].as_ref().unwrap_err().starts_with("item 37"));
    assert_eq!(all[99].as_ref().unwrap().external_id.as_str(), "99");
}

#[test]
fn fm_027_ids_come_from_the_content_whatever_its_spacing() {
    let id =
        |body: &str| records(STANDARD_YAML, body.as_bytes())[0].as_ref().unwrap().external_id.to_string();
    assert_eq!(id(r#"{"a":1,"b":[true,null]}"#), id("{ \"b\" : [true, null],\n \"a\":1 }"));
    assert_ne!(id(r#"{"a":1}"#), id(r#"{"a":2}"#));
    assert_ne!(id(r#"{"a":["b"]}"#), id(r#"{"a":"b"}"#));
}

#[test]
fn fm_027_a_configured_id_with_another_content_is_another_version() {
    let yaml = format!("{STANDARD_YAML}id: data.id\n");
    let read = |body: &str| records(&yaml, body.as_bytes()).remove(0);
    let first = read(r#"{"data":{"id":9007199254740993,"n":1}}"#).unwrap();
    let second = read(r#"{"data":{"id":9007199254740993,"n":2}}"#).unwrap();
    assert_eq!(first.external_id.as_str(), "9007199254740993", "no digit is lost");
    assert_eq!(first.external_id, second.external_id);
    assert_ne!(first.revision, second.revision);
    for without in [r#"{"data":{}}"#, r#"{"data":{"id":" "}}"#, r#"{"data":{"id":{}}}"#, r#"{"data":7}"#] {
        assert!(read(without).unwrap_err().contains("`id` points"), "{without}");
    }
    let versioned = format!("{STANDARD_YAML}id: id\nrevision: at\n");
    let record = records(&versioned, br#"{"id":"x","at":"2026-11-22"}"#).remove(0).unwrap();
    assert_eq!(record.revision, "2026-11-22");
}

#[test]
fn forms_become_objects_of_texts() {
    let body = b"name=Ana+D%C3%ADaz&zip=01067&phone=%2B49+30&service=seo&service=ppc&tags[]=a&empty=";
    let record = records(STANDARD_YAML, body).remove(0).unwrap();
    let expected = json!({ "name": "Ana D\u{ed}az", "zip": "01067", "phone": "+49 30", "service": ["seo", "ppc"],
        "tags": ["a"], "empty": "" });
    assert_eq!(payload(&record), expected);
    let only_form = format!("{STANDARD_YAML}accepts: [form]\n");
    assert_eq!(payload(records(&only_form, b"{x}=1")[0].as_ref().unwrap()), json!({ "{x}": "1" }));
}

#[test]
fn the_payload_is_what_was_sent() {
    let body = include_bytes!("../fixtures/payload.json");
    let record = records(STANDARD_YAML, body).remove(0).unwrap();
    assert_eq!(record.payload.get(), std::str::from_utf8(body).unwrap().trim());
    assert_eq!((record.object.as_str(), record.connection.as_str()), ("submissions", "hook"));
}
