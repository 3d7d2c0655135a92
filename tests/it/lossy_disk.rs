//! Power cuts under load: what was not synced is forgotten, and what was acknowledged is there all the same.

use std::ffi::OsString;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use usher_testkit::invariants::Phase;
use usher_testkit::{Honesty, LossyDisk};

use crate::installation::{Daemon, Installation, until};

/// How often the power is cut. The long runs are in xtask.
const CUTS: u64 = 8;
/// How long senders come before a cut at most.
const GAP: Duration = Duration::from_millis(800);
/// Seed of the cuts.
const SEED: u64 = 74;

#[tokio::test(flavor = "multi_thread")]
async fn fm_074_power_cuts_under_load_lose_nothing_that_was_acknowledged() {
    let installation = Installation::with("live", "write: { settle: 6s, guard: off }").await;
    let disk = connected(&installation).await;
    let mut dice = StdRng::seed_from_u64(SEED);
    let mut unsynced = 0;
    for cut in 0..CUTS {
        let daemon = start(&installation, &disk, Honesty::Honest);
        installation.ready().await;
        let alive = GAP.mul_f64(dice.random_range(0.1..1.0));
        // The moment of the cut is what the test is about: senders come until then.
        tokio::time::timeout(alive, senders(&installation, cut)).await.unwrap_err();
        daemon.kill();
        // Every other time some sectors had reached the disk, whatever their order.
        let torn = cut % 2 == 1;
        unsynced += disk.cut(|| torn && dice.random_bool(0.5)).unwrap().unsynced;
        assert_eq!(integrity(&installation).await, "ok", "after cut {cut} of seed {SEED}");
        assert_eq!(installation.broken(Phase::Underway).await, [], "after cut {cut} of seed {SEED}");
    }
    assert!(unsynced > 0, "nothing was there to be forgotten");
    let daemon = installation.start().await;
    installation.drained(installation.acknowledged()).await;
    installation.assert_invariants().await;
    assert_eq!(daemon.stop(), Some(0));
}

/// The same with a disk that answers syncs and does not do them: were nothing found then, the test above would prove
/// nothing.
#[tokio::test(flavor = "multi_thread")]
async fn fm_074_a_disk_that_ignores_syncs_is_caught() {
    let installation = Installation::new().await;
    let disk = connected(&installation).await;
    let daemon = start(&installation, &disk, Honesty::Deaf);
    installation.send_until_taken("h0").await;
    daemon.kill();
    assert_eq!(installation.broken(Phase::Underway).await, [], "a kill alone forgets nothing");
    assert!(disk.cut(|| false).unwrap().forgotten > 0);
    let broken = installation.broken(Phase::Underway).await;
    let rules: Vec<&str> = broken.iter().map(|broken| broken.rule).collect();
    assert_eq!(rules, ["I1 what was acknowledged is stored"]);
}

/// A disk under an installation that has run once.
async fn connected(installation: &Installation) -> LossyDisk {
    let disk = LossyDisk::under(&installation.path().join("usher.db"), installation.path()).unwrap();
    let daemon = start(installation, &disk, Honesty::Honest);
    until("the form is connected", async || installation.is_connected().await).await;
    daemon.kill();
    disk.cut(|| false).unwrap();
    disk
}

fn start(installation: &Installation, disk: &LossyDisk, honesty: Honesty) -> Daemon {
    let environment = disk.environment(honesty);
    let text = |value: OsString| value.into_string().unwrap();
    let environment: Vec<(&str, String)> =
        environment.into_iter().map(|(name, value)| (name, text(value))).collect();
    let environment: Vec<(&str, &str)> =
        environment.iter().map(|(name, value)| (*name, value.as_str())).collect();
    installation.spawn(&environment)
}

/// Four senders that never stop.
async fn senders(installation: &Installation, cut: u64) {
    let sender = async |sender: u64| {
        for n in 0_u64.. {
            installation.send_until_taken(&format!("h{cut}-{sender}-{n}")).await;
        }
    };
    tokio::join!(sender(0), sender(1), sender(2), sender(3));
}

async fn integrity(installation: &Installation) -> String {
    let mut ledger = installation.ledger().await.unwrap();
    let integrity = ledger.integrity().await.unwrap();
    ledger.close().await.unwrap();
    integrity
}
