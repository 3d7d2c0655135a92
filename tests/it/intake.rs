//! Intake by the whole program: nothing acknowledged is lost, nothing hostile gets in, and what the vendor does meanwhile
//! is followed.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use usher_sandbox::{Faults, WebhookTarget};
use usher_store::{Inspection, LeadFilter, OpenOptions, SqliteStore};

use crate::installation::{Installation, client, object, seen, text, until};

const MANY: &str = "write: { guard: { max_per_hour: 100000 } }";

/// Senders that post one signed form answer after the other, and what they were told.
struct Senders {
    acknowledged: Arc<Mutex<BTreeSet<String>>>,
    statuses: Arc<Mutex<BTreeMap<u16, usize>>>,
    stop: Arc<AtomicBool>,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

impl Senders {
    fn start(installation: &Arc<Installation>, count: usize) -> Self {
        let (acknowledged, statuses) = (Arc::default(), Arc::default());
        let (stop, number) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let mut senders = Self { acknowledged, statuses, stop, tasks: Vec::new() };
        for _ in 0..count {
            let (installation, client) = (Arc::clone(installation), client());
            let (acknowledged, statuses) = (Arc::clone(&senders.acknowledged), Arc::clone(&senders.statuses));
            let (stop, number) = (Arc::clone(&senders.stop), Arc::clone(&number));
            senders.tasks.push(tokio::spawn(async move {
                let mut pace = tokio::time::interval(Duration::from_millis(10));
                while !stop.load(Ordering::Relaxed) {
                    let token = format!("t{}", number.fetch_add(1, Ordering::Relaxed));
                    // 0 stands for no answer: the daemon is not there, or died before it answered.
                    let answer = installation.try_form_hook(&client, &token, "SEO").await;
                    let status = answer.map_or(0, |answer| answer.status().as_u16());
                    *statuses.lock().unwrap().entry(status).or_default() += 1;
                    if status == 200 {
                        acknowledged.lock().unwrap().insert(format!("{token}@hook.example"));
                    } else {
                        pace.tick().await;
                    }
                }
            }));
        }
        senders
    }

    async fn until_acknowledged(&self, count: usize) {
        until("the senders were answered", async || self.acknowledged.lock().unwrap().len() >= count).await;
    }

