//! Quotas: what of a vendor's limits is spent, and which endpoints rest, across restarts.

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use usher_model::ConnectionName;

use crate::codec::instant;
use crate::error::StoreError;
use crate::fault::Fault;

/// A lead that arrived within this time is fresh: what is to be done for it goes before a backlog.
pub const FRESH: SignedDuration = SignedDuration::from_mins(2);

/// How much of each claim goes to fresh leads at most, so that a backlog always moves.
#[must_use]
pub fn most_fresh(limit: u32) -> u32 {
    limit - limit / 5
}

/// Which way the calls go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Direction {
    /// Reading records and the directory.
    Pull,
    /// Writing, and looking up what became of a write.
    Write,
}

impl Direction {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Pull, Self::Write];

    /// What does not happen while it rests.
    #[must_use]
    pub fn doing(self) -> &'static str {
        match self {
            Self::Pull => "reading",
            Self::Write => "writing",
        }
    }

    /// The name as stored.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pull => "pull",
            Self::Write => "write",
        }
    }
}

/// An endpoint that rests because it failed again and again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RestingEndpoint {
    /// The connection.
    pub connection: ConnectionName,
    /// Which of its directions.
    pub direction: Direction,
    /// When it began to rest.
    pub since: Timestamp,
    /// When one call asks next whether it is well again.
    pub probe_at: Timestamp,
    /// The last failure.
    pub problem: String,
}

impl RestingEndpoint {
    /// From its stored columns, in the order of the fields.
    pub(crate) fn stored(row: (String, String, i64, i64, String)) -> Result<Self, Fault> {
        let (connection, direction, since, probe_at, problem) = row;
        let direction =
            if direction == Direction::Pull.as_str() { Direction::Pull } else { Direction::Write };
        let (since, probe_at) = (instant(since)?, instant(probe_at)?);
        Ok(Self { connection: connection.into(), direction, since, probe_at, problem })
    }
}

/// Quotas and rests.
#[async_trait]
pub trait Quotas: Send + Sync {
    /// What [`Quotas::put_quota`] stored last for each connection; opaque.
    async fn quotas(&self) -> Result<Vec<(ConnectionName, Value)>, StoreError>;

    /// Stores where a connection's limits stand.
    async fn put_quota(
        &self,
        connection: &ConnectionName,
        value: Value,
        now: Timestamp,
    ) -> Result<(), StoreError>;

    /// The endpoints that rest, by name and direction.
    async fn resting(&self) -> Result<Vec<RestingEndpoint>, StoreError>;

    /// An endpoint rests, or goes on resting.
    async fn rest(&self, endpoint: RestingEndpoint) -> Result<(), StoreError>;

    /// An endpoint is well again.
    async fn well(&self, connection: &ConnectionName, direction: Direction) -> Result<(), StoreError>;
}
