//! Split: a stored webhook body becomes records and hints; a bad item costs only itself.

use serde_json::value::RawValue;
use usher_connector::{Item, SplitError};
use usher_model::{ExternalId, Lane, Record, RecordId, crash};
use usher_store::{Delivery, Hint, NewRecord, Split};

use crate::engine::Engine;
use crate::error::EngineError;
use crate::wake::Step;

/// Bodies split in one step.
const SLICE: u32 = 200;

impl Engine {
    /// Splits the oldest stored bodies. Returns how many; 0 if there is nothing to do.
    ///
    /// # Errors
    /// If the storage fails.
    pub async fn split(&self) -> Result<usize, EngineError> {
        let deliveries = self.store.deliveries_to_split(SLICE).await?;
        let splits: Vec<Split> = deliveries.iter().map(|delivery| self.split_one(delivery)).collect();
        let has = |some: fn(&Split) -> bool| splits.iter().any(some);
        let (records, hints) = (has(|split| !split.records.is_empty()), has(|split| !split.hints.is_empty()));
        if !splits.is_empty() {
            crash::point("split.before_commit");
            self.store.commit_splits(splits, self.now()).await?;
            crash::point("split.after_commit");
        }
        if records {
            self.wake().ring(Step::Prepare);
        }
        if hints {
            self.wake().ring(Step::Fetch);
        }
        if deliveries.len() >= SLICE as usize {
            self.wake().ring(Step::Split);
        }
        Ok(deliveries.len())
    }

    fn split_one(&self, delivery: &Delivery) -> Split {
        let inbound = self.connections.get(&delivery.connection).and_then(|each| each.roles.inbound.clone());
        let items = match inbound {
            Some(inbound) => inbound.split(&delivery.body, delivery.received_at),
            None => vec![Err(SplitError {
                index: 0,
                reason: "the connection is gone from usher.yaml".to_owned(),
            })],
        };
        let (mut records, mut hints) = (Vec::new(), Vec::new());
        for item in items {
            match item {
                Ok(Item::Record(record)) => records.push(self.arrived(record, delivery, None)),
                Ok(Item::Hint { object, id }) => hints.push(Hint {
                    object,
                    external_id: id,
                    hinted_at: delivery.received_at,
                    first_at: delivery.received_at,
                }),
                Err(problem) => records.push(self.unreadable(delivery, &problem)),
            }
        }
        Split { delivery: delivery.id, records, hints }
    }

    fn arrived(&self, record: Record, delivery: &Delivery, problem: Option<String>) -> NewRecord {
        NewRecord {
            id: RecordId::new(self.now()),
            record,
            lane: Lane::Live,
            received_at: delivery.received_at,
            problem,
        }
    }

    fn unreadable(&self, delivery: &Delivery, problem: &SplitError) -> NewRecord {
        let record = Record {
            connection: delivery.connection.clone(),
            object: "deliveries".into(),
            external_id: ExternalId::new(format!("{}#{}", delivery.id, problem.index)),
            revision: "1".to_owned(),
            created_at: None,
            modified_at: None,
            imported: false,
            gone: false,
            payload: RawValue::NULL.to_owned(),
        };
        self.arrived(
            record,
            delivery,
            Some(format!("{problem}; the raw body is kept as delivery {}", delivery.id)),
        )
    }
}
