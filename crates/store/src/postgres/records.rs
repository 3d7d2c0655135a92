//! Inserting records: the unique index decides what is new, never a look beforehand.

use sqlx::postgres::PgConnection;
use usher_model::RecordId;

use super::column;
use crate::codec::{id, lane_rank, ms, text};
use crate::fault::Fault;
use crate::intake::{NewRecord, Stored};

/// Numbers follow the order of the call, by which the queue is sorted; rows are inserted in the order of their keys, so
/// that calls with the same records in another order wait for one another in turn.
const INSERT: &str = "WITH v AS MATERIALIZED (SELECT nextval('record_seq_seq') AS seq, v.* FROM unnest($1::text[], $2::text[], \
     $3::text[], $4::text[], $5::text[], $6::bigint[], $7::bigint[], $8::bigint[], $9::bool[], $10::bool[], $11::bigint[], \
     $12::text[], $13::text[]) WITH ORDINALITY AS v (id, connection, object, external_id, revision, lane, created_at, \
     modified_at, imported, gone, received_at, problem, body, n) ORDER BY n), \
     new AS (INSERT INTO record (seq, id, connection, object, external_id, revision, lane, created_at, modified_at, imported, \
     gone, received_at, due_at, detail, state, ended_at) SELECT seq, id, connection, object, external_id, revision, lane, \
     created_at, modified_at, imported, gone, received_at, received_at, problem, \
     CASE WHEN problem IS NULL THEN 'fetched' ELSE 'failed' END, CASE WHEN problem IS NOT NULL THEN received_at END \
     FROM v ORDER BY connection, object, external_id, revision, seq ON CONFLICT DO NOTHING RETURNING seq) \
     INSERT INTO payload (record, body) SELECT seq, body FROM new JOIN v USING (seq)";

/// Stores the records that are new.
pub(super) async fn insert(conn: &mut PgConnection, records: &[NewRecord]) -> Result<Stored, Fault> {
    if records.is_empty() {
        return Ok(Stored::default());
    }
    let new = sqlx::query(INSERT)
        .bind(column(records, |new| new.id.to_string()))
        .bind(column(records, |new| text(&new.record.connection)))
        .bind(column(records, |new| text(&new.record.object)))
        .bind(column(records, |new| text(&new.record.external_id)))
        .bind(column(records, |new| text(&new.record.revision)))
        .bind(column(records, |new| lane_rank(new.lane)))
        .bind(column(records, |new| new.record.created_at.map(ms)))
        .bind(column(records, |new| new.record.modified_at.map(ms)))
        .bind(column(records, |new| new.record.imported))
        .bind(column(records, |new| new.record.gone))
        .bind(column(records, |new| ms(new.received_at)))
        .bind(column(records, |new| new.problem.as_ref().map(text)))
        .bind(column(records, |new| text(new.record.payload.get())))
        .execute(conn)
        .await?
        .rows_affected();
    Ok(Stored { new, repeated: records.len() as u64 - new })
}

/// The ids under which the records are known, in order.
pub(super) async fn known_as(conn: &mut PgConnection, records: &[NewRecord]) -> Result<Vec<RecordId>, Fault> {
    let found: Vec<(String,)> = sqlx::query_as(
        "SELECT r.id FROM unnest($1::text[], $2::text[], $3::text[], $4::text[]) WITH ORDINALITY \
         AS v (connection, object, external_id, revision, n) \
         JOIN record r USING (connection, object, external_id, revision) ORDER BY v.n",
    )
    .bind(column(records, |new| text(&new.record.connection)))
    .bind(column(records, |new| text(&new.record.object)))
    .bind(column(records, |new| text(&new.record.external_id)))
    .bind(column(records, |new| text(&new.record.revision)))
    .fetch_all(conn)
    .await?;
    found.iter().map(|(text,)| id(text)).collect()
}
