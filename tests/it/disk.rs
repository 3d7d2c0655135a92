//! A disk that takes no more: nothing is acknowledged that is not stored, nothing is sent that is not written down, and
//! all goes on by itself once there is room.
//!
//! The daemon's file size limit stands for the disk: it can be set from outside while the daemon runs, and a write beyond
//! it fails as one on a full disk does.

use std::fs;
use std::process::Command;

use serde_json::json;

use crate::installation::{Daemon, Installation, client, text, until};

/// Lets the daemon write files of at most so many bytes; `None` for all it wants.
fn limit(daemon: &Daemon, bytes: Option<u64>) {
    let soft = bytes.map_or("unlimited".to_owned(), |bytes| bytes.to_string());
    let set = Command::new("prlimit")
        .args([format!("--pid={}", daemon.id()), format!("--fsize={soft}:unlimited")])
        .status();
    assert!(set.unwrap().success());
}

/// A daemon that is told of a failed write instead of being killed for it.
fn spawn(installation: &Installation) -> Daemon {
    let mut command = Command::new("sh");
    command.args(["-c", "trap '' XFSZ; exec \"$0\" run", env!("CARGO_BIN_EXE_usher")]);
    command.env_remove("USHER_CONFIG").env_remove("USHER_LOG");
    installation.spawn_command(command)
}

fn size(installation: &Installation, name: &str) -> u64 {
    fs::metadata(installation.path().join(name)).map_or(0, |file| file.len())
}

async fn is_ready(installation: &Installation) -> bool {
    let ready = format!("http://127.0.0.1:{}/readyz", installation.port);
    client().get(ready).send().await.is_ok_and(|answer| answer.status().is_success())
}

#[tokio::test(flavor = "multi_thread")]
async fn fm_075_a_full_disk_loses_nothing_sends_nothing_unwritten_and_heals() {
    let installation = Installation::with("live", "write: { settle: 6s }").await;
    // Leases of a dozen seconds: an answer that could not be written down is looked up soon.
    installation.edit("usher.yaml", "timeout: 3s", "timeout: 1s");
    let daemon = spawn(&installation);
    installation.ready().await;
    let mut acknowledged = 0;
    // The very next write fails, then the third, the ninth … page of the log: between any two commits of a lead's way.
    for page in [0, 3, 11, 28] {
        let room = if page == 0 { 1 } else { size(&installation, "usher.db-wal") + page * 8_192 };
        limit(&daemon, Some(room));
        let (mut round, mut refused) = (0, false);
        until("the disk is full", async || {
            round += 1;
            let answer = installation.form_hook(&format!("full-{page}-{round}"), "SEO").await;
            match answer.status().as_u16() {
                200 => acknowledged += 1,
                503 => {
                    assert!(answer.headers().contains_key("retry-after"));
                    refused = true;
                }
                other => panic!("answered {other}"),
            }
            refused
        })
        .await;
        until("readiness is lost", async || !is_ready(&installation).await).await;
        let status = installation.run(&["status"]).await;
        assert!(status.status.success(), "{}", text(&status.stderr));
        limit(&daemon, None);
        until("it is ready again", async || is_ready(&installation).await).await;
        let answer = installation.form_hook(&format!("after-{page}"), "SEO").await;
        assert_eq!(answer.status(), 200);
        acknowledged += 1;
        installation.drained(acknowledged).await;
    }
    let status = installation.drained(acknowledged).await;
    assert_eq!(status["records"]["opened"], json!(acknowledged), "{status}");
    assert_eq!(status["discrepancies"], json!([]), "{status}");
    let verdict = installation.sandbox.hubspot().summary();
    let counts = (verdict.tasks_created as u64, verdict.duplicate_tasks, verdict.duplicate_persons);
    assert_eq!(counts, (acknowledged, 0, 0));
    installation.assert_invariants().await;
    assert_eq!(daemon.stop(), Some(0));
}
