//! Limits between connections: one that hangs slows no other, one that is dead is shown.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpListener;
use usher_connector::LimitStanding;
use usher_model::ConnectionName;
use usher_store::{Direction, OpenOptions, Operation as _, Quotas as _, RestingEndpoint, SqliteStore};

use crate::installation::{Installation, object, text, until};

/// A vendor that takes every call and never answers.
#[derive(Default)]
struct Silent {
    taken: AtomicUsize,
    given_up: AtomicUsize,
}

impl Silent {
    async fn listen() -> (Arc<Self>, String) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let silent = Arc::new(Self::default());
        let shared = Arc::clone(&silent);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                shared.taken.fetch_add(1, Ordering::Relaxed);
                let shared = Arc::clone(&shared);
                tokio::spawn(async move {
                    let mut nothing = Vec::new();
                    let _ = stream.read_to_end(&mut nothing).await;
                    shared.given_up.fetch_add(1, Ordering::Relaxed);
                });
            }
        });
        (silent, address)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn fm_067_connections_that_hang_slow_no_other() {
    let installation = Installation::new().await;
    let (silent, address) = Silent::listen().await;
    let hung = |name: &str, connector: &str| {
        format!(
            "  {name}:\n    connector: {connector}\n    base_url: {address}\n    auth: {{ token: {{ file: crm.token }} }}\n    timeout: 120s\n"
        )
    };
    // Far more of them than the program has threads, and before the others in the order of names.
    let forms =
        (0..5).map(|n| hung(&format!("a-form{n}"), "typeform") + "    form: demo\n    pull: { every: 1s }\n");
    let more = forms.collect::<String>()
        + &hung("b-crm", "hubspot")
        + "    pull: { objects: [contacts], every: 1s }\n";
    installation.edit("usher.yaml", "crm: hubspot-main", &format!("{more}crm: hubspot-main"));
    let daemon = installation.start().await;
    until("all of them hang", async || silent.taken.load(Ordering::Relaxed) >= 6).await;
    assert!(installation.form_hook("t1", "SEO").await.status().is_success());
    installation.submit("ann@one.example", "Ann One");
    let contact = object(json!({ "email": "zoe@acme.example", "firstname": "Zoe" }));
    installation.sandbox.hubspot().create("contacts", &contact, "CRM_UI").unwrap();
    installation.drained(3).await;
    assert_eq!(installation.sandbox.hubspot().summary().tasks_created, 3);
    assert_eq!(silent.given_up.load(Ordering::Relaxed), 0, "they hang to the end");
    daemon.kill();
}

#[tokio::test(flavor = "multi_thread")]
async fn fm_064_fm_070_what_rests_and_what_is_used_up_is_shown() {
    let installation = Installation::new().await;
    installation.start().await.kill();
    let database = installation.path().join("usher.db");
    let store = SqliteStore::open(database.to_str().unwrap(), OpenOptions::command()).await.unwrap();
    let (now, crm) = (Timestamp::now(), ConnectionName::new("hubspot-main"));
    let resting = RestingEndpoint {
        connection: crm.clone(),
        direction: Direction::Write,
        since: now,
        probe_at: now,
        problem: "no connection to 127.0.0.1".to_owned(),
    };
    store.rest(resting).await.unwrap();
    let until = now + SignedDuration::from_hours(3);
    let limits =
        [("daily", Some(until)), ("burst", Some(now)), ("search", None)].map(|(limit, blocked_until)| {
            LimitStanding {
                limit: limit.to_owned(),
                blocked_until,
                strikes: 0,
                units: None,
                spent: Vec::new(),
            }
        });
    store.put_quota(&crm, json!(limits), now).await.unwrap();
    store.close().await.unwrap();
    let status = installation.json(&["status"]).await;
    assert_eq!(status["resting"][0]["direction"], json!("write"));
    let pause = json!({ "connection": "hubspot-main", "limit": "daily", "until": until });
    assert_eq!(status["vendor_pauses"], json!([pause]));
    let shown = text(&installation.run(&["status"]).await.stdout);
    assert!(
        shown.contains("RESTS from writing since") && shown.contains("limit `daily` is used up"),
        "{shown}"
    );
}
