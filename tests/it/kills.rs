//! The real binary is killed again and again at random moments, under load and under the vendors' bad days.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::json;
use tokio_util::sync::CancellationToken;
use usher_sandbox::{Actor, Crm, CrmVendor, Faults, Span};
use usher_testkit::invariants::Phase;

use crate::installation::{Daemon, Installation, object};
use crate::pipedrive;

/// Between two kills at most.
const GAP: Duration = Duration::from_millis(1_400);
/// Seed of all chance of the test. The simulators have their own.
const SEED: u64 = 74;

/// Three calls of ten are disturbed. Nothing takes long, so that the test does not either, and people at the CRM leave
/// our persons alone, so that the count of leads is known.
fn weather() -> Faults {
    Faults {
        index_lag_ms: Span(0, 500),
        form_lag_ms: Span(0, 500),
        slow_ms: Span(50, 200),
        archive: 0.0,
        merge: 0.0,
        blocked: 0.0,
        form_tool_first: 0.0,
        ..Faults::rough()
    }
}

// The long runs are in xtask.
#[tokio::test(flavor = "multi_thread")]
async fn fm_039_fifty_kills_at_random_moments_lose_and_repeat_nothing() {
    let installation = Installation::with("live", "write: { settle: 6s, guard: off }").await;
    installation.hook_up_crm();
    let crm = installation.sandbox.crm(CrmVendor::Hubspot);
    survive(&installation, &*crm, 50, Duration::from_millis(20)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn fm_040_twenty_kills_make_nothing_twice_where_nothing_is_unique() {
    let installation = pipedrive::installation("6s").await;
    installation.edit("usher.yaml", "write: {", "write: { guard: off,");
    // The day's budget is not what this is about.
    installation.edit("usher.yaml", "limits: { share: 100% }", "limits: off");
    installation.sandbox.pipedrive().set_limits(None);
    let crm = installation.sandbox.crm(CrmVendor::Pipedrive);
    survive(&installation, &*crm, 20, Duration::from_millis(150)).await;
}

/// Kills the daemon so often in bad weather, with so long between two people at each door, and then lets it come to rest.
async fn survive(installation: &Installation, crm: &dyn Crm, kills: u64, pace: Duration) {
    // Connects first: only from then on are answers of the form inquiries.
    installation.start().await.kill();
    installation.sandbox.set_faults(weather());
    let over = CancellationToken::new();
    let (daemon, leads) =
        tokio::join!(kill_at_random(installation, kills, &over), arrive(installation, crm, pace, &over));
    installation.sandbox.set_faults(Faults::default());
    installation.drained(leads).await;
    installation.assert_invariants().await;
    let summary = crm.summary();
    let unclear = ["lost_response", "late_commit", "server_error_after_commit", "truncated"];
    let unclear: u64 = unclear.iter().filter_map(|switch| summary.faults.get(switch)).sum();
    assert!(unclear >= 10, "too few answers were lost to prove anything: {:?}", summary.faults);
    assert_eq!(daemon.stop(), Some(0));
}

/// Returns the daemon that lives on. People stop coming before it starts, so that it finds all that there is.
async fn kill_at_random(installation: &Installation, kills: u64, over: &CancellationToken) -> Daemon {
    let mut dice = StdRng::seed_from_u64(SEED);
    for kill in 0..kills {
        let daemon = installation.spawn(&[]);
        // The moment of the kill is what the test is about: this waits for nothing.
        let alive = GAP.mul_f64(dice.random_range(0.0..1.0));
        tokio::time::timeout(alive, std::future::pending::<()>()).await.unwrap_err();
        daemon.kill();
        let broken = installation.broken(Phase::Underway).await;
        assert_eq!(broken, [], "after kill {kill} of seed {SEED}");
    }
    over.cancel();
    installation.start().await
}

/// People come by all doors until told to stop. Returns how many.
async fn arrive(installation: &Installation, crm: &dyn Crm, pace: Duration, over: &CancellationToken) -> u64 {
    let called = async {
        let mut pace = tokio::time::interval(pace);
        let mut count = 0;
        while !over.is_cancelled() {
            pace.tick().await;
            installation.send_until_taken(&format!("h{count}")).await;
            count += 1;
        }
        count
    };
    let found = async {
        let mut pace = tokio::time::interval(pace);
        let mut count = 0;
        while !over.is_cancelled() {
            pace.tick().await;
            let mail = format!("p{count}@acme{count}.example");
            if count % 2 == 0 {
                installation.submit(&mail, "Pat Example");
            } else {
                let who = object(json!({ "email": mail, "first_name": "Pat" }));
                crm.enter(&who, Actor::Human).unwrap();
            }
            count += 1;
        }
        count
    };
    let (called, found) = tokio::join!(called, found);
    called + found
}
