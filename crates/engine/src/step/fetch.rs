//! Fetch: objects that a webhook hinted at are read by id, so that the decision sees them as they are.

use serde_json::value::RawValue;
use usher_connector::Fetched;
use usher_model::{ConnectionName, ExternalId, Lane, ObjectType, Record, RecordId, crash};
use usher_store::{Direction, FetchCommit, Hint, NewRecord};

use crate::breaker::Leave;
use crate::engine::Engine;
use crate::error::EngineError;
use crate::wake::Step;

impl Engine {
    /// Fetches the oldest hinted objects of a connection, one batch. Returns how many; 0 if there is nothing to do.
    ///
    /// # Errors
    /// If the vendor or the storage fails; the hints stay.
    pub async fn fetch(&self, connection: &ConnectionName) -> Result<usize, EngineError> {
        let Some(source) = self.connection(connection)?.roles.source.clone() else {
            return Ok(0);
        };
        let limit = u32::try_from(source.fetch_limit()).unwrap_or(u32::MAX);
        if limit == 0 {
            return Ok(0);
        }
        let hints = self.store.hints(connection, limit).await?;
        let Some(object) = hints.first().map(|hint| hint.object.clone()) else {
            return Ok(0);
        };
        if matches!(self.may_call(connection, Direction::Pull), Leave::Rest(_)) {
            self.signs().moved(Step::Fetch);
            return Ok(0);
        }
        let ids: Vec<ExternalId> = hints.iter().map(|hint| hint.external_id.clone()).collect();
        let fetched = source.fetch(&object, &ids).await;
        self.note(connection, Direction::Pull, fetched.as_ref().err()).await?;
        let fetched = fetched.map_err(EngineError::vendor(connection, "fetching hinted objects"));
        let fetched = self.watched(connection, &format!("{object}/fetch"), fetched).await?;
        let now = self.now();
        let mut records = Vec::with_capacity(fetched.len());
        let mut answered = Vec::with_capacity(fetched.len());
        let mut merged = Vec::new();
        for (id, found) in fetched {
            let Some(hint) = hints.iter().find(|hint| hint.external_id == id) else {
                continue;
            };
            let record = match found {
                Fetched::Found(record) => record,
                Fetched::Merged(record) => {
                    merged.push((id, record.external_id.clone()));
                    record
                }
                Fetched::Gone => gone(connection, &object, &id),
            };
            let received_at = hint.first_at;
            records.push(NewRecord {
                id: RecordId::new(now),
                record,
                lane: Lane::Live,
                received_at,
                problem: None,
            });
            answered.push(hint.clone());
        }
        let count = answered.len();
        // First, so that the survivor is known for what it is when its record is decided.
        self.follow(connection, &object, merged).await?;
        self.commit_fetched(connection, answered, records).await?;
        if hints.len() >= limit as usize {
            self.wake().ring(Step::Fetch);
        }
        Ok(count)
    }

    async fn commit_fetched(
        &self,
        connection: &ConnectionName,
        hints: Vec<Hint>,
        records: Vec<NewRecord>,
    ) -> Result<(), EngineError> {
        crash::point("fetch.before_commit");
        self.store
            .commit_fetch(FetchCommit { connection: connection.clone(), hints, records, now: self.now() })
            .await?;
        crash::point("fetch.after_commit");
        self.wake().ring(Step::Prepare);
        Ok(())
    }
}

/// The record of an object that is not there any more.
pub(super) fn gone(connection: &ConnectionName, object: &ObjectType, id: &ExternalId) -> Record {
    Record {
        connection: connection.clone(),
        object: object.clone(),
        external_id: id.clone(),
        revision: "gone".to_owned(),
        created_at: None,
        modified_at: None,
        imported: false,
        gone: true,
        payload: RawValue::NULL.to_owned(),
    }
}
