//! Reconcile: once a day a stream is counted again over the last days, row by row, and what no poll and no webhook
//! brought is stored; the objects behind open leads are asked for, and who is gone is told.
//!
//! A stream that was not read for longer than its vendor's feed remembers is listed whole before it goes on (FM-011).

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use usher_connector::{Cursor, Fetched, Pull, Source, StreamSpec};
use usher_model::{ConnectionName, ExternalId, Lane, ObjectType, Record, RecordId};
use usher_store::{NewRecord, PullCommit, Recount};

use crate::connected::Connected;
use crate::engine::Engine;
use crate::error::EngineError;
use crate::step::fetch::gone;
use crate::step::pull::{Stream, pairs};
use crate::wake::Step;

/// How far back a stream is counted again.
const LOOKBACK: SignedDuration = SignedDuration::from_hours(7 * 24);
/// How often.
const EVERY: SignedDuration = SignedDuration::from_hours(24);

/// What a look at a whole stream brought.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ReconcileReport {
    /// Rows that the vendor showed.
    pub seen: u64,
    /// Rows among them that nothing had brought before.
    pub missed: u64,
    /// Objects behind open leads that are there no more.
    pub gone: u64,
}

/// How far a look at a whole stream has come; stored as the cursor of a stream of its own, so that a look which is
/// interrupted goes on.
#[derive(Debug, Serialize, Deserialize)]
struct Look {
    from: Timestamp,
    cursor: Option<Cursor>,
    report: (u64, u64),
    finished: bool,
}

impl Engine {
    /// Reconciles every stream whose last time is a day ago. Returns how many were.
    ///
    /// # Errors
    /// The first failure of a vendor or the storage, after every stream was tried.
    pub async fn reconcile_due(&self) -> Result<usize, EngineError> {
        let last = self.store.recounts().await?;
        let (now, mut done, mut failed) = (self.now(), 0, None);
        for connected in self.connections.values() {
            let streams = connected.roles.source.iter().flat_map(|source| source.streams());
            for spec in streams.filter(|spec| spec.lanes.contains(&Lane::Sweep)) {
                let name = reconciling(&spec.object);
                let last = last.iter().find(|last| last.connection == connected.name && last.stream == name);
                let since = last.map_or(connected.started_at, |last| last.at);
                if now.duration_since(since) < EVERY || self.is_stopping() {
                    continue;
                }
                match self.reconcile(&connected.name, &spec.object).await {
                    Ok(_) => done += 1,
                    Err(error) => failed = failed.or(Some(error)),
                }
            }
        }
        failed.map_or(Ok(done), Err)
    }

    /// Counts a stream again over the last days, as far as the slow second pass has read, and repairs what is missing.
    ///
    /// # Errors
    /// If the vendor or the storage fails; the next time goes on where this one ended.
    pub async fn reconcile(
        &self,
        connection: &ConnectionName,
        object: &ObjectType,
    ) -> Result<ReconcileReport, EngineError> {
        let connected = self.connection(connection)?;
        let Some(source) = connected.roles.source.clone() else {
            return Ok(ReconcileReport::default());
        };
        let stream = Stream { connected, source: &*source, object, lane: Lane::Sweep };
        let name = reconciling(object);
        let from = self.now().checked_sub(LOOKBACK).unwrap_or(connected.started_at);
        let result = self.reconcile_stream(&stream, &name, from.max(connected.started_at)).await;
        self.watched(connection, &name, result).await
    }

    async fn reconcile_stream(
        &self,
        stream: &Stream<'_>,
        name: &str,
        from: Timestamp,
    ) -> Result<ReconcileReport, EngineError> {
        let mut report = self.look_through(stream, name, from).await?;
        report.gone = self.missing_behind_leads(stream).await?;
        self.note_look(stream, name, report).await?;
        Ok(report)
    }

    /// Lists a stream whole if its feed has forgotten what happened since it was last read.
    pub(super) async fn list_again(&self, stream: &Stream<'_>) -> Result<(), EngineError> {
        let Some(horizon) = horizon(stream.source, stream.object) else {
            return Ok(());
        };
        let connection = &stream.connected.name;
        let name = format!("{}/relist", stream.object);
        let moved = self.store.cursor_moved_at(connection, &stream.name()).await?;
        let age = moved.map(|at| self.now().duration_since(at)).unwrap_or_default();
        let begun = self.stored_look(connection, &name).await?.is_some_and(|(look, _)| !look.finished);
        if age <= horizon && !begun {
            return Ok(());
        }
        let problem = format!(
            "not read for longer than the {} days that the vendor's feed remembers: everything is listed again",
            horizon.as_hours() / 24
        );
        self.trouble(connection, &stream.name(), Some(problem)).await?;
        let whole = Stream {
            connected: stream.connected,
            source: stream.source,
            object: stream.object,
            lane: Lane::Backfill,
        };
        let report = self.look_through(&whole, &name, stream.connected.started_at).await?;
        self.note_look(&whole, &name, report).await
    }

