//! The real program beside simulators, and senders that post form answers to it: what `bench hook` and `bench ack` share.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context;
use serde_json::json;
use tokio::sync::oneshot;
use usher_sandbox::{Change, CrmVendor, Options, Owner, Sandbox};
use usher_testkit::invariants::Ledger;

use crate::field::installation::{HOOK_SECRET, Installation};
use crate::field::settings::Draft;
use crate::process::Usage;

const REPS: u64 = 10;

/// A running program with its simulators.
pub(super) struct Rig {
    pub(super) sandbox: Arc<Sandbox>,
    pub(super) installation: Installation,
    client: reqwest::Client,
    hook: String,
}

/// Who waits for the task of which address.
type Waiting = Arc<Mutex<HashMap<String, oneshot::Sender<()>>>>;

impl Rig {
    /// Starts everything, and waits until the program has read owners and companies.
    pub(super) async fn start(folder: &Path) -> anyhow::Result<Self> {
        let options = Options { limits: None, typeform_per_second: None, ..Options::default() };
        let sandbox = Arc::new(Sandbox::start(options.clone()).await?);
        fill(&sandbox)?;
        let mut installation = Installation::write_with(
            folder,
            &settings(),
            (&sandbox, &options, CrmVendor::Hubspot),
            &routing(),
        )?;
        installation.start()?;
        let client = reqwest::Client::builder().no_proxy().build()?;
        let hook = format!("{}/hooks/site-form", installation.address);
        let rig = Self { sandbox, installation, client, hook };
        rig.settled("warm-up", 20).await?;
        Ok(rig)
    }

