//! Standing: what is right and wrong with each connection's streams and webhooks, for status and alerts.

use async_trait::async_trait;
use jiff::Timestamp;
use usher_model::ConnectionName;

use crate::codec::{instant, maybe_instant};
use crate::error::StoreError;
use crate::fault::Fault;

/// Something that is wrong with a connection at present.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// The connection.
    pub connection: ConnectionName,
    /// What suffers: a stream with its lane, `webhooks`, `owners`.
    pub topic: String,
    /// Since when, whatever the words were meanwhile.
    pub since: Timestamp,
    /// What is wrong and what to do, without personal data.
    pub problem: String,
}

impl Trouble {
    /// From its stored columns, in the order of the fields.
    pub(crate) fn stored(
        (connection, topic, since, problem): (String, String, i64, String),
    ) -> Result<Self, Fault> {
        Ok(Self { connection: connection.into(), topic, since: instant(since)?, problem })
    }
}

/// The last whole look at a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recount {
    /// The connection.
    pub connection: ConnectionName,
    /// The stream with the kind of look: `contacts/reconcile`.
    pub stream: String,
    /// When it ended.
    pub at: Timestamp,
    /// Rows that the vendor showed.
    pub seen: u64,
    /// Rows among them that nothing had brought before; they are stored now.
    pub missed: u64,
    /// Objects behind open leads that are there no more.
    pub gone: u64,
}

impl Recount {
    /// From its stored columns, in the order of the fields.
    pub(crate) fn stored(
        (connection, stream, at, seen, missed, gone): (String, String, i64, i64, i64, i64),
    ) -> Result<Self, Fault> {
        let [seen, missed, gone] = [seen, missed, gone].map(i64::unsigned_abs);
        Ok(Self { connection: connection.into(), stream, at: instant(at)?, seen, missed, gone })
    }
}

/// What came to a connection's webhook address.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HookTally {
    /// The last genuine call.
    pub heard_at: Option<Timestamp>,
    /// Calls that were refused as not genuine.
    pub refused: u64,
    /// The last of them, and why it was refused.
    pub last_refused: Option<(Timestamp, String)>,
}

/// A connection's tally: heard at, how many refused, the last at, why.
type StoredTally = (String, Option<i64>, i64, Option<i64>, Option<String>);

impl HookTally {
    pub(crate) fn stored(
        (connection, heard_at, refused, refused_at, reason): StoredTally,
    ) -> Result<(ConnectionName, Self), Fault> {
        let (heard_at, last_refused) = (maybe_instant(heard_at)?, maybe_instant(refused_at)?.zip(reason));
        Ok((connection.into(), Self { heard_at, refused: refused.unsigned_abs(), last_refused }))
    }
}

/// Standing.
#[async_trait]
pub trait Standing: Send + Sync {
    /// Says what is wrong with a topic of a connection, or that it is right again.
    async fn set_trouble(
        &self,
        connection: &ConnectionName,
        topic: &str,
        problem: Option<&str>,
        now: Timestamp,
    ) -> Result<(), StoreError>;

    /// Everything that is wrong.
    async fn troubles(&self) -> Result<Vec<Trouble>, StoreError>;

    /// Keeps the result of a whole look in place of the one before.
    async fn put_recount(&self, recount: Recount) -> Result<(), StoreError>;

    /// The last whole looks.
    async fn recounts(&self) -> Result<Vec<Recount>, StoreError>;

    /// When a stream's cursor was last stored.
    async fn cursor_moved_at(
        &self,
        connection: &ConnectionName,
        stream: &str,
    ) -> Result<Option<Timestamp>, StoreError>;

    /// Adds to what came to webhook addresses: counts are added, times and reasons replaced.
    async fn add_hook_tallies(&self, tallies: Vec<(ConnectionName, HookTally)>) -> Result<(), StoreError>;

    /// What came to webhook addresses.
    async fn hook_tallies(&self) -> Result<Vec<(ConnectionName, HookTally)>, StoreError>;
}
