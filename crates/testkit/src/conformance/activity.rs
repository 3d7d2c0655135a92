//! What people did: read to the end, told once under one name, and never taken from what programs did.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use usher_connector::{
    Activity, ActivityBatch, ChangedBy, Cursor, Pull, SendFailure, Sight, Target, Write, Written,
};
use usher_model::{
    CrmEvent, EffectBody, EffectKind, ExternalId, Happening, Lane, ObjectRef, ObjectType, Outcome as Ending,
    SlotKind, TouchKind,
};

use super::bench::Bench;
use super::rig::{ActivityWorld, When};
use super::source_paging::Band;
use super::{Outcome, target_samples};

/// More steps than any check needs: who takes more goes round in circles.
const MOST_STEPS: usize = 400;

/// A stream in a lane.
pub(super) type Stream = (ObjectType, Lane);

/// What was read.
#[derive(Debug, Default)]
struct Read {
    events: Vec<CrmEvent>,
    sights: Vec<Sight>,
    cursor: Option<Cursor>,
}

impl Read {
    fn about(&self, object: &ObjectType) -> BTreeSet<ExternalId> {
        let about = self.events.iter().flat_map(|event| &event.about);
        about.filter(|(of, _)| of == object).map(|(_, id)| id.clone()).collect()
    }

    fn ids(&self) -> BTreeSet<&str> {
        self.events.iter().map(|event| event.id.as_str()).collect()
    }
}

fn activity(bench: &Bench) -> anyhow::Result<(&dyn Activity, &dyn ActivityWorld)> {
    let activity = bench.connection.activity.as_deref().context("no activity")?;
    Ok((activity, bench.world().activity().context("the rig knows no activity")?))
}

fn target(bench: &Bench) -> anyhow::Result<&dyn Target> {
    bench.connection.target.as_deref().context("what people touch is written by a target")
}

/// The CRM's name of persons.
fn persons(bench: &Bench) -> anyhow::Result<ObjectType> {
    target(bench)?.object_of(SlotKind::Person).context("the target knows no persons")
}

/// Every stream in every lane.
pub(super) fn streams(activity: &dyn Activity) -> Vec<Stream> {
    let lanes = |stream: usher_connector::StreamSpec| {
        stream.lanes.iter().map(move |lane| (stream.object.clone(), *lane))
    };
    activity.streams().into_iter().flat_map(lanes).collect()
}

async fn step(
    bench: &Bench,
    stream: &Stream,
    band: Band,
    cursor: Option<&Cursor>,
) -> anyhow::Result<ActivityBatch> {
    // Through text, as the store has it.
    let cursor = match cursor {
        Some(cursor) => Some(serde_json::from_str(&serde_json::to_string(cursor)?)?),
        None => None,
    };
    let ask = Pull { object: stream.0.clone(), lane: stream.1, cursor, now: band.now, start: band.start };
    let batch = activity(bench)?.0.pull(&ask).await.map_err(|fault| {
        bench.class(&fault);
        anyhow::anyhow!("{} {:?}: {fault}", stream.0, stream.1)
    })?;
    ensure!(batch.problems.is_empty(), "good rows are refused: {:?}", batch.problems.first());
    Ok(batch)
}

async fn read(
    bench: &Bench,
    stream: &Stream,
    band: Band,
    from: Option<Cursor>,
    dying: bool,
) -> anyhow::Result<Read> {
    let mut read = Read { cursor: from, ..Read::default() };
    for _ in 0..MOST_STEPS {
        if dying {
            let _lost = step(bench, stream, band, read.cursor.as_ref()).await?;
        }
        let batch = step(bench, stream, band, read.cursor.as_ref()).await?;
        read.events.extend(batch.events);
        read.sights.extend(batch.sights);
        read.cursor = Some(batch.next);
        if batch.done {
            return Ok(read);
        }
    }
    bail!("{} {:?} is not read after {MOST_STEPS} steps", stream.0, stream.1)
}

/// Everything that the live lanes tell of that time.
async fn live(bench: &Bench, band: Band) -> anyhow::Result<Read> {
    let mut all = Read::default();
    for stream in streams(activity(bench)?.0).into_iter().filter(|(_, lane)| *lane == Lane::Live) {
        let read = read(bench, &stream, band, None, false).await?;
        all.events.extend(read.events);
        all.sights.extend(read.sights);
    }
    Ok(all)
}

