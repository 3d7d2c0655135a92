//! Intake on SQLite.

use std::collections::HashMap;

use async_trait::async_trait;
use jiff::Timestamp;
use serde_json::Value;
use sqlx::SqliteConnection;
use usher_model::{ConnectionName, RecordId};

use super::SqliteStore;
use super::bulk::Bulk;
use super::codec::{from_json, id, ids, instant, json, ms, text};
use super::fault::Fault;
use super::records;
use super::writer::Priority;
use crate::error::StoreError;
use crate::intake::{
    ConnectionRow, Delivery, FetchCommit, Hint, Intake, NewDelivery, NewRecord, PullCommit, Split, Stored,
};
use crate::quota::most_fresh;

/// A renewed hint is always younger than the one that was read, even within one millisecond.
static HINT: Bulk = Bulk::insert(
    "INSERT INTO hint (connection, object, external_id, first_at, hinted_at)",
    5,
    "ON CONFLICT DO UPDATE SET first_at = min(first_at, excluded.first_at), \
     hinted_at = max(hinted_at + 1, excluded.hinted_at)",
);

#[async_trait]
impl Intake for SqliteStore {
    async fn connect(&self, name: &ConnectionName, now: Timestamp) -> Result<ConnectionRow, StoreError> {
        let name = name.clone();
        self.write(Priority::Decide, "makes a connection known", move |conn| {
            Box::pin(connect(conn, name, now))
        })
        .await
    }

    async fn store_delivery(&self, delivery: NewDelivery) -> Result<(), StoreError> {
        self.writer.arrive(delivery).await.map_err(|fault| fault.during(&self.place, "stores a webhook"))
    }

