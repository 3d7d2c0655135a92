//! From a code to a stored grant, of the account that was meant.

use super::*;
use url::Url;

const REDIRECT: &str = "http://127.0.0.1:8471/callback";

/// A code as the vendor would send it back.
fn code(rig: &Rig, keeper: &TokenKeeper) -> Code {
    let redirect = Url::parse(REDIRECT).unwrap();
    let mut attempt = keeper.app().begin(&redirect, &["read".to_owned()], rig.clock.now());
    let state = attempt.url().query_pairs().find(|(key, _)| key == "state").unwrap().1.into_owned();
    let mut back = redirect;
    back.query_pairs_mut().append_pair("code", "canary-code").append_pair("state", &state);
    attempt.accept(&back, rig.clock.now()).unwrap()
}

#[tokio::test]
async fn a_code_is_exchanged_with_its_verifier_and_stored_sealed() {
    let rig = Rig::start([granted("5", r#","org":"4711","scope":"read write""#)]).await;
    let keeper = rig.keeper();
    let row = keeper.connect(code(&rig, &keeper), None).await.unwrap();
    assert_eq!((row.version, row.grant.account.as_str()), (2, "4711"));
    assert_eq!(row.grant.scopes, ["read", "write"]);
    assert_eq!(rig.stored(), ("canary-a5".to_owned(), "canary-r5".to_owned()));
    let sent = rig.vendor.requests().remove(0);
    for part in [
        "grant_type=authorization_code",
        "code=canary-code",
        "code_verifier=",
        "redirect_uri=http%3A%2F%2F127.0.0.1%3A8471%2Fcallback",
        "client_id=our-app",
        "client_secret=canary-secret",
    ] {
        assert!(sent.contains(part), "{part} in {sent}");
    }
}

#[tokio::test]
async fn an_answer_without_account_is_completed_by_introspection() {
    let told = r#"{"active":true,"org":4711,"scope":"read"}"#;
    let json = ["content-type: application/json"];
    let rig = Rig::start([granted("5", ""), Act::answer("200 OK", &json, told)]).await;
    let keeper = rig.keeper();
    let row = keeper.connect(code(&rig, &keeper), None).await.unwrap();
    assert_eq!((row.grant.account.as_str(), row.grant.scopes.len()), ("4711", 1));
    let sent = rig.vendor.requests().remove(1);
    assert!(sent.starts_with("POST /introspect ") && sent.contains("token=canary-a5"), "{sent}");
    for (told, kind) in [(r#"{"active":false}"#, "Grant"), (r#"{"active":true}"#, "NoAccount")] {
        let rig = Rig::start([granted("5", ""), Act::answer("200 OK", &json, told)]).await;
        let keeper = rig.keeper();
        let error = keeper.connect(code(&rig, &keeper), None).await.unwrap_err();
        assert!(format!("{error:?}").starts_with(kind), "{error:?}");
        assert_eq!(rig.stored().0, "canary-a1", "what was stored stays");
    }
}

#[tokio::test]
async fn fm_063_another_account_is_refused_unless_it_is_named() {
    for (named, ok) in [(None, false), (Some("4711"), false), (Some("4712"), false), (Some("666"), true)] {
        let rig = Rig::start([granted("5", r#","org":"666""#)]).await;
        let keeper = rig.keeper();
        match keeper.connect(code(&rig, &keeper), named).await {
            Ok(row) => assert_eq!(row.grant.account, "666"),
            Err(error) => {
                assert!(matches!(&error, ConnectError::OtherAccount { found, .. } if found == "666"));
                assert!(error.to_string().contains("--account 666"), "{error}");
            }
        }
        assert_eq!(rig.store.row().grant.account == "666", ok, "{named:?}");
        assert_eq!(rig.stored().0 == "canary-a5", ok, "{named:?}");
    }
}

#[tokio::test]
async fn fm_062_an_api_outside_of_the_vendors_hosts_is_refused() {
    let rig = Rig::start([granted("5", r#","org":"4711","api":"https://evil.example""#)]).await;
    let keeper = rig.keeper();
    let error = keeper.connect(code(&rig, &keeper), None).await.unwrap_err();
    assert!(matches!(error, ConnectError::Base(_)), "{error:?}");
    assert_eq!(rig.stored().0, "canary-a1");
}

#[test]
fn addresses_are_checked_and_secrets_never_shown() {
    let spec = |authorize: &str, token: &str| AppSpec {
        oauth: OAUTH,
        base_url: BaseUrl::parse("https://api.example.com", false).unwrap(),
        client_id: "our-app".to_owned(),
        client_secret: Secret::new("canary"),
        authorize_url: Some(authorize.to_owned()),
        token_url: Some(token.to_owned()),
        timeout: Duration::from_secs(9),
    };
    let good = spec("https://login.example.com/a", "https://login.example.com/t");
    assert!(!format!("{good:?} {:?}", OAuthApp::new(good.clone()).unwrap()).contains("canary"));
    for (authorize, token) in [
        ("http://login.example.com", "https://login.example.com"),
        ("https://login.example.com", "http://login.example.com"),
        ("https://login.example.com", "https://169.254.169.254/t"),
        ("javascript:alert(1)", "https://login.example.com"),
    ] {
        let error = OAuthApp::new(spec(authorize, token)).unwrap_err();
        assert!(matches!(error, AppError::Address { .. }), "{authorize} {token}");
    }
}
