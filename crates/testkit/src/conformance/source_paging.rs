//! Reading to the end: resumed, tied, capped, and when there is nothing new.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use jiff::{SignedDuration, Timestamp};
use usher_connector::{Batch, Cursor, Pull, Source, StreamSpec};
use usher_model::{ExternalId, Lane, ObjectType, Record};

use super::Outcome;
use super::bench::Bench;
use super::rig::{SourceWorld, When};

/// More steps than any check needs: who takes more goes round in circles.
const MOST_STEPS: usize = 400;
/// The vendor's time that each check has for itself; longer than any connector waits for a lagging index.
const BAND: Duration = Duration::from_secs(4 * 3_600);

/// A span of the vendor's time in which only one check's objects lie.
#[derive(Debug, Clone, Copy)]
pub(super) struct Band {
    pub(super) start: Timestamp,
    pub(super) now: Timestamp,
}

impl Band {
    pub(super) fn open(bench: &Bench) -> Self {
        let start = bench.world().now();
        bench.world().advance(BAND);
        Self { start, now: bench.world().now() }
    }

    /// When this check's first object came to be.
    pub(super) fn first(&self) -> anyhow::Result<Timestamp> {
        Ok(self.start.checked_add(SignedDuration::from_secs(60))?)
    }
}

/// What was read.
#[derive(Debug, Default)]
pub(super) struct Read {
    pub(super) records: Vec<Record>,
    pub(super) cursor: Option<Cursor>,
}

impl Read {
    fn ids(&self) -> BTreeSet<&ExternalId> {
        self.records.iter().map(|record| &record.external_id).collect()
    }

    pub(super) fn lacks(&self, wanted: &[ExternalId]) -> usize {
        let ids = self.ids();
        wanted.iter().filter(|id| !ids.contains(id)).count()
    }
}

pub(super) fn source(bench: &Bench) -> anyhow::Result<(&dyn Source, &dyn SourceWorld)> {
    let source = bench.connection.source.as_deref().context("no source")?;
    Ok((source, bench.world().source().context("the rig knows no source")?))
}

/// Every stream in every lane.
pub(super) fn streams(source: &dyn Source) -> Vec<(ObjectType, Lane)> {
    let lanes = |stream: StreamSpec| stream.lanes.iter().map(move |lane| (stream.object.clone(), *lane));
    source.streams().into_iter().flat_map(lanes).collect()
}

/// One step, its cursor taken through text as the store does.
pub(super) async fn step(
    bench: &Bench,
    stream: &(ObjectType, Lane),
    band: Band,
    cursor: Option<&Cursor>,
) -> anyhow::Result<Result<Batch, usher_connector::Fault>> {
    let cursor = match cursor {
        Some(cursor) => Some(serde_json::from_str(&serde_json::to_string(cursor)?)?),
        None => None,
    };
    let ask = Pull { object: stream.0.clone(), lane: stream.1, cursor, now: band.now, start: band.start };
    let (source, _) = source(bench)?;
    Ok(source.pull(&ask).await)
}

/// Reads to the end from a cursor. With `dying`, the process dies once after each step before it is committed.
pub(super) async fn read(
    bench: &Bench,
    stream: &(ObjectType, Lane),
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
        let batch = batch.map_err(|fault| {
            bench.class(&fault);
            anyhow::anyhow!("{} {:?}: {fault}", stream.0, stream.1)
        })?;
        ensure!(batch.problems.is_empty(), "good rows are refused: {:?}", batch.problems.first());
        read.records.extend(batch.records);
        read.cursor = Some(batch.next);
        if batch.done {
            return Ok(read);
        }
    }
    bail!("{} {:?} is not read after {MOST_STEPS} steps", stream.0, stream.1)
}

async fn all_are_read(bench: &Bench, count: usize, tied: bool, dying: bool) -> Outcome {
    let (source, world) = source(bench)?;
    let band = Band::open(bench);
    let when = if tied { When::At(band.first()?) } else { When::From(band.first()?) };
    for spec in source.streams() {
        let ids = world.add(&spec.object, count, when);
        for lane in spec.lanes {
            let stream = (spec.object.clone(), *lane);
            let read = read(bench, &stream, band, None, dying).await?;
            let lacks = read.lacks(&ids);
            ensure!(lacks == 0, "{} {lane:?}: {lacks} of {count} records were not read", spec.object);
        }
    }
    Ok(())
}

/// Several pages, or one and a part where pages are large.
fn some_pages(bench: &Bench) -> anyhow::Result<usize> {
    let page = source(bench)?.1.page();
    Ok(if page < 1_000 { 2 * page + page / 4 } else { page + page / 10 })
}

pub(super) async fn resume(bench: &Bench) -> Outcome {
    all_are_read(bench, some_pages(bench)?, false, true).await
}

pub(super) async fn ties(bench: &Bench) -> Outcome {
    all_are_read(bench, some_pages(bench)?, true, false).await
}

pub(super) async fn cap(bench: &Bench) -> Outcome {
    let (_, world) = source(bench)?;
    let page = world.page();
    ensure!(world.cap(page + page / 2), "the rig has no cap any more");
    all_are_read(bench, 3 * page, false, false).await?;
    all_are_read(bench, 3 * page, true, false).await
}

pub(super) async fn empty_polls(bench: &Bench) -> Outcome {
    let (source, world) = source(bench)?;
    let mut band = Band::open(bench);
    for spec in source.streams() {
        world.add(&spec.object, 20, When::From(band.first()?));
        for lane in spec.lanes {
            let stream = (spec.object.clone(), *lane);
            let first = read(bench, &stream, band, None, false).await?;
            let name = |record: &Record| (record.external_id.clone(), record.revision.clone());
            let known: BTreeSet<_> = first.records.iter().map(name).collect();
            let size = |cursor: &Option<Cursor>| serde_json::to_string(cursor).map(|text| text.len());
            let (mut cursor, at_first) = (first.cursor.clone(), size(&first.cursor)?);
            for _ in 0..20 {
                bench.world().advance(Duration::from_secs(60));
                band.now = bench.world().now();
                let again = read(bench, &stream, band, cursor, false).await?;
                let new = again.records.iter().map(name).filter(|name| !known.contains(name)).count();
                ensure!(new == 0, "{} {lane:?}: an empty poll brought {new} new records", spec.object);
                cursor = again.cursor;
            }
            ensure!(
                size(&cursor)? <= 2 * at_first + 64,
                "{} {lane:?}: the position grows with each poll",
                spec.object
            );
        }
    }
    Ok(())
}
