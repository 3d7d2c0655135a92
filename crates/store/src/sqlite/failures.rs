//! What failed and waits for somebody to look.

use sqlx::SqliteConnection;

use super::codec::{ms, text};
use super::fault::Fault;
use crate::inspection::{FailedFilter, FailedItem, FailedRow};

/// Each branch reads the index of its own queue. An earlier episode's refusal was answered by the later one.
const ALL: &str = "SELECT * FROM (SELECT 'record' AS what, id, '' AS kind, connection, external_id AS about, \
      coalesce(ended_at, received_at) AS at, detail FROM record WHERE state = 'failed' \
    UNION ALL SELECT 'lead', l.id, '', l.connection, l.id, coalesce(l.closed_at, l.opened_at), l.detail FROM lead l \
      WHERE l.state = 'closed' AND l.close_reason = 'failed' \
      AND NOT EXISTS (SELECT 1 FROM effect e WHERE e.lead = l.id) \
      AND NOT EXISTS (SELECT 1 FROM shared_effect s WHERE s.lead = l.id) \
    UNION ALL SELECT e.state, e.key, e.kind, e.connection, e.lead, e.ended_at, e.problem FROM effect e \
      WHERE e.state IN ('rejected', 'parked') AND (e.kind IN ('ensure_person', 'ensure_company', 'ensure_inquiry') \
      OR e.episode = (SELECT l.episode FROM lead l WHERE l.id = e.lead))) \
    WHERE (?1 IS NULL OR id = ?1) AND (?2 IS NULL OR connection = ?2) AND (?3 IS NULL OR what = ?3) \
    AND (?4 IS NULL OR instr(lower(detail), lower(?4)) > 0) AND (?5 IS NULL OR at >= ?5) AND (?6 IS NULL OR at < ?6) \
    ORDER BY at DESC, id DESC LIMIT ?7";

pub(super) async fn list(
    conn: &mut SqliteConnection,
    filter: FailedFilter,
) -> Result<Vec<FailedItem>, Fault> {
    let rows: Vec<FailedRow> = sqlx::query_as(ALL)
        .bind(filter.id.map(text))
        .bind(filter.connection.map(text))
        .bind(filter.sort.map(text))
        .bind(filter.reason.map(text))
        .bind(filter.since.map(ms))
        .bind(filter.until.map(ms))
        .bind(filter.limit)
        .fetch_all(conn)
        .await?;
    rows.into_iter().map(FailedItem::of).collect()
}
