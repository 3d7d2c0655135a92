//! Dead grants, refused tokens, wrong keys, and what of it is told.

use std::error::Error as _;

use usher_connector::{
    Access, Fault, FaultClass, Http as _, LimitReport, LimitSpec, Protocol, Request, Response,
};

use super::*;
use crate::credential::Credential;
use crate::testing::Log;
use crate::vendor::{HttpSettings, VendorHttp, VendorSpec};

/// A vendor whose API says 401 of a bad token.
struct Manners;

impl Protocol for Manners {
    fn limits(&self) -> Vec<LimitSpec> {
        Vec::new()
    }

    fn read_limits(&self, _request: &Request, _response: &Response) -> Vec<LimitReport> {
        Vec::new()
    }

    fn judge(&self, _request: &Request, response: &Response) -> Result<(), Fault> {
        let class = match response.status {
            200..300 => return Ok(()),
            401 => FaultClass::Unauthorized,
            500.. => FaultClass::Transient,
            _ => FaultClass::Rejected,
        };
        Err(Fault::new(class, format!("status {}", response.status)))
    }
}

fn door(rig: &Rig, keeper: Arc<TokenKeeper>) -> VendorHttp {
    let spec = VendorSpec {
        connection: crm(),
        base_url: BaseUrl::parse(&rig.base(), false).unwrap(),
        credential: Credential::kept(keeper),
        protocol: Arc::new(Manners),
    };
    VendorHttp::new(spec, HttpSettings::default(), Arc::clone(&rig.clock) as Arc<dyn Clock>).unwrap()
}

/// A rig whose access token is good for a while yet.
async fn fresh(script: impl IntoIterator<Item = Act>) -> Rig {
    let rig = Rig::start(script).await;
    let row = TokenRow { version: 1, ..rig.grant("1") };
    assert!(rig.store.put(&row).await.unwrap());
    rig
}

/// The first line of each request.
fn lines(rig: &Rig) -> Vec<String> {
    rig.vendor.requests().iter().map(|request| request.lines().next().unwrap().to_owned()).collect()
}

fn no() -> Act {
    Act::answer("401 Unauthorized", &[], "{}")
}

fn write() -> Request {
    Request::new(http::Method::POST, "/things", Access::Write).json(&"x").unwrap()
}

#[tokio::test]
async fn fm_062_a_token_refused_mid_run_is_renewed_once_and_the_call_made_once_more() {
    for request in [Request::get("/things"), write()] {
        let rig = fresh([no(), granted("2", "")]).await;
        assert_eq!(door(&rig, rig.keeper()).send(request).await.unwrap().status, 200);
        let sent = rig.vendor.requests();
        assert_eq!(sent.len(), 3);
        assert!(sent[0].contains("Bearer canary-a1") && sent[2].contains("Bearer canary-a2"));
        assert!(sent[1].starts_with("POST /token ") && sent[1].contains("refresh_token=canary-r1"));
    }
}

#[tokio::test]
async fn fm_062_other_failures_renew_nothing() {
    let html = "<!DOCTYPE html><title>Sign in</title>";
    for (status, class) in [
        ("400 Bad", "rejected"),
        ("403 Forbidden", "rejected"),
        ("302 Found", "outcome_unknown"),
        ("530 Odd", "outcome_unknown"),
        ("503 Busy", "outcome_unknown"),
    ] {
        let rig = fresh([Act::answer(status, &["location: /login"], html)]).await;
        let fault = door(&rig, rig.keeper()).send(write()).await.unwrap_err();
        assert_eq!(fault.class().as_str(), class, "{status}");
        assert_eq!(rig.vendor.requests().len(), 1, "{status}");
    }
}

#[tokio::test]
async fn fm_061_tokens_that_are_refused_at_once_are_renewed_at_growing_distances() {
    let rig = fresh([no(), granted("2", ""), no(), no(), no(), granted("3", ""), no(), no()]).await;
    let http = door(&rig, rig.keeper());
    let fault = http.send(Request::get("/things")).await.unwrap_err();
    assert_eq!(fault.class(), FaultClass::Unauthorized);
    assert!(fault.to_string().contains("`usher connect crm`"), "{fault}");
    assert_eq!(lines(&rig).len(), 3);
    for (pause, requests) in [(0, 4), (30, 7), (59, 8)] {
        rig.clock.advance(Duration::from_secs(pause));
        assert_eq!(http.send(Request::get("/things")).await.unwrap_err().class(), FaultClass::Unauthorized);
        assert_eq!(lines(&rig).len(), requests, "after {pause} s");
    }
    let renewals = lines(&rig).iter().filter(|line| line.starts_with("POST /token")).count();
    assert_eq!(renewals, 2);
    assert!(http.send(Request::get("/things")).await.is_ok(), "the vendor has changed its mind");
}

