//! Writes on bad days: what is unknown is looked up, and what was refused did nothing.

use anyhow::{Context as _, bail, ensure};
use jiff::SignedDuration;
use usher_connector::{Capability, FaultClass, Target, Verdict, VerifyBy, Write};

use super::Outcome;
use super::bench::Bench;
use super::target_samples::{class, send, since, target, verifiable, write};
use crate::relay::{Aim, Answer, Meddle};

/// The times that an intent is tried again.
const REPEATS: usize = 10;

async fn verdict(bench: &Bench, target: &dyn Target, write: &Write) -> anyhow::Result<Verdict> {
    target
        .verify(write, since(bench))
        .await
        .map_err(|fault| anyhow::anyhow!("verify: {:?}: {fault}", bench.class(&fault)))
}

/// Sends while every writing request meets that fate, and hands out the class of the failure.
async fn sent_into(bench: &Bench, write: &Write, how: Meddle) -> anyhow::Result<Option<FaultClass>> {
    let relay = bench.relay()?;
    relay.clear();
    relay.meddle(Aim::Writes, 0, how);
    // Of its own, since a call that is refused may rest the calls after it.
    let own = bench.connect()?.target.context("no target")?;
    let sent = send(&*own, write).await?;
    ensure!(sent.is_err(), "came out as done: {sent:?}");
    Ok(class(bench, &sent))
}

fn is_unknown(class: Option<FaultClass>) -> Outcome {
    ensure!(class == Some(FaultClass::OutcomeUnknown), "came out as {class:?}, not as an unknown outcome");
    Ok(())
}

/// FM-039: the write was done, the answer is lost.
pub(super) async fn lost(bench: &Bench) -> Outcome {
    let (target, world) = target(bench)?;
    for Capability { kind, verify, .. } in target.capabilities() {
        let write = write(bench, kind)?;
        is_unknown(sent_into(bench, &write, Meddle::Lost).await.context(kind.as_str())?)
            .context(kind.as_str())?;
        bench.relay()?.clear();
        ensure!(world.applied(&write) == 1, "{}: the relay did not let it through", kind.as_str());
        match verdict(bench, target, &write).await? {
            Verdict::Found(_) if verify != VerifyBy::Nothing => {}
            Verdict::Unsure if verify == VerifyBy::Nothing => {}
            other => bail!("{}: is done and verified as {other:?}", kind.as_str()),
        }
    }
    Ok(())
}

/// FM-039, FM-041: ten tries of one intent, each answer lost, make one object, whatever a lagging search says.
pub(super) async fn repeated(bench: &Bench) -> Outcome {
    let (target, world) = target(bench)?;
    for Capability { kind, .. } in verifiable(target) {
        let write = write(bench, kind)?;
        for attempt in 1..=REPEATS {
            bench.relay()?.clear();
            if !matches!(verdict(bench, target, &write).await?, Verdict::Found(_)) {
                ensure!(attempt == 1, "{}: not found again in try {attempt}", kind.as_str());
                is_unknown(sent_into(bench, &write, Meddle::Lost).await?)?;
            }
        }
        ensure!(world.applied(&write) == 1, "{}: applied {} times", kind.as_str(), world.applied(&write));
    }
    for capability in target.capabilities().into_iter().filter(|capability| capability.keyed) {
        let (kind, write) = (capability.kind.as_str(), write(bench, capability.kind)?);
        bench.relay()?.clear();
        for _ in 0..REPEATS {
            let sent = send(target, &write).await?;
            ensure!(sent.is_ok(), "{kind}: keyed, and a repeat came out as {sent:?}");
        }
        ensure!(world.applied(&write) == 1, "{kind}: keyed, and applied {} times", world.applied(&write));
    }
    Ok(())
}

/// FM-042: the write lands after we looked.
pub(super) async fn late(bench: &Bench) -> Outcome {
    let (target, world) = target(bench)?;
    for Capability { kind, .. } in verifiable(target) {
        let write = write(bench, kind)?;
        is_unknown(sent_into(bench, &write, Meddle::Held).await.context(kind.as_str())?)
            .context(kind.as_str())?;
        let early = verdict(bench, target, &write).await?;
        ensure!(early == Verdict::Absent, "{}: not done yet and verified as {early:?}", kind.as_str());
        ensure!(bench.relay()?.release().await? > 0, "{}: nothing was held back", kind.as_str());
        let then = verdict(bench, target, &write).await?;
        ensure!(matches!(then, Verdict::Found(_)), "{}: done late and verified as {then:?}", kind.as_str());
        ensure!(world.applied(&write) == 1, "{}: applied {} times", kind.as_str(), world.applied(&write));
    }
    Ok(())
}

pub(super) async fn server_error(bench: &Bench) -> Outcome {
    let (target, _) = target(bench)?;
    for Capability { kind, .. } in target.capabilities() {
        for status in [500, 502, 503, 504] {
            let write = write(bench, kind)?;
            let answer = Answer::new(status, "text/html", "<html>Bad gateway</html>");
            let class = sent_into(bench, &write, Meddle::Instead(answer)).await;
            is_unknown(class.context(kind.as_str())?)
                .with_context(|| format!("{}, {status}", kind.as_str()))?;
        }
    }
    Ok(())
}

/// A 2xx that can not be read says that something happened, not what.
pub(super) async fn malformed(bench: &Bench) -> Outcome {
    let (target, world) = target(bench)?;
    let json = |body: &str| Answer::json(200, body);
    let html = Answer::new(200, "text/html", "<html>Sign in</html>");
    for Capability { kind, .. } in target.capabilities() {
        for answer in [html.clone(), json(""), json(r#"{"res"#), json("{}"), json("[]"), json("null")] {
            let write = write(bench, kind)?;
            let place = format!("{}, {:?}", kind.as_str(), String::from_utf8_lossy(&answer.body));
            let class = sent_into(bench, &write, Meddle::Replaced(answer)).await.context(place.clone())?;
            is_unknown(class).context(place.clone())?;
            ensure!(world.applied(&write) == 1, "{place}: the relay did not let it through");
        }
    }
    Ok(())
}

/// FM-064: a 429 is proof that nothing was done.
pub(super) async fn throttled(bench: &Bench) -> Outcome {
    let wait = Some(SignedDuration::from_secs(3));
    let answer = Answer::json(429, "{}").with("retry-after", "3");
    refused(
        bench,
        &answer,
        |class| matches!(class, FaultClass::Throttled { retry_after, .. } if retry_after == wait),
    )
    .await
}

/// FM-062.
pub(super) async fn unauthorized(bench: &Bench) -> Outcome {
    refused(bench, &Answer::json(401, "{}"), |class| class == FaultClass::Unauthorized).await
}

async fn refused(bench: &Bench, answer: &Answer, fits: impl Fn(FaultClass) -> bool) -> Outcome {
    let (target, world) = target(bench)?;
    for Capability { kind, .. } in target.capabilities() {
        let write = write(bench, kind)?;
        let before = world.changes();
        let class = sent_into(bench, &write, Meddle::Instead(answer.clone())).await.context(kind.as_str())?;
        ensure!(class.is_some_and(&fits), "{} came out as {class:?}", kind.as_str());
        let nothing = world.changes() == before && world.applied(&write) == 0;
        ensure!(nothing, "{}: something was written all the same", kind.as_str());
    }
    Ok(())
}
