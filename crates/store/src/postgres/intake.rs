//! Intake on Postgres.

use std::collections::HashMap;

use async_trait::async_trait;
use jiff::Timestamp;
use serde_json::Value;
use sqlx::postgres::PgConnection;
use usher_model::{ConnectionName, RecordId};

use super::{PostgresStore, column, records};
use crate::codec::{from_json, id, instant, json, ms, text};
use crate::error::StoreError;
use crate::fault::Fault;
use crate::intake::{
    ConnectionRow, Delivery, FetchCommit, Hint, Intake, NewDelivery, NewRecord, PullCommit, Split, Stored,
};
use crate::quota::most_fresh;

#[async_trait]
impl Intake for PostgresStore {
    async fn connect(&self, name: &ConnectionName, now: Timestamp) -> Result<ConnectionRow, StoreError> {
        let name = name.clone();
        self.write("makes a connection known", move |conn| Box::pin(connect(conn, name, now))).await
    }

    async fn store_delivery(&self, delivery: NewDelivery) -> Result<(), StoreError> {
        self.write("stores a webhook", move |conn| {
            Box::pin(async move {
                sqlx::query(
                    "INSERT INTO delivery (id, connection, received_at, body) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING",
                )
                .bind(delivery.id.to_string())
                .bind(text(&delivery.connection))
                .bind(ms(delivery.received_at))
                .bind(delivery.body)
                .execute(conn)
                .await?;
                Ok(())
            })
        })
        .await
    }

    async fn deliveries_to_split(&self, limit: u32) -> Result<Vec<Delivery>, StoreError> {
        self.read("reads stored webhooks", move |conn| {
            Box::pin(async move {
                let rows: Vec<(String, String, i64, Vec<u8>)> = sqlx::query_as(
                    "SELECT id, connection, received_at, body FROM delivery WHERE split_at IS NULL ORDER BY seq LIMIT $1",
                )
                .bind(i64::from(limit))
                .fetch_all(conn)
                .await?;
                rows.into_iter()
                    .map(|(delivery, connection, received_at, body)| {
                        let received_at = instant(received_at)?;
                        Ok(Delivery { id: id(&delivery)?, connection: connection.into(), received_at, body })
                    })
                    .collect()
            })
        })
        .await
    }

    async fn commit_splits(&self, splits: Vec<Split>, now: Timestamp) -> Result<Stored, StoreError> {
        self.write("stores what webhooks held", move |conn| Box::pin(commit_splits(conn, splits, now))).await
    }

    async fn store_records(&self, records: Vec<NewRecord>) -> Result<Vec<RecordId>, StoreError> {
        self.write("stores records", move |conn| {
            Box::pin(async move {
                let stored = records::insert(conn, &records).await?;
                if stored.repeated == 0 {
                    return Ok(records.iter().map(|new| new.id).collect());
                }
                records::known_as(conn, &records).await
            })
        })
        .await
    }

    async fn hints(&self, connection: &ConnectionName, limit: u32) -> Result<Vec<Hint>, StoreError> {
        let connection = text(connection);
        self.read("reads hints", move |conn| Box::pin(hints(conn, connection, limit))).await
    }

    async fn commit_fetch(&self, commit: FetchCommit) -> Result<Stored, StoreError> {
        self.write("stores fetched objects", move |conn| {
            Box::pin(async move {
                answer_hints(conn, &commit).await?;
                records::insert(conn, &commit.records).await
            })
        })
        .await
    }

    async fn cursor(&self, connection: &ConnectionName, stream: &str) -> Result<Option<Value>, StoreError> {
        let (connection, stream) = (text(connection), text(stream));
        self.read("reads a cursor", move |conn| {
            Box::pin(async move {
                let row: Option<(String,)> =
                    sqlx::query_as("SELECT value FROM cursor WHERE connection = $1 AND stream = $2")
                        .bind(connection)
                        .bind(stream)
                        .fetch_optional(conn)
                        .await?;
                row.map(|(value,)| from_json("cursor", &value)).transpose()
            })
        })
        .await
    }

