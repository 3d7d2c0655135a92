//! One record by every way, objects that are gone, and answers that are none.

use anyhow::{Context as _, ensure};
use serde_json::Value;
use usher_connector::{FaultClass, Fetched, Item};
use usher_model::{ExternalId, Lane, ObjectType, Record};

use super::Outcome;
use super::bench::Bench;
use super::rig::When;
use super::source_paging::{Band, read, source, step, streams};
use crate::relay::{Aim, Answer, Meddle};

/// What differs between two records that should be one.
fn same(one: &Record, other: &Record) -> Outcome {
    ensure!(one.object == other.object, "the object types differ: {} and {}", one.object, other.object);
    ensure!(one.external_id == other.external_id, "the ids differ");
    ensure!(one.revision == other.revision, "the revisions differ: {} and {}", one.revision, other.revision);
    let payload = |record: &Record| serde_json::from_str::<Value>(record.payload.get());
    let (left, right) = (payload(one)?, payload(other)?);
    ensure!(left == right, "the payloads differ:\n{left}\n{right}");
    ensure!(one.created_at == other.created_at, "the times of creation differ");
    Ok(())
}

async fn fetch(
    bench: &Bench,
    object: &ObjectType,
    ids: &[ExternalId],
) -> anyhow::Result<Vec<(ExternalId, Fetched)>> {
    let fetched = source(bench)?.0.fetch(object, ids).await;
    fetched.map_err(|fault| anyhow::anyhow!("{:?}: {fault}", bench.class(&fault)))
}

pub(super) async fn fetch_equals_pull(bench: &Bench) -> Outcome {
    let (source, world) = source(bench)?;
    let band = Band::open(bench);
    for (object, lane) in streams(source) {
        let ids = world.add(&object, 3, When::From(band.first()?));
        let pulled = read(bench, &(object.clone(), lane), band, None, false).await?;
        let fetched = fetch(bench, &object, &ids).await?;
        ensure!(fetched.len() == ids.len(), "{} outcomes for {} ids", fetched.len(), ids.len());
        for (id, found) in &fetched {
            let Fetched::Found(found) = found else {
                anyhow::bail!("an object that lives is told to be gone")
            };
            let own = pulled.records.iter().find(|record| record.external_id == *id);
            same(own.context("an object was fetched that was not pulled")?, found)?;
        }
    }
    Ok(())
}

pub(super) async fn gone(bench: &Bench) -> Outcome {
    let (source, world) = source(bench)?;
    let band = Band::open(bench);
    for spec in source.streams() {
        let mut ids = world.add(&spec.object, 2, When::From(band.first()?));
        world.remove(&spec.object, ids.first().context("nothing was added")?);
        ids.push(ExternalId::new("987654321987"));
        let fetched = fetch(bench, &spec.object, &ids).await?;
        ensure!(fetched.len() == ids.len(), "{} outcomes for {} ids", fetched.len(), ids.len());
        let gone: Vec<bool> = ids
            .iter()
            .map(|id| fetched.iter().any(|(of, found)| of == id && matches!(found, Fetched::Gone)))
            .collect();
        ensure!(gone == [true, false, true], "gone should be the first and the last: {gone:?}");
    }
    Ok(())
}

pub(super) async fn hook_equals_pull(bench: &Bench) -> Outcome {
    let (source, _) = source(bench)?;
    let inbound = bench.connection.inbound.as_deref().context("no inbound")?;
    let start = bench.world().now();
    let call = bench.world().inbound().context("the rig knows no inbound")?.call().await?;
    ensure!(!call.about.is_empty(), "the rig does not say what its call is about");
    let band = Band { start, ..Band::open(bench) };
    let mut pulled = Vec::new();
    for stream in streams(source).into_iter().filter(|(_, lane)| *lane == Lane::Live) {
        pulled.extend(read(bench, &stream, band, None, false).await?.records);
    }
    let mut hooked = Vec::new();
    for item in inbound.split(&call.body, start) {
        match item? {
            Item::Record(record) => hooked.push(record),
            Item::Hint { object, id } => match fetch(bench, &object, &[id]).await?.pop() {
                Some((_, Fetched::Found(record))) => hooked.push(record),
                _ => anyhow::bail!("an object that was hinted at is not there"),
            },
        }
    }
    for id in &call.about {
        let of = |records: &[Record]| records.iter().find(|record| record.external_id == *id).cloned();
        let hooked = of(&hooked).context("the call brought no record of what it is about")?;
        same(&hooked, &of(&pulled).context("the pull brought no record of what the call is about")?)?;
    }
    Ok(())
}

