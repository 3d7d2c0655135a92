//! The daemon against the simulators: the whole way, crashes, lost answers, modes, guards.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use usher_sandbox::Actor;

use crate::installation::{Installation, object, text, until};

#[tokio::test(flavor = "multi_thread")]
async fn a_form_answer_and_a_new_contact_become_person_owner_and_task() {
    let installation = Installation::new().await;
    let crm = installation.sandbox.hubspot();
    crm.seed(r#"{"object":"companies","properties":{"name":"Acme GmbH","domain":"acme.example","hubspot_owner_id":"103"}}"#).unwrap();
    let daemon = installation.start().await;
    let answer = installation.form_hook("t1", "SEO").await;
    assert!(answer.status().is_success());
    let contact = object(json!({ "email": "zoe@acme.example", "firstname": "Zoe", "lastname": "Acme" }));
    let contact = crm.create("contacts", &contact, "CRM_UI").unwrap();
    installation.drained(2).await;
    let verdict = crm.summary();
    assert_eq!((verdict.tasks_created, verdict.duplicate_tasks, verdict.duplicate_persons), (2, 0, 0));
    let owner = crm.read("contacts", contact).unwrap()["properties"]["hubspot_owner_id"].clone();
    assert_eq!(owner, json!("103"), "the account's owner gets the lead");
    let explained = installation.run(&["explain", "zoe@acme.example"]).await;
    let explained = text(&explained.stdout);
    assert!(
        explained.contains("Customers keep their owner") && explained.contains("Acme GmbH"),
        "{explained}"
    );
    let shown = installation
        .json(&["leads", "show", &format!("https://app.hubspot.com/contacts/1/record/0-1/{contact}")])
        .await;
    assert_eq!(shown["lead"]["close_reason"], json!("written"), "{shown}");
    let task = crm.associated("contacts", contact, "tasks");
    let task = crm.read("tasks", task[0]).unwrap();
    let body = task["properties"]["hs_task_body"].as_str().unwrap();
    assert!(body.contains("Customers keep their owner"), "the task says why: {body}");
    installation.assert_invariants().await;
    assert_eq!(daemon.stop(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn fm_039_lost_answers_make_no_second_person_and_no_second_task() {
    let installation = Installation::with("live", "write: { settle: 6s }").await;
    let mut faults = installation.sandbox.faults();
    faults.lost_response = 0.3;
    faults.server_error = 0.1;
    installation.sandbox.set_faults(faults);
    let daemon = installation.start().await;
    for n in 0..30 {
        installation.submit(&format!("p{n}@acme{n}.example"), &format!("Person{n} Example"));
    }
    until("half of it is written", async || installation.sandbox.hubspot().summary().tasks_created >= 15)
        .await;
    installation.sandbox.set_faults(usher_sandbox::Faults::default());
    installation.drained(30).await;
    let verdict = installation.sandbox.hubspot().summary();
    assert!(verdict.faults.get("lost_response").is_some_and(|count| *count > 0), "{:?}", verdict.faults);
    assert_eq!((verdict.tasks_created, verdict.duplicate_tasks, verdict.duplicate_persons), (30, 0, 0));
    installation.assert_invariants().await;
    assert_eq!(daemon.stop(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn observe_decides_everything_and_sends_nothing_until_it_goes_live() {
    let installation = Installation::with("observe", "").await;
    let crm = installation.sandbox.hubspot();
    let daemon = installation.start().await;
    let contact = object(json!({ "email": "zoe@acme.example", "firstname": "Zoe", "lastname": "Acme" }));
    let contact = crm.create("contacts", &contact, "CRM_UI").unwrap();
    installation.drained(1).await;
    crm.assign_as_human("contacts", contact, 103).unwrap();
    until("the incumbent's choice is seen", async || {
        let compared = installation.json(&["compare"]).await;
        compared["rows"][0]["incumbent"] == json!("103")
    })
    .await;
    assert_eq!(crm.summary().tasks_created, 0);
    let compared = installation.json(&["compare"]).await;
    assert_eq!((&compared["leads"], &compared["same_owner"]), (&json!(1), &json!(0)), "{compared}");
    assert_eq!(daemon.stop(), Some(0));
    installation.edit("usher.yaml", "mode: observe", "mode: live");
    let daemon = installation.start().await;
    let status = installation.drained(1).await;
    assert_eq!(
        status["leads"]["closed:suppressed"],
        json!(1),
        "observed leads are closed, never replayed: {status}"
    );
    assert_eq!(crm.summary().tasks_created, 0);
    assert_eq!(daemon.stop(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn pause_stops_writes_at_once_and_resume_sends_them() {
    let installation = Installation::new().await;
    let daemon = installation.start().await;
    assert!(installation.run(&["pause", "--reason", "quarter end"]).await.status.success());
    installation.submit("ann@one.example", "Ann One");
    until("the lead is decided", async || {
        installation.json(&["status"]).await["leads"]["decided"] == json!(1)
    })
    .await;
    let status = installation.run(&["status"]).await;
    assert!(text(&status.stdout).contains("PAUSED") && text(&status.stdout).contains("quarter end"));
    assert_eq!(installation.sandbox.hubspot().summary().tasks_created, 0);
    assert!(installation.run(&["pause", "--resume"]).await.status.success());
    installation.drained(1).await;
    assert_eq!(installation.sandbox.hubspot().summary().tasks_created, 1);
    assert_eq!(daemon.stop(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_flood_guard_holds_a_connection_until_an_operator_looks() {
    let installation = Installation::with("live", "write: { guard: { max_per_hour: 5 } }").await;
    let daemon = installation.start().await;
    for n in 0..12 {
        installation.submit(&format!("p{n}@acme{n}.example"), &format!("Person{n} Example"));
    }
    until("the connection is held", async || {
        let status = installation.json(&["status"]).await;
        let connections = status["connections"].as_array().unwrap().clone();
        connections.iter().any(|each| each["name"] == "site-form" && each["held"] != Value::Null)
            && status["records"]["mapped"] == json!(7)
    })
    .await;
    assert_eq!(installation.json(&["status"]).await["records"]["opened"], json!(5));
    for released in [10, 12] {
        assert!(installation.run(&["pause", "site-form", "--resume"]).await.status.success());
        until("as many pass again", async || {
            installation.json(&["status"]).await["records"]["opened"] == json!(released)
        })
        .await;
    }
    installation.drained(12).await;
    assert_eq!(installation.sandbox.hubspot().summary().tasks_created, 12);
    installation.assert_invariants().await;
    assert_eq!(daemon.stop(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn fm_023_first_connect_starts_at_now_and_imports_open_no_leads() {
    let installation = Installation::new().await;
    let crm = installation.sandbox.hubspot();
    for n in 0..50 {
        let line = json!({ "object": "contacts", "createdAt": "2024-01-01T00:00:00Z", "source": "CRM_UI", "properties": { "email": format!("old{n}@acme.example") } });
        crm.seed(&line.to_string()).unwrap();
    }
    let daemon = installation.start().await;
    for n in 0..20 {
        let row = object(json!({ "email": format!("import{n}@acme.example") }));
        crm.create("contacts", &row, "IMPORT").unwrap();
    }
    let contact = object(json!({ "email": "new@acme.example" }));
    crm.create("contacts", &contact, "FORM").unwrap();
    let status = installation.drained(1).await;
    assert_eq!(status["records"]["opened"], json!(1), "{status}");
    until("the import was seen", async || {
        installation.json(&["status"]).await["ignored"]["imported"] == json!(20)
    })
    .await;
    // Somebody edits an old contact: it is no new lead.
    let old = crm.seed(r#"{"object":"contacts","createdAt":"2024-01-01T00:00:00Z","source":"CRM_UI","properties":{"email":"old-one@acme.example"}}"#).unwrap()[0];
    crm.update("contacts", old, &object(json!({ "phone": "123" })), Actor::Human).unwrap();
    until("the edit was seen", async || {
        installation.json(&["status"]).await["ignored"]["before_start"] != Value::Null
    })
    .await;
    assert_eq!(installation.sandbox.hubspot().summary().tasks_created, 1);
    installation.assert_invariants().await;
    assert_eq!(daemon.stop(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn fm_049_a_human_who_decides_first_wins() {
    let installation = Installation::with("live", "write: { owner_read_within: 1s }").await;
    let crm = installation.sandbox.hubspot();
    let daemon = installation.start().await;
    assert!(installation.run(&["pause"]).await.status.success());
    let contact = object(json!({ "email": "zoe@acme.example" }));
    let contact = crm.create("contacts", &contact, "CRM_UI").unwrap();
    until("the lead is decided", async || {
        installation.json(&["status"]).await["leads"]["decided"] == json!(1)
    })
    .await;
    let decided = Instant::now();
    until("the decision's read is too old to rely on", async || decided.elapsed() > Duration::from_secs(1))
        .await;
    crm.assign_as_human("contacts", contact, 103).unwrap();
    assert!(installation.run(&["pause", "--resume"]).await.status.success());
    installation.drained(1).await;
    let owner = crm.read("contacts", contact).unwrap()["properties"]["hubspot_owner_id"].clone();
    assert_eq!(owner, json!("103"));
    assert_eq!(crm.summary().tasks_created, 0, "nobody gets a task for a person who is somebody else's");
    let shown = installation.run(&["leads", "show", "zoe@acme.example"]).await;
    assert!(text(&shown.stdout).contains("a human decided meanwhile"), "{}", text(&shown.stdout));
    assert_eq!(daemon.stop(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn fm_038_one_person_by_three_doors_is_one_lead() {
    let installation = Installation::new().await;
    let daemon = installation.start().await;
    installation.submit("zoe@acme.example", "Zoe Acme");
    let contact = object(json!({ "email": "Zoe@Acme.example", "firstname": "Zoe" }));
    installation.sandbox.hubspot().create("contacts", &contact, "INTEGRATION").unwrap();
    let added = installation.json(&["leads", "add", "email=ZOE@acme.example", "full_name=Zoe Acme"]).await;
    assert!(added["record"].is_string());
    until("all three are settled", async || {
        let status = installation.json(&["status"]).await;
        let settled =
            ["opened", "updated"].iter().filter_map(|state| status["records"][*state].as_u64()).sum::<u64>();
        settled >= 3
    })
    .await;
    let status = installation.drained(1).await;
    assert_eq!(status["records"]["opened"], json!(1), "{status}");
    let verdict = installation.sandbox.hubspot().summary();
    assert_eq!((verdict.tasks_created, verdict.duplicate_persons), (1, 0));
    installation.assert_invariants().await;
    assert_eq!(daemon.stop(), Some(0));
}

/// The long form is `xtask soak`: 20 connections for an hour.
#[tokio::test(flavor = "multi_thread")]
async fn fm_084_memory_does_not_grow_with_the_leads_that_pass() {
    let installation = Installation::with("live", "write: { guard: off }").await;
    let daemon = installation.start().await;
    let mut passed = 0;
    let mut pass = async || {
        for n in passed..passed + 300 {
            installation.submit(&format!("p{n}@firm{n}.example"), &format!("Pat{n} Example"));
        }
        passed += 300;
        installation.drained(passed).await;
        daemon.resident() / 1024
    };
    // Caches fill with the first ones.
    pass().await;
    let warm = pass().await;
    let mut later = warm;
    for _ in 0..4 {
        later = pass().await;
    }
    assert!(later <= 256, "{later} MiB");
    // SQLite's page caches go on filling: about 10 MiB here.
    assert!(later <= warm + 20, "1,200 further leads cost {} MiB", later - warm);
    installation.assert_invariants().await;
    assert_eq!(daemon.stop(), Some(0));
}
