//! Inserting records: the unique index decides what is new, never a look beforehand.

use sqlx::SqliteConnection;
use usher_model::RecordId;

use super::bulk::Bulk;
use super::codec::{clean, id, json, lane_rank, ms, text};
use super::fault::Fault;
use crate::intake::{NewRecord, Stored};

static INSERT: Bulk = Bulk::new(
    "INSERT INTO record (id, connection, object, external_id, revision, lane, created_at, modified_at, imported, gone, \
     received_at, state, due_at, detail, ended_at) SELECT * FROM (VALUES",
    15,
    ") WHERE column1 IS NOT NULL ON CONFLICT DO NOTHING",
);

/// A repeated record keeps its old id, so its payload finds no row to join.
static PAYLOAD: Bulk = Bulk::new(
    "WITH new (id, body) AS (VALUES",
    2,
    ") INSERT INTO payload (record, body) SELECT record.seq, new.body FROM new JOIN record ON record.id = new.id \
     WHERE true ON CONFLICT DO NOTHING",
);

/// Stores the records that are new.
pub(super) async fn insert(conn: &mut SqliteConnection, records: &[NewRecord]) -> Result<Stored, Fault> {
    let new = INSERT
        .run(conn, records, |query, new| {
            let record = &new.record;
            let received_at = ms(new.received_at);
            let (state, ended_at) = match new.problem {
                Some(_) => ("failed", Some(received_at)),
                None => ("fetched", None),
            };
            query
                .bind(new.id.to_string())
                .bind(text(&record.connection))
                .bind(text(&record.object))
                .bind(text(&record.external_id))
                .bind(text(&record.revision))
                .bind(lane_rank(new.lane))
                .bind(record.created_at.map(ms))
                .bind(record.modified_at.map(ms))
                .bind(record.imported)
                .bind(record.gone)
                .bind(received_at)
                .bind(state)
                .bind(received_at)
                .bind(new.problem.as_ref().map(text))
                .bind(ended_at)
        })
        .await?;
    if new > 0 {
        PAYLOAD
            .run(conn, records, |query, new| {
                query.bind(new.id.to_string()).bind(text(new.record.payload.get()))
            })
            .await?;
    }
    Ok(Stored { new, repeated: records.len() as u64 - new })
}

/// The ids under which the records are known, in order.
pub(super) async fn known_as(
    conn: &mut SqliteConnection,
    records: &[NewRecord],
) -> Result<Vec<RecordId>, Fault> {
    let keys: Vec<[_; 4]> = records
        .iter()
        .map(|new| {
            let record = &new.record;
            [
                clean(record.connection.as_str()),
                clean(record.object.as_str()),
                clean(record.external_id.as_str()),
                clean(&record.revision),
            ]
        })
        .collect();
    let found: Vec<(String,)> = sqlx::query_as(
        "SELECT r.id FROM json_each(?) j CROSS JOIN record r ON r.connection = j.value ->> 0 \
         AND r.object = j.value ->> 1 AND r.external_id = j.value ->> 2 AND r.revision = j.value ->> 3 ORDER BY j.key",
    )
    .bind(json(&keys)?)
    .fetch_all(conn)
    .await?;
    found.iter().map(|(text,)| id(text)).collect()
}