    async fn commit_pull(&self, commit: PullCommit) -> Result<Stored, StoreError> {
        // First come, first served: the lock is fair.
        let _turn = self.pulls.lock().await;
        self.write("stores a pull", move |conn| {
            Box::pin(async move {
                step_cursor(
                    conn,
                    (&commit.connection, &commit.stream),
                    commit.previous.as_ref(),
                    &commit.cursor,
                    commit.now,
                )
                .await?;
                records::insert(conn, &commit.records).await
            })
        })
        .await
    }
}

async fn connect(
    conn: &mut PgConnection,
    name: ConnectionName,
    now: Timestamp,
) -> Result<ConnectionRow, Fault> {
    sqlx::query("INSERT INTO connection (name, started_at) VALUES ($1, $2) ON CONFLICT DO NOTHING")
        .bind(text(&name))
        .bind(ms(now))
        .execute(&mut *conn)
        .await?;
    let (started_at, held_at, held_reason): (i64, Option<i64>, Option<String>) =
        sqlx::query_as("SELECT started_at, held_at, held_reason FROM connection WHERE name = $1")
            .bind(text(&name))
            .fetch_one(conn)
            .await?;
    let held =
        held_at.zip(held_reason).map(|(at, reason)| Ok::<_, Fault>((instant(at)?, reason))).transpose()?;
    Ok(ConnectionRow { name, started_at: instant(started_at)?, held })
}

async fn commit_splits(conn: &mut PgConnection, splits: Vec<Split>, now: Timestamp) -> Result<Stored, Fault> {
    let marked: Vec<(String, String)> = sqlx::query_as(
        "WITH due AS MATERIALIZED (SELECT seq FROM delivery WHERE id = ANY($2) AND split_at IS NULL ORDER BY seq FOR UPDATE) \
         UPDATE delivery d SET split_at = $1 FROM due WHERE d.seq = due.seq RETURNING d.id, d.connection",
    )
    .bind(ms(now))
    .bind(column(&splits, |split| split.delivery.to_string()))
    .fetch_all(&mut *conn)
    .await?;
    let marked: HashMap<String, String> = marked.into_iter().collect();
    let (mut records, mut hints, mut repeated) = (Vec::new(), Vec::new(), 0);
    for split in splits {
        match marked.get(&split.delivery.to_string()) {
            Some(connection) => {
                records.extend(split.records);
                hints.extend(split.hints.into_iter().map(|hint| (connection.as_str(), hint)));
            }
            // Split already: whoever did it stored what it held, and its hints may be answered by now.
            None => repeated += split.records.len() as u64,
        }
    }
    store_hints(conn, &hints).await?;
    let stored = records::insert(conn, &records).await?;
    Ok(Stored { repeated: stored.repeated + repeated, ..stored })
}

/// A renewed hint is always younger than the one that was read, even within one millisecond. Postgres updates a row once
/// in a statement, so hints for one object are joined before.
async fn store_hints(conn: &mut PgConnection, hints: &[(&str, Hint)]) -> Result<(), Fault> {
    if hints.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "INSERT INTO hint (connection, object, external_id, first_at, hinted_at) \
         SELECT connection, object, external_id, min(first_at), max(hinted_at) \
         FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::bigint[]) \
         AS v (connection, object, external_id, first_at, hinted_at) \
         GROUP BY connection, object, external_id ORDER BY connection, object, external_id \
         ON CONFLICT (connection, object, external_id) DO UPDATE SET first_at = least(hint.first_at, excluded.first_at), \
         hinted_at = greatest(hint.hinted_at + 1, excluded.hinted_at)",
    )
    .bind(column(hints, |(connection, _)| *connection))
    .bind(column(hints, |(_, hint)| text(&hint.object)))
    .bind(column(hints, |(_, hint)| text(&hint.external_id)))
    .bind(column(hints, |(_, hint)| ms(hint.first_at)))
    .bind(column(hints, |(_, hint)| ms(hint.hinted_at)))
    .execute(conn)
    .await?;
    Ok(())
}