async fn all_are_read(bench: &Bench, tied: bool, dying: bool) -> Outcome {
    let (activity, world) = activity(bench)?;
    let (band, persons) = (Band::open(bench), persons(bench)?);
    let when = if tied { When::At(band.first()?) } else { When::From(band.first()?) };
    let count = world.page() + world.page() / 4;
    let mut touched = 0;
    for spec in activity.streams() {
        let wanted = world.touch(&spec.object, count, when);
        touched += wanted.len();
        for lane in spec.lanes {
            let read = read(bench, &(spec.object.clone(), *lane), band, None, dying).await?;
            let found = read.about(&persons);
            let lacks = wanted.iter().filter(|id| !found.contains(*id)).count();
            ensure!(
                lacks == 0,
                "{} {lane:?}: {lacks} of {} touches were not read",
                spec.object,
                wanted.len()
            );
            let touch = |event: &&CrmEvent| matches!(event.what, Happening::Touch { .. });
            let by = read.events.iter().filter(touch).filter(|event| event.by.is_none()).count();
            ensure!(by == 0, "{}: {by} touches are nobody's", spec.object);
        }
    }
    ensure!(touched > 0, "no stream of the rig tells of touches");
    Ok(())
}

pub(super) async fn resume(bench: &Bench) -> Outcome {
    all_are_read(bench, false, true).await
}

pub(super) async fn ties(bench: &Bench) -> Outcome {
    all_are_read(bench, true, false).await
}

/// What is read again has the name that it had, and the position does not grow.
pub(super) async fn repeats(bench: &Bench) -> Outcome {
    let (activity, world) = activity(bench)?;
    let mut band = Band::open(bench);
    for spec in activity.streams() {
        world.touch(&spec.object, 20, When::From(band.first()?));
        for lane in spec.lanes {
            let stream = (spec.object.clone(), *lane);
            let (first, again) = (
                read(bench, &stream, band, None, false).await?,
                read(bench, &stream, band, None, false).await?,
            );
            let known = first.ids();
            ensure!(known.len() == first.events.len(), "{}: two events have one name", spec.object);
            ensure!(again.ids() == known, "{}: what is read again has another name", spec.object);
            let size = |cursor: &Option<Cursor>| serde_json::to_string(cursor).map(|text| text.len());
            let (mut cursor, at_first) = (first.cursor.clone(), size(&first.cursor)?);
            for _ in 0..10 {
                bench.world().advance(Duration::from_secs(60));
                band.now = bench.world().now();
                let poll = read(bench, &stream, band, cursor, false).await?;
                let new = poll.ids().into_iter().filter(|id| !known.contains(id)).count();
                ensure!(new == 0, "{} {lane:?}: an empty poll brought {new} new events", spec.object);
                cursor = poll.cursor;
            }
            ensure!(size(&cursor)? <= 2 * at_first + 64, "{}: the position grows", spec.object);
        }
    }
    Ok(())
}

/// What is planned, comes from the other side or is a program's doing is no response.
pub(super) async fn no_touches(bench: &Bench) -> Outcome {
    let (_, world) = activity(bench)?;
    let (start, persons) = (bench.world().now(), persons(bench)?);
    let wanted = world.no_touches();
    ensure!(!wanted.is_empty(), "the rig has nothing that is no touch");
    let band = Band { start, ..Band::open(bench) };
    let read = live(bench, band).await?;
    let found = read.about(&persons);
    let taken = wanted.iter().filter(|id| found.contains(*id)).count();
    ensure!(taken == 0, "{taken} of {} that are no touches were taken for some", wanted.len());
    Ok(())
}

async fn send(bench: &Bench, write: Write) -> anyhow::Result<Written> {
    let sent = target(bench)?.send(&[write]).await.pop().context("no outcome")?;
    sent.map_err(|failure| match failure {
        SendFailure::Fault(fault) => anyhow::anyhow!("{:?}: {fault}", bench.class(&fault)),
        other => anyhow::anyhow!("{other:?}"),
    })
}

/// The touches that name a task of ours.
fn of_task<'a>(read: &'a Read, id: &ExternalId) -> Vec<&'a CrmEvent> {
    let names = |event: &&CrmEvent| match &event.what {
        Happening::Touch { task, .. } => task.as_ref() == Some(id),
        _ => false,
    };
    read.events.iter().filter(names).collect()
}