    /// Reads a stream from `from` to its end, in the way of the stream's lane. What is new is stored as the second pass
    /// stores it: it may open leads.
    async fn look_through(
        &self,
        stream: &Stream<'_>,
        name: &str,
        from: Timestamp,
    ) -> Result<ReconcileReport, EngineError> {
        let connection = &stream.connected.name;
        let stored = self.stored_look(connection, name).await?;
        let mut previous = stored.as_ref().map(|(_, value)| value.clone());
        let begun = stored.map(|(look, _)| look).filter(|look| !look.finished);
        let mut look = begun.unwrap_or(Look { from, cursor: None, report: (0, 0), finished: false });
        while !look.finished && !self.is_stopping() {
            let (object, lane, cursor) = (stream.object.clone(), stream.lane, look.cursor.take());
            let ask = Pull { object, lane, cursor, now: self.now(), start: look.from };
            let batch = stream.source.pull(&ask).await;
            let batch = batch.map_err(EngineError::vendor(connection, "counting a stream again"))?;
            self.follow(connection, stream.object, pairs(&batch.merged)).await?;
            look.report.0 += (batch.records.len() + batch.problems.len()) as u64;
            (look.cursor, look.finished) = (Some(batch.next.clone()), batch.done);
            let cursor = serde_json::to_value(&look)
                .map_err(|source| EngineError::Defect { place: "a position", source: Box::new(source) })?;
            let commit = PullCommit {
                connection: connection.clone(),
                stream: name.to_owned(),
                previous: previous.replace(cursor.clone()),
                cursor,
                records: self.new_records(connection, stream.object, Lane::Sweep, batch),
                now: self.now(),
            };
            look.report.1 += self.store.commit_pull(commit).await?.new;
        }
        let (seen, missed) = look.report;
        Ok(ReconcileReport { seen, missed, gone: 0 })
    }

    async fn stored_look(
        &self,
        connection: &ConnectionName,
        name: &str,
    ) -> Result<Option<(Look, Value)>, EngineError> {
        let Some(value) = self.store.cursor(connection, name).await? else {
            return Ok(None);
        };
        let look = serde_json::from_value(value.clone())
            .map_err(|source| EngineError::Defect { place: "a stored position", source: Box::new(source) })?;
        Ok(Some((look, value)))
    }

    async fn note_look(
        &self,
        stream: &Stream<'_>,
        name: &str,
        report: ReconcileReport,
    ) -> Result<(), EngineError> {
        if self.is_stopping() {
            return Ok(());
        }
        let ReconcileReport { seen, missed, gone } = report;
        let connection = stream.connected.name.clone();
        if missed + gone > 0 {
            tracing::warn!(%connection, stream = name, seen, missed, gone, "what the polls had missed is repaired");
            self.wake().ring(Step::Prepare);
        }
        let at = self.now();
        Ok(self
            .store
            .put_recount(Recount { connection, stream: name.to_owned(), at, seen, missed, gone })
            .await?)
    }

    /// Asks for every object behind an open lead. Some deletions leave no trace but that the object is not there.
    async fn missing_behind_leads(&self, stream: &Stream<'_>) -> Result<u64, EngineError> {
        let (connection, object) = (&stream.connected.name, stream.object);
        let limit = u32::try_from(stream.source.fetch_limit()).unwrap_or(u32::MAX);
        let (mut count, mut after) = (0, None);
        while limit > 0 && !self.is_stopping() {
            let ids = self.store.objects_of_open_leads(connection, object, after.as_ref(), limit).await?;
            let Some(last) = ids.last() else { break };
            after = Some(last.clone());
            count += self.tell_gone(stream, &ids).await?;
        }
        Ok(count)
    }

    async fn tell_gone(&self, stream: &Stream<'_>, ids: &[ExternalId]) -> Result<u64, EngineError> {
        let (Connected { name: connection, .. }, object) = (stream.connected, stream.object);
        let fetched = stream.source.fetch(object, ids).await;
        let fetched =
            fetched.map_err(EngineError::vendor(connection, "looking whether leads are still there"))?;
        let (mut records, mut merged) = (Vec::new(), Vec::new());
        for (id, found) in fetched {
            match found {
                Fetched::Found(_) => {}
                Fetched::Gone => records.push(gone(connection, object, &id)),
                Fetched::Merged(record) => {
                    merged.push((id, record.external_id.clone()));
                    records.push(record);
                }
            }
        }
        self.follow(connection, object, merged).await?;
        let count = records.iter().filter(|record| record.gone).count() as u64;
        if !records.is_empty() {
            self.store
                .store_records(records.into_iter().map(|record| self.found_late(record)).collect())
                .await?;
        }
        Ok(count)
    }

    fn found_late(&self, record: Record) -> NewRecord {
        let now = self.now();
        NewRecord { id: RecordId::new(now), record, lane: Lane::Sweep, received_at: now, problem: None }
    }
}

fn reconciling(object: &ObjectType) -> String {
    format!("{object}/reconcile")
}

fn horizon(source: &dyn Source, object: &ObjectType) -> Option<SignedDuration> {
    source.streams().into_iter().find(|spec: &StreamSpec| spec.object == *object)?.horizon
}
