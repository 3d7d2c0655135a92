//! A lead entered by hand or by API: checked at once, stored durably, then on its way like any other.

use serde_json::value::RawValue;
use usher_mapping::Mapped;
use usher_model::{ConnectionName, ExternalId, Lane, Record, RecordId};
use usher_store::NewRecord;

use crate::engine::Engine;
use crate::error::EngineError;
use crate::settings::REFERRALS;
use crate::wake::Step;

/// A lead that was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Added {
    /// The record under which it can be followed; the same for a repeat with the same id.
    pub record: RecordId,
}

/// A lead that was not taken, and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// One sentence for each problem.
    pub problems: Vec<String>,
}

impl Engine {
    /// Takes a lead whose payload uses the lead's own field names. `id` makes a repeat harmless.
    ///
    /// # Errors
    /// If the storage fails: the sender must come again. Bad input is the inner `Err`.
    pub async fn add_lead(
        &self,
        payload: Box<RawValue>,
        id: Option<&str>,
    ) -> Result<Result<Added, Refused>, EngineError> {
        let problems = match self.referrals.map(payload.get()) {
            Mapped::Lead { .. } => Vec::new(),
            Mapped::Failed { problems } => problems,
            Mapped::Rejected { reason } => vec![reason],
        };
        if !problems.is_empty() {
            return Ok(Err(Refused { problems }));
        }
        let now = self.now();
        let fresh = RecordId::new(now);
        let id = id.filter(|id| !id.trim().is_empty());
        let external_id = id.map_or_else(|| ExternalId::new(fresh.to_string()), ExternalId::from);
        let record = Record {
            connection: ConnectionName::new(REFERRALS),
            object: "leads".into(),
            external_id,
            revision: "1".to_owned(),
            created_at: Some(now),
            modified_at: Some(now),
            imported: false,
            gone: false,
            payload,
        };
        let record = NewRecord { id: fresh, record, lane: Lane::Live, received_at: now, problem: None };
        let known = self.store.store_records(vec![record]).await?;
        self.wake().ring(Step::Prepare);
        Ok(Ok(Added { record: known.into_iter().next().unwrap_or(fresh) }))
    }
}
