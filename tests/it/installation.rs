//! An installation in a temporary folder, beside simulators on loopback; the real binary runs in it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};
use tempfile::TempDir;
use usher_sandbox::{
    CrmObject, CrmVendor, Field, FormSpec, Options, Owner, Sandbox, Submission, Subscription, WebhookTarget,
};
use usher_testkit::invariants::{Broken, Evidence, Form, Ledger, Phase, Scene};

/// How long a condition may take to become true on a slow machine.
const LIMIT: Duration = Duration::from_secs(180);
/// How long what was drained may take to rest: the echoes of the last writes must have come in.
const REST: Duration = Duration::from_secs(20);

/// A folder with files, and the simulators that they point to.
pub(crate) struct Installation {
    pub(crate) sandbox: Sandbox,
    pub(crate) port: u16,
    folder: TempDir,
    /// The database's URL, if it is no file.
    postgres: Option<String>,
    /// Tokens of form answers that were posted here and answered with 2xx.
    acknowledged: Mutex<Vec<String>>,
}

/// A daemon that is killed when the test ends.
pub(crate) struct Daemon(Child);

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Daemon {
    /// Asks it to stop, and returns its exit code.
    pub(crate) fn stop(mut self) -> Option<i32> {
        self.signal("TERM");
        self.0.wait().unwrap().code()
    }

    /// Sends a signal by name.
    pub(crate) fn signal(&self, name: &str) {
        let status = Command::new("kill").args([format!("-{name}"), self.0.id().to_string()]).status();
        assert!(status.unwrap().success());
    }

    /// Its process id.
    pub(crate) fn id(&self) -> u32 {
        self.0.id()
    }

    /// Whether it is gone.
    pub(crate) fn has_ended(&mut self) -> bool {
        self.0.try_wait().unwrap().is_some()
    }

    /// The memory that it holds, in KiB.
    pub(crate) fn resident(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.0.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    /// Kills it without a chance to tidy up.
    pub(crate) fn kill(mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Installation {
    /// Simulators without limits, one form, three owners, the usual files.
    pub(crate) async fn new() -> Self {
        Self::with("live", "").await
    }

    /// The same in another mode, with further lines at the end of usher.yaml.
    pub(crate) async fn with(mode: &str, further: &str) -> Self {
        let options = Options { limits: None, typeform_per_second: None, ..Options::default() };
        let tokens = (options.hubspot_token.clone(), options.typeform_token.clone());
        let sandbox = Sandbox::start(options).await.unwrap();
        for (id, first) in [(101, "Ana"), (102, "Ben"), (103, "Carla")] {
            sandbox.hubspot().put_owner(owner(id, first, false));
        }
        sandbox.typeform().define(form());
        let port = usher_testkit::free_port();
        let folder = TempDir::new().unwrap();
        let installation = Self { sandbox, port, folder, postgres: None, acknowledged: Mutex::default() };
        let settings = installation.settings(mode, further);
        installation.write("usher.yaml", &settings);
        installation.write("site-form.yaml", MAPPING);
        installation.write("routing.yaml", ROUTING);
        installation.write("crm.token", &tokens.0);
        installation.write("form.token", &tokens.1);
        installation.write("form.secret", "form-secret");
        installation.write("crm.secret", "crm-secret");
        installation
    }

    /// The same on a Postgres database.
    pub(crate) async fn on_postgres(url: &str) -> Self {
        let mut installation = Self::with("live", "write: { settle: 6s }").await;
        installation.edit("usher.yaml", "sqlite://usher.db", url);
        installation.postgres = Some(url.to_owned());
        installation
    }

    fn settings(&self, mode: &str, further: &str) -> String {
        format!(
            "version: 1
mode: {mode}
store: sqlite://usher.db
connections:
  hubspot-main:
    connector: hubspot
    base_url: {}
    auth: {{ token: {{ file: crm.token }} }}
    timeout: 3s
    limits: off
    pull: {{ objects: [contacts], every: 1s }}
    inbound: {{ secret: {{ file: crm.secret }} }}
  site-form:
    connector: typeform
    base_url: {}
    form: demo
    auth: {{ token: {{ file: form.token }} }}
    inbound: {{ secret: {{ file: form.secret }} }}
    limits: off
    pull: {{ every: 1s }}
    mapping: site-form.yaml
crm: hubspot-main
routing: routing.yaml
http: {{ listen: \"127.0.0.1:{}\" }}
{further}
",
            self.sandbox.hubspot_url, self.sandbox.typeform_url, self.port
        )
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Writes a file of the installation.
    pub(crate) fn write(&self, name: &str, text: &str) {
        fs::write(self.path().join(name), text).unwrap();
    }

    /// Changes a file of the installation; the text to replace must be there.
    pub(crate) fn edit(&self, name: &str, from: &str, to: &str) {
        let text = fs::read_to_string(self.path().join(name)).unwrap();
        assert!(text.contains(from), "{name} has no `{from}`");
        self.write(name, &text.replace(from, to));
    }

    /// The program, to be run in the installation's folder.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_usher"));
        command
            .current_dir(self.path())
            .env_remove("USHER_CONFIG")
            .env_remove("USHER_LOG")
            .stdin(Stdio::null());
        command
    }

    /// Runs a verb to its end. Off the async threads, because the simulators answer on them.
    pub(crate) async fn run(&self, args: &[&str]) -> Output {
        let mut command = self.command();
        command.args(args);
        tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
    }

    /// Runs a verb that must succeed, and reads its answer as JSON.
    pub(crate) async fn json(&self, args: &[&str]) -> Value {
        let output = self.run(&[args, &["--json"]].concat()).await;
        assert!(output.status.success(), "{args:?}: {}", text(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// Runs a verb that must fail on its input (exit 1), and returns what it says.
    pub(crate) async fn refused(&self, args: &[&str]) -> String {
        let output = self.run(args).await;
        assert_eq!(output.status.code(), Some(1), "{args:?}: {}", text(&output.stderr));
        text(&output.stderr)
    }

    /// Starts the daemon and waits until it takes leads.
    pub(crate) async fn start(&self) -> Daemon {
        let daemon = self.spawn(&[]);
        self.ready().await;
        daemon
    }

    /// Whether the daemon has connected the form for the first time.
    pub(crate) async fn is_connected(&self) -> bool {
        let Ok(mut ledger) = self.ledger().await else { return false };
        let connected = ledger.connected("site-form").await.unwrap_or_default();
        ledger.close().await.unwrap();
        connected
    }

    /// Waits until the daemon takes leads.
    pub(crate) async fn ready(&self) {
        let ready = format!("http://127.0.0.1:{}/readyz", self.port);
        until("the daemon is ready", async || {
            client().get(&ready).send().await.is_ok_and(|response| response.status().is_success())
        })
        .await;
    }

    /// Starts the daemon with further environment variables.
    pub(crate) fn spawn(&self, environment: &[(&str, &str)]) -> Daemon {
        self.spawn_with("usher.yaml", environment)
    }

    fn spawn_with(&self, settings: &str, environment: &[(&str, &str)]) -> Daemon {
        let mut command = self.command();
        command.envs(environment.iter().copied()).args(["run", "--config", settings]);
        self.spawn_command(command)
    }

    /// Starts a command that becomes the daemon.
    pub(crate) fn spawn_command(&self, mut command: Command) -> Daemon {
        let log =
            fs::OpenOptions::new().create(true).append(true).open(self.path().join("daemon.log")).unwrap();
        Daemon(command.current_dir(self.path()).stdout(Stdio::null()).stderr(log).spawn().unwrap())
    }

    /// Starts a further node on another port, with its own way to the database if one is given.
    pub(crate) fn spawn_node(&self, name: &str, database: Option<&str>) -> Daemon {
        let mut settings = fs::read_to_string(self.path().join("usher.yaml")).unwrap();
        settings = settings.replace(
            &format!("127.0.0.1:{}", self.port),
            &format!("127.0.0.1:{}", usher_testkit::free_port()),
        );
        if let (Some(other), Some(own)) = (database, &self.postgres) {
            settings = settings.replace(own.as_str(), other);
        }
        self.write(name, &settings);
        self.spawn_with(name, &[])
    }

    /// What the daemon has said.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.path().join("daemon.log")).unwrap_or_default()
    }

    /// Somebody answers the form.
    pub(crate) fn submit(&self, email: &str, name: &str) {
        let answers = object(
            json!({ "name": name, "email": email, "company": "Acme", "country": "Germany", "need": "SEO" }),
        );
        let submission = Submission { form: "demo".to_owned(), answers, ..Submission::default() };
        self.sandbox.typeform().submit(&submission).unwrap();
    }

    /// Waits until every record has ended and no write is on its way, with at least so many leads opened.
    pub(crate) async fn drained(&self, opened: u64) -> Value {
        let mut last = Value::Null;
        until("everything is written", async || {
            last = self.json(&["status"]).await;
            let count = |group: &str, names: &[&str]| {
                names.iter().filter_map(|name| last[group][*name].as_u64()).sum::<u64>()
            };
            count("records", &["opened"]) >= opened
                && count("records", &["fetched", "mapped"]) == 0
                && count("writes", &["blocked", "planned", "sending", "unknown"]) == 0
        })
        .await;
        last
    }

    /// Lets the simulated CRM call the daemon when something happens to a contact.
    pub(crate) fn hook_up_crm(&self) {
        self.sandbox.hubspot().set_webhook(Some(WebhookTarget {
            url: self.hook("hubspot-main"),
            signed_url: None,
            client_secret: "crm-secret".to_owned(),
            subscriptions: Subscription::usual(),
            max_concurrent_requests: 10,
            time_scale: 0.001,
        }));
    }

    /// Posts a form answer again and again until it is taken, as a sender does that may not lose any.
    pub(crate) async fn send_until_taken(&self, token: &str) {
        until("the daemon takes the webhook", async || {
            self.try_form_hook(&client(), token, "SEO").await.is_ok_and(|answer| answer.status().is_success())
        })
        .await;
        self.acknowledged.lock().unwrap().push(token.to_owned());
    }

    /// How many posted form answers were taken.
    pub(crate) fn acknowledged(&self) -> u64 {
        self.acknowledged.lock().unwrap().len() as u64
    }

    /// Posts a signed form answer to the daemon, as the form tool would.
    pub(crate) async fn form_hook(&self, token: &str, message: &str) -> reqwest::Response {
        self.try_form_hook(&client(), token, message).await.unwrap()
    }

    /// The same by a client that is kept; a daemon that is not there is an error.
    pub(crate) async fn try_form_hook(
        &self,
        client: &reqwest::Client,
        token: &str,
        message: &str,
    ) -> reqwest::Result<reqwest::Response> {
        let answer = |reference: &str, kind: &str, value: &str| json!({ "type": kind, kind: value, "field": { "id": reference, "type": "short_text", "ref": reference } });
        let body = json!({
            "event_id": token, "event_type": "form_response",
            "form_response": {
                "form_id": "demo", "token": token, "landed_at": "2026-11-22T12:00:00Z", "submitted_at": "2026-11-22T12:00:01Z",
                "hidden": {}, "definition": { "id": "demo", "title": "Demo", "fields": [] },
                "answers": [answer("name", "text", "Hook Example"), answer("email", "email", &format!("{token}@hook.example")), answer("need", "text", message)],
            },
        })
        .to_string();
        let signature = usher_sandbox::typeform::sign("form-secret", body.as_bytes());
        let post = client.post(self.hook("site-form")).header("Typeform-Signature", signature);
        post.header("content-type", "application/json").body(body).send().await
    }

    /// Holds what the program believes against what the simulators know, once everything has come to rest. Echoes of
    /// our own writes may still come in, so the last word is what holds in the end.
    pub(crate) async fn assert_invariants(&self) {
        let (started, mut broken) = (Instant::now(), self.broken(Phase::Drained).await);
        let mut tick = tokio::time::interval(Duration::from_millis(200));
        while !broken.is_empty() && started.elapsed() < REST {
            tick.tick().await;
            broken = self.broken(Phase::Drained).await;
        }
        assert_eq!(broken, []);
    }

    /// The database, as the invariant checker reads it.
    pub(crate) async fn ledger(&self) -> anyhow::Result<Ledger> {
        let file = self.path().join("usher.db");
        Ledger::open(self.postgres.as_deref().unwrap_or(file.to_str().unwrap())).await
    }

    /// The rules that do not hold. While things are under way, no daemon may run.
    pub(crate) async fn broken(&self, phase: Phase) -> Vec<Broken> {
        let mut ledger = self.ledger().await.unwrap();
        let evidence = Evidence::collect(&mut ledger, &self.sandbox, self.scene()).await.unwrap();
        ledger.close().await.unwrap();
        evidence.broken(phase)
    }

    fn scene(&self) -> Scene {
        let acknowledged = self.acknowledged.lock().unwrap().clone().into_iter();
        let secrets = ["crm.token", "form.token", "crm.secret", "form.secret"];
        let secrets = secrets.iter().map(|name| fs::read_to_string(self.path().join(name)).unwrap());
        let faults = self.sandbox.faults();
        let settings = fs::read_to_string(self.path().join("usher.yaml")).unwrap();
        let is_crm = |vendor: &CrmVendor| settings.contains(&format!("\ncrm: {vendor}-main"));
        let vendor = CrmVendor::ALL.into_iter().find(is_crm).unwrap();
        let is_pulled =
            |object: &CrmObject| settings.contains(&format!("objects: [{}]", vendor.objects(*object)));
        let entered = [CrmObject::Lead, CrmObject::Deal].into_iter().find(is_pulled).unwrap_or_default();
        Scene {
            entered,
            forms: vec![Form { connection: "site-form".to_owned(), id: "demo".to_owned() }],
            acknowledged: acknowledged.map(|token| ("site-form".to_owned(), token)).collect(),
            hidden_for: Duration::from_millis(faults.index_lag_ms.1.max(faults.form_lag_ms.1)),
            log: Some(self.path().join("daemon.log")),
            canaries: secrets.chain(["@acme".to_owned(), "@hook.example".to_owned()]).collect(),
            ..Scene::of(vendor, &format!("{vendor}-main"))
        }
    }

    /// The address of a webhook.
    pub(crate) fn hook(&self, connection: &str) -> String {
        format!("http://127.0.0.1:{}/hooks/{connection}", self.port)
    }
}

/// An owner of the simulated CRM.
pub(crate) fn owner(id: u64, first: &str, archived: bool) -> Owner {
    Owner {
        id,
        email: format!("{}@agency.example", first.to_lowercase()),
        first_name: first.to_owned(),
        last_name: "Example".to_owned(),
        user_id: Some(id + 1000),
        archived,
        teams: Vec::new(),
        created_at: 0,
        updated_at: 0,
    }
}

fn form() -> FormSpec {
    let fields = ["name", "email", "company", "country", "need"].map(|name| Field {
        id: String::new(),
        reference: name.to_owned(),
        field_type: if name == "email" { "email" } else { "short_text" }.to_owned(),
        title: name.to_owned(),
    });
    FormSpec { id: "demo".to_owned(), title: "Demo".to_owned(), fields: fields.to_vec() }
}

/// How many records were seen.
pub(crate) fn seen(status: &Value) -> u64 {
    status["records"].as_object().unwrap().values().filter_map(Value::as_u64).sum()
}

/// The members of a JSON object.
pub(crate) fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        other => panic!("{other} is no object"),
    }
}

/// A client for loopback.
pub(crate) fn client() -> reqwest::Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().no_proxy().build().unwrap()
}

/// Bytes as text.
pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Waits until the condition holds.
pub(crate) async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let started = Instant::now();
    let mut tick = tokio::time::interval(Duration::from_millis(50));
    while !holds().await {
        assert!(started.elapsed() < LIMIT, "gave up waiting until {what}");
        tick.tick().await;
    }
}

/// A path outside the installation that does not exist.
pub(crate) fn nowhere() -> PathBuf {
    PathBuf::from("nowhere.yaml")
}

const MAPPING: &str = "version: 1
enroll: { on: every_time }
lead:
  full_name:    { from: answers.name }
  email:        { from: answers.email, clean: email, required: true }
  company:      { from: answers.company }
  country:      { from: answers.country, clean: country }
  service_line: { from: answers.need, values: { SEO: seo }, default: other }
";

const ROUTING: &str = "version: 1
reps:
  ana:   { email: ana@agency.example }
  ben:   { email: ben@agency.example }
  carla: { email: carla@agency.example }
pools:
  everyone:
    members: [ana, ben]
    strategy: round_robin
    if_nobody: { wait: 30m, then: { rep: carla } }
rules:
  - name: Customers keep their owner
    when: 'account.owner != null'
    assign: { to: account.owner, if_unavailable: { pool: everyone } }
  - name: Everyone
    when: 'true'
    assign: { pool: everyone }
fallback: { rep: carla }
";
