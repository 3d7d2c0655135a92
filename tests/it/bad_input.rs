//! Bad input: each gets a message that says what to do, and nothing is lost.

use std::fs;
use std::process::Stdio;

use reqwest::StatusCode;
use serde_json::json;

use crate::installation::{Installation, client, nowhere, owner, seen, text, until};

#[tokio::test(flavor = "multi_thread")]
async fn fm_085_unknown_keys_are_refused_with_place_and_nearest_name() {
    let installation = Installation::new().await;
    installation.edit("usher.yaml", "routing: routing.yaml", "ruting: routing.yaml");
    installation.edit("site-form.yaml", "full_name:", "ful_name:");
    installation.edit("routing.yaml", "fallback:", "falback:");
    let said = installation.refused(&["check"]).await;
    assert!(said.contains("usher.yaml") && said.contains("ruting") && said.contains("`routing`"), "{said}");
    installation.edit("usher.yaml", "ruting:", "routing:");
    let said = installation.refused(&["check"]).await;
    assert!(said.contains("full_name") && said.contains("site-form.yaml:4"), "{said}");
    assert!(
        said.contains("`fallback`") && said.contains("routing.yaml"),
        "all files are reported together: {said}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_types_and_unknown_names_are_refused() {
    let installation = Installation::new().await;
    installation.edit("usher.yaml", "every: 1s", "every: soon");
    let said = installation.refused(&["check"]).await;
    assert!(said.contains("soon") && said.contains("30s"), "{said}");
    installation.edit("usher.yaml", "every: soon", "every: 1s");
    installation.edit("usher.yaml", "connector: typeform", "connector: typefrom");
    let said = installation.refused(&["check"]).await;
    assert!(said.contains("did you mean `typeform`") || said.contains("typeform"), "{said}");
    installation.edit("usher.yaml", "connector: typefrom", "connector: typeform");
    installation.edit("usher.yaml", "crm: hubspot-main", "crm: site-form");
    let said = installation.refused(&["check"]).await;
    assert!(said.contains("is no CRM"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_later_version_brings_is_named_as_such() {
    let installation = Installation::new().await;
    installation.edit("usher.yaml", "mode: live", "mode: canary");
    let said = installation.refused(&["check"]).await;
    assert_eq!(said.matches("not in this version").count(), 1, "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_does_not_answer_is_named_without_its_password() {
    let installation = Installation::new().await;
    let url = "postgres://usher@127.0.0.1:1/leads";
    let store = format!("store: {{ url: '{url}', password: {{ file: crm.token }} }}");
    installation.edit("usher.yaml", "store: sqlite://usher.db", &store);
    let output = installation.run(&["status"]).await;
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("postgres://127.0.0.1:1/leads does not answer"), "{said}");
    let token = fs::read_to_string(installation.path().join("crm.token")).unwrap();
    assert!(!said.contains(token.trim()), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn duplicate_names_are_refused() {
    let installation = Installation::new().await;
    installation.edit("usher.yaml", "  site-form:", "  hubspot-main:");
    let said = installation.refused(&["check"]).await;
    assert!(said.contains("hubspot-main") && said.contains("twice") || said.contains("already"), "{said}");
    installation.edit(
        "usher.yaml",
        "  hubspot-main:\n    connector: typeform",
        "  site-form:\n    connector: typeform",
    );
    installation.edit("routing.yaml", "- name: Everyone\n", "- name: Customers keep their owner\n");
    let said = installation.refused(&["check"]).await;
    assert!(said.contains("Customers keep their owner"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn missing_files_say_what_to_do() {
    let installation = Installation::new().await;
    let said = installation.refused(&["check", "--config", nowhere().to_str().unwrap()]).await;
    assert!(said.contains("nowhere.yaml") && said.contains("usher init"), "{said}");
    fs::remove_file(installation.path().join("routing.yaml")).unwrap();
    let said = installation.refused(&["check"]).await;
    assert!(said.contains("routing.yaml") && said.contains("routing:"), "{said}");
    installation.write("routing.yaml", "version: 1\n");
    fs::remove_file(installation.path().join("crm.token")).unwrap();
    let said = installation.refused(&["check", "--online"]).await;
    assert!(said.contains("fallback") || said.contains("crm.token"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_secret_names_where_it_was_looked_for() {
    let installation = Installation::new().await;
    installation.edit(
        "usher.yaml",
        "auth: { token: { file: crm.token } }",
        "auth: { token: { env: USHER_TEST_NO_SUCH } }",
    );
    let said = installation.refused(&["check", "--online"]).await;
    assert!(said.contains("USHER_TEST_NO_SUCH"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unreachable_vendor_is_named_with_what_to_do() {
    let installation = Installation::new().await;
    let url = installation.sandbox.hubspot_url.clone();
    installation.edit("usher.yaml", &url, "http://127.0.0.1:9");
    let said = installation.refused(&["check", "--online"]).await;
    assert!(said.contains("hubspot-main") && said.contains("connect"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_token_is_named_with_what_to_do() {
    let installation = Installation::new().await;
    installation.write("crm.token", "pat-wrong");
    let said = installation.refused(&["check", "--online"]).await;
    assert!(said.contains("token") && !said.contains("pat-wrong"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn fm_018_a_missing_scope_is_named() {
    let installation = Installation::new().await;
    let mut faults = installation.sandbox.faults();
    faults.revoked_scopes = vec!["crm.objects.owners.read".to_owned()];
    installation.sandbox.set_faults(faults);
    let said = installation.refused(&["check", "--online"]).await;
    assert!(said.contains("crm.objects.owners.read"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn fm_047_an_archived_owner_is_found_before_it_gets_a_lead() {
    let installation = Installation::new().await;
    installation.sandbox.hubspot().put_owner(owner(102, "Ben", true));
    let said = installation.refused(&["check", "--online"]).await;
    assert!(said.contains("ben"), "{said}");
    let daemon = installation.start().await;
    for n in 0..4 {
        installation.submit(&format!("p{n}@acme.example"), "P Example");
    }
    installation.drained(4).await;
    let leads = installation.json(&["leads", "list"]).await;
    assert!(leads.as_array().unwrap().iter().all(|lead| lead["owner"] == "ana"), "{leads}");
    assert_eq!(daemon.stop(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn fm_033_a_bad_signature_is_refused_and_stores_nothing() {
    let installation = Installation::new().await;
    let daemon = installation.start().await;
    let post =
        client().post(installation.hook("site-form")).header("Typeform-Signature", "sha256=AAAA").body("{}");
    let answer = post.send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(answer.headers()["content-type"], "application/problem+json");
    assert!(
        installation.log().contains("webhook refused"),
        "the operator learns why: {}",
        installation.log()
    );
    let status = installation.json(&["status"]).await;
    assert_eq!(seen(&status), 0);
    assert_eq!(daemon.stop(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn fm_036_a_body_of_10_mb_is_refused() {
    let installation = Installation::new().await;
    let daemon = installation.start().await;
    let post = client().post(installation.hook("site-form")).body(vec![b'x'; 10_000_000]);
    // The server may close the connection before it has read what it refuses.
    let answer = post.send().await;
    assert!(answer.is_err() || answer.is_ok_and(|answer| answer.status() == StatusCode::PAYLOAD_TOO_LARGE));
    let status = installation.json(&["status"]).await;
    assert_eq!(seen(&status), 0);
    assert_eq!(daemon.stop(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_with_too_many_cells_fails_alone_and_is_listed() {
    let installation = Installation::new().await;
    installation.edit(
        "usher.yaml",
        "crm: hubspot-main\n",
        "  events:\n    connector: csv\n    path: leads.csv\ncrm: hubspot-main\n",
    );
    installation.write(
        "leads.csv",
        "email,full_name,company\nann@one.example,Ann One,One\nbob@two.example,Bob Two,Two,surplus\ncy@three.example,Cy Three,Three\n",
    );
    let sync = installation.run(&["sync"]).await;
    assert!(sync.status.success(), "{}", text(&sync.stderr));
    let status = installation.json(&["status"]).await;
    assert_eq!(
        (&status["records"]["opened"], &status["records"]["failed"]),
        (&json!(2), &json!(1)),
        "{status}"
    );
    let failed = installation.json(&["failed", "list"]).await;
    let problem = failed[0]["problem"].as_str().unwrap();
    assert!(problem.contains("4 cells") && problem.contains('3'), "{problem}");
}

#[tokio::test(flavor = "multi_thread")]
async fn fm_075_a_full_disk_answers_503_and_loses_nothing_that_was_acknowledged() {
    let installation = Installation::with("observe", "").await;
    // Files may not grow beyond 20,000 blocks of 512 or 1,024 bytes: to the program that is a full disk.
    let mut shell = std::process::Command::new("sh");
    let program = env!("CARGO_BIN_EXE_usher");
    shell
        .current_dir(installation.path())
        .args(["-c", &format!("trap '' XFSZ; ulimit -f 20000; exec {program} run")])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(fs::File::create(installation.path().join("daemon.log")).unwrap());
    let mut full = shell.spawn().unwrap();
    let ready = format!("http://127.0.0.1:{}/readyz", installation.port);
    until("the daemon is ready", async || {
        client().get(&ready).send().await.is_ok_and(|answer| answer.status().is_success())
    })
    .await;
    let (mut acknowledged, mut refused) = (0_u64, None);
    for n in 0..2_000 {
        let answer = installation.form_hook(&format!("token{n}"), &"x".repeat(4_000)).await;
        if answer.status().is_success() {
            acknowledged += 1;
        } else {
            refused = Some(answer);
            break;
        }
    }
    full.kill().unwrap();
    full.wait().unwrap();
    let refused = refused.expect("the disk never became full");
    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(refused.headers().contains_key("retry-after"));
    let daemon = installation.start().await;
    until("every acknowledged answer is seen", async || {
        let status = installation.json(&["status"]).await;
        seen(&status) >= acknowledged
    })
    .await;
    assert!(acknowledged > 10, "only {acknowledged} fitted");
    assert_eq!(daemon.stop(), Some(0));
}
