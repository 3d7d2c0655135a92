//! Batches: each write has its own outcome.

use anyhow::{Context as _, bail, ensure};
use usher_connector::{FaultClass, SendFailure, Verdict, Write};
use usher_model::{EffectBody, EffectKind};

use super::Outcome;
use super::bench::Bench;
use super::rig::TargetWorld;
use super::target_samples::{Sent, can, class, since, target, write};

/// Three writes of each kind that travels in batches and for which the rig can have that bad day.
async fn batches(
    bench: &Bench,
    bad_day: impl Fn(&dyn TargetWorld, EffectKind) -> bool,
) -> anyhow::Result<Vec<(Write, Sent)>> {
    let (target, world) = target(bench)?;
    let mut all = Vec::new();
    for capability in target.capabilities().into_iter().filter(|capability| capability.max_batch >= 3) {
        let kind = capability.kind;
        let writes = [write(bench, kind)?, write(bench, kind)?, write(bench, kind)?];
        if !bad_day(world, kind) {
            continue;
        }
        let sent = target.send(&writes).await;
        bench.world().calm();
        ensure!(sent.len() == 3, "{}: {} outcomes for 3 writes", kind.as_str(), sent.len());
        ensure!(
            sent.iter().filter(|sent| sent.is_err()).count() == 1,
            "{}: not one of 3 failed: {sent:?}",
            kind.as_str()
        );
        all.extend(writes.into_iter().zip(sent));
    }
    ensure!(!all.is_empty(), "the rig has no kind of write with such a bad day");
    Ok(all)
}

/// The outcome of a write that is done fits the object that was made for it, not its neighbour's.
async fn is_own(bench: &Bench, write: &Write, sent: &Sent) -> Outcome {
    let (target, world) = target(bench)?;
    let kind = write.body.kind().as_str();
    ensure!(
        world.applied(write) == 1,
        "{kind}: counts as done and is applied {} times",
        world.applied(write)
    );
    match (target.verify(write, since(bench)).await, sent) {
        (Ok(Verdict::Found(found)), Ok(written)) => {
            ensure!(found.id == written.id, "{kind}: a neighbour's outcome");
        }
        (Ok(Verdict::Unsure), _) => {}
        (other, _) => bail!("{kind}: is done and verified as {other:?}"),
    }
    Ok(())
}

/// FM-044: errors of single rows in a 2xx.
pub(super) async fn partial(bench: &Bench) -> Outcome {
    let (_, world) = target(bench)?;
    for (write, sent) in batches(bench, |world, kind| world.refuse_a_row(kind)).await? {
        if sent.is_ok() {
            is_own(bench, &write, &sent).await?;
            continue;
        }
        let kind = write.body.kind().as_str();
        let class = class(bench, &sent);
        ensure!(class == Some(FaultClass::Rejected), "{kind}: a refused row came out as {sent:?}");
        ensure!(world.applied(&write) == 0, "{kind}: a refused row was applied");
    }
    Ok(())
}

/// FM-044: a missing row is unknown, not done and not failed.
pub(super) async fn omitted(bench: &Bench) -> Outcome {
    for (write, sent) in batches(bench, |world, kind| world.omit_a_row(kind)).await? {
        let kind = write.body.kind().as_str();
        if sent.is_err() {
            let class = class(bench, &sent);
            ensure!(class == Some(FaultClass::OutcomeUnknown), "{kind}: a row left out came out as {sent:?}");
            let verdict = target(bench)?.0.verify(&write, since(bench)).await.context(kind)?;
            ensure!(matches!(verdict, Verdict::Found(_)), "{kind}: done and verified as {verdict:?}");
        } else {
            is_own(bench, &write, &sent).await?;
        }
    }
    Ok(())
}

/// FM-045: a bad row among good ones, where the vendor refuses the whole batch for it.
pub(super) async fn one_bad(bench: &Bench) -> Outcome {
    let (target, world) = target(bench)?;
    ensure!(can(target, EffectKind::UpdateObject), "a target that can not write owners");
    let kind = EffectKind::UpdateObject;
    let mut writes = vec![write(bench, kind)?, write(bench, kind)?, write(bench, kind)?, write(bench, kind)?];
    if let Some(EffectBody::UpdateObject { owner: Some(change), .. }) =
        writes.get_mut(2).map(|write| &mut write.body)
    {
        change.to = Some(world.left());
    }
    world.refuse_whole();
    let sent = target.send(&writes).await;
    for (at, (write, sent)) in writes.iter().zip(&sent).enumerate() {
        if at == 2 {
            let told = matches!(sent, Err(SendFailure::OwnerRejected { .. }));
            ensure!(told, "the bad row came out as {sent:?}");
        } else {
            ensure!(sent.is_ok(), "a good row beside a bad one came out as {sent:?}");
            is_own(bench, write, sent).await?;
        }
    }
    Ok(())
}
