//! Vital signs: what is due and since when, and whether everything adds up. Each question reads the index of its queue.

use jiff::Timestamp;
use sqlx::SqliteConnection;

use super::codec::ms;
use super::fault::Fault;
use crate::upkeep::{AGES, Discrepancy, HELD, OVERDUE, Vitals};

pub(super) async fn read(
    conn: &mut SqliteConnection,
    now: Timestamp,
    since: Timestamp,
) -> Result<Vitals, Fault> {
    let due = sqlx::query_as(OVERDUE).bind(ms(now)).fetch_one(&mut *conn).await?;
    let ages = sqlx::query_as(AGES).bind(ms(since)).fetch_one(&mut *conn).await?;
    Vitals::of(due, ages, sqlx::query_as(HELD).fetch_all(conn).await?)
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
         AND NOT EXISTS (SELECT 1 FROM shared_effect s CROSS JOIN effect e ON e.seq = s.effect WHERE s.lead = l.id \
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
        "SELECT count(DISTINCT n.effect) FROM effect e CROSS JOIN need n ON n.effect = e.seq \
         WHERE e.state = 'blocked' AND NOT EXISTS (SELECT 1 FROM effect b WHERE b.binds = n.slot \
           AND +b.state IN ('blocked', 'planned', 'sending', 'unknown'))",
    ),
];

pub(super) async fn discrepancies(conn: &mut SqliteConnection) -> Result<Vec<Discrepancy>, Fault> {
    let mut found = Vec::new();
    for (what, sql) in CHECKS {
        let (rows,): (i64,) = sqlx::query_as(sql).fetch_one(&mut *conn).await?;
        if rows != 0 {
            found.push(Discrepancy { what: what.to_owned(), rows: rows.unsigned_abs() });
        }
    }
    Ok(found)
}
