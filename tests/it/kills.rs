//! The real binary is killed again and again at random moments, under load and under the vendors' bad days.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::json;
use tokio_util::sync::CancellationToken;
use usher_sandbox::{Actor, CrmVendor, Faults, Span};
use usher_testkit::invariants::Phase;

use crate::installation::{Daemon, Installation, object, until};
use crate::pipedrive;

/// A vendor's last try to deliver a webhook comes sooner than this.
const RETRIES: Duration = Duration::from_mins(5);
/// So many unclear writes prove something.
const UNCLEAR: usize = 10;
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

/// How a CRM is tried. The long runs are in xtask.
struct Trial {
    vendor: CrmVendor,
    kills: u64,
    /// Between two kills at most.
    gap: Duration,
    /// Between two people at each door.
    pace: Duration,
    weather: Faults,
}

#[tokio::test(flavor = "multi_thread")]
async fn fm_039_fifty_kills_at_random_moments_lose_and_repeat_nothing() {
    let installation = Installation::with("live", "write: { settle: 6s, guard: off }").await;
    installation.hook_up_crm();
    let trial = Trial {
        vendor: CrmVendor::Hubspot,
        kills: 50,
        gap: Duration::from_millis(1_400),
        pace: Duration::from_millis(40),
        weather: weather(),
    };
    trial.survive(&installation).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn fm_040_twenty_kills_make_nothing_twice_where_nothing_is_unique() {
    let installation = pipedrive::installation("6s").await;
    installation.edit("usher.yaml", "write: {", "write: { guard: off,");
    // The day's budget is not what this is about.
    installation.edit("usher.yaml", "limits: { share: 100% }", "limits: off");
    installation.sandbox.pipedrive().set_limits(None);
    // A write takes several calls, one of which is the write: more of them must be lost than of calls in whole.
    let weather = Faults { lost_response: 0.15, late_commit: 0.1, throttle_burst: 0.02, ..weather() };
    let trial = Trial {
        vendor: CrmVendor::Pipedrive,
        kills: 20,
        gap: Duration::from_secs(3),
        pace: Duration::from_millis(300),
        weather,
    };
    trial.survive(&installation).await;
}

impl Trial {
    /// Lets the daemon be killed in bad weather, and then come to rest.
    async fn survive(&self, installation: &Installation) {
        // Connects first: only from then on are answers of the form inquiries.
        installation.start().await.kill();
        installation.sandbox.set_faults(self.weather.clone());
        let over = CancellationToken::new();
        let (daemon, leads) =
            tokio::join!(self.kill_at_random(installation, &over), self.arrive(installation, &over));
        // On a slow machine the kills leave little time to write anything: the weather stays bad until it has done its work.
        until("enough writes are unclear", async || {
            let mut ledger = installation.ledger().await.unwrap();
            let unclear = ledger.once_unclear().await.unwrap();
            ledger.close().await.unwrap();
            unclear >= UNCLEAR
        })
        .await;
        installation.sandbox.set_faults(Faults::default());
        installation.drained(leads).await;
        // Webhooks that nobody took come again minutes later.
        installation.sandbox.advance(RETRIES);
        installation.assert_invariants().await;
        assert_eq!(daemon.stop(), Some(0));
    }

    /// Returns the daemon that lives on. People stop coming before it starts, so that it finds all that there is.
    async fn kill_at_random(&self, installation: &Installation, over: &CancellationToken) -> Daemon {
        let mut dice = StdRng::seed_from_u64(SEED);
        for kill in 0..self.kills {
            let daemon = installation.spawn(&[]);
            // The moment of the kill is what the test is about: this waits for nothing.
            let alive = self.gap.mul_f64(dice.random_range(0.0..1.0));
            tokio::time::timeout(alive, std::future::pending::<()>()).await.unwrap_err();
            daemon.kill();
            let broken = installation.broken(Phase::Underway).await;
            assert_eq!(broken, [], "after kill {kill} of seed {SEED}");
        }
        over.cancel();
        installation.start().await
    }

    /// Whoever is held up holds up the next one.
    fn pace(&self) -> tokio::time::Interval {
        let mut pace = tokio::time::interval(self.pace);
        pace.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        pace
    }

    /// People come by all doors until told to stop. Returns how many.
    async fn arrive(&self, installation: &Installation, over: &CancellationToken) -> u64 {
        let crm = installation.sandbox.crm(self.vendor);
        let called = async {
            let mut pace = self.pace();
            let mut count = 0;
            while !over.is_cancelled() {
                pace.tick().await;
                installation.send_until_taken(&format!("h{count}")).await;
                count += 1;
            }
            count
        };
        let found = async {
            let mut pace = self.pace();
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
}