    async fn deliveries_to_split(&self, limit: u32) -> Result<Vec<Delivery>, StoreError> {
        self.look("reads stored webhooks", move |conn| {
            Box::pin(async move {
                let rows: Vec<(String, String, i64, Vec<u8>)> = sqlx::query_as(
                    "SELECT id, connection, received_at, body FROM delivery WHERE split_at IS NULL ORDER BY seq LIMIT ?",
                )
                .bind(limit)
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
        self.write(Priority::Decide, "stores what webhooks held", move |conn| {
            Box::pin(commit_splits(conn, splits, now))
        })
        .await
    }

    async fn store_records(&self, records: Vec<NewRecord>) -> Result<Vec<RecordId>, StoreError> {
        self.write(Priority::Acknowledge, "stores records", move |conn| {
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
        let connection = connection.clone();
        self.look("reads hints", move |conn| Box::pin(hints(conn, connection, limit))).await
    }

    async fn commit_fetch(&self, commit: FetchCommit) -> Result<Stored, StoreError> {
        self.write(Priority::Decide, "stores fetched objects", move |conn| {
            Box::pin(async move {
                answer_hints(conn, &commit).await?;
                records::insert(conn, &commit.records).await
            })
        })
        .await
    }

    async fn cursor(&self, connection: &ConnectionName, stream: &str) -> Result<Option<Value>, StoreError> {
        let (connection, stream) = (text(connection), text(stream));
        self.look("reads a cursor", move |conn| {
            Box::pin(async move {
                let row: Option<(String,)> =
                    sqlx::query_as("SELECT value FROM cursor WHERE connection = ? AND stream = ?")
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
        self.write(Priority::Decide, "stores a pull", move |conn| {
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
    conn: &mut SqliteConnection,
    name: ConnectionName,
    now: Timestamp,
) -> Result<ConnectionRow, Fault> {
    sqlx::query("INSERT INTO connection (name, started_at) VALUES (?, ?) ON CONFLICT DO NOTHING")
        .bind(text(&name))
        .bind(ms(now))
        .execute(&mut *conn)
        .await?;
    let (started_at, held_at, held_reason): (i64, Option<i64>, Option<String>) =
        sqlx::query_as("SELECT started_at, held_at, held_reason FROM connection WHERE name = ?")
            .bind(text(&name))
            .fetch_one(conn)
            .await?;
    let held =
        held_at.zip(held_reason).map(|(at, reason)| Ok::<_, Fault>((instant(at)?, reason))).transpose()?;
    Ok(ConnectionRow { name, started_at: instant(started_at)?, held })
}

async fn commit_splits(
    conn: &mut SqliteConnection,
    splits: Vec<Split>,
    now: Timestamp,
) -> Result<Stored, Fault> {
    let marked: Vec<(String, String)> = sqlx::query_as(
        "UPDATE delivery SET split_at = ?1 WHERE id IN (SELECT value FROM json_each(?2)) AND split_at IS NULL \
         RETURNING id, connection",
    )
    .bind(ms(now))
    .bind(ids(splits.iter().map(|split| split.delivery)))
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

async fn store_hints(conn: &mut SqliteConnection, hints: &[(&str, Hint)]) -> Result<(), Fault> {
    HINT.run(conn, hints, |query, (connection, hint)| {
        query
            .bind((*connection).to_owned())
            .bind(text(&hint.object))
            .bind(text(&hint.external_id))
            .bind(ms(hint.first_at))
            .bind(ms(hint.hinted_at))
    })
    .await?;
    Ok(())
}

async fn hints(
    conn: &mut SqliteConnection,
    connection: ConnectionName,
    limit: u32,
) -> Result<Vec<Hint>, Fault> {
    let rows: Vec<(String, String, i64, i64)> = sqlx::query_as(
        "WITH asked (object) AS (SELECT object FROM hint WHERE connection = ?1 ORDER BY first_at, object LIMIT 1) \
         SELECT object, external_id, hinted_at, first_at FROM ( \
           SELECT 0 AS tier, * FROM (SELECT * FROM hint WHERE connection = ?1 AND object = (SELECT object FROM asked) \
             ORDER BY first_at DESC LIMIT ?3) \
           UNION ALL SELECT 1, * FROM (SELECT * FROM hint WHERE connection = ?1 AND object = (SELECT object FROM asked) \
             ORDER BY first_at LIMIT ?2)) \
         GROUP BY external_id ORDER BY min(tier), first_at LIMIT ?2",
    )
    .bind(text(&connection))
    .bind(limit)
    .bind(most_fresh(limit))
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
async fn answer_hints(conn: &mut SqliteConnection, commit: &FetchCommit) -> Result<(), Fault> {
    if commit.hints.is_empty() {
        return Ok(());
    }
    let read: Vec<_> = commit
        .hints
        .iter()
        .map(|hint| (text(&hint.object), text(&hint.external_id), ms(hint.hinted_at)))
        .collect();
    let read = json(&read)?;
    sqlx::query(
        "DELETE FROM hint WHERE (connection, object, external_id) IN \
         (SELECT h.connection, h.object, h.external_id FROM json_each(?2) j CROSS JOIN hint h ON h.connection = ?1 \
          AND h.object = j.value ->> 0 AND h.external_id = j.value ->> 1 AND h.hinted_at <= j.value ->> 2)",
    )
    .bind(text(&commit.connection))
    .bind(read.clone())
    .execute(&mut *conn)
    .await?;
    sqlx::query(
        "UPDATE hint SET first_at = hinted_at WHERE (connection, object, external_id) IN \
         (SELECT h.connection, h.object, h.external_id FROM json_each(?2) j CROSS JOIN hint h ON h.connection = ?1 \
          AND h.object = j.value ->> 0 AND h.external_id = j.value ->> 1)",
    )
    .bind(text(&commit.connection))
    .bind(read)
    .execute(conn)
    .await?;
    Ok(())
}

/// Moves a stream's cursor on from where the step began.
pub(super) async fn step_cursor(
    conn: &mut SqliteConnection,
    (connection, stream): (&ConnectionName, &str),
    previous: Option<&Value>,
    cursor: &Value,
    now: Timestamp,
) -> Result<(), Fault> {
    let done = sqlx::query(
        "INSERT INTO cursor (connection, stream, value, moved_at) SELECT ?1, ?2, ?3, ?4 \
         WHERE (SELECT value FROM cursor WHERE connection = ?1 AND stream = ?2) IS ?5 \
         ON CONFLICT DO UPDATE SET value = excluded.value, moved_at = excluded.moved_at",
    )
    .bind(text(connection))
    .bind(text(stream))
    .bind(json(cursor)?)
    .bind(ms(now))
    .bind(previous.map(json).transpose()?)
    .execute(conn)
    .await?;
    if done.rows_affected() == 0 { Err(Fault::Stale) } else { Ok(()) }
}

/// Stores a stream's cursor.
pub(super) async fn move_cursor(
    conn: &mut SqliteConnection,
    connection: &ConnectionName,
    stream: &str,
    cursor: &Value,
    now: Timestamp,
) -> Result<(), Fault> {
    sqlx::query(
        "INSERT INTO cursor (connection, stream, value, moved_at) VALUES (?, ?, ?, ?) \
         ON CONFLICT DO UPDATE SET value = excluded.value, moved_at = excluded.moved_at",
    )
    .bind(text(connection))
    .bind(text(stream))
    .bind(json(cursor)?)
    .bind(ms(now))
    .execute(conn)
    .await?;
    Ok(())
}
