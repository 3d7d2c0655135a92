//! Writes on good days, and what a vendor may answer without being unwell.

use anyhow::{Context as _, bail, ensure};
use jiff::{SignedDuration, Timestamp};
use usher_connector::{Body, FaultClass, SendFailure, Verdict, VerifyBy, Write};
use usher_model::{EffectBody, EffectKind, SlotKind};

use super::Outcome;
use super::bench::Bench;
use super::target_samples::{by_id, can, class, owner, send, since, target, task, update, write};

pub(super) async fn applies(bench: &Bench) -> Outcome {
    let (target, world) = target(bench)?;
    for capability in target.capabilities() {
        let kind = capability.kind.as_str();
        let write = write(bench, capability.kind)?;
        ensure!(world.applied(&write) == 0, "{kind}: the rig sees it before it is sent");
        let sent = send(target, &write).await?;
        let Ok(written) = &sent else { bail!("{kind}: {sent:?}") };
        ensure!(world.applied(&write) == 1, "{kind}: applied {} times", world.applied(&write));
        let binds = write.body.binds().is_some();
        ensure!(written.id.is_some() == binds, "{kind}: binds a slot: {binds}, came with {:?}", written.id);
        match target.verify(&write, since(bench)).await {
            Ok(Verdict::Found(found)) => {
                ensure!(found.id == written.id, "{kind}: verified as another object");
            }
            Ok(Verdict::Unsure) if capability.verify == VerifyBy::Nothing => {}
            other => bail!("{kind}: is done and verified as {other:?}"),
        }
    }
    ensure!(target.send(&[]).await.is_empty(), "no write has an outcome");
    Ok(())
}

/// After a restore the key of a task that exists is forgotten; the task must be found all the same.
pub(super) async fn forgotten(bench: &Bench) -> Outcome {
    let (target, world) = target(bench)?;
    if !can(target, EffectKind::CreateTask) {
        return Ok(());
    }
    let before = bench.world().now();
    let (made, other) = (write(bench, EffectKind::CreateTask)?, write(bench, EffectKind::CreateTask)?);
    let Ok(written) = send(target, &made).await? else { bail!("the task was not made") };
    let anew = Write { body: made.body.clone(), ..other.clone() };
    let since = |instant: Timestamp| target.ours_since(&anew, instant);
    let found = since(before - SignedDuration::from_secs(60)).await?;
    ensure!(found.iter().eq(written.id.as_ref()), "found {found:?} instead of {:?}", written.id);
    let later = since(before + SignedDuration::from_hours(1)).await?;
    ensure!(later.is_empty(), "a task from before is taken for one of the forgotten time: {later:?}");
    let stranger = target.ours_since(&other, before - SignedDuration::from_secs(60)).await?;
    ensure!(stranger.is_empty(), "a task about somebody else was found: {stranger:?}");
    ensure!(world.applied(&anew) == 0, "looking has written");
    Ok(())
}

pub(super) async fn dry_run(bench: &Bench) -> Outcome {
    let (target, _) = target(bench)?;
    for capability in target.capabilities() {
        let kind = capability.kind.as_str();
        let mut writes = vec![write(bench, capability.kind)?];
        if capability.max_batch > 1 {
            writes.push(write(bench, capability.kind)?);
        }
        let described = target.describe(&writes).map_err(|fault| anyhow::anyhow!("{kind}: {fault}"))?;
        ensure!(!described.is_empty(), "{kind}: nothing is described");
        bench.calm();
        for sent in target.send(&writes).await {
            ensure!(sent.is_ok(), "{kind}: {sent:?}");
        }
        let made = bench.writes();
        ensure!(made == described, "{kind}: described\n{described:?}\nmade\n{made:?}");
        let wire: Vec<_> = bench.relay()?.seen().into_iter().filter(|seen| seen.writes).collect();
        ensure!(wire.len() == described.len(), "{kind}: {} requests reached the vendor", wire.len());
        for (seen, told) in wire.iter().zip(&described) {
            let body = match &told.body {
                Body::Json(body) => body.as_slice(),
                Body::Empty => &[],
                Body::Form(_) => bail!("{kind}: a write without JSON"),
            };
            let same = seen.method == told.method.as_str() && seen.path == told.path && seen.body == body;
            ensure!(
                same && seen.query.is_empty() == told.query.is_empty(),
                "{kind}: another request was made"
            );
        }
    }
    Ok(())
}

