//! Postgres behind the storage traits: one database, several nodes. Beside each file stands its twin in `sqlite`.
//!
//! What SQLite's single writer gave for free is bought in three ways. Claims take rows by `FOR UPDATE SKIP LOCKED`.
//! Whatever changes the graph of leads, effects and slots takes one advisory lock ([`lock`]), so that it sees what its
//! neighbours did. Decisions carry the fence of the leader ([`nodes`]). Everything else is settled by unique indexes and
//! compare-and-set on single rows. Statements that touch several rows do so in one order, so that two never wait for each
//! other.

mod commit;
mod deciding;
mod delivering;
mod directory;
mod doubt;
mod failures;
mod finish;
mod following;
mod gone;
mod inspection;
mod intake;
mod lock;
mod nodes;
mod open;
mod operation;
mod ownership;
mod plan;
mod preparation;
mod quota;
mod records;
mod retention;
mod settle;
mod slots;
mod standing;
mod story;
mod tokens;
mod undoing;
mod upkeep;
mod view;
mod vitals;
mod watching;

use std::fmt;
use std::time::Duration;

use futures::future::BoxFuture;
use jiff::Timestamp;
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnection, PgPool};
use sqlx::{Connection, Postgres, SqlStr};

use crate::codec::ms;
use crate::error::StoreError;
use crate::fault::Fault;

pub use self::open::{LeaseClock, PostgresOptions};

/// A store in one Postgres database, and a node of those that share it.
pub struct PostgresStore {
    place: String,
    pool: PgPool,
    /// Heartbeats never wait behind work.
    beats: PgPool,
    /// A transaction that takes longer is given up with its connection: the network swallowed it, or the server hangs.
    longest: Duration,
    /// The name under which claims are made.
    node: String,
    clock: LeaseClock,
    /// Commits of pulls wait here for each other, in the order in which they were called.
    pulls: tokio::sync::Mutex<()>,
}

impl fmt::Debug for PostgresStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresStore").field("place", &self.place).finish_non_exhaustive()
    }
}

impl PostgresStore {
    /// Connects, and brings the schema up to date.
    ///
    /// # Errors
    /// [`StoreError::Open`] if the database refuses us, or was written by another version; [`StoreError::Away`] if it
    /// does not answer for as long as the options allow.
    pub async fn open(options: PostgresOptions) -> Result<Self, StoreError> {
        let (place, node, clock, longest) =
            (options.place(), options.node.clone(), options.clock, options.longest);
        let (pool, beats) = open::open(options, &place).await?;
        Ok(Self { place, pool, beats, longest, node, clock, pulls: tokio::sync::Mutex::new(()) })
    }

    /// Runs `work` in a transaction.
    async fn write<T, F>(&self, doing: &'static str, work: F) -> Result<T, StoreError>
    where
        T: Send,
        F: for<'c> FnOnce(&'c mut PgConnection) -> BoxFuture<'c, Result<T, Fault>> + Send,
    {
        self.transaction(doing, (&self.pool, "BEGIN"), work).await
    }

    /// Runs `work` in a transaction that nothing else keeps waiting.
    async fn beat_with<T, F>(&self, doing: &'static str, work: F) -> Result<T, StoreError>
    where
        T: Send,
        F: for<'c> FnOnce(&'c mut PgConnection) -> BoxFuture<'c, Result<T, Fault>> + Send,
    {
        self.transaction(doing, (&self.beats, "BEGIN"), work).await
    }

    /// Runs `work` on one snapshot of what is committed.
    async fn read<T, F>(&self, doing: &'static str, work: F) -> Result<T, StoreError>
    where
        T: Send,
        F: for<'c> FnOnce(&'c mut PgConnection) -> BoxFuture<'c, Result<T, Fault>> + Send,
    {
        self.transaction(doing, (&self.pool, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"), work).await
    }

    async fn transaction<T, F>(
        &self,
        doing: &'static str,
        (pool, begin): (&PgPool, &'static str),
        work: F,
    ) -> Result<T, StoreError>
    where
        T: Send,
        F: for<'c> FnOnce(&'c mut PgConnection) -> BoxFuture<'c, Result<T, Fault>> + Send,
    {
        let result = async {
            let mut held = Held { conn: pool.acquire().await?, answered: false };
            let whole = async {
                let mut transaction = held.conn.begin_with(SqlStr::from_static(begin)).await?;
                let value = work(&mut transaction).await?;
                transaction.commit().await?;
                Ok(value)
            };
            let ended = tokio::time::timeout(self.longest, whole).await;
            held.answered = ended.is_ok();
            ended.unwrap_or_else(|late| Err(Fault::Away(sqlx::Error::Io(late.into()))))
        };
        result.await.map_err(|fault: Fault| fault.during(&self.place, doing))
    }

    /// The instant by which leases are measured: none stands for the database's clock.
    fn asked(&self, now: Timestamp) -> Option<i64> {
        (self.clock == LeaseClock::Caller).then(|| ms(now))
    }
}

/// A connection at work. One whose transaction was given up does not go back to its pool, which would ask it whether it
/// lives and wait for the answer.
struct Held {
    conn: PoolConnection<Postgres>,
    answered: bool,
}

impl Drop for Held {
    fn drop(&mut self) {
        if !self.answered {
            self.conn.close_on_drop();
        }
    }
}

/// How long a lease lasts, in milliseconds.
fn lasts(now: Timestamp, until: Timestamp) -> i64 {
    ms(until) - ms(now)
}

/// One column of many rows, to be bound as an array.
fn column<'a, R, T>(rows: &'a [R], value: impl Fn(&'a R) -> T) -> Vec<T> {
    rows.iter().map(value).collect()
}
