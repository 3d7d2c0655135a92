//! Backup and restore of a whole installation: our memory is rewound, the CRM's is not.

use std::collections::BTreeMap;

use serde_json::json;

use crate::installation::{Installation, object, text, until};

/// Tasks of each contact, by e-mail, and who owns it.
fn at_the_crm(installation: &Installation) -> BTreeMap<String, (usize, u64)> {
    let crm = installation.sandbox.hubspot();
    let owned = crm.ownership();
    owned
        .into_iter()
        .filter_map(|contact| {
            let tasks = crm.associated("contacts", contact.id, "tasks").len();
            Some((contact.email?, (tasks, contact.owner)))
        })
        .collect()
}

fn submit(installation: &Installation, people: std::ops::Range<u32>) {
    for n in people {
        installation.submit(&format!("p{n}@acme{n}.example"), &format!("Person{n} Example"));
    }
}

fn contact(installation: &Installation, n: u32) {
    let properties = object(json!({ "email": format!("c{n}@beta{n}.example"), "firstname": "Cleo" }));
    installation.sandbox.hubspot().create("contacts", &properties, "CRM_UI").unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn fm_105_a_restore_repeats_nothing_that_the_crm_knows() {
    let installation = Installation::with("live", "write: { settle: 6s }").await;
    let daemon = installation.start().await;
    submit(&installation, 0..20);
    installation.drained(20).await;
    // The backup is taken in the middle of things: thirty leads are decided, and nothing of them is written.
    assert!(installation.run(&["pause"]).await.status.success());
    submit(&installation, 20..50);
    until("they are decided", async || installation.json(&["status"]).await["leads"]["decided"] == json!(30))
        .await;
    let made = installation.json(&["backup", "backup.db"]).await;
    assert_eq!(made["leads"], json!(50), "{made}");
    assert_eq!(made["sha256"].as_str().unwrap().len(), 64);
    assert!(installation.run(&["pause", "--resume"]).await.status.success());
    // Life goes on: by form, in the CRM, and by somebody who asks a second time.
    submit(&installation, 50..90);
    for n in 0..20 {
        contact(&installation, n);
    }
    installation.drained(110).await;
    let refused = installation.refused(&["restore", "backup.db"]).await;
    assert!(refused.contains("in use by another usher process"), "{refused}");
    assert_eq!(daemon.stop(), Some(0));
    let before = at_the_crm(&installation);
    assert_eq!(before.len(), 110);
    assert!(before.values().all(|(tasks, owner)| *tasks == 1 && *owner != 0), "{before:?}");

    let restored = installation.json(&["restore", "backup.db"]).await;
    assert!(restored["in_doubt"].as_u64().unwrap() >= 90, "{restored}");
    assert!(installation.path().join(restored["kept_aside"].as_str().unwrap()).exists(), "{restored}");
    let daemon = installation.start().await;
    assert!(installation.run(&["pause", "--resume"]).await.status.success());
    let status = installation.drained(110).await;
    assert_eq!(at_the_crm(&installation), before, "no task and no owner is other than before: {status}");
    let verdict = installation.sandbox.hubspot().summary();
    assert_eq!((verdict.tasks_created, verdict.duplicate_tasks, verdict.duplicate_persons), (110, 0, 0));
    assert_eq!(status["writes"]["parked"], json!(0), "{status}");
    installation.assert_invariants().await;

    // What is new is written as ever, to somebody known and to a stranger.
    submit(&installation, 90..95);
    until("new leads are written", async || installation.sandbox.hubspot().summary().tasks_created >= 115)
        .await;
    installation.drained(115).await;
    assert_eq!(installation.sandbox.hubspot().summary().tasks_created, 115);
    installation.assert_invariants().await;
    assert_eq!(daemon.stop(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_is_verified_and_a_wrong_file_is_refused() {
    let installation = Installation::new().await;
    let missing = installation.refused(&["backup", "backup.db"]).await;
    assert!(missing.contains("there is no such file"), "{missing}");
    let daemon = installation.start().await;
    let made = installation.run(&["backup", "backup.db"]).await;
    assert!(made.status.success(), "{}", text(&made.stderr));
    assert!(text(&made.stderr).contains("verified"), "{}", text(&made.stderr));
    let told = std::fs::read_to_string(installation.path().join("backup.db.sha256")).unwrap();
    assert_eq!(text(&made.stdout), told);
    assert!(installation.refused(&["backup", "backup.db"]).await.contains("such a file already"));
    assert_eq!(daemon.stop(), Some(0));
    installation.write("backup.db", "no database");
    assert!(installation.refused(&["restore", "backup.db"]).await.contains(".sha256"));
    assert!(installation.refused(&["restore", "routing.yaml"]).await.contains("no database of usher"));
}