#[tokio::test]
async fn fm_061_a_day_with_a_revoked_grant_is_few_attempts_and_ends_with_a_reconnect() {
    let rig = Rig::start(vec![refused("invalid_grant"); 200]).await;
    let keeper = rig.keeper();
    let mut attempts = Vec::new();
    for minute in 0..24 * 60 {
        // A restart or a second node makes no further attempts.
        let keeper = if minute % 2 == 0 { rig.keeper() } else { Arc::clone(&keeper) };
        let fault = keeper.current(PATIENT).await.unwrap_err();
        assert_eq!(fault.class(), FaultClass::Unauthorized);
        assert!(fault.to_string().contains("reconnect needed"), "{fault}");
        assert!(fault.to_string().contains("`usher connect crm`"), "{fault}");
        attempts.push(rig.vendor.requests().len());
        rig.clock.advance(Duration::from_secs(60));
    }
    assert_eq!(*attempts.last().unwrap(), 5, "{:?}", &attempts[..40]);
    assert!(rig.store.row().trouble.unwrap().retry_at.is_none());
    let version = rig.store.row().version;
    assert!(rig.store.put(&TokenRow { version, ..rig.grant("7") }).await.unwrap());
    keeper.current(PATIENT).await.unwrap();
}

#[tokio::test]
async fn an_outage_uses_up_the_token_and_is_told_as_one() {
    let rig = Rig::start([Act::answer("503 Busy", &["retry-after: 40"], ""), granted("2", "")]).await;
    let row = TokenRow { version: 1, ..rig.grant("1") };
    assert!(rig.store.put(&row).await.unwrap());
    let keeper = rig.keeper();
    rig.clock.advance(Duration::from_secs(LIFETIME - 30));
    keeper.current(PATIENT).await.unwrap();
    rig.clock.advance(Duration::from_secs(30));
    let fault = keeper.current(PATIENT).await.unwrap_err();
    assert_eq!(fault.class(), FaultClass::Transient, "{fault}");
    assert_eq!(rig.vendor.requests().len(), 1, "it asked for 40 s");
    rig.clock.advance(Duration::from_secs(10));
    keeper.current(PATIENT).await.unwrap();
    assert_eq!((rig.vendor.requests().len(), rig.store.row().trouble), (2, None));
}

