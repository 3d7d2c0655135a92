//! The daemon dies at every named place once: nothing that was acknowledged is lost, nothing happens twice.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::json;
use usher_sandbox::Faults;

use crate::architecture::{folders, production_code, root, rust_files};
use crate::installation::{Installation, object, until};

/// Where webhooks come in.
const RECEIVING: &[&str] =
    &["receive.before_commit", "receive.after_commit", "split.before_commit", "split.after_commit"];
/// Where vendors are read.
const READING: &[&str] = &[
    "pull.after_fetch",
    "pull.after_commit",
    "fetch.before_commit",
    "fetch.after_commit",
    "refresh.before_commit",
];
/// Where leads are made.
const DECIDING: &[&str] = &[
    "prepare.after_claim",
    "prepare.before_commit",
    "prepare.after_commit",
    "decide.before_commit",
    "decide.after_commit",
    "store.before_commit",
    "store.after_commit",
];
/// Where the CRM is written to.
const WRITING: &[&str] =
    &["deliver.after_claim", "deliver.before_send", "deliver.after_send", "deliver.after_finish"];
/// Where unclear writes are looked up.
const VERIFYING: &[&str] = &["verify.after_claim", "verify.before_finish", "verify.after_finish"];
/// Points with tests of their own.
const ELSEWHERE: &[&str] = &[
    "token.after_lease",
    "token.after_exchange",
    "token.after_store",
    "key.after_write",
    "key.after_reseal",
];

/// How often a point is passed before it kills. Starting up passes some of them a few times.
fn passage(point: &str) -> u32 {
    match point {
        // Lost answers may all be looked up at once.
        "refresh.before_commit" | "verify.after_claim" | "verify.before_finish" | "verify.after_finish" => 1,
        _ if point.starts_with("store.") => 12,
        _ => 2,
    }
}

/// Runs leads by all doors over a daemon that dies at the point, and over another that finds what it left.
async fn die_at(point: &str) {
    let installation = Installation::with("live", "write: { settle: 6s }").await;
    let company =
        json!({ "object": "companies", "properties": { "name": "Acme", "domain": "acme1.example" } });
    installation.sandbox.hubspot().seed(&company.to_string()).unwrap();
    if VERIFYING.contains(&point) {
        let faults = Faults { lost_response: 1.0, times: Some(4), ..Faults::default() };
        installation.sandbox.set_faults(Faults { only_paths: vec!["/objects/".to_owned()], ..faults });
    }
    installation.hook_up_crm();
    let armed = format!("{point}:{}", passage(point));
    let mut dying = installation.spawn(&[("USHER_CRASH_AT", &armed)]);
    // Only from the first connect on are answers of the form inquiries.
    until("the database is made", async || dying.has_ended() || installation.is_connected().await).await;
    for n in 0..3 {
        installation.submit(&format!("p{n}@acme{n}.example"), &format!("Person{n} Example"));
        let contact = object(json!({ "email": format!("c{n}@acme-c{n}.example"), "firstname": "Zoe" }));
        installation.sandbox.hubspot().create("contacts", &contact, "CRM_UI").unwrap();
    }
    let sender = async {
        for n in 0..3 {
            installation.send_until_taken(&format!("h{n}")).await;
        }
    };
    let restart = async {
        until(&format!("{point} is reached"), async || dying.has_ended()).await;
        installation.start().await
    };
    let ((), daemon) = tokio::join!(sender, restart);
    installation.drained(9).await;
    installation.assert_invariants().await;
    assert_eq!(installation.sandbox.hubspot().summary().tasks_created, 9, "after a crash at {point}");
    assert_eq!(daemon.stop(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn fm_024_a_crash_around_the_storing_of_a_webhook_loses_nothing_that_was_acknowledged() {
    for point in RECEIVING {
        die_at(point).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn fm_008_a_crash_between_reading_and_storing_loses_nothing_that_was_there() {
    for point in READING {
        die_at(point).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn fm_057_a_crash_around_a_decision_takes_no_second_turn() {
    for point in DECIDING {
        die_at(point).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn fm_043_a_crash_between_the_writes_of_a_lead_loses_and_repeats_none() {
    for point in WRITING {
        die_at(point).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn fm_079_a_crash_while_an_unclear_write_is_looked_up_makes_no_second_one() {
    for point in VERIFYING {
        die_at(point).await;
    }
}

#[test]
fn every_crash_point_has_its_test() {
    let tested: BTreeSet<&str> = [RECEIVING, READING, DECIDING, WRITING, VERIFYING, ELSEWHERE]
        .into_iter()
        .flatten()
        .copied()
        .collect();
    let mut placed = BTreeSet::new();
    for folder in ["src", "crates", "connectors"] {
        for file in rust_files(&root().join(folder)) {
            placed.extend(points_of(&file));
        }
    }
    assert_eq!(placed, tested.into_iter().map(str::to_owned).collect());
}

#[test]
fn only_tests_are_built_with_crash_points() {
    let mut manifests = vec![root(), root().join("xtask")];
    for folder in ["crates", "connectors"] {
        manifests.extend(folders(folder).into_values());
    }
    for folder in manifests {
        let text = fs::read_to_string(folder.join("Cargo.toml")).unwrap();
        let manifest: toml::Table = text.parse().unwrap();
        let with =
            |table: &str| manifest.get(table).is_some_and(|table| table.to_string().contains("crash-points"));
        assert!(!with("dependencies"), "{} turns them on for everybody", folder.display());
        let default = manifest.get("features").and_then(|features| features.get("default"));
        assert!(default.is_none_or(|default| !default.to_string().contains("crash-points")));
    }
}

fn points_of(file: &Path) -> Vec<String> {
    let code = production_code(file);
    let calls = code.split("crash::point(\"").skip(1);
    calls.filter_map(|rest| rest.split_once('"').map(|(name, _)| name.to_owned())).collect()
}