    /// Stops them; returns the addresses that were acknowledged, and how often each status was given.
    async fn stop(self) -> (BTreeSet<String>, BTreeMap<u16, usize>) {
        self.stop.store(true, Ordering::Relaxed);
        for task in self.tasks {
            task.await.unwrap();
        }
        let statuses = self.statuses.lock().unwrap().clone();
        (self.acknowledged.lock().unwrap().clone(), statuses)
    }
}

/// The e-mail addresses of all leads.
async fn addresses(installation: &Installation) -> BTreeSet<String> {
    let path = installation.path().join("usher.db");
    let store = SqliteStore::open(path.to_str().unwrap(), OpenOptions::command()).await.unwrap();
    let leads = store.leads(&LeadFilter { limit: 1_000_000, ..LeadFilter::default() }).await.unwrap();
    leads.iter().filter_map(|each| each.lead.fields.text("email").map(str::to_owned)).collect()
}

async fn assert_all_there(installation: &Installation, acknowledged: &BTreeSet<String>) {
    until("everything stored is decided", async || {
        let status = installation.json(&["status"]).await;
        let count = |name: &str| status["records"][name].as_u64().unwrap_or_default();
        status["deliveries_waiting"] == json!(0) && count("fetched") + count("mapped") == 0
    })
    .await;
    let there = addresses(installation).await;
    let lost: Vec<_> = acknowledged.difference(&there).collect();
    assert!(lost.is_empty(), "{} acknowledged answers are lost: {lost:?}", lost.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn fm_024_every_2xx_has_a_row_after_kill_9_under_load() {
    let installation = Arc::new(Installation::with("observe", MANY).await);
    let mut daemon = installation.start().await;
    let senders = Senders::start(&installation, 16);
    for round in 1..=4 {
        senders.until_acknowledged(round * 60).await;
        daemon.kill();
        daemon = installation.start().await;
    }
    senders.until_acknowledged(300).await;
    let (acknowledged, statuses) = senders.stop().await;
    assert!(statuses.keys().all(|status| [0, 200, 503].contains(status)), "{statuses:?}");
    assert_all_there(&installation, &acknowledged).await;
    assert_eq!(daemon.stop(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn fm_030_restarts_under_traffic_give_200_or_503_and_never_404() {
    let installation = Arc::new(Installation::with("observe", MANY).await);
    let mut daemon = installation.start().await;
    let senders = Senders::start(&installation, 8);
    for round in 1..=3 {
        senders.until_acknowledged(round * 40).await;
        assert_eq!(daemon.stop(), Some(0));
        daemon = installation.start().await;
    }
    let (acknowledged, statuses) = senders.stop().await;
    assert!(statuses.keys().all(|status| [0, 200, 503].contains(status)), "{statuses:?}");
    assert!(statuses.contains_key(&503), "no call met a start or a stop: {statuses:?}");
    assert_all_there(&installation, &acknowledged).await;
    let unknown = client().post(installation.hook("no-such-form")).body("{}").send().await.unwrap();
    assert_eq!(unknown.status().as_u16(), 404, "once it runs, an address that nobody configured is told so");
    assert_eq!(daemon.stop(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn fm_025_webhooks_are_taken_while_every_vendor_is_down() {
    let installation = Installation::new().await;
    installation.sandbox.set_faults(Faults { server_error: 1.0, ..Faults::default() });
    let daemon = installation.start().await;
    for n in 0..20 {
        assert!(installation.form_hook(&format!("t{n}"), "SEO").await.status().is_success());
    }
    installation.sandbox.set_faults(Faults::default());
    installation.drained(20).await;
    assert_eq!(daemon.stop(), Some(0));
}

/// Headers alone, whatever body they announce; the status that comes back.
fn announce(port: u16, headers: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    write!(
        stream,
        "POST /hooks/site-form HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n{headers}\r\n"
    )
    .unwrap();
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).unwrap();
    text(&answer[9..])
}

#[tokio::test(flavor = "multi_thread")]
async fn fm_036_hostile_bodies_get_no_2xx_and_no_memory() {
    let installation = Arc::new(Installation::with("observe", "").await);
    let daemon = installation.start().await;
    let port = installation.port;
    assert_eq!(announce(port, "Content-Length: 99999999999\r\n"), "413", "before a byte of it is sent");
    assert_eq!(announce(port, "Content-Length: 10\r\nContent-Encoding: gzip\r\n"), "415");
    let before = daemon.resident();
    let bodies = Arc::new([
        vec![b'['; 1024 * 1024],
        vec![b'x'; 1024 * 1024],
        vec![0; 100_000],
        b"{\"a\":1,\"a\":2}".to_vec(),
        Vec::new(),
    ]);
    let hostile = (0..8).map(|sender| {
        let (hook, bodies, client) = (installation.hook("site-form"), Arc::clone(&bodies), client());
        tokio::spawn(async move {
            for n in 0..100 {
                let body = bodies[(n + sender) % bodies.len()].clone();
                let kind = ["application/json", "multipart/form-data; boundary=x", "text/xml"][n % 3];
                let post = client.post(&hook).header("content-type", kind).body(body);
                let post = post.header("Typeform-Signature", "sha256=AAAA");
                if let Ok(answer) = post.send().await {
                    assert!(answer.status().is_client_error(), "{}", answer.status());
                }
            }
        })
    });
    for sender in hostile.collect::<Vec<_>>() {
        sender.await.unwrap();
    }
    let risen = daemon.resident().saturating_sub(before) / 1024;
    assert!(risen <= 32, "800 hostile bodies cost {risen} MiB");
    let status = installation.json(&["status"]).await;
    assert_eq!(seen(&status), 0);
    until("refusals are counted", async || {
        installation.json(&["status"]).await["webhooks"][0]["refused"].as_u64() >= Some(700)
    })
    .await;
    let said = text(&installation.run(&["status"]).await.stdout);
    assert!(said.contains("webhooks refused, last at"), "{said}");
    assert_eq!(daemon.stop(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn fm_036_a_genuine_body_nested_without_end_fails_alone() {
    let installation = Installation::new().await;
    let daemon = installation.start().await;
    let nested = format!("{}{}", "[".repeat(200_000), "]".repeat(200_000));
    let body = format!(
        "{{\"event_type\":\"form_response\",\"form_response\":{{\"form_id\":\"demo\",\"token\":\"t\",\"x\":{nested}}}}}"
    );
    let signature = usher_sandbox::typeform::sign("form-secret", body.as_bytes());
    let post = client().post(installation.hook("site-form")).header("content-type", "application/json");
    let answer = post.header("Typeform-Signature", signature).body(body).send().await.unwrap();
    assert!(answer.status().is_success(), "storing does not depend on parsing");
    assert!(installation.form_hook("t1", "SEO").await.status().is_success());
    let status = installation.drained(1).await;
    assert_eq!(status["records"]["failed"], json!(1), "{status}");
    assert_eq!(daemon.stop(), Some(0));
}

/// The webhooks of the form, as Typeform lists them.
async fn webhooks(installation: &Installation) -> Vec<Value> {
    let url = format!("{}/forms/demo/webhooks", installation.sandbox.typeform_url);
    let answer = client().get(url).bearer_auth("tfp_sandbox").send().await.unwrap();
    let body: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
    body["items"].as_array().unwrap().clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn fm_031_restarts_make_one_webhook_which_brings_leads_and_is_put_back() {
    let installation = Installation::new().await;
    let public = format!("http: {{ public_url: \"http://127.0.0.1:{}\",", installation.port);
    installation.edit("usher.yaml", "http: {", &public);
    for start in 0..3 {
        let daemon = installation.start().await;
        until("the webhook is there", async || webhooks(&installation).await.len() == 1).await;
        let own = webhooks(&installation).await.remove(0);
        assert_eq!((&own["url"], &own["enabled"]), (&json!(installation.hook("site-form")), &json!(true)));
        let heard = async || installation.json(&["status"]).await["webhooks"][0]["heard_at"].clone();
        let before = heard().await;
        installation.submit(&format!("p{start}@acme.example"), "P Example");
        until("the webhook brought it", async || heard().await != before).await;
        assert_eq!(daemon.stop(), Some(0));
        if start == 1 {
            // Typeform switches a webhook off for good when it is answered 410.
            let tag = own["tag"].as_str().unwrap();
            let url = format!("{}/forms/demo/webhooks/{tag}", installation.sandbox.typeform_url);
            client().delete(url).bearer_auth("tfp_sandbox").send().await.unwrap().error_for_status().unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn fm_032_check_says_what_to_enter_where_no_api_can() {
    let installation = Installation::new().await;
    installation.edit("usher.yaml", "http: {", "http: { public_url: \"https://usher.example\",");
    let checked = installation.run(&["check"]).await;
    let said = text(&checked.stderr);
    assert!(checked.status.success(), "{said}");
    assert!(
        said.contains("https://usher.example/hooks/hubspot-main") && said.contains("contact.merge"),
        "{said}"
    );
    assert!(!said.contains("hooks/site-form"), "that one is made by the daemon: {said}");
}

/// Sends the CRM's webhooks to the daemon.
fn call_the_daemon(installation: &Installation) {
    let target =
        json!({ "url": installation.hook("hubspot-main"), "clientSecret": "crm-secret", "timeScale": 0.0 });
    installation
        .sandbox
        .hubspot()
        .set_webhook(Some(serde_json::from_value::<WebhookTarget>(target).unwrap()));
}

#[tokio::test(flavor = "multi_thread")]
async fn fm_037_what_every_webhook_drops_comes_by_poll() {
    let installation = Installation::new().await;
    installation.sandbox.set_faults(Faults { webhook_drop: 1.0, ..Faults::default() });
    let daemon = installation.start().await;
    call_the_daemon(&installation);
    for n in 0..10 {
        installation.submit(&format!("p{n}@acme{n}.example"), "P Example");
        let contact = object(json!({ "email": format!("c{n}@other{n}.example") }));
        installation.sandbox.hubspot().create("contacts", &contact, "CRM_UI").unwrap();
    }
    installation.drained(20).await;
    assert_eq!(installation.sandbox.hubspot().summary().tasks_created, 20);
    installation.assert_invariants().await;
    assert_eq!(daemon.stop(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn fm_015_shuffled_pages_with_repeats_are_read_whole() {
    let installation = Installation::with("observe", MANY).await;
    installation.sandbox.set_faults(Faults { shuffled: 1.0, ties_ms: 5, ..Faults::default() });
    let daemon = installation.start().await;
    let crm = installation.sandbox.hubspot();
    for n in 0..450 {
        crm.create("contacts", &object(json!({ "email": format!("c{n}@other{n}.example") })), "CRM_UI")
            .unwrap();
    }
    installation.drained(450).await;
    assert!(crm.summary().faults["shuffled"] > 0);
    assert_eq!(daemon.stop(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn fm_018_a_scope_taken_away_at_run_time_is_said_and_leads_wait() {
    let installation = Installation::new().await;
    let daemon = installation.start().await;
    installation.submit("first@acme.example", "First Example");
    installation.drained(1).await;
    let revoked_scopes = vec!["crm.objects.contacts.read".to_owned()];
    installation.sandbox.set_faults(Faults { revoked_scopes, ..Faults::default() });
    until("status says so", async || {
        let troubles = installation.json(&["status"]).await["troubles"].clone();
        troubles.as_array().unwrap().iter().any(|trouble| {
            trouble["topic"] == json!("contacts/live")
                && trouble["problem"].as_str().unwrap().contains("crm.objects.contacts.read")
        })
    })
    .await;
    let shown = text(&installation.run(&["status"]).await.stdout);
    assert!(shown.contains("DEGRADED contacts/live since"), "{shown}");
    installation.submit("second@acme.example", "Second Example");
    until("the answer waits", async || {
        let status = installation.json(&["status"]).await;
        let people =
            status["troubles"].as_array().unwrap().iter().any(|each| each["topic"] == json!("people"));
        people && status["records"]["fetched"] == json!(1)
    })
    .await;
    assert_eq!(installation.json(&["status"]).await["records"]["opened"], json!(1), "nobody guesses");
    installation.sandbox.set_faults(Faults::default());
    installation.drained(2).await;
    until("all is well", async || installation.json(&["status"]).await["troubles"] == json!([])).await;
    assert_eq!(daemon.stop(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn fm_022_who_could_not_be_looked_up_is_not_taken_for_new() {
    let installation = Installation::new().await;
    let crm = installation.sandbox.hubspot();
    crm.seed(r#"{"object":"contacts","createdAt":"2024-01-01T00:00:00Z","source":"CRM_UI","properties":{"email":"zoe@acme.example","hubspot_owner_id":"103"}}"#).unwrap();
    let daemon = installation.start().await;
    let only_paths = vec!["contacts/batch/read".to_owned()];
    installation.sandbox.set_faults(Faults { server_error: 1.0, only_paths, ..Faults::default() });
    installation.submit("zoe@acme.example", "Zoe Example");
    until("the look-up failed", async || {
        let troubles = installation.json(&["status"]).await["troubles"].clone();
        troubles.as_array().unwrap().iter().any(|trouble| trouble["topic"] == json!("people"))
    })
    .await;
    assert_eq!(installation.json(&["status"]).await["records"]["opened"], json!(0));
    installation.sandbox.set_faults(Faults::default());
    installation.drained(1).await;
    let leads = installation.json(&["leads", "list"]).await;
    assert_eq!(leads[0]["owner"], json!("carla"), "a known owner keeps the person: {leads}");
    assert_eq!(crm.summary().duplicate_persons, 0);
    assert_eq!(daemon.stop(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn fm_020_deleted_and_merged_contacts_leave_one_lead_and_one_task() {
    let installation = Installation::new().await;
    let crm = installation.sandbox.hubspot();
    let daemon = installation.start().await;
    call_the_daemon(&installation);
    assert!(installation.run(&["pause"]).await.status.success());
    let create = |email: &str| crm.create("contacts", &object(json!({ "email": email })), "CRM_UI").unwrap();
    let [gone, one, two, three] =
        ["gone", "one", "two", "three"].map(|name| create(&format!("{name}@{name}.example")));
    until("four leads are decided", async || {
        installation.json(&["status"]).await["leads"]["decided"] == json!(4)
    })
    .await;
    crm.archive("contacts", gone).unwrap();
    let merged = crm.merge("contacts", one, two).unwrap();
    let survivor = crm.merge("contacts", merged, three).unwrap();
    until("one lead is left", async || {
        let leads = installation.json(&["status"]).await["leads"].clone();
        leads["decided"] == json!(1)
            && leads["closed:merged"] == json!(2)
            && leads["closed:suppressed"] == json!(1)
    })
    .await;
    assert!(installation.run(&["pause", "--resume"]).await.status.success());
    installation.drained(4).await;
    let verdict = crm.summary();
    assert_eq!((verdict.tasks_created, verdict.duplicate_persons), (1, 0));
    assert_eq!(crm.associated("contacts", survivor, "tasks").len(), 1, "on the survivor");
    let status = installation.json(&["status"]).await;
    assert_eq!(status["records"]["opened"], json!(4), "{status}");
    installation.assert_invariants().await;
    assert_eq!(daemon.stop(), Some(0));
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        if entry.is_dir() {
            sources(&entry, found);
        } else if entry.extension().is_some_and(|end| end == "rs") {
            found.push(entry);
        }
    }
}

/// What stands directly on both sides of each comparison in a line.
fn compared(line: &str) -> Vec<String> {
    let parts: Vec<&str> = line.split("==").flat_map(|part| part.split("!=")).collect();
    let last = |part: &str| part.split_whitespace().next_back().unwrap_or_default().to_owned();
    let first = |part: &str| part.split_whitespace().next().unwrap_or_default().to_owned();
    parts.windows(2).flat_map(|pair| [last(pair[0]), first(pair[1])]).collect()
}

#[test]
fn fm_034_secrets_are_compared_in_constant_time_and_in_one_place_only() {
    const SECRETS: [&str; 6] = ["expose()", "secret", "signature", "password", "api_key", "hmac"];
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    for folder in [
        "crates/connector/src",
        "crates/web/src",
        "crates/engine/src",
        "crates/host/src",
        "connectors",
        "src",
    ] {
        sources(&root.join(folder), &mut files);
    }
    let one_place = ["crates/connector/src/secret.rs", "crates/connector/src/signature.rs"];
    let mut places = 0;
    for file in files.iter().filter(|file| !file.components().any(|part| part.as_os_str() == "tests")) {
        let source = fs::read_to_string(file).unwrap();
        let code = source.split("#[cfg(test)]").next().unwrap_or_default();
        let name = file.strip_prefix(root).unwrap().to_str().unwrap();
        let lines = code.lines().filter(|line| !line.trim_start().starts_with("//"));
        for line in lines {
            // What stands between quotes is words.
            let line: String = line.split('"').step_by(2).collect();
            for side in compared(&line) {
                let names_one = SECRETS.iter().any(|word| side.to_lowercase().contains(word));
                let line = line.trim();
                assert!(!names_one || side.ends_with(".len()"), "{name}: `{line}` takes a time that tells");
            }
            if line.contains("ct_eq") {
                assert!(one_place.contains(&name), "{name} compares secrets by itself");
                places += 1;
            }
        }
    }
    assert_eq!(places, 2, "the two comparisons were not found: is the test blind?");
}
