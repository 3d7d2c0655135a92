//! Standing on SQLite.

use async_trait::async_trait;
use jiff::Timestamp;
use usher_model::ConnectionName;

use super::SqliteStore;
use super::bulk::Bulk;
use super::codec::{maybe_instant, ms, text};
use super::writer::Priority;
use crate::error::StoreError;
use crate::standing::{HookTally, Recount, Standing, Trouble};

static TALLY: Bulk = Bulk::insert(
    "INSERT INTO hook (connection, heard_at, refused, refused_at, reason)",
    5,
    "ON CONFLICT DO UPDATE SET heard_at = coalesce(excluded.heard_at, heard_at), refused = refused + excluded.refused, \
     refused_at = coalesce(excluded.refused_at, refused_at), reason = coalesce(excluded.reason, reason)",
);

#[async_trait]
impl Standing for SqliteStore {
    async fn set_trouble(
        &self,
        connection: &ConnectionName,
        topic: &str,
        problem: Option<&str>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let (connection, topic, problem) = (text(connection), text(topic), problem.map(text));
        self.write(Priority::Maintain, "notes a connection's standing", move |conn| {
            Box::pin(async move {
                let query = match &problem {
                    Some(_) => sqlx::query(
                        "INSERT INTO trouble (connection, topic, since, problem) VALUES (?1, ?2, ?3, ?4) \
                         ON CONFLICT DO UPDATE SET problem = excluded.problem",
                    ),
                    None => sqlx::query("DELETE FROM trouble WHERE connection = ?1 AND topic = ?2"),
                };
                let query = query.bind(connection).bind(topic);
                let query = match problem {
                    Some(problem) => query.bind(ms(now)).bind(problem),
                    None => query,
                };
                query.execute(conn).await?;
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
        self.write(Priority::Maintain, "notes a recount", move |conn| {
            Box::pin(async move {
                let number = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
                sqlx::query(
                    "INSERT INTO recount (connection, stream, at, seen, missed, gone) VALUES (?, ?, ?, ?, ?, ?) \
                     ON CONFLICT DO UPDATE SET at = excluded.at, seen = excluded.seen, missed = excluded.missed, \
                     gone = excluded.gone",
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
                    sqlx::query_as("SELECT moved_at FROM cursor WHERE connection = ? AND stream = ?")
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
        self.write(Priority::Maintain, "counts webhooks", move |conn| {
            Box::pin(async move {
                TALLY
                    .run(conn, &tallies, |query, (connection, tally)| {
                        let last = tally.last_refused.as_ref();
                        query
                            .bind(text(connection))
                            .bind(tally.heard_at.map(ms))
                            .bind(i64::try_from(tally.refused).unwrap_or(i64::MAX))
                            .bind(last.map(|(at, _)| ms(*at)))
                            .bind(last.map(|(_, reason)| text(reason)))
                    })
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
