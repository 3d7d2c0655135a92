//! Inserting records: the unique index decides what is new, never a look beforehand.

use std::sync::Arc;

use sqlx::SqliteConnection;
use usher_model::RecordId;

use super::bulk::Bulk;
use super::codec::{clean, id, json, lane_rank, ms, text};
use super::fault::Fault;
use crate::intake::{NewRecord, Stored};

static INSERT: Bulk = Bulk::over(
    "WITH v (id, connection, object, external_id, revision, lane, created_at, modified_at, imported, gone, \
     received_at, problem)",
    12,
    "INSERT INTO record (id, connection, object, external_id, revision, lane, created_at, modified_at, imported, gone, \
     received_at, due_at, detail, state, ended_at) SELECT id, connection, object, external_id, revision, lane, \
     created_at, modified_at, imported, gone, received_at, received_at, problem, \
     CASE WHEN problem IS NULL THEN 'fetched' ELSE 'failed' END, CASE WHEN problem IS NOT NULL THEN received_at END \
     FROM v WHERE id IS NOT NULL ON CONFLICT DO NOTHING",
);

/// A repeated record keeps its old id, so its payload finds no row to join.
static PAYLOAD: Bulk = Bulk::over(
    "WITH new (id, body)",
    2,
    "INSERT INTO payload (record, body) SELECT record.seq, new.body FROM new JOIN record ON record.id = new.id \
     WHERE true ON CONFLICT DO NOTHING",
);

/// Stores the records that are new.
pub(super) async fn insert(conn: &mut SqliteConnection, records: &[NewRecord]) -> Result<Stored, Fault> {
    let Some(first) = records.first() else { return Ok(Stored::default()) };
    // Nearly always one connection and one type of object: their names are shared, not copied for each row.
    let shared = (first.record.connection.clone(), first.record.object.clone());
    let names: (Arc<str>, Arc<str>) = (text(&shared.0).into(), text(&shared.1).into());
    let new = INSERT
        .run(conn, records, |query, new| {
            let record = &new.record;
            let named = (&record.connection, &record.object) == (&shared.0, &shared.1);
            let query = query.bind(new.id.to_string());
            let query = if named {
                query.bind(Arc::clone(&names.0)).bind(Arc::clone(&names.1))
            } else {
                query.bind(text(&record.connection)).bind(text(&record.object))
            };
            query
                .bind(text(&record.external_id))
                .bind(text(&record.revision))
                .bind(lane_rank(new.lane))
                .bind(record.created_at.map(ms))
                .bind(record.modified_at.map(ms))
                .bind(record.imported)
                .bind(record.gone)
                .bind(ms(new.received_at))
                .bind(new.problem.as_ref().map(text))
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