pub(super) async fn human_won(bench: &Bench) -> Outcome {
    let (target, world) = target(bench)?;
    ensure!(can(target, EffectKind::UpdateObject), "a target that can not write owners");
    let write = write(bench, EffectKind::UpdateObject)?;
    let EffectBody::UpdateObject { target: usher_model::ObjectRef::Id { id, .. }, .. } = &write.body else {
        bail!("the sample names no object")
    };
    let human = world.owners().into_iter().nth(1).context("the rig has one owner only")?;
    world.give(SlotKind::Person, id, &human);
    let before = world.changes();
    match send(target, &write).await? {
        Err(SendFailure::HumanWon { owner: Some(found) }) if found == human => {}
        other => bail!("a human gave the person away, and the write came out as {other:?}"),
    }
    ensure!(world.changes() == before, "something was written all the same");
    Ok(())
}

pub(super) async fn owner_left(bench: &Bench) -> Outcome {
    let (target, world) = target(bench)?;
    let left = world.left();
    for kind in [EffectKind::UpdateObject, EffectKind::CreateTask, EffectKind::ReassignTask] {
        if !can(target, kind) {
            continue;
        }
        let mut write = write(bench, kind)?;
        match &mut write.body {
            EffectBody::UpdateObject { owner: Some(change), .. } => change.to = Some(left.clone()),
            EffectBody::CreateTask { owner, .. } => *owner = left.clone(),
            EffectBody::ReassignTask { to, .. } => *to = left.clone(),
            _ => {}
        }
        let sent = send(target, &write).await?;
        let rejected = matches!(sent, Err(SendFailure::OwnerRejected { .. }));
        ensure!(rejected, "{}: to an owner who left came out as {sent:?}", kind.as_str());
        ensure!(world.applied(&write) == 0, "{}: was applied all the same", kind.as_str());
    }
    Ok(())
}

pub(super) async fn gone(bench: &Bench) -> Outcome {
    let (target, world) = target(bench)?;
    for kind in
        [EffectKind::UpdateObject, EffectKind::Associate, EffectKind::CloseTask, EffectKind::ReassignTask]
    {
        if !can(target, kind) {
            continue;
        }
        let write = write(bench, kind)?;
        let about = write.body.refs().next().cloned();
        if let Some(usher_model::ObjectRef::Id { kind, id }) = about {
            world.remove(kind, &id);
        }
        let sent = send(target, &write).await?;
        ensure!(
            matches!(sent, Err(SendFailure::Gone)),
            "{}: on an object that is gone: {sent:?}",
            kind.as_str()
        );
    }
    if can(target, EffectKind::CreateTask) {
        let person = world.make(SlotKind::Person);
        world.remove(SlotKind::Person, &person);
        let mut write = write(bench, EffectKind::CreateTask)?;
        if let EffectBody::CreateTask { about, .. } = &mut write.body {
            *about = vec![by_id(SlotKind::Person, &person)];
        }
        let sent = send(target, &write).await?;
        let told =
            matches!(sent, Err(SendFailure::Gone)) || class(bench, &sent) == Some(FaultClass::Rejected);
        ensure!(told, "a task about a person who is gone: {sent:?}");
        ensure!(world.applied(&write) == 0, "a task about nobody was made");
    }
    Ok(())
}

/// FM-046: accepted is not applied.
pub(super) async fn owner_dropped(bench: &Bench) -> Outcome {
    let (target, world) = target(bench)?;
    world.drop_owners();
    let (person, owner) = (world.make(SlotKind::Person), owner(world)?);
    let number = 900_000;
    let reassign = EffectBody::ReassignTask {
        task: by_id(SlotKind::Task, &world.make(SlotKind::Task)),
        to: owner.clone(),
    };
    for body in [update(&person, &owner), task(bench, number, &person, &owner), reassign] {
        if !can(target, body.kind()) {
            continue;
        }
        let key = super::target_samples::key(number);
        let write = Write { key, body, owner_read: super::target_samples::compared() };
        let sent = send(target, &write).await?;
        let kind = write.body.kind().as_str();
        ensure!(sent.is_err(), "{kind}: the vendor dropped the owner, and the write counts as done");
        let class = class(bench, &sent);
        // A task that exists without its owner must not be created again by a retry: it parks, as a defect does.
        let wanted = if write.body.kind() == EffectKind::CreateTask {
            FaultClass::Defect
        } else {
            FaultClass::Rejected
        };
        ensure!(class == Some(wanted), "{kind}: the operator must see it, not {class:?}");
    }
    Ok(())
}
