//! OAuth, whole: granted by the simulator's consent page, kept good under load, lost and regained.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::process::{Child, Stdio};

use reqwest::StatusCode;
use serde_json::{Value, json};
use url::Url;
use usher_connector::Connector as _;
use usher_sandbox::OAuthApp;
use usher_testkit::Storm;

use crate::installation::{Installation, client, text, until};

const CRM: &str = "hubspot-main";

/// An installation whose CRM connection uses OAuth, with a key, at a vendor that behaves so.
pub(crate) async fn oauth(app: OAuthApp) -> Installation {
    let installation = Installation::with("live", "key: { file: usher.key }").await;
    let secret = app.client_secret.clone();
    installation.sandbox.hubspot().put_app(app);
    let oauth = format!(
        "auth: {{ oauth: {{ client_id: sandbox-app, client_secret: {{ file: app.secret }}, authorize_url: \"{}/oauth/authorize\" }} }}",
        installation.sandbox.hubspot_url
    );
    installation.edit("usher.yaml", "auth: { token: { file: crm.token } }", &oauth);
    installation.write("app.secret", &secret);
    assert!(installation.run(&["key", "new"]).await.status.success());
    installation
}

/// A vendor that ends access tokens after so many seconds and rotates refresh tokens.
pub(crate) fn strict(access_seconds: u64) -> OAuthApp {
    OAuthApp { access_seconds, rotates: true, ..OAuthApp::default() }
}

/// `usher connect` under way: the consent page's address was printed.
pub(crate) struct Connecting {
    child: Child,
    stderr: BufReader<std::process::ChildStderr>,
    said: String,
    pub(crate) page: Url,
}

impl Connecting {
    /// Starts it, and registers its way back with the app.
    pub(crate) async fn start(installation: &Installation, further: &[&str]) -> Self {
        let mut command = installation.command();
        command.args(["connect", CRM, "--json"]).args(further);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let connecting = tokio::task::spawn_blocking(move || {
            let (mut stderr, mut said) = (stderr, String::new());
            let mut start = 0;
            while !said[start..].contains("/oauth/authorize?") {
                start = said.len();
                assert_ne!(stderr.read_line(&mut said).unwrap(), 0, "it ended: {said}");
            }
            let page = Url::parse(said[start..].trim()).unwrap();
            Self { child, stderr, said, page }
        });
        let connecting = connecting.await.unwrap();
        let crm = installation.sandbox.hubspot();
        crm.put_app(OAuthApp { redirect_urls: vec![connecting.asked("redirect_uri")], ..crm.app() });
        connecting
    }

    /// A parameter of the consent page.
    pub(crate) fn asked(&self, key: &str) -> String {
        self.page.query_pairs().find(|(name, _)| name == key).unwrap().1.into_owned()
    }

    /// A person consents, and the browser goes where it is sent.
    pub(crate) async fn consent(&self) -> StatusCode {
        client().get(self.page.clone()).send().await.unwrap().status()
    }

    /// Types a line.
    pub(crate) fn paste(&mut self, line: &str) {
        writeln!(self.child.stdin.as_mut().unwrap(), "{line}").unwrap();
    }

    /// Waits for its end: exit code, answer, everything it said.
    pub(crate) async fn end(mut self) -> (Option<i32>, Value, String) {
        let ended = tokio::task::spawn_blocking(move || {
            let mut answer = String::new();
            self.child.stdout.take().unwrap().read_to_string(&mut answer).unwrap();
            self.stderr.read_to_string(&mut self.said).unwrap();
            let code = self.child.wait().unwrap().code();
            (code, serde_json::from_str(&answer).unwrap_or_default(), self.said)
        });
        ended.await.unwrap()
    }
}

/// Connects as a person at the same machine does.
pub(crate) async fn connect(installation: &Installation, further: &[&str]) -> (Option<i32>, Value, String) {
    let connecting = Connecting::start(installation, &[&["--port", "0"], further].concat()).await;
    connecting.consent().await;
    connecting.end().await
}

