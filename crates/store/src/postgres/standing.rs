//! Standing on Postgres.

use async_trait::async_trait;
use jiff::Timestamp;
use usher_model::ConnectionName;

use super::{PostgresStore, column};
use crate::codec::{maybe_instant, ms, text};
use crate::error::StoreError;
use crate::standing::{HookTally, Recount, Standing, Trouble};

#[async_trait]
impl Standing for PostgresStore {
    async fn set_trouble(
        &self,
        connection: &ConnectionName,
        topic: &str,
        problem: Option<&str>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let (connection, topic, problem) = (text(connection), text(topic), problem.map(text));
        self.write("notes a connection's standing", move |conn| {
            Box::pin(async move {
                let query = match problem {
                    Some(problem) => sqlx::query(
                        "INSERT INTO trouble (since, problem, connection, topic) VALUES ($1, $2, $3, $4) \
                         ON CONFLICT (connection, topic) DO UPDATE SET problem = excluded.problem",
                    )
                    .bind(ms(now))
                    .bind(problem),
                    None => sqlx::query("DELETE FROM trouble WHERE connection = $1 AND topic = $2"),
                };
                query.bind(connection).bind(topic).execute(conn).await?;
                Ok(())
            })
        })
        .await
    }

    async fn troubles(&self) -> Result<Vec<Trouble>, StoreError> {
        self.read("reads what is wrong", move |conn| {
            Box::pin(async move {
                let rows: Vec<_> = sqlx::query_as(
                    "SELECT connection, topic, since, problem FROM trouble ORDER BY connection, topic",
                )
                .fetch_all(conn)
                .await?;
                rows.into_iter().map(Trouble::stored).collect()
            })
        })
        .await
    }

    async fn put_recount(&self, recount: Recount) -> Result<(), StoreError> {
        self.write("notes a recount", move |conn| {
            Box::pin(async move {
                sqlx::query(
                    "INSERT INTO recount (connection, stream, at, seen, missed, gone) VALUES ($1, $2, $3, $4, $5, $6) \
                     ON CONFLICT (connection, stream) DO UPDATE SET at = excluded.at, seen = excluded.seen, \
                     missed = excluded.missed, gone = excluded.gone",
                )
                .bind(text(&recount.connection))
                .bind(text(&recount.stream))
                .bind(ms(recount.at))
                .bind(number(recount.seen))
                .bind(number(recount.missed))
                .bind(number(recount.gone))
                .execute(conn)
                .await?;
                Ok(())
            })
        })
        .await
    }

    async fn recounts(&self) -> Result<Vec<Recount>, StoreError> {
        self.read("reads the last recounts", move |conn| {
            Box::pin(async move {
                let rows: Vec<_> = sqlx::query_as(
                    "SELECT connection, stream, at, seen, missed, gone FROM recount ORDER BY connection, stream",
                )
                .fetch_all(conn)
                .await?;
                rows.into_iter().map(Recount::stored).collect()
            })
        })
        .await
    }

    async fn cursor_moved_at(
        &self,
        connection: &ConnectionName,
        stream: &str,
    ) -> Result<Option<Timestamp>, StoreError> {
        let (connection, stream) = (text(connection), text(stream));
        self.read("reads when a cursor moved", move |conn| {
            Box::pin(async move {
                let row: Option<(i64,)> =
                    sqlx::query_as("SELECT moved_at FROM cursor WHERE connection = $1 AND stream = $2")
                        .bind(connection)
                        .bind(stream)
                        .fetch_optional(conn)
                        .await?;
                maybe_instant(row.map(|(at,)| at))
            })
        })
        .await
    }

    async fn add_hook_tallies(&self, tallies: Vec<(ConnectionName, HookTally)>) -> Result<(), StoreError> {
        self.write("counts webhooks", move |conn| {
            Box::pin(async move {
                let refused = |tally: &HookTally| tally.last_refused.as_ref().map(|(at, _)| ms(*at));
                let reason = |tally: &HookTally| tally.last_refused.as_ref().map(|(_, reason)| text(reason));
                sqlx::query(
                    "INSERT INTO hook (connection, heard_at, refused, refused_at, reason) SELECT * FROM unnest($1::text[], \
                     $2::bigint[], $3::bigint[], $4::bigint[], $5::text[]) AS v (connection) ORDER BY v.connection \
                     ON CONFLICT (connection) DO UPDATE SET heard_at = coalesce(excluded.heard_at, hook.heard_at), \
                     refused = hook.refused + excluded.refused, \
                     refused_at = coalesce(excluded.refused_at, hook.refused_at), \
                     reason = coalesce(excluded.reason, hook.reason)",
                )
                .bind(column(&tallies, |(connection, _)| text(connection)))
                .bind(column(&tallies, |(_, tally)| tally.heard_at.map(ms)))
                .bind(column(&tallies, |(_, tally)| number(tally.refused)))
                .bind(column(&tallies, |(_, tally)| refused(tally)))
                .bind(column(&tallies, |(_, tally)| reason(tally)))
                .execute(conn)
                .await?;
                Ok(())
            })
        })
        .await
    }

    async fn hook_tallies(&self) -> Result<Vec<(ConnectionName, HookTally)>, StoreError> {
        self.read("reads what came to webhooks", move |conn| {
            Box::pin(async move {
                let rows: Vec<_> = sqlx::query_as(
                    "SELECT connection, heard_at, refused, refused_at, reason FROM hook ORDER BY connection",
                )
                .fetch_all(conn)
                .await?;
                rows.into_iter().map(HookTally::stored).collect()
            })
        })
        .await
    }
}

fn number(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
