//! Retention: what is past its time and needed by nothing is removed, a small slice at a time, as on SQLite.

use jiff::Timestamp;
use sqlx::postgres::PgConnection;

use crate::codec::ms;
use crate::fault::Fault;
use crate::upkeep::{Cutoffs, Pruned};

/// Rows looked at in one slice: its locks are held for a moment only.
const SLICE: i64 = 500;

/// One kind of rows.
struct Kind {
    /// The last row of the slice after $1, $2 rows long, and when its oldest arrived.
    bounds: &'static str,
    /// Removes what is past $3 from the rows after $1 up to $2.
    remove: &'static str,
}

/// A failed record's payload waits for its retry, an open lead's for a change of the mapping.
const PAYLOADS: Kind = Kind {
    bounds: "SELECT max(s.record), min(r.received_at) FROM (SELECT record FROM payload WHERE record > $1 \
             ORDER BY record LIMIT $2) s JOIN record r ON r.seq = s.record",
    remove: "DELETE FROM payload WHERE record > $1 AND record <= $2 AND EXISTS (SELECT 1 FROM record r \
             WHERE r.seq = payload.record AND r.state IN ('opened', 'updated', 'ignored') AND r.ended_at < $3 \
             AND NOT EXISTS (SELECT 1 FROM lead l WHERE l.id = r.lead AND l.state != 'closed'))",
};

/// A body with an item that nobody could read is split once more on request.
const DELIVERIES: Kind = Kind {
    bounds: "SELECT max(seq), min(received_at) FROM (SELECT seq, received_at FROM delivery WHERE seq > $1 \
             ORDER BY seq LIMIT $2) s",
    remove: "DELETE FROM delivery WHERE seq > $1 AND seq <= $2 AND split_at < $3 AND id NOT IN \
             (SELECT split_part(external_id, '#', 1) FROM record WHERE object = 'deliveries' AND state = 'failed')",
};

/// What a parked or rejected write went through is read by whoever settles it.
const ATTEMPTS: Kind = Kind {
    bounds: "SELECT max(s.effect), min(e.planned_at) FROM (SELECT DISTINCT effect FROM attempt WHERE effect > $1 \
             ORDER BY effect LIMIT $2) s JOIN effect e ON e.seq = s.effect",
    remove: "DELETE FROM attempt WHERE effect > $1 AND effect <= $2 AND EXISTS (SELECT 1 FROM effect e \
             WHERE e.seq = attempt.effect AND e.state IN ('done', 'cancelled') AND e.ended_at < $3 \
             AND NOT EXISTS (SELECT 1 FROM lead l WHERE l.id = e.lead AND l.state != 'closed'))",
};

/// Removes one slice of each kind.
pub(super) async fn slice(
    conn: &mut PgConnection,
    keep: Cutoffs,
    mut so_far: Pruned,
) -> Result<Pruned, Fault> {
    let [payloads, deliveries, attempts] = &mut so_far.marks;
    let first = walk(conn, &PAYLOADS, payloads, keep.payloads).await?;
    let second = walk(conn, &DELIVERIES, deliveries, keep.deliveries).await?;
    let third = walk(conn, &ATTEMPTS, attempts, keep.attempts).await?;
    so_far.payloads += first.unwrap_or_default();
    so_far.deliveries += second.unwrap_or_default();
    so_far.attempts += third.unwrap_or_default();
    so_far.done = first.is_none() && second.is_none() && third.is_none();
    Ok(so_far)
}

/// Removes from the next rows and moves the mark past them; `None` if all that is left is too young.
async fn walk(
    conn: &mut PgConnection,
    kind: &'static Kind,
    mark: &mut i64,
    before: Timestamp,
) -> Result<Option<u64>, Fault> {
    let bounds: (Option<i64>, Option<i64>) =
        sqlx::query_as(kind.bounds).bind(*mark).bind(SLICE).fetch_one(&mut *conn).await?;
    let (Some(last), Some(oldest)) = bounds else { return Ok(None) };
    if oldest >= ms(before) {
        return Ok(None);
    }
    let removed = sqlx::query(kind.remove).bind(*mark).bind(last).bind(ms(before)).execute(conn).await?;
    *mark = last;
    Ok(Some(removed.rows_affected()))
}
