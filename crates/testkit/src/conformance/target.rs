//! Writes on good days, and what a vendor may answer without being unwell.

use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use jiff::{SignedDuration, Timestamp};
use usher_connector::{Body, FaultClass, SendFailure, Verdict, VerifyBy, Write, Written};
use usher_model::{EffectBody, EffectKind, ExternalId, SlotKind, SlotOrigin};

use super::Outcome;
use super::bench::Bench;
use super::target_samples::{by_id, can, class, owner, send, since, target, task, update, write};

/// What is planned and not offered is refused, and its lead fails.
pub(super) async fn offers(bench: &Bench) -> Outcome {
    let (target, _) = target(bench)?;
    let inquiry = target.carrier().is_inquiry();
    for kind in EffectKind::ALL {
        let wanted = match kind {
            // Planned only where it is offered.
            EffectKind::EnsureCompany => false,
            EffectKind::EnsureInquiry => inquiry,
            EffectKind::Associate => target.object_of(SlotKind::Company).is_some(),
            _ => true,
        };
        ensure!(!wanted || can(target, kind), "{} is planned and not offered", kind.as_str());
    }
    Ok(())
}

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

/// After a restore the key of a task, lead or deal that exists is forgotten; it must be found all the same.
pub(super) async fn forgotten(bench: &Bench) -> Outcome {
    let (target, _) = target(bench)?;
    for kind in [EffectKind::CreateTask, EffectKind::EnsureInquiry] {
        if can(target, kind) {
            forgotten_of(bench, kind).await.context(kind.as_str())?;
        }
    }
    Ok(())
}

