//! Callbacks that are forged, repeated, late, or meant for somebody else (FM-063, RFC 9700).

use url::Url;

use super::*;

const REDIRECT: &str = "http://127.0.0.1:8471/callback";

fn app(authorize: &str) -> OAuthApp {
    OAuthApp::new(AppSpec {
        oauth: OAUTH,
        base_url: BaseUrl::parse("https://api.example.com", false).unwrap(),
        client_id: "our-app".to_owned(),
        client_secret: Secret::new("canary"),
        authorize_url: Some(authorize.to_owned()),
        token_url: None,
        timeout: Duration::from_secs(9),
    })
    .unwrap()
}

fn begin(app: &OAuthApp) -> Attempt {
    app.begin(&Url::parse(REDIRECT).unwrap(), &["a".to_owned(), "b".to_owned()], now())
}

fn now() -> Timestamp {
    Timestamp::from_second(1_790_000_000).unwrap()
}

fn query(attempt: &Attempt, key: &str) -> String {
    attempt.url().query_pairs().find(|(name, _)| name == key).unwrap().1.into_owned()
}

fn back(text: &str) -> Url {
    Url::parse(text).unwrap()
}

#[test]
fn the_consent_page_is_asked_with_pkce_state_scopes_and_our_address() {
    let app = app("https://login.example.com/authorize");
    let (one, two) = (begin(&app), begin(&app));
    assert!(one.url().as_str().starts_with("https://login.example.com/authorize?"));
    for (key, value) in [
        ("response_type", "code"),
        ("client_id", "our-app"),
        ("redirect_uri", REDIRECT),
        ("scope", "a b"),
        ("code_challenge_method", "S256"),
    ] {
        assert_eq!(query(&one, key), value);
    }
    for key in ["state", "code_challenge"] {
        assert_eq!(query(&one, key).len(), 43, "32 random bytes");
        assert_ne!(query(&one, key), query(&two, key), "each attempt has its own");
    }
    assert!(!one.url().as_str().contains("canary"));
}

/// Wrong ways back, made from an attempt's own state and another attempt's. Each must be refused.
fn forgeries(state: &str, other: &str) -> Vec<String> {
    let mut cases = Vec::new();
    // States that are not this attempt's.
    let mut states: Vec<String> =
        vec![String::new(), other.to_owned(), "undefined".to_owned(), "null".to_owned()];
    states.extend((0..state.len()).map(|cut| state[..cut].to_owned()));
    states.extend((0..state.len()).map(|at| {
        let flipped = if state.as_bytes()[at] == b'A' { "B" } else { "A" };
        format!("{}{flipped}{}", &state[..at], &state[at + 1..])
    }));
    states.extend([format!("{state}A"), format!("{state}%00"), format!("%20{state}"), state.to_lowercase()]);
    states.extend([state.to_uppercase(), state.chars().rev().collect(), format!("{state}%0a")]);
    states.retain(|wrong| wrong != state);
    cases.extend(states.iter().map(|wrong| format!("{REDIRECT}?code=c&state={wrong}")));
    // State missing, named otherwise, or given more than once.
    for wrong in [
        "code=c".to_owned(),
        format!("code=c&State={state}"),
        format!("code=c&amp;state={state}"),
        format!("code=c&state[]={state}"),
        format!("code=c&state={state}&state={state}"),
        format!("code=c&state={state}&state={other}"),
        format!("code=c&state={other}&state={state}"),
        format!("code=c#state={state}"),
        String::new(),
    ] {
        cases.push(format!("{REDIRECT}?{wrong}"));
    }
    // Another place than the redirect URL, with everything else right.
    for place in [
        "http://127.0.0.1:8471/",
        "http://127.0.0.1:8471/callback/",
        "http://127.0.0.1:8471/Callback",
        "http://127.0.0.1:8471/callback/../x",
        "http://127.0.0.1:8471//callback",
        "http://127.0.0.1:8471/callback;x",
        "http://127.0.0.1:8471/callback%2f",
        "http://127.0.0.1:8471/x/callback",
        "http://127.0.0.1:8472/callback",
        "http://127.0.0.1/callback",
        "http://127.0.0.2:8471/callback",
        "http://localhost:8471/callback",
        "http://[::1]:8471/callback",
        "http://evil.example:8471/callback",
        "http://127.0.0.1.evil.example:8471/callback",
        "https://127.0.0.1:8471/callback",
        "ftp://127.0.0.1:8471/callback",
        "http://user@127.0.0.1:8471/callback",
        "http://user:word@127.0.0.1:8471/callback",
    ] {
        cases.push(format!("{place}?code=c&state={state}"));
        cases.push(format!("{place}?code=c&state={other}"));
    }
    cases.push(format!("{REDIRECT}?code=c&state={state}#"));
    cases.push(format!("{REDIRECT}?code=c&state={state}#fragment"));
    cases
}

