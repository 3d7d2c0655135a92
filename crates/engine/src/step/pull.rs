//! Pull: one pass over a stream of a source, step by step, each step's records and cursor in one transaction.

use serde_json::value::RawValue;
use usher_connector::{Batch, Cursor, Pull, RowProblem, Source};
use usher_model::{ConnectionName, Lane, ObjectType, Record, RecordId};
use usher_store::{NewRecord, PullCommit, Stored};

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

/// The name under which a stream's cursor is stored.
fn stream_name(object: &ObjectType, lane: Lane) -> String {
    let lane = match lane {
        Lane::Live => "live",
        Lane::Sweep => "sweep",
        Lane::Backfill => "backfill",
    };
    format!("{object}/{lane}")
}

impl Engine {
    /// Reads a stream up to now, at most `max_steps` steps. The next step is asked for while the last one is stored, so
    /// that a slow vendor and a slow disk do not add up; a step is stored only after the one before it.
    ///
    /// # Errors
    /// If the vendor or the storage fails; what was stored before stays, and the next pass starts there.
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
        let stream = stream_name(object, lane);
        let cursor = self.stored_cursor(connection, &stream).await?;
        let mut report = PullReport::default();
        let mut batch = self.ask(connected, &*source, object, lane, cursor).await?;
        loop {
            report.steps += 1;
            report.done = batch.done;
            let commit = self.pull_commit(connection, object, lane, &batch)?;
            if batch.done || report.steps >= max_steps {
                report.count(self.store.commit_pull(commit).await?);
                break;
            }
            let next = self.ask(connected, &*source, object, lane, Some(batch.next));
            let (stored, next) = futures::join!(self.store.commit_pull(commit), next);
            report.count(stored?);
            self.wake().ring(Step::Prepare);
            batch = next?;
        }
        if report.new > 0 {
            self.wake().ring(Step::Prepare);
        }
        Ok(report)
    }

    async fn stored_cursor(
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

    async fn ask(
        &self,
        connected: &Connected,
        source: &dyn Source,
        object: &ObjectType,
        lane: Lane,
        cursor: Option<Cursor>,
    ) -> Result<Batch, EngineError> {
        let ask = Pull { object: object.clone(), lane, cursor, now: self.now(), start: connected.started_at };
        source.pull(&ask).await.map_err(EngineError::vendor(&connected.name, "pulling"))
    }

    fn pull_commit(
        &self,
        connection: &ConnectionName,
        object: &ObjectType,
        lane: Lane,
        batch: &Batch,
    ) -> Result<PullCommit, EngineError> {
        let now = self.now();
        let cursor = serde_json::to_value(&batch.next)
            .map_err(|source| EngineError::Defect { place: "a cursor", source: Box::new(source) })?;
        let new = |record: Record, problem| NewRecord {
            id: RecordId::new(now),
            record,
            lane,
            received_at: now,
            problem,
        };
        let good = batch.records.iter().map(|record| new(record.clone(), None));
        let bad = batch
            .problems
            .iter()
            .map(|row| new(unreadable(connection, object, row), Some(row.reason.clone())));
        let records = good.chain(bad).collect();
        Ok(PullCommit {
            connection: connection.clone(),
            stream: stream_name(object, lane),
            cursor,
            records,
            now,
        })
    }
}

/// A row that its source could not read, as the record that is stored as failed in its place.
fn unreadable(connection: &ConnectionName, object: &ObjectType, row: &RowProblem) -> Record {
    Record {
        connection: connection.clone(),
        object: object.clone(),
        external_id: row.external_id.clone(),
        revision: row.revision.clone(),
        created_at: None,
        modified_at: None,
        imported: false,
        gone: false,
        payload: RawValue::NULL.to_owned(),
    }
}

impl PullReport {
    fn count(&mut self, stored: Stored) {
        self.new += stored.new;
        self.repeated += stored.repeated;
    }
}