/// 2xx answers that are no page of this vendor's.
fn malformed_answers(bench: &Bench) -> Vec<(&'static str, Meddle)> {
    let page = Answer::new(200, "text/html", "<html><body>Sign in</body></html>");
    let mut answers = vec![("HTML", Meddle::Instead(page)), ("cut JSON", Meddle::Truncated)];
    answers.extend(bench.no_answers().map(|body| (body, Meddle::Instead(Answer::json(200, body)))));
    answers
}

/// FM-017: only a well-formed page ends a window. Each answer instead of the first page; a proxy's also instead of the
/// second answer, after which nothing may be lost.
pub(super) async fn malformed(bench: &Bench) -> Outcome {
    let (source, world) = source(bench)?;
    let relay = bench.relay()?;
    let band = Band::open(bench);
    for spec in source.streams() {
        let ids = world.add(&spec.object, world.page() + 20, When::From(band.first()?));
        for lane in spec.lanes {
            let stream = (spec.object.clone(), *lane);
            for (what, how) in malformed_answers(bench) {
                let place = format!("{} {lane:?}, {what}", spec.object);
                relay.meddle(Aim::All, 0, how.clone());
                until_refused(bench, &stream, band).await.context(place.clone())?;
                if what != "HTML" {
                    continue;
                }
                relay.meddle(Aim::All, 1, how);
                let (got, cursor) = until_refused(bench, &stream, band).await.context(place.clone())?;
                relay.clear();
                let mut rest = read(bench, &stream, band, cursor, false).await?;
                rest.records.extend(got);
                let lacks = rest.lacks(&ids);
                ensure!(lacks == 0, "{place}: {lacks} records were lost");
            }
        }
    }
    Ok(())
}

/// Pulls until a fault, which must come before the stream claims to be read, and hands out what was committed.
async fn until_refused(
    bench: &Bench,
    stream: &(ObjectType, Lane),
    band: Band,
) -> anyhow::Result<(Vec<Record>, Option<usher_connector::Cursor>)> {
    let (mut got, mut cursor) = (Vec::new(), None);
    for _ in 0..5 {
        match step(bench, stream, band, cursor.as_ref()).await? {
            Ok(batch) => {
                ensure!(!batch.done, "the window ended as if it had been read");
                got.extend(batch.records);
                cursor = Some(batch.next);
            }
            Err(fault) => {
                let class = bench.class(&fault);
                ensure!(class == FaultClass::Transient, "{class:?} instead of transient: {fault}");
                return Ok((got, cursor));
            }
        }
    }
    anyhow::bail!("five steps were taken on a malformed answer")
}

/// FM-013: paging that goes round in circles stops with an error.
pub(super) async fn repeated_page(bench: &Bench) -> Outcome {
    let (source, world) = source(bench)?;
    let relay = bench.relay()?;
    let band = Band::open(bench);
    for spec in source.streams() {
        world.add(&spec.object, world.page() + 50, When::From(band.first()?));
        for lane in spec.lanes {
            relay.clear();
            relay.meddle(Aim::All, 0, Meddle::Repeated);
            let stream = (spec.object.clone(), *lane);
            let place = format!("{} {lane:?}", spec.object);
            until_refused(bench, &stream, band).await.context(place.clone())?;
            let first = relay.seen().first().map(|request| request.path.clone()).unwrap_or_default();
            let repeats = relay.seen().iter().filter(|request| request.path == first).count() - 1;
            ensure!(repeats <= 3, "{place}: the same page was read {repeats} more times");
        }
    }
    Ok(())
}