#[test]
fn fm_063_forged_and_foreign_callbacks_are_refused_and_do_not_end_the_attempt() {
    let (here, elsewhere) = (app("https://login.example.com/a"), app("https://login.other.example/a"));
    // Another attempt at the same vendor, and one at another vendor.
    for other in [begin(&here), begin(&elsewhere)] {
        let mut attempt = begin(&here);
        let (state, other) = (query(&attempt, "state"), query(&other, "state"));
        let cases = forgeries(&state, &other);
        assert!(cases.len() >= 100, "{}", cases.len());
        for case in &cases {
            let error = attempt.accept(&back(case), now()).unwrap_err();
            assert!(error.goes_on(), "{case}: {error}");
        }
        let right = back(&format!("{REDIRECT}?code=c&state={state}"));
        assert!(attempt.accept(&right, now()).is_ok(), "the real answer is still taken");
        assert_eq!(attempt.accept(&right, now()).unwrap_err(), CallbackError::Over, "and only once");
    }
}

#[test]
fn fm_063_answers_with_the_right_state_end_the_attempt_whatever_they_say() {
    let app = app("https://login.example.com/a");
    let denied = |code: &str| CallbackError::Denied { code: code.to_owned() };
    let late = now() + Duration::from_secs(15 * 60);
    for (query_part, at, expected) in [
        ("error=access_denied", now(), denied("access_denied")),
        ("error=access_denied&code=c", now(), denied("access_denied")),
        ("error=%3Cscript%3E", now(), denied("for no known reason")),
        ("", now(), CallbackError::NoCode),
        ("code=", now(), CallbackError::NoCode),
        ("code=a&code=b", now(), CallbackError::NoCode),
        ("code=c&iss=https://login.other.example", now(), CallbackError::OtherVendor),
        ("code=c&iss=login.example.com", now(), CallbackError::OtherVendor),
        ("code=c&iss=http://login.example.com", now(), CallbackError::OtherVendor),
        ("code=c&iss=https://login.example.com&iss=https://evil.example", now(), CallbackError::OtherVendor),
        ("code=c", late, CallbackError::Late),
    ] {
        let mut attempt = begin(&app);
        let answer = format!("{REDIRECT}?state={}&{query_part}", query(&attempt, "state"));
        assert_eq!(attempt.accept(&back(&answer), at).unwrap_err(), expected, "{query_part}");
        let right = format!("{REDIRECT}?state={}&code=c", query(&attempt, "state"));
        assert_eq!(attempt.accept(&back(&right), now()).unwrap_err(), CallbackError::Over);
    }
    let mut attempt = begin(&app);
    let named = format!("{REDIRECT}?state={}&code=c&iss=https://login.example.com", query(&attempt, "state"));
    assert!(attempt.accept(&back(&named), now()).is_ok());
}

#[test]
fn what_a_person_copies_is_taken_in_every_form_and_checked_the_same() {
    let app = app("https://login.example.com/a");
    let state = |attempt: &Attempt| query(attempt, "state");
    for form in ["http://127.0.0.1:8471/callback?code=c&state=", "?code=c&state=", "code=c&state="] {
        let mut attempt = begin(&app);
        let pasted = format!("  {form}{}\n", state(&attempt));
        assert_eq!(attempt.accept_pasted(&pasted, now()).unwrap().code.secret(), "c", "{form}");
        let mut attempt = begin(&app);
        let other = format!("{form}{}", state(&begin(&app)));
        assert_eq!(attempt.accept_pasted(&other, now()).unwrap_err(), CallbackError::Forged, "{form}");
    }
    let mut attempt = begin(&app);
    for nothing in ["", "  ", "a b"] {
        assert_eq!(attempt.accept_pasted(nothing, now()).unwrap_err(), CallbackError::NoCode);
    }
    assert_eq!(attempt.accept_pasted("a1b2-c3", now()).unwrap().code.secret(), "a1b2-c3");
    assert_eq!(attempt.accept_pasted("a1b2-c3", now()).unwrap_err(), CallbackError::Over);
}
