//! Poison records (FM-069): each costs only itself, wherever it takes the program down.

use serde_json::json;

use crate::installation::{Installation, until};

const SETTLE: &str = "write: { settle: 6s }";

/// Two good people around a poisonous one.
fn submit(installation: &Installation) {
    for name in ["ann", "venom", "cy"] {
        installation.submit(&format!("{name}@{name}.example"), &format!("{name} Example"));
    }
}

/// After a fix, the poisonous one goes the whole way as well.
async fn replays(installation: &Installation, reason: &str) {
    let failed = installation.json(&["failed", "list", "--reason-contains", reason]).await;
    let failed = failed.as_array().unwrap();
    assert_eq!(failed.len(), 1, "one record, and no neighbour: {failed:?}");
    let id = failed[0]["id"].as_str().unwrap();
    let shown = installation.json(&["failed", "show", id]).await;
    assert_eq!(shown["id"], failed[0]["id"]);
    let daemon = installation.start().await;
    assert!(installation.run(&["failed", "retry", "--reason-contains", reason]).await.status.success());
    until("all three are written", async || installation.sandbox.hubspot().summary().tasks_created == 3)
        .await;
    installation.drained(3).await;
    assert_eq!(installation.json(&["failed", "list"]).await, json!([]));
    installation.assert_invariants().await;
    assert_eq!(daemon.stop(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn fm_069_a_record_that_panics_in_prepare_or_decide_fails_alone_and_replays() {
    for (point, reason) in [("prepare", "in preparing this record"), ("decide", "in deciding this")] {
        let installation = Installation::new().await;
        let daemon = installation.spawn(&[("USHER_POISON", &format!("{point}=venom"))]);
        installation.ready().await;
        submit(&installation);
        until(&format!("the poison in {point} has failed and the others are written"), async || {
            let status = installation.json(&["status"]).await;
            status["records"]["failed"] == json!(1)
                && installation.sandbox.hubspot().summary().tasks_created == 2
        })
        .await;
        assert_eq!(daemon.stop(), Some(0));
        replays(&installation, reason).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn fm_069_a_record_that_kills_the_process_costs_a_few_restarts_and_only_itself() {
    let installation = Installation::new().await;
    installation.start().await.kill();
    submit(&installation);
    let mut deaths = 0;
    loop {
        let mut daemon = installation.spawn(&[("USHER_POISON", "prepare=venom!")]);
        let mut died = false;
        until("it dies, or everything has ended", async || {
            died = daemon.has_ended();
            died || {
                let records = installation.json(&["status"]).await["records"].clone();
                records["failed"] == json!(1) && installation.sandbox.hubspot().summary().tasks_created == 2
            }
        })
        .await;
        if !died {
            assert_eq!(daemon.stop(), Some(0));
            break;
        }
        deaths += 1;
    }
    assert!((2..=6).contains(&deaths), "{deaths} deaths");
    replays(&installation, "stopped the program").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn fm_069_a_write_that_panics_parks_alone_and_replays() {
    let installation = Installation::with("live", SETTLE).await;
    let daemon = installation.spawn(&[("USHER_POISON", "deliver=venom")]);
    installation.ready().await;
    submit(&installation);
    until("the poison is parked and the others are written", async || {
        let status = installation.json(&["status"]).await;
        status["writes"]["parked"] == json!(1) && installation.sandbox.hubspot().summary().tasks_created == 2
    })
    .await;
    assert_eq!(daemon.stop(), Some(0));
    replays(&installation, "a mistake with this write").await;
}