    /// Posts an answer, and returns once it is acknowledged.
    pub(super) async fn post(&self, email: &str) -> anyhow::Result<()> {
        loop {
            let body = answer(email);
            let signature = usher_sandbox::typeform::sign(HOOK_SECRET, body.as_bytes());
            let post = self.client.post(&self.hook).header("Typeform-Signature", signature);
            match post.header("content-type", "application/json").body(body).send().await {
                Ok(answer) if answer.status().is_success() => return Ok(()),
                // It starts, or has more to do than it takes: senders come again.
                Ok(answer) if answer.status().as_u16() == 503 => {}
                Ok(answer) => anyhow::bail!("the hook was refused with {}", answer.status()),
                Err(error) if error.is_connect() => {}
                Err(error) => return Err(error.into()),
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Posts so many answers one after the other and waits for their tasks.
    pub(super) async fn settled(&self, who: &str, count: u32) -> anyhow::Result<()> {
        let tasks = Tasks::watch(&self.sandbox);
        for n in 0..count {
            let email = format!("{who}{n}@stranger-{n}.example");
            let task = tasks.expect(&email);
            self.post(&email).await?;
            task.await.context("the watcher ended")?;
        }
        Ok(())
    }

    /// Waits until every lead is written. Returns how long that took.
    pub(super) async fn quiet(&self) -> anyhow::Result<Duration> {
        let started = Instant::now();
        loop {
            let mut ledger = Ledger::open(&self.installation.place()).await?;
            let standing = ledger.standing().await;
            ledger.close().await?;
            if standing?.rests() {
                return Ok(started.elapsed());
            }
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
    }

    /// What the program has used so far.
    pub(super) fn usage(&self) -> Usage {
        self.installation.usage()
    }
}

/// Nobody but the senders calls it.
fn settings() -> Draft {
    let secret = "inbound: { secret: { file: hook.secret } }";
    Draft::of(CrmVendor::Hubspot, &["limits: off"]).form("site-form", "bench1", &[secret, "limits: off"])
}

/// Tells when the simulated CRM has a task for somebody.
pub(super) struct Tasks {
    waiting: Waiting,
    watcher: tokio::task::JoinHandle<()>,
}

impl Tasks {
    pub(super) fn watch(sandbox: &Arc<Sandbox>) -> Self {
        let waiting = Waiting::default();
        let watcher = tokio::spawn(watch(Arc::clone(sandbox), Arc::clone(&waiting)));
        Self { waiting, watcher }
    }

    /// Resolves when that address has a task.
    pub(super) fn expect(&self, email: &str) -> oneshot::Receiver<()> {
        let (done, task) = oneshot::channel();
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).insert(email.to_owned(), done);
        task
    }
}

impl Drop for Tasks {
    fn drop(&mut self) {
        self.watcher.abort();
    }
}

/// Looks at the oracle's log every millisecond, which is the grain of the latencies.
async fn watch(sandbox: Arc<Sandbox>, waiting: Waiting) {
    let crm = sandbox.hubspot();
    let mut from = crm.events(0).len();
    let mut tick = tokio::time::interval(Duration::from_millis(1));
    loop {
        tick.tick().await;
        let events = crm.events(from);
        from += events.len();
        for event in
            events.iter().filter(|event| event.change == Change::Associate && event.object() == "tasks")
        {
            let contact = crm.read("contacts", event.other);
            let email = contact.as_ref().and_then(|contact| contact["properties"]["email"].as_str());
            let Some(email) = email else { continue };
            let done = waiting.lock().unwrap_or_else(PoisonError::into_inner).remove(email);
            // Whoever gave up waiting need not know.
            let _ = done.map(|done| done.send(()));
        }
    }
}

/// Owners and companies.
pub(super) fn fill(sandbox: &Sandbox) -> anyhow::Result<()> {
    for n in 1..=REPS {
        sandbox.hubspot().put_owner(owner(n));
    }
    let mut lines = String::new();
    for n in 0..1_000 {
        let properties =
            json!({ "name": format!("Company {n} GmbH"), "domain": format!("company-{n}.example") });
        let line = json!({ "object": "companies", "createdAt": 1_700_000_000_000_u64, "updatedAt": 1_700_000_000_000_u64 + n,
            "properties": properties });
        let _ = writeln!(lines, "{line}");
    }
    sandbox.hubspot().seed(&lines)?;
    Ok(())
}

/// The n-th owner of the simulated CRM.
pub(super) fn owner(n: u64) -> Owner {
    Owner {
        id: 100 + n,
        email: format!("rep{n}@agency.example"),
        first_name: format!("Rep{n}"),
        last_name: "Agency".to_owned(),
        user_id: Some(1_100 + n),
        archived: false,
        teams: Vec::new(),
        created_at: 0,
        updated_at: 0,
    }
}

/// Everybody in turn.
pub(super) fn routing() -> String {
    let mut text = "version: 1\nreps:\n".to_owned();
    for n in 1..=REPS {
        let _ = writeln!(text, "  rep{n}: {{ email: rep{n}@agency.example }}");
    }
    let members: Vec<String> = (1..=REPS).map(|n| format!("rep{n}")).collect();
    let _ = writeln!(
        text,
        "pools:\n  everyone: {{ members: [{}], strategy: round_robin, if_nobody: {{ wait: 30m, then: {{ rep: rep1 }} }} }}",
        members.join(", ")
    );
    text.push_str("rules:\n  - name: Everybody\n    when: 'true'\n    assign: { pool: everyone }\nfallback: { rep: rep1 }\n");
    text
}

/// A form answer as the form tool posts it.
fn answer(email: &str) -> String {
    let field = |reference: &str, kind: &str, value: &str| json!({ "type": kind, kind: value, "field": { "id": reference, "type": "short_text", "ref": reference } });
    let now = jiff::Timestamp::now();
    json!({
        "event_id": email, "event_type": "form_response",
        "form_response": {
            "form_id": "bench1", "token": email, "landed_at": now, "submitted_at": now,
            "hidden": {}, "definition": { "id": "bench1", "title": "Bench", "fields": [] },
            "answers": [field("name", "text", "Lea Laroche"), field("email", "email", email),
                field("company", "text", "Stranger Ltd"), field("country", "text", "Germany"),
                field("message", "text", "Please call me about the offer on your site")],
        },
    })
    .to_string()
}

/// The value below which that part of the sorted values lies.
pub(super) fn quantile(sorted: &[f64], part: f64) -> f64 {
    let at = (sorted.len() as f64 * part).ceil() as usize;
    sorted.get(at.clamp(1, sorted.len().max(1)) - 1).copied().unwrap_or_default()
}
