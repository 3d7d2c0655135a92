//! Pull: one pass over a stream of a source, step by step, each step's records and cursor in one transaction.

use std::pin::Pin;

use futures::StreamExt;
use futures::stream::FuturesOrdered;
use serde_json::value::RawValue;
use usher_connector::{Batch, Cursor, Merge, Pull, RowProblem, Source};
use usher_model::{ConnectionName, ExternalId, Lane, ObjectType, Record, RecordId, crash};
use usher_store::{Direction, Merged, NewRecord, PullCommit, StoreError, Stored};

use crate::breaker::Leave;
use crate::connected::Connected;
use crate::engine::Engine;
use crate::error::EngineError;
use crate::wake::Step;

/// What a pass brought.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PullReport {
    /// Records that were new.
    pub new: u64,
    /// Records that were known.
    pub repeated: u64,
    /// Steps taken.
    pub steps: u64,
    /// True if the stream is read up to now.
    pub done: bool,
}

/// Commits under way at a time: enough to read on through a checkpoint of the database, and few enough that memory
/// stays flat.
const DEPTH: usize = 8;

/// A commit under way.
type Storing<'a> = Pin<Box<dyn Future<Output = Result<Stored, StoreError>> + Send + 'a>>;

/// One stream in one lane.
pub(super) struct Stream<'a> {
    pub(super) connected: &'a Connected,
    pub(super) source: &'a dyn Source,
    pub(super) object: &'a ObjectType,
    pub(super) lane: Lane,
}

impl Stream<'_> {
    /// The name under which the cursor is stored.
    pub(super) fn name(&self) -> String {
        let lane = match self.lane {
            Lane::Live => "live",
            Lane::Sweep => "sweep",
            Lane::Backfill => "backfill",
        };
        format!("{}/{lane}", self.object)
    }
}

impl Engine {
    /// Reads a stream up to now, at most `max_steps` steps. The next steps are asked for while the last ones are being
    /// stored, so that a slow vendor and a slow disk do not add up. Each commit names the cursor that it goes on from, so
    /// none is stored whose predecessor was not.
    ///
    /// # Errors
    /// If the vendor or the storage fails; what was stored before stays, and the next pass starts there. An endpoint that
    /// rests is not asked: the pass is over at once.
    pub async fn pull(
        &self,
        connection: &ConnectionName,
        object: &ObjectType,
        lane: Lane,
        max_steps: u64,
    ) -> Result<PullReport, EngineError> {
        let connected = self.connection(connection)?;
        let source = connected.roles.source.clone().ok_or_else(|| EngineError::Unsuitable {
            connection: connection.clone(),
            problem: "this connection can not be pulled; it only takes webhooks".to_owned(),
        })?;
        let stream = Stream { connected, source: &*source, object, lane };
        let mut report = PullReport::default();
        // One page shows whether the endpoint is well again.
        let max_steps = match self.may_call(connection, Direction::Pull) {
            Leave::Go => max_steps,
            Leave::Probe => 1,
            Leave::Rest(_) => return Ok(PullReport { done: true, ..report }),
        };
        if lane == Lane::Live {
            self.list_again(&stream).await?;
        }
        let mut storing = FuturesOrdered::new();
        let result = self.read_steps(&stream, max_steps, &mut report, &mut storing).await;
        // Also after a fault: what was read before it is on its way to the disk and is counted.
        while let Some(stored) = storing.next().await {
            report.count(stored?);
        }
        if report.new > 0 {
            self.wake().ring(Step::Prepare);
        }
        if report.new > 0 && lane == Lane::Live {
            self.found_by_poll(connection, self.now());
        }
        self.watched(connection, &stream.name(), result).await?;
        Ok(report)
    }

