//! A clean stop: at whatever moment the signal comes, everything under way is finished and nothing is left unclear.

use std::time::{Duration, Instant};

use serde_json::json;
use usher_sandbox::{Faults, Span};

use crate::installation::{Installation, client, until};

/// Random moments, the same in every run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % below
    }
}

fn calls(installation: &Installation) -> u64 {
    installation.sandbox.hubspot().summary().requests.values().sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn fm_106_a_stop_under_load_leaves_nothing_unclear() {
    let installation = Installation::new().await;
    // Answers take a moment, so that nearly every signal finds something under way.
    installation.sandbox.set_faults(Faults { latency_ms: Span(20, 60), ..Faults::default() });
    installation.start().await.stop();
    let mut dice = Dice(106);
    let mut people = 0;
    for round in 0..8 {
        let daemon = installation.start().await;
        for _ in 0..8 {
            people += 1;
            installation
                .submit(&format!("p{people}@acme{people}.example"), &format!("Person{people} Example"));
        }
        let enough = calls(&installation) + dice.roll(40);
        until("so many calls were made", async || calls(&installation) >= enough).await;
        let asked = Instant::now();
        assert_eq!(daemon.stop(), Some(0), "round {round}");
        assert!(asked.elapsed() < Duration::from_secs(20), "round {round} took {:?}", asked.elapsed());
        let writes = installation.json(&["status"]).await["writes"].clone();
        assert_eq!(
            (&writes["unknown"], &writes["sending"]),
            (&json!(0), &json!(0)),
            "round {round}: {writes}"
        );
        assert!(!installation.path().join("usher.db-wal").exists(), "the log was written back");
    }
    let daemon = installation.start().await;
    installation.drained(people).await;
    let verdict = installation.sandbox.hubspot().summary();
    assert_eq!(
        (verdict.tasks_created as u64, verdict.duplicate_tasks, verdict.duplicate_persons),
        (people, 0, 0)
    );
    installation.assert_invariants().await;
    assert_eq!(daemon.stop(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn fm_106_a_second_signal_ends_a_stop_that_hangs_and_a_signal_in_the_start_is_heard() {
    let installation = Installation::new().await;
    let address = format!("127.0.0.1:{}", installation.port);
    let starting = installation.spawn(&[]);
    until("the port is open", async || tokio::net::TcpStream::connect(&address).await.is_ok()).await;
    assert_eq!(starting.stop(), Some(0));

    installation.edit("usher.yaml", "timeout: 3s", "timeout: 30s");
    let mut daemon = installation.start().await;
    // The CRM hangs, so that the question who this is can not be finished in a moment.
    installation.sandbox.set_faults(Faults { latency_ms: Span(120_000, 120_000), ..Faults::default() });
    let waiting = calls(&installation);
    assert_eq!(installation.form_hook("ann", "SEO").await.status(), 200);
    until("a call hangs", async || {
        installation.json(&["status"]).await["records"]["fetched"] == json!(1)
            && calls(&installation) > waiting
    })
    .await;
    daemon.signal("TERM");
    until("intake is closed", async || {
        let answer = client().post(installation.hook("site-form")).send().await;
        answer.is_ok_and(|answer| answer.status() == 503 && answer.headers().contains_key("retry-after"))
    })
    .await;
    let asked = Instant::now();
    daemon.signal("TERM");
    until("it is gone", async || daemon.has_ended()).await;
    assert!(asked.elapsed() < Duration::from_secs(3), "{:?}", asked.elapsed());
}
