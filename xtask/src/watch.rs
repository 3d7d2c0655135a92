//! Watching a run: how far it is, when it has learned what it must know, when it has come to rest.

use std::time::{Duration, Instant};

use usher_sandbox::Sandbox;
use usher_testkit::invariants::{Evidence, Ledger, Scene, Standing};

use crate::field::installation::Installation;
use crate::report::progress;

/// Between two looks at a run.
const LOOK: Duration = Duration::from_millis(250);
/// Between two lines of progress.
const SAY: Duration = Duration::from_secs(10);
/// A run is over once nothing has moved for so long although all has ended.
const REST: Duration = Duration::from_secs(4);

/// Waits until owners and so many companies are read.
pub(crate) async fn directory(installation: &mut Installation, companies: usize) -> anyhow::Result<()> {
    loop {
        tokio::time::sleep(LOOK).await;
        alive(installation)?;
        // Until the first start has made the tables there is nothing to read.
        let Ok(mut ledger) = Ledger::open(&installation.place()).await else { continue };
        let read = ledger.directory_read().await.unwrap_or(false);
        let standing = if read { ledger.standing().await? } else { Standing::default() };
        ledger.close().await?;
        if read && usize::try_from(standing.accounts)? >= companies {
            return Ok(());
        }
    }
}

/// Waits until everything has come to rest. False if nothing moves and it has not.
pub(crate) async fn rest(
    installation: &mut Installation,
    sandbox: &Sandbox,
    scene: &Scene,
    patience: Duration,
) -> anyhow::Result<bool> {
    let (mut last, mut moved, mut said) = (Standing::default(), Instant::now(), Instant::now());
    loop {
        tokio::time::sleep(LOOK).await;
        alive(installation)?;
        let standing = look(installation).await?;
        if standing != last {
            (last, moved) = (standing, Instant::now());
        }
        if said.elapsed() >= SAY {
            say(installation, "draining").await;
            said = Instant::now();
        }
        let calm =
            standing.rests() && moved.elapsed() >= REST && sandbox.crm(scene.vendor).summary().pending == 0;
        if calm && all_seen(installation, sandbox, scene).await? {
            return Ok(true);
        }
        if moved.elapsed() >= patience {
            say(installation, "stuck").await;
            return Ok(false);
        }
    }
}

/// Says how far the run is, if that can be seen just now.
pub(crate) async fn say(installation: &Installation, what: &str) {
    if let Ok(standing) = look(installation).await {
        let usage = installation.usage();
        progress(&format!(
            "{what}: seen {} ({} moving), leads {} ({} moving), writes done {} ({} moving), cpu {:.1} s, peak {} MiB",
            standing.seen,
            standing.records_moving,
            standing.leads,
            standing.leads_moving,
            standing.effects_done,
            standing.effects_moving,
            usage.cpu(),
            usage.peak_kib / 1024
        ));
    }
}

fn alive(installation: &mut Installation) -> anyhow::Result<()> {
    if let Some(status) = installation.ended()? {
        anyhow::bail!("the program ended by itself ({status}); see {}", installation.log().display());
    }
    Ok(())
}

async fn look(installation: &Installation) -> anyhow::Result<Standing> {
    let mut ledger = Ledger::open(&installation.place()).await?;
    let standing = ledger.standing().await;
    ledger.close().await?;
    standing
}

async fn all_seen(installation: &Installation, sandbox: &Sandbox, scene: &Scene) -> anyhow::Result<bool> {
    let mut ledger = Ledger::open(&installation.place()).await?;
    let evidence = Evidence::collect(&mut ledger, sandbox, scene.clone()).await?;
    ledger.close().await?;
    Ok(evidence.unseen().is_empty())
}