async fn forgotten_of(bench: &Bench, kind: EffectKind) -> Outcome {
    let (target, world) = target(bench)?;
    let before = bench.world().now();
    let (made, other) = (write(bench, kind)?, write(bench, kind)?);
    let Ok(written) = send(target, &made).await? else { bail!("it was not made") };
    let anew = Write { body: made.body.clone(), ..other.clone() };
    let since = |instant: Timestamp| target.ours_since(&anew, instant);
    let found = since(before - SignedDuration::from_secs(60)).await?;
    ensure!(found.iter().eq(written.id.as_ref()), "found {found:?} instead of {:?}", written.id);
    let later = since(before + SignedDuration::from_hours(1)).await?;
    ensure!(later.is_empty(), "one from before is taken for one of the forgotten time: {later:?}");
    let stranger = target.ours_since(&other, before - SignedDuration::from_secs(60)).await?;
    ensure!(stranger.is_empty(), "one about somebody else was found: {stranger:?}");
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

/// Of what somebody has entered for the person, the youngest is taken if it is young enough, and nothing is made.
pub(super) async fn entered(bench: &Bench) -> Outcome {
    let (target, world) = target(bench)?;
    if !can(target, EffectKind::EnsureInquiry) {
        return Ok(());
    }
    let window = SignedDuration::from_mins(5);
    let person = world.make(SlotKind::Person);
    let looking = |since: Timestamp| -> anyhow::Result<Write> {
        let mut write = write(bench, EffectKind::EnsureInquiry)?;
        if let EffectBody::EnsureInquiry { person: asks, entered_since, .. } = &mut write.body {
            (*asks, *entered_since) = (by_id(SlotKind::Person, &person), Some(since));
        }
        Ok(write)
    };
    let enter = || world.enter(target.carrier(), &person).context("the rig can not enter one");
    enter()?;
    bench.world().advance(Duration::from_secs(3600));
    let own = looking(bench.world().now() - window)?;
    let sent = send(target, &own).await?;
    let Ok(made) = &sent else { bail!("beside an old one: {sent:?}") };
    ensure!(made.origin == SlotOrigin::Created && made.owned, "an old one was taken: {made:?}");
    ensure!(world.applied(&own) == 1, "none was made beside an old one");
    bench.world().advance(Duration::from_secs(60));
    enter()?;
    bench.world().advance(Duration::from_secs(60));
    let youngest = enter()?;
    let before = world.changes();
    // Our own is as young, and another inquiry's.
    let again = looking(bench.world().now() - window)?;
    match send(target, &again).await? {
        Ok(found) if found.id == Some(youngest) && found.origin == SlotOrigin::Found && !found.owned => {}
        other => bail!("one was entered a moment ago, and the write came out as {other:?}"),
    }
    ensure!(world.changes() == before, "something was written all the same");
    // What nobody has looked at yet may still be made.
    let blind = Write { body: own.body.clone(), ..write(bench, EffectKind::EnsureInquiry)? };
    ensure!(
        matches!(target.verify(&blind, since(bench)).await, Ok(Verdict::Absent)),
        "somebody's counts as ours"
    );
    Ok(())
}

pub(super) async fn human_won(bench: &Bench) -> Outcome {
    let (target, world) = target(bench)?;
    ensure!(can(target, EffectKind::UpdateObject), "a target that can not write owners");
    let write = write(bench, EffectKind::UpdateObject)?;
    let EffectBody::UpdateObject { target: usher_model::ObjectRef::Id { kind, id }, .. } = &write.body else {
        bail!("the sample names no object")
    };
    let human = world.owners().into_iter().nth(1).context("the rig has one owner only")?;
    world.give(*kind, id, &human);
    let before = world.changes();
    match send(target, &write).await? {
        Err(SendFailure::HumanWon { owner: Some(found) }) if found == human => {}
        other => bail!("a human gave the object away, and the write came out as {other:?}"),
    }
    ensure!(world.changes() == before, "something was written all the same");
    Ok(())
}

/// A person who is made may come with an owner; one who is there already, one whose owner left and one whose owner the
/// vendor drops may not be told to have got it.
pub(super) async fn made_with_owner(bench: &Bench) -> Outcome {
    let (target, world) = target(bench)?;
    if !can(target, EffectKind::EnsurePerson) || !can(target, EffectKind::UpdateObject) {
        return Ok(());
    }
    let owners = world.owners();
    let [first, second, ..] = owners.as_slice() else { bail!("the rig has one owner only") };
    let made = Write { owner: Some(first.clone()), ..write(bench, EffectKind::EnsurePerson)? };
    let Ok(written) = send(target, &made).await? else { bail!("it was not made") };
    ensure!(written.owned == owns(bench, &written, first).await?, "what is told of the owner is wrong");
    let again = Write { owner: Some(second.clone()), ..write(bench, EffectKind::EnsurePerson)? };
    let again = Write { body: made.body.clone(), ..again };
    match send(target, &again).await? {
        Ok(found) if found.id == written.id && !found.owned => {}
        other => bail!("a person who is there came out as {other:?}"),
    }
    ensure!(!owns(bench, &written, second).await?, "a person who was there got another owner");
    let left = Write { owner: Some(world.left()), ..write(bench, EffectKind::EnsurePerson)? };
    let sent = send(target, &left).await?;
    match &sent {
        Ok(written) => ensure!(!written.owned, "made with an owner who left"),
        Err(_) => {
            let again = class(bench, &sent) == Some(FaultClass::Transient);
            ensure!(again && world.applied(&left) == 0, "an owner who left came out as {sent:?}");
        }
    }
    world.drop_owners();
    let dropped = Write { owner: Some(first.clone()), ..write(bench, EffectKind::EnsurePerson)? };
    match send(target, &dropped).await? {
        Ok(written) if !written.owned => Ok(()),
        other => bail!("the vendor dropped the owner, and the write came out as {other:?}"),
    }
}

/// Whether that owner stands on the person.
async fn owns(bench: &Bench, person: &Written, owner: &ExternalId) -> anyhow::Result<bool> {
    let (target, _) = target(bench)?;
    let id = person.id.as_ref().context("a person without an id")?;
    let mut body = update(by_id(SlotKind::Person, id), owner);
    if let EffectBody::UpdateObject { fields, .. } = &mut body {
        fields.clear();
    }
    let write = Write { body, ..write(bench, EffectKind::UpdateObject)? };
    Ok(matches!(target.verify(&write, since(bench)).await, Ok(Verdict::Found(_))))
}

pub(super) async fn owner_left(bench: &Bench) -> Outcome {
    let (target, world) = target(bench)?;
    let left = world.left();
    use EffectKind::{CreateTask, EnsureInquiry, ReassignTask, UpdateObject};
    for kind in [UpdateObject, EnsureInquiry, CreateTask, ReassignTask] {
        if !can(target, kind) {
            continue;
        }
        let mut write = write(bench, kind)?;
        match &mut write.body {
            EffectBody::UpdateObject { owner: Some(change), .. } => change.to = Some(left.clone()),
            EffectBody::CreateTask { owner, .. } | EffectBody::EnsureInquiry { owner, .. } => {
                *owner = left.clone();
            }
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
    for kind in [EffectKind::CreateTask, EffectKind::EnsureInquiry] {
        if !can(target, kind) {
            continue;
        }
        let gone = world.make(SlotKind::Person);
        world.remove(SlotKind::Person, &gone);
        let mut write = write(bench, kind)?;
        match &mut write.body {
            EffectBody::CreateTask { about, .. } => *about = vec![by_id(SlotKind::Person, &gone)],
            EffectBody::EnsureInquiry { person, .. } => *person = by_id(SlotKind::Person, &gone),
            _ => {}
        }
        let (kind, sent) = (kind.as_str(), send(target, &write).await?);
        let told = match &sent {
            Err(SendFailure::Lost { kind, id }) => (*kind, id) == (SlotKind::Person, &gone),
            Err(SendFailure::Gone) => true,
            _ => class(bench, &sent) == Some(FaultClass::Rejected),
        };
        ensure!(told, "{kind}: about a person who is gone: {sent:?}");
        ensure!(world.applied(&write) == 0, "{kind}: about nobody was made");
    }
    Ok(())
}

/// FM-046: accepted is not applied.
pub(super) async fn owner_dropped(bench: &Bench) -> Outcome {
    let (target, world) = target(bench)?;
    world.drop_owners();
    let owner = owner(world)?;
    let carrier = || by_id(target.carrier(), &world.make(target.carrier()));
    let number = 900_000;
    let reassign = EffectBody::ReassignTask {
        task: by_id(SlotKind::Task, &world.make(SlotKind::Task)),
        to: owner.clone(),
    };
    let mut bodies = vec![update(carrier(), &owner), task(bench, number, vec![carrier()], &owner), reassign];
    if can(target, EffectKind::EnsureInquiry) {
        bodies.push(write(bench, EffectKind::EnsureInquiry)?.body);
    }
    for body in bodies {
        if !can(target, body.kind()) {
            continue;
        }
        let key = super::target_samples::key(number);
        let write = Write { key, body, owner_read: super::target_samples::compared(), owner: None };
        let sent = send(target, &write).await?;
        let kind = write.body.kind().as_str();
        ensure!(sent.is_err(), "{kind}: the vendor dropped the owner, and the write counts as done");
        let class = class(bench, &sent);
        // What was made without its owner must not be made again by a retry: it parks, as a defect does.
        let makes = matches!(write.body.kind(), EffectKind::CreateTask | EffectKind::EnsureInquiry);
        let wanted = if makes { FaultClass::Defect } else { FaultClass::Rejected };
        ensure!(class == Some(wanted), "{kind}: the operator must see it, not {class:?}");
    }
    Ok(())
}
