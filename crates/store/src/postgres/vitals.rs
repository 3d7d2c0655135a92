//! Vital signs, as on SQLite: what is due and since when, and whether everything adds up.

use jiff::Timestamp;
use sqlx::postgres::PgConnection;

use crate::codec::{maybe_instant, ms};
use crate::fault::Fault;
use crate::upkeep::{Discrepancy, Overdue, Vitals};

/// Due at $1. Observed leads wait for nobody once the mode is live, and held connections wait for an operator.
const OVERDUE: &str = "SELECT (SELECT min(received_at) FROM delivery WHERE split_at IS NULL), \
     (SELECT min(first_at) FROM hint), \
     (SELECT min(due_at) FROM record WHERE state = 'fetched' AND due_at <= $1), \
     (SELECT min(at) FROM (SELECT min(due_at) AS at FROM record WHERE state = 'mapped' AND due_at <= $1 \
        AND connection NOT IN (SELECT name FROM connection WHERE held_at IS NOT NULL) \
        UNION ALL SELECT min(wait_until) FROM lead WHERE state = 'waiting' AND wait_until <= $1 \
        AND mode = coalesce((SELECT value FROM meta WHERE name = 'mode'), mode)) ready), \
     (SELECT min(at) FROM (SELECT min(due_at) AS at FROM effect WHERE state = 'planned' AND due_at <= $1 \
        UNION ALL SELECT min(due_at) FROM effect WHERE state = 'unknown' AND due_at <= $1) due)";

const AGES: &str = "SELECT (SELECT min(at) FROM (SELECT min(received_at) AS at FROM record WHERE state = 'fetched' \
        UNION ALL SELECT min(received_at) FROM record WHERE state = 'mapped') undecided), \
     (SELECT min(at) FROM (SELECT min(planned_at) AS at FROM effect WHERE state = 'blocked' \
        UNION ALL SELECT min(planned_at) FROM effect WHERE state = 'planned' \
        UNION ALL SELECT min(planned_at) FROM effect WHERE state = 'sending' \
        UNION ALL SELECT min(planned_at) FROM effect WHERE state = 'unknown') unwritten), \
     (SELECT count(*) FROM effect WHERE state = 'rejected' AND ended_at >= $1), \
     (SELECT count(*) FROM effect WHERE state = 'parked' AND ended_at >= $1), \
     EXISTS (SELECT 1 FROM meta WHERE name = 'paused')";

pub(super) async fn read(conn: &mut PgConnection, now: Timestamp, since: Timestamp) -> Result<Vitals, Fault> {
    type Due = (Option<i64>, Option<i64>, Option<i64>, Option<i64>, Option<i64>);
    let (split, fetch, prepare, decide, deliver): Due =
        sqlx::query_as(OVERDUE).bind(ms(now)).fetch_one(&mut *conn).await?;
    let (undecided, unwritten, rejected, parked, paused): (Option<i64>, Option<i64>, i64, i64, bool) =
        sqlx::query_as(AGES).bind(ms(since)).fetch_one(&mut *conn).await?;
    let held: Vec<(String, String)> =
        sqlx::query_as("SELECT name, held_reason FROM connection WHERE held_at IS NOT NULL ORDER BY name")
            .fetch_all(conn)
            .await?;
    Ok(Vitals {
        overdue: Overdue {
            split: maybe_instant(split)?,
            fetch: maybe_instant(fetch)?,
            prepare: maybe_instant(prepare)?,
            decide: maybe_instant(decide)?,
            deliver: if paused { None } else { maybe_instant(deliver)? },
        },
        oldest_undecided: maybe_instant(undecided)?,
        oldest_unwritten: maybe_instant(unwritten)?,
        held: held.into_iter().map(|(name, reason)| (name.into(), reason)).collect(),
        rejected: rejected.unsigned_abs(),
        parked: parked.unsigned_abs(),
        paused,
    })
}

/// What must be empty: (what it means, how many rows break it).
const CHECKS: [(&str, &str); 6] = [
    (
        "records that opened a lead and leads are not equally many",
        "SELECT abs((SELECT count(*) FROM record WHERE state = 'opened') - (SELECT count(*) FROM lead))",
    ),
    (
        "leads are decided, nothing is left to write, and they are not closed",
        "SELECT count(*) FROM lead l WHERE l.state = 'decided' AND l.mode = 'live' \
         AND NOT EXISTS (SELECT 1 FROM effect e WHERE e.lead = l.id \
           AND e.state IN ('blocked', 'planned', 'sending', 'unknown')) \
         AND NOT EXISTS (SELECT 1 FROM shared_effect s JOIN effect e ON e.seq = s.effect WHERE s.lead = l.id \
           AND e.state IN ('blocked', 'planned', 'sending', 'unknown'))",
    ),
    (
        "records wait for the decider without a draft",
        "SELECT count(*) FROM record r WHERE r.state = 'mapped' \
         AND NOT EXISTS (SELECT 1 FROM draft d WHERE d.record = r.seq)",
    ),
    (
        "records wait to be prepared without a payload",
        "SELECT count(*) FROM record r WHERE r.state = 'fetched' \
         AND NOT EXISTS (SELECT 1 FROM payload p WHERE p.record = r.seq)",
    ),
    (
        "writes are blocked and wait for nothing",
        "SELECT count(*) FROM effect e WHERE e.state = 'blocked' \
         AND NOT EXISTS (SELECT 1 FROM need n WHERE n.effect = e.seq)",
    ),
    (
        "writes are blocked by something that is not being written",
        "SELECT count(DISTINCT n.effect) FROM effect e JOIN need n ON n.effect = e.seq \
         WHERE e.state = 'blocked' AND NOT EXISTS (SELECT 1 FROM effect b WHERE b.binds = n.slot \
           AND b.state IN ('blocked', 'planned', 'sending', 'unknown'))",
    ),
];

pub(super) async fn discrepancies(conn: &mut PgConnection) -> Result<Vec<Discrepancy>, Fault> {
    let mut found = Vec::new();
    for (what, sql) in CHECKS {
        let (rows,): (i64,) = sqlx::query_as(sql).fetch_one(&mut *conn).await?;
        if rows != 0 {
            found.push(Discrepancy { what: what.to_owned(), rows: rows.unsigned_abs() });
        }
    }
    Ok(found)
}