#[tokio::test]
async fn fm_062_a_renewal_for_another_account_or_elsewhere_is_not_followed() {
    let rig = Rig::start([granted("2", r#","org":"666""#)]).await;
    let fault = rig.keeper().current(PATIENT).await.unwrap_err();
    assert_eq!(fault.class(), FaultClass::Misconfigured);
    assert!(fault.to_string().contains("another account"), "{fault}");
    assert_eq!(rig.stored().0, "canary-a1");

    let elsewhere = Vendor::start([]).await;
    for (api, followed) in [
        (format!("http://{}", elsewhere.address), true),
        (format!("http://localhost:{}", elsewhere.address.port()), false),
        ("https://api.example.com.evil.example".to_owned(), false),
        ("https://user@eu.api.example.com".to_owned(), false),
        ("http://eu.api.example.com".to_owned(), false),
    ] {
        let rig = Rig::start([granted("2", &format!(r#","org":"4711","api":"{api}""#))]).await;
        let http = door(&rig, rig.keeper());
        let seen = elsewhere.requests().len();
        assert!(http.send(Request::get("/things")).await.is_ok(), "{api}");
        assert_eq!(elsewhere.requests().len() - seen, usize::from(followed), "{api}");
        assert_eq!(rig.store.row().grant.base_url.is_some(), followed, "{api}");
    }
}

#[tokio::test]
async fn a_vendor_that_keeps_its_refresh_token_is_asked_with_it_again() {
    let plain = |ending: &str| {
        let body =
            format!(r#"{{"token_type":"bearer","access_token":"canary-a{ending}","expires_in":{LIFETIME}}}"#);
        Act::answer("200 OK", &[], &body)
    };
    let rig = Rig::start([plain("2"), plain("3")]).await;
    let keeper = rig.keeper();
    for access in ["canary-a2", "canary-a3"] {
        keeper.current(PATIENT).await.unwrap();
        assert_eq!(rig.stored(), (access.to_owned(), "canary-r1".to_owned()));
        rig.clock.advance(Duration::from_secs(LIFETIME));
    }
    assert_eq!(rig.store.row().grant.scopes, ["read"]);
}

#[tokio::test]
async fn fm_098_a_wrong_or_missing_key_is_told_and_nothing_is_made_anew() {
    let rig = Rig::start([]).await;
    rig.keeper().check().await.unwrap();
    let told = async || {
        let fault = rig.keeper().check().await.unwrap_err();
        assert_eq!(fault.class(), FaultClass::Misconfigured);
        let mut text = fault.to_string();
        let mut cause = fault.source();
        while let Some(error) = cause {
            text.push_str(&format!(": {error}"));
            cause = error.source();
        }
        text
    };
    let right = rig.store.row().grant.sealed.key;
    write_key(&rig.key, &[&new_key()]);
    let text = told().await;
    assert!(text.contains(&right) && text.contains("usher key new --forget-tokens"), "{text}");
    write_key(&rig.key, &[&Secret::new("nonsense")]);
    assert!(told().await.contains("no key"));
    std::fs::remove_file(&rig.key).unwrap();
    assert!(told().await.contains("cannot read the secret file"));
    assert!(!rig.key.exists());
    assert_eq!(rig.vendor.requests().len(), 0);
}

#[tokio::test]
async fn fm_098_a_key_that_goes_away_mid_run_spends_nothing() {
    let rig = Rig::start([granted("2", "")]).await;
    let keeper = rig.keeper();
    keeper.check().await.unwrap();
    let key = std::fs::read(&rig.key).unwrap();
    std::fs::remove_file(&rig.key).unwrap();
    for _ in 0..9 {
        assert_eq!(keeper.current(PATIENT).await.unwrap_err().class(), FaultClass::Misconfigured);
    }
    assert_eq!((rig.vendor.requests().len(), rig.store.row().trouble), (0, None));
    write_key(&rig.key, &[&Secret::new(key)]);
    keeper.current(PATIENT).await.unwrap();
    assert_eq!(rig.stored().1, "canary-r2");
}

#[tokio::test]
async fn fm_091_no_token_gets_into_logs_or_faults() {
    let log = Log::capture();
    let mut told = String::new();
    let answers = [
        granted("2", r#","org":"canary""#),
        granted("2", r#","api":"https://other.example""#),
        refused("invalid_grant"),
        refused("canary secret"),
        Act::answer("200 OK", &[], r#"{"access_token":"canary-a2""#),
        Act::answer("200 OK", &[], r#"{"token_type":"bearer","access_token":"canary a2"}"#),
        Act::answer("302 Found", &["location: https://x.example/?canary"], "canary"),
        Act::answer("500 Oops", &["set-cookie: canary"], "canary"),
        Act::Break(b"HTTP/1.1 200 OK\r\ncontent-length: 999\r\n\r\n{\"access_token\":\"canary".to_vec()),
        Act::Reset,
    ];
    for answer in answers {
        let rig = fresh([no(), answer]).await;
        let keeper = rig.keeper();
        let http = door(&rig, Arc::clone(&keeper));
        if let Err(fault) = http.send(Request::get("/things")).await {
            told.push_str(&format!("{fault} {fault:?}"));
            let mut cause = fault.source();
            while let Some(error) = cause {
                told.push_str(&format!(" {error} {error:?}"));
                cause = error.source();
            }
        }
        let token = keeper.current(PATIENT).await;
        told.push_str(&format!("{http:?} {keeper:?} {token:?} {:?} {:?}", rig.store.row(), rig.app()));
        assert!(rig.vendor.requests().len() >= 2);
    }
    let log = log.text();
    assert!(log.contains("TRACE") && log.matches("called the vendor").count() >= 10);
    for text in [log, told] {
        assert_eq!(text.lines().find(|line| line.contains("canary")), None);
    }
}
