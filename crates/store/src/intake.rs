//! Intake: deliveries, hints, records and the cursors committed with them.

use async_trait::async_trait;
use jiff::Timestamp;
use serde_json::Value;
use usher_model::{ConnectionName, DeliveryId, ExternalId, Lane, ObjectType, Record, RecordId};

use crate::error::StoreError;

/// A connection as the store knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectionRow {
    /// Its name in usher.yaml.
    pub name: ConnectionName,
    /// When it was first connected: nothing older opens a lead by itself.
    pub started_at: Timestamp,
    /// Since when its records wait instead of opening leads, and why (flood guard, operator).
    pub held: Option<(Timestamp, String)>,
}

/// A webhook body to store.
#[derive(Debug, Clone)]
pub struct NewDelivery {
    /// Our id.
    pub id: DeliveryId,
    /// Through which connection.
    pub connection: ConnectionName,
    /// When it arrived.
    pub received_at: Timestamp,
    /// The raw bytes.
    pub body: Vec<u8>,
}

/// A stored webhook body that is not split yet.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// Our id.
    pub id: DeliveryId,
    /// Through which connection.
    pub connection: ConnectionName,
    /// When it arrived.
    pub received_at: Timestamp,
    /// The raw bytes.
    pub body: Vec<u8>,
}

/// A record to store.
#[derive(Debug, Clone)]
pub struct NewRecord {
    /// Our id, used if the record is new.
    pub id: RecordId,
    /// The record.
    pub record: Record,
    /// How it arrived.
    pub lane: Lane,
    /// When it arrived: for a webhook the arrival of the body, not of its splitting.
    pub received_at: Timestamp,
    /// The source could not make sense of it: stored as failed, with this reason.
    pub problem: Option<String>,
}

/// How many records were new, and how many were there already.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stored {
    /// New (connection, object, id, revision).
    pub new: u64,
    /// Seen before: dropped.
    pub repeated: u64,
}

/// Records of one pull with the cursor that they move.
#[derive(Debug, Clone)]
pub struct PullCommit {
    /// The connection.
    pub connection: ConnectionName,
    /// The stream's name, with the lane: `contacts/live`.
    pub stream: String,
    /// The cursor that these records were asked with: what is stored must be the same, so that commits under way at the
    /// same time can not leave a gap when one of them fails.
    pub previous: Option<Value>,
    /// The cursor after these records, opaque.
    pub cursor: Value,
    /// The records.
    pub records: Vec<NewRecord>,
    /// When.
    pub now: Timestamp,
}

/// An object that something happened to; several hints for one object are one row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hint {
    /// The vendor's object type.
    pub object: ObjectType,
    /// The vendor's id.
    pub external_id: ExternalId,
    /// The latest hint.
    pub hinted_at: Timestamp,
    /// The earliest hint that is not fetched yet: when the news reached us.
    pub first_at: Timestamp,
}

/// Objects fetched by hint.
#[derive(Debug, Clone)]
pub struct FetchCommit {
    /// The connection.
    pub connection: ConnectionName,
    /// The hints that are answered; one that was renewed after it was read stays.
    pub hints: Vec<Hint>,
    /// What was found; an object that is gone comes as a record with `gone` set.
    pub records: Vec<NewRecord>,
    /// When.
    pub now: Timestamp,
}

/// What a webhook body held.
#[derive(Debug, Clone)]
pub struct Split {
    /// The body.
    pub delivery: DeliveryId,
    /// Its records.
    pub records: Vec<NewRecord>,
    /// Its hints.
    pub hints: Vec<Hint>,
}

/// Intake.
#[async_trait]
pub trait Intake: Send + Sync {
    /// Makes the connection known, or returns it as it is.
    async fn connect(&self, name: &ConnectionName, now: Timestamp) -> Result<ConnectionRow, StoreError>;

    /// Stores a webhook body durably; the sender may be answered afterwards. Group-committed with its neighbours.
    async fn store_delivery(&self, delivery: NewDelivery) -> Result<(), StoreError>;

    /// The oldest bodies that are not split yet.
    async fn deliveries_to_split(&self, limit: u32) -> Result<Vec<Delivery>, StoreError>;

    /// Stores what a body held and marks it split. `problems` are items that nobody could read: they are stored as
    /// failed records of that delivery so that nothing vanishes.
    async fn commit_split(
        &self,
        delivery: DeliveryId,
        records: Vec<NewRecord>,
        hints: Vec<Hint>,
        now: Timestamp,
    ) -> Result<Stored, StoreError> {
        self.commit_splits(vec![Split { delivery, records, hints }], now).await
    }

    /// The same for several bodies at once.
    async fn commit_splits(&self, splits: Vec<Split>, now: Timestamp) -> Result<Stored, StoreError>;

    /// Stores records that arrived by API or by hand. Returns the ids under which they are known, in order.
    async fn store_records(&self, records: Vec<NewRecord>) -> Result<Vec<RecordId>, StoreError>;

    /// The oldest hints of a connection, all of one object type.
    async fn hints(&self, connection: &ConnectionName, limit: u32) -> Result<Vec<Hint>, StoreError>;

    /// Stores fetched objects and removes their hints.
    async fn commit_fetch(&self, commit: FetchCommit) -> Result<Stored, StoreError>;

    /// The stream's cursor.
    async fn cursor(&self, connection: &ConnectionName, stream: &str) -> Result<Option<Value>, StoreError>;

    /// Stores the records of a pull and its cursor in one transaction. Calls made one after the other are stored in that
    /// order, also when the first has not answered yet. [`StoreError::Stale`] if the stored cursor is not the previous one.
    async fn commit_pull(&self, commit: PullCommit) -> Result<Stored, StoreError>;
}