async fn hints(conn: &mut PgConnection, connection: String, limit: u32) -> Result<Vec<Hint>, Fault> {
    let rows: Vec<(String, String, i64, i64)> = sqlx::query_as(
        "WITH asked AS (SELECT * FROM hint WHERE connection = $1 AND object = \
           (SELECT object FROM hint WHERE connection = $1 ORDER BY first_at, object LIMIT 1)) \
         SELECT object, external_id, hinted_at, first_at FROM ( \
           (SELECT 0 AS tier, * FROM asked ORDER BY first_at DESC LIMIT $3) \
           UNION ALL (SELECT 1, * FROM asked ORDER BY first_at LIMIT $2)) both_tiers \
         GROUP BY object, external_id, hinted_at, first_at ORDER BY min(tier), first_at, external_id LIMIT $2",
    )
    .bind(connection)
    .bind(i64::from(limit))
    .bind(i64::from(most_fresh(limit)))
    .fetch_all(conn)
    .await?;
    rows.into_iter()
        .map(|(object, external_id, hinted_at, first_at)| {
            let (hinted_at, first_at) = (instant(hinted_at)?, instant(first_at)?);
            Ok(Hint { object: object.into(), external_id: external_id.into(), hinted_at, first_at })
        })
        .collect()
}

/// Removes the hints as they were read; of a renewed one, what was answered is forgotten.
async fn answer_hints(conn: &mut PgConnection, commit: &FetchCommit) -> Result<(), Fault> {
    // Locked in the order in which they are stored; the statements after it see what is true by then.
    const LOCK: &str = "SELECT 1 FROM hint h JOIN unnest($2::text[], $3::text[]) AS v (object, external_id) \
         USING (object, external_id) WHERE h.connection = $1 ORDER BY object, external_id FOR UPDATE OF h";
    const FORGET: &str = "DELETE FROM hint h USING unnest($2::text[], $3::text[], $4::bigint[]) \
         AS v (object, external_id, hinted_at) WHERE h.connection = $1 AND h.object = v.object \
         AND h.external_id = v.external_id AND h.hinted_at <= v.hinted_at";
    const RENEW: &str = "UPDATE hint h SET first_at = h.hinted_at FROM unnest($2::text[], $3::text[]) AS v (object, external_id) \
         WHERE h.connection = $1 AND h.object = v.object AND h.external_id = v.external_id";
    if commit.hints.is_empty() {
        return Ok(());
    }
    let connection = text(&commit.connection);
    let objects = column(&commit.hints, |hint| text(&hint.object));
    let ids = column(&commit.hints, |hint| text(&hint.external_id));
    let hinted = column(&commit.hints, |hint| ms(hint.hinted_at));
    sqlx::query(LOCK).bind(&connection).bind(&objects).bind(&ids).execute(&mut *conn).await?;
    sqlx::query(FORGET).bind(&connection).bind(&objects).bind(&ids).bind(hinted).execute(&mut *conn).await?;
    sqlx::query(RENEW).bind(&connection).bind(&objects).bind(&ids).execute(conn).await?;
    Ok(())
}

/// Moves a stream's cursor on from where the pull began. One row decides: whoever waits for it compares with what the
/// other left there.
pub(super) async fn step_cursor(
    conn: &mut PgConnection,
    (connection, stream): (&ConnectionName, &str),
    previous: Option<&Value>,
    cursor: &Value,
    now: Timestamp,
) -> Result<(), Fault> {
    let step = match previous {
        None => sqlx::query(
            "INSERT INTO cursor (connection, stream, value, moved_at) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING",
        ),
        Some(_) => sqlx::query(
            "UPDATE cursor SET value = $3, moved_at = $4 WHERE connection = $1 AND stream = $2 AND value = $5",
        ),
    };
    let step = step.bind(text(connection)).bind(text(stream)).bind(json(cursor)?).bind(ms(now));
    let step = match previous {
        None => step,
        Some(previous) => step.bind(json(previous)?),
    };
    if step.execute(conn).await?.rows_affected() == 0 { Err(Fault::Stale) } else { Ok(()) }
}

/// Stores a stream's cursor.
pub(super) async fn move_cursor(
    conn: &mut PgConnection,
    connection: &ConnectionName,
    stream: &str,
    cursor: &Value,
    now: Timestamp,
) -> Result<(), Fault> {
    sqlx::query(
        "INSERT INTO cursor (connection, stream, value, moved_at) VALUES ($1, $2, $3, $4) \
         ON CONFLICT (connection, stream) DO UPDATE SET value = excluded.value, moved_at = excluded.moved_at",
    )
    .bind(text(connection))
    .bind(text(stream))
    .bind(json(cursor)?)
    .bind(ms(now))
    .execute(conn)
    .await?;
    Ok(())
}