/// What `usher status` says of the CRM's token.
pub(crate) async fn token(installation: &Installation) -> Value {
    installation.json(&["status"]).await["tokens"][0].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn leads_keep_flowing_while_tokens_end_and_through_a_reconnect() {
    let installation = oauth(strict(2)).await;
    let crm = installation.sandbox.hubspot();
    let (code, answer, said) = connect(&installation, &[]).await;
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(answer["token"]["account"], "4711");
    assert_eq!((&answer["missing"], &answer["tried"][0]["ok"]), (&json!([]), &json!(true)), "{answer}");
    let traced = [("USHER_LOG", "trace")];
    let daemon = installation.spawn(&traced);
    installation.ready().await;
    for n in 0..6 {
        installation.submit(&format!("p{n}@acme{n}.example"), &format!("Person{n} Example"));
        let renewed = crm.oauth_counts().refreshes + 1;
        until("the token is renewed", async || crm.oauth_counts().refreshes >= renewed).await;
    }
    crm.expire_access();
    installation.submit("early@acme.example", "Early Example");
    installation.drained(7).await;
    let counts = crm.oauth_counts();
    assert_eq!((counts.refused, counts.reused, counts.revoked), (0, 0, 0), "{counts:?}");

    crm.revoke_grants();
    until("a reconnect is asked for", async || token(&installation).await["trouble"]["kind"] == "revoked")
        .await;
    installation.submit("late@acme.example", "Late Example");
    let status = text(&installation.run(&["status"]).await.stdout);
    assert!(status.contains("RECONNECT NEEDED, run `usher connect hubspot-main`"), "{status}");
    let said = text(&installation.run(&["check"]).await.stderr);
    assert!(said.contains("RECONNECT NEEDED"), "{said}");
    let (code, _, said) = connect(&installation, &[]).await;
    assert_eq!(code, Some(0), "{said}");
    installation.drained(8).await;
    assert_eq!(crm.summary().duplicate_tasks, 0);
    assert_eq!(crm.summary().tasks_created, 8);
    installation.assert_invariants().await;
    assert_eq!(daemon.stop(), Some(0));
    assert_no_leak(&installation, &said);
}

/// FM-091, FM-098: neither log nor database holds anything that OAuth gave out.
fn assert_no_leak(installation: &Installation, said: &str) {
    let log = installation.log();
    assert!(log.contains("called the vendor") && log.len() > 100_000, "the daemon's log is not traced");
    let mut secrets = installation.sandbox.hubspot().oauth_secrets();
    assert!(secrets.len() > 12, "too few tokens were given out to prove anything");
    secrets.push("sandbox-app-secret".to_owned());
    secrets.push(std::fs::read_to_string(installation.path().join("usher.key")).unwrap().trim().to_owned());
    let database: Vec<u8> = ["usher.db", "usher.db-wal"]
        .iter()
        .flat_map(|name| std::fs::read(installation.path().join(name)).unwrap_or_default())
        .collect();
    assert!(database.len() > 10_000);
    for secret in secrets {
        assert!(!log.contains(&secret) && !said.contains(&secret), "{} is told", &secret[..7]);
        let bytes = secret.as_bytes();
        assert!(!database.windows(bytes.len()).any(|window| window == bytes), "{} is stored", &secret[..7]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn fm_058_each_expiry_is_one_refresh_however_many_ask() {
    let oauth = usher_hubspot::HubSpot.manifest().oauth.unwrap();
    let blow = Storm { expiries: 30, workers: 64, nodes: 2 };
    let wreckage = usher_testkit::storm(oauth, blow).await.unwrap();
    assert_eq!((wreckage.calls, wreckage.failed_calls), (30 * 64, 0), "{wreckage:?}");
    assert_eq!((wreckage.refreshes, wreckage.not_one_refresh), (30, 0), "{wreckage:?}");
    assert_eq!((wreckage.reused, wreckage.lost_connections), (0, 0), "{wreckage:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn fm_059_a_crash_loses_the_connection_only_between_exchange_and_store() {
    for (point, rotates, lost) in [
        ("token.after_lease", true, false),
        ("token.after_store", true, false),
        ("token.after_exchange", false, false),
        ("token.after_exchange", true, true),
    ] {
        let installation = oauth(OAuthApp { rotates, ..strict(2) }).await;
        assert_eq!(connect(&installation, &[]).await.0, Some(0));
        let mut crashing = installation.spawn(&[("USHER_CRASH_AT", point)]);
        installation.ready().await;
        installation.submit("ana@acme.example", "Ana Acme");
        until(&format!("{point} is reached"), async || crashing.has_ended()).await;
        let daemon = installation.start().await;
        if lost {
            until("a reconnect is asked for", async || {
                token(&installation).await["trouble"]["kind"] == "revoked"
            })
            .await;
            assert_eq!(connect(&installation, &[]).await.0, Some(0));
        }
        installation.drained(1).await;
        let revoked = installation.sandbox.hubspot().oauth_counts().revoked;
        assert_eq!(revoked, u64::from(lost), "after a crash at {point}, rotation {rotates}");
        installation.assert_invariants().await;
        assert_eq!(daemon.stop(), Some(0));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn fm_063_the_way_back_takes_one_answer_and_ignores_the_rest() {
    let installation = oauth(strict(1_800)).await;
    let connecting = Connecting::start(&installation, &["--port", "0"]).await;
    let redirect = connecting.asked("redirect_uri");
    let other = Connecting::start(&installation, &["--port", "0"]).await;
    let (state, others) = (connecting.asked("state"), other.asked("state"));
    assert!(redirect.starts_with("http://127.0.0.1:") && redirect.ends_with("/callback"), "{redirect}");
    assert_eq!(connecting.asked("code_challenge_method"), "S256");
    let root = redirect.trim_end_matches("/callback");
    let post = client().post(format!("{redirect}?code=c&state={state}")).send().await.unwrap();
    assert_eq!(post.status(), StatusCode::NOT_FOUND);
    let rebound = client().get(format!("{redirect}?code=c&state={state}")).header("host", "evil.example");
    assert_eq!(rebound.send().await.unwrap().status(), StatusCode::NOT_FOUND);
    for (url, status) in [
        (format!("{root}/"), 404),
        (format!("{root}/favicon.ico"), 404),
        (format!("{root}/callback/?code=c&state={state}"), 404),
        (redirect.clone(), 403),
        (format!("{redirect}?code=c"), 403),
        (format!("{redirect}?code=c&state={others}"), 403),
        (format!("{redirect}?code=c&state={state}&state={state}"), 403),
        (format!("{redirect}?error=access_denied&state={others}"), 403),
    ] {
        let answer = client().get(&url).send().await.unwrap();
        assert_eq!(answer.status().as_u16(), status, "{url}");
    }
    let crm = installation.sandbox.hubspot();
    crm.put_app(OAuthApp { redirect_urls: vec![redirect.clone()], ..crm.app() });
    assert_eq!(connecting.consent().await, StatusCode::OK);
    let (code, _, said) = connecting.end().await;
    assert_eq!(code, Some(0), "{said}");
    assert!(client().get(&redirect).send().await.is_err(), "nobody listens any more");
    crm.put_app(OAuthApp { denies: true, redirect_urls: vec![other.asked("redirect_uri")], ..crm.app() });
    other.consent().await;
    let (code, _, said) = other.end().await;
    assert!(code == Some(1) && said.contains("access_denied"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn fm_063_another_account_is_connected_only_by_name() {
    let installation = oauth(OAuthApp { names_account: false, ..strict(1_800) }).await;
    assert_eq!(
        connect(&installation, &["--account", "666"]).await.0,
        Some(1),
        "not the account that was named"
    );
    assert_eq!(connect(&installation, &[]).await.0, Some(0));
    let crm = installation.sandbox.hubspot();
    crm.put_app(OAuthApp {
        account: 666,
        withheld_scopes: vec!["crm.objects.users.read".to_owned()],
        ..crm.app()
    });
    let (code, _, said) = connect(&installation, &[]).await;
    assert!(code == Some(1) && said.contains("--account 666"), "{said}");
    assert_eq!(token(&installation).await["account"], "4711");
    let (code, answer, said) = connect(&installation, &["--account", "666"]).await;
    assert_eq!(answer["token"]["account"], "666", "{said}");
    assert_eq!(answer["missing"][0]["scope"], "crm.objects.users.read");
    assert!(answer["missing"][0]["why"].as_str().unwrap().contains("working hours"));
    assert_eq!(code, Some(1), "owners can not be read with their hours: {answer}");
    assert!(said.contains("Restart a daemon"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_browser_the_address_is_pasted() {
    let installation = oauth(strict(1_800)).await;
    let mut connecting = Connecting::start(&installation, &["--no-browser"]).await;
    let browser = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none());
    let sent = browser.build().unwrap().get(connecting.page.clone()).send().await.unwrap();
    let back = sent.headers()["location"].to_str().unwrap().to_owned();
    assert!(back.starts_with("http://127.0.0.1:8471/callback?code="), "{back}");
    connecting.paste("https://elsewhere.example/?code=c&state=s");
    connecting.paste(&back);
    let (code, answer, said) = connecting.end().await;
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("paste it once more"), "{said}");
    assert_eq!(answer["token"]["account"], "4711");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copied_token_is_tried_out() {
    let installation = Installation::new().await;
    let answer = installation.json(&["connect", "site-form"]).await;
    assert_eq!((&answer["token"], &answer["tried"][0]["ok"]), (&Value::Null, &json!(true)), "{answer}");
    installation.write("crm.token", "pat-wrong");
    let output = installation.run(&["connect", CRM]).await;
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stdout).contains("does not accept the token"), "{}", text(&output.stdout));
    assert!(installation.refused(&["connect", "no-such"]).await.contains("site-form"));
}

#[tokio::test(flavor = "multi_thread")]
async fn oauth_settings_are_checked() {
    let installation = oauth(strict(1_800)).await;
    let output = installation.run(&["check"]).await;
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("not connected: run `usher connect hubspot-main`"));
    let said = installation.refused(&["check", "--online"]).await;
    assert!(said.contains("not connected yet"), "{said}");
    installation.edit(
        "usher.yaml",
        "authorize_url:",
        "redirect_url: \"http://evil.example/x\", authorize_url:",
    );
    let said = installation.refused(&["check"]).await;
    assert!(said.contains("no address to come back to"), "{said}");
    installation.edit("usher.yaml", "redirect_url: \"http://evil.example/x\", ", "");
    installation.edit("usher.yaml", "key: { file: usher.key }", "");
    let said = installation.refused(&["check"]).await;
    assert!(said.contains("no key to encrypt its tokens with"), "{said}");
    installation.edit("usher.yaml", "auth: { token: { file: form.token } }", "auth: { oauth: {} }");
    let said = installation.refused(&["check"]).await;
    assert!(said.contains("gives out no tokens by OAuth"), "{said}");
}