    async fn read_steps<'a>(
        &'a self,
        stream: &Stream<'_>,
        max_steps: u64,
        report: &mut PullReport,
        storing: &mut FuturesOrdered<Storing<'a>>,
    ) -> Result<(), EngineError> {
        let mut cursor = self.stored_cursor(&stream.connected.name, &stream.name()).await?;
        while !report.done && report.steps < max_steps && !self.is_stopping() {
            let ask = self.ask(stream, cursor.clone());
            tokio::pin!(ask);
            let batch = loop {
                tokio::select! {
                    batch = &mut ask => break batch?,
                    Some(stored) = storing.next(), if !storing.is_empty() => self.stored(stored?, report),
                }
            };
            crash::point("pull.after_fetch");
            report.steps += 1;
            report.done = batch.done;
            let next = batch.next.clone();
            self.follow(&stream.connected.name, stream.object, pairs(&batch.merged)).await?;
            storing.push_back(self.store.commit_pull(self.pull_commit(stream, cursor.as_ref(), batch)?));
            if storing.len() >= DEPTH
                && let Some(stored) = storing.next().await
            {
                self.stored(stored?, report);
            }
            cursor = Some(next);
        }
        Ok(())
    }

    fn stored(&self, stored: Stored, report: &mut PullReport) {
        report.count(stored);
        if stored.new > 0 {
            self.wake().ring(Step::Prepare);
        }
    }

    pub(super) async fn stored_cursor(
        &self,
        connection: &ConnectionName,
        stream: &str,
    ) -> Result<Option<Cursor>, EngineError> {
        let Some(value) = self.store.cursor(connection, stream).await? else {
            return Ok(None);
        };
        let cursor = serde_json::from_value(value)
            .map_err(|source| EngineError::Defect { place: "a stored cursor", source: Box::new(source) })?;
        Ok(Some(cursor))
    }

    async fn ask(&self, stream: &Stream<'_>, cursor: Option<Cursor>) -> Result<Batch, EngineError> {
        let start = stream.connected.started_at;
        let ask = Pull { object: stream.object.clone(), lane: stream.lane, cursor, now: self.now(), start };
        let name = &stream.connected.name;
        let answer = stream.source.pull(&ask).await;
        self.note(name, Direction::Pull, answer.as_ref().err()).await?;
        answer.map_err(EngineError::vendor(name, "pulling"))
    }

    /// Follows merges, before the records that tell of them are stored.
    pub(super) async fn follow(
        &self,
        connection: &ConnectionName,
        object: &ObjectType,
        pairs: Vec<(ExternalId, ExternalId)>,
    ) -> Result<(), EngineError> {
        if pairs.is_empty() {
            return Ok(());
        }
        let kind = self.kind_at_crm(connection, object);
        let merged = Merged { connection: connection.clone(), object: object.clone(), kind, pairs };
        let followed = self.store.follow_merges(merged, self.now()).await?;
        if followed.merges > 0 {
            tracing::info!(%connection, merges = followed.merges, leads = followed.leads, "merges were followed");
        }
        Ok(())
    }

    fn pull_commit(
        &self,
        stream: &Stream<'_>,
        previous: Option<&Cursor>,
        batch: Batch,
    ) -> Result<PullCommit, EngineError> {
        let connection = &stream.connected.name;
        let opaque = |cursor: &Cursor| {
            serde_json::to_value(cursor)
                .map_err(|source| EngineError::Defect { place: "a cursor", source: Box::new(source) })
        };
        Ok(PullCommit {
            connection: connection.clone(),
            stream: stream.name(),
            previous: previous.map(opaque).transpose()?,
            cursor: opaque(&batch.next)?,
            records: self.new_records(connection, stream.object, stream.lane, batch),
            now: self.now(),
        })
    }

    /// What a batch holds, to be stored: its records, and its unreadable rows as failed ones.
    pub(super) fn new_records(
        &self,
        connection: &ConnectionName,
        object: &ObjectType,
        lane: Lane,
        batch: Batch,
    ) -> Vec<NewRecord> {
        let now = self.now();
        let new = |record: Record, problem| NewRecord {
            id: RecordId::new(now),
            record,
            lane,
            received_at: now,
            problem,
        };
        let bad = batch.problems.into_iter().map(|row| {
            let reason = row.reason.clone();
            new(unreadable(connection, object, row), Some(reason))
        });
        batch.records.into_iter().map(|record| new(record, None)).chain(bad).collect()
    }
}

pub(super) fn pairs(merged: &[Merge]) -> Vec<(ExternalId, ExternalId)> {
    merged.iter().map(|merge| (merge.loser.clone(), merge.winner.clone())).collect()
}

/// A row that its source could not read, as the record that is stored as failed in its place.
fn unreadable(connection: &ConnectionName, object: &ObjectType, row: RowProblem) -> Record {
    Record {
        connection: connection.clone(),
        object: object.clone(),
        external_id: row.external_id,
        revision: row.revision,
        created_at: None,
        modified_at: None,
        imported: false,
        gone: false,
        payload: RawValue::NULL.to_owned(),
    }
}

impl PullReport {
    fn count(&mut self, stored: Stored) {
        crash::point("pull.after_commit");
        self.new += stored.new;
        self.repeated += stored.repeated;
    }
}
