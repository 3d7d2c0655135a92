//! Verbs that look, try, add and learn.

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::installation::{Installation, client, seen, text, until};

#[tokio::test(flavor = "multi_thread")]
async fn init_writes_files_that_check_accepts_and_never_overwrites() {
    let installation = Installation::new().await;
    let output = installation.run(&["init", "agency"]).await;
    assert!(output.status.success(), "{}", text(&output.stderr));
    let scopes = text(&output.stdout);
    assert!(scopes.contains("crm.objects.contacts.write") && scopes.contains("create contacts"), "{scopes}");
    let written = std::fs::read_to_string(installation.path().join("agency/usher.yaml")).unwrap();
    assert!(written.contains("mode: observe"));
    let output = installation.run(&["check", "--config", "agency/usher.yaml"]).await;
    assert!(output.status.success(), "{}", text(&output.stderr));
    let said = installation.refused(&["init", "agency"]).await;
    assert!(said.contains("exists already"), "{said}");
    // Every connection that init only suggests is good as well, once it is uncommented.
    let suggested =
        |line: &str| line.strip_prefix("  # ").map_or_else(|| line.to_owned(), |rest| format!("  {rest}"));
    let connections = written.split_once("\ncrm:").unwrap();
    let uncommented: Vec<String> = connections.0.lines().map(suggested).collect();
    let uncommented = format!("{}\ncrm:{}", uncommented.join("\n"), connections.1);
    std::fs::write(installation.path().join("agency/usher.yaml"), uncommented).unwrap();
    let output = installation.run(&["check", "--config", "agency/usher.yaml"]).await;
    assert!(output.status.success(), "{}", text(&output.stderr));
}

#[tokio::test(flavor = "multi_thread")]
async fn try_sends_a_marked_lead_the_whole_way_and_removes_it() {
    let installation = Installation::new().await;
    let report = installation.json(&["try", "hubspot-main"]).await;
    assert_eq!(report["ok"], json!(true), "{report}");
    let names: Vec<&str> =
        report["steps"].as_array().unwrap().iter().filter_map(|step| step["name"].as_str()).collect();
    assert!(names.contains(&"create_task") && names.contains(&"removed"), "{names:?}");
    let crm = installation.sandbox.hubspot();
    assert_eq!((crm.count("contacts"), crm.count("tasks")), (0, 0), "nothing stays behind");
    assert_eq!(crm.summary().tasks_created, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn try_says_what_is_wrong_with_a_connection() {
    let installation = Installation::new().await;
    installation.write("form.token", "tfp_wrong");
    let output = installation.run(&["try", "site-form"]).await;
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stdout).contains("PROBLEM"), "{}", text(&output.stdout));
    let said = installation.refused(&["try", "no-such"]).await;
    assert!(said.contains("no-such") && said.contains("site-form"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn leads_added_by_hand_and_by_api_are_checked_at_once_and_repeats_are_harmless() {
    let installation = Installation::with("live", "").await;
    installation.write("api.key", "let-me-in");
    let listen = format!("http: {{ listen: \"127.0.0.1:{}\" }}", installation.port);
    let with_key =
        format!("http: {{ listen: \"127.0.0.1:{}\", api_key: {{ file: api.key }} }}", installation.port);
    installation.edit("usher.yaml", &listen, &with_key);
    let said = installation.refused(&["leads", "add", "emial=ann@one.example"]).await;
    assert!(said.contains("did you mean `email`"), "{said}");
    let said = installation.refused(&["leads", "add", "full_name=Ann One"]).await;
    assert!(said.contains("neither e-mail nor phone"), "{said}");
    let first = installation.json(&["leads", "add", "--id", "r1", "email=ann@one.example"]).await;
    let second = installation.json(&["leads", "add", "--id", "r1", "email=ann@one.example"]).await;
    assert_eq!(first, second);
    let daemon = installation.start().await;
    let url = format!("http://127.0.0.1:{}/api/leads", installation.port);
    let post = |key: &str, body: &str| client().post(&url).bearer_auth(key).body(body.to_owned()).send();
    assert_eq!(post("wrong", "{}").await.unwrap().status(), StatusCode::UNAUTHORIZED);
    assert_eq!(post("let-me-in", "{").await.unwrap().status(), StatusCode::BAD_REQUEST);
    let refused = post("let-me-in", "{\"full_name\":\"Bob\"}").await.unwrap();
    assert_eq!(refused.status(), StatusCode::UNPROCESSABLE_ENTITY);
    let problem: Value = serde_json::from_slice(&refused.bytes().await.unwrap()).unwrap();
    assert_eq!(problem["problems"], json!(["neither e-mail nor phone"]));
    let taken = post("let-me-in", "{\"email\":\"bob@two.example\",\"full_name\":\"Bob Two\"}").await.unwrap();
    assert_eq!(taken.status(), StatusCode::ACCEPTED);
    let status = installation.drained(2).await;
    assert_eq!(status["records"]["opened"], json!(2), "{status}");
    assert_eq!(daemon.stop(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn backfill_shows_its_plan_first_and_opens_no_leads() {
    let installation = Installation::new().await;
    let crm = installation.sandbox.hubspot();
    for n in 0..250 {
        let line = json!({ "object": "contacts", "properties": { "email": format!("old{n}@acme.example") } });
        crm.seed(&line.to_string()).unwrap();
    }
    let plan = installation.json(&["backfill"]).await;
    assert_eq!((&plan["applied"], &plan["streams"]), (&json!(false), &json!(["contacts"])), "{plan}");
    let status = installation.json(&["status"]).await;
    assert_eq!(seen(&status), 0, "the plan reads nothing");
    let done = installation.json(&["backfill", "--apply"]).await;
    assert_eq!((&done["records"], &done["owners"]), (&json!(250), &json!(3)), "{done}");
    let status = installation.json(&["status"]).await;
    assert_eq!(status["ignored"], json!({ "learned": 250 }), "{status}");
    assert_eq!(crm.summary().tasks_created, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn failed_leads_are_listed_and_retried() {
    let installation = Installation::new().await;
    // Connects first: only from then on are answers of the form inquiries.
    assert!(installation.run(&["sync"]).await.status.success());
    installation.submit("no address", "Nobody");
    // The form tool shows an answer a second after it was given.
    until("the answer was read", async || {
        assert!(installation.run(&["sync"]).await.status.success());
        installation.json(&["failed", "list"]).await != json!([])
    })
    .await;
    let failed = installation.json(&["failed", "list"]).await;
    let id = failed[0]["id"].as_str().unwrap().to_owned();
    assert!(failed[0]["problem"].as_str().unwrap().contains("email"), "{failed}");
    assert!(!failed.to_string().contains("no address"), "a problem names no value: {failed}");
    installation.edit("site-form.yaml", "clean: email, required: true", "clean: email");
    assert!(installation.run(&["failed", "retry", &id]).await.status.success());
    assert!(installation.run(&["sync"]).await.status.success());
    assert_eq!(installation.json(&["failed", "list"]).await, json!([]));
    let said = installation.refused(&["failed", "retry", &id]).await;
    assert!(said.contains("failed list"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_daemon_on_one_database_is_refused() {
    let installation = Installation::new().await;
    let daemon = installation.start().await;
    installation.edit("usher.yaml", &format!("127.0.0.1:{}", installation.port), "127.0.0.1:0");
    let said = installation.refused(&["run"]).await;
    assert!(said.contains("in use by another usher process"), "{said}");
    assert_eq!(daemon.stop(), Some(0));
}