/// Our own writes are no touches. A task of ours is one once it is done, under its own id: the store knows which we close.
pub(super) async fn own_writes(bench: &Bench) -> Outcome {
    let (_, world) = activity(bench)?;
    let start = bench.world().now();
    let mut ids = Vec::new();
    for _ in 0..3 {
        let made = send(bench, target_samples::write(bench, EffectKind::CreateTask)?).await?;
        ids.push(made.id.context("a task was made without id")?);
    }
    let [open, finished, closed] = ids.as_slice() else { bail!("three tasks were made") };
    let task = ObjectRef::Id { kind: SlotKind::Task, id: closed.clone() };
    let mut close = target_samples::write(bench, EffectKind::CloseTask)?;
    close.body = EffectBody::CloseTask { task, only_untouched: true };
    send(bench, close).await?;
    world.finish(finished);
    let band = Band { start, ..Band::open(bench) };
    let read = live(bench, band).await?;
    ensure!(of_task(&read, open).is_empty(), "a task that is still to do was taken for a touch");
    let done = of_task(&read, finished);
    let kind = done.first().map(|event| (&event.what, event.hand));
    ensure!(
        matches!(kind, Some((Happening::Touch { how: TouchKind::TaskDone, .. }, ChangedBy::Human))),
        "a task of ours that a person did is no touch of its own: {kind:?}"
    );
    let ours = read.events.iter().filter(|event| matches!(event.what, Happening::Touch { .. })).count();
    let named = done.len() + of_task(&read, closed).len();
    ensure!(ours == named, "{} of our own writes were taken for touches", ours - named);
    Ok(())
}

pub(super) async fn outcome(bench: &Bench) -> Outcome {
    let (_, world) = activity(bench)?;
    let start = bench.world().now();
    let won = world.win();
    let deals = target(bench)?.object_of(SlotKind::Deal).context("the target knows no deals")?;
    let band = Band { start, ..Band::open(bench) };
    let read = live(bench, band).await?;
    let about = read.events.iter().filter(|event| event.about.contains(&(deals.clone(), won.clone())));
    let mut endings = about.filter_map(|event| match &event.what {
        Happening::Outcome { outcome, value, began_at, .. } => {
            Some((*outcome, value.is_some(), began_at.is_some()))
        }
        _ => None,
    });
    let told = endings.next();
    ensure!(
        told == Some((Ending::Won, true, true)),
        "a deal was won, with what it is worth and since when: {told:?}"
    );
    ensure!(endings.next().is_none(), "one deal ended twice");
    Ok(())
}

/// An owner whom a person chose is seen in the list, and the history, if there is one, tells who chose.
pub(super) async fn owner_change(bench: &Bench) -> Outcome {
    let (activity, _) = activity(bench)?;
    let (target, world) = target_samples::target(bench)?;
    let (start, kind) = (bench.world().now(), target.carrier());
    let (object, id) = (target.object_of(kind).context("the carrier has no name")?, world.make(kind));
    let owner = world.owners().pop().context("the rig has no owner")?;
    bench.world().advance(Duration::from_secs(5));
    world.give(kind, &id, &owner);
    let band = Band { start, ..Band::open(bench) };
    let read = live(bench, band).await?;
    let sight = read.sights.iter().rev().find(|sight| sight.object == object && sight.id == id);
    let sight = sight.with_context(|| format!("no list shows what happened to {object}"))?;
    ensure!(sight.owner.as_ref() == Some(&owner), "the list shows another owner");
    if activity.history_batch() == 0 {
        return Ok(());
    }
    let told = activity.history(&[(object, id)], start).await;
    let told = told.map_err(|fault| anyhow::anyhow!("{:?}: {fault}", bench.class(&fault)))?;
    ensure!(told.len() == 1, "{} histories of one object", told.len());
    let change = told.iter().flatten().find(|event| match &event.what {
        Happening::OwnerChange { to, .. } => to.as_ref() == Some(&owner),
        _ => false,
    });
    // Not of every type of object is one kept.
    if let Some(change) = change {
        ensure!(change.hand == ChangedBy::Human, "a person's choice is told as {:?}", change.hand);
    }
    ensure!(change.is_some() || told.iter().all(Vec::is_empty), "the history leaves the owner out");
    Ok(())
}
