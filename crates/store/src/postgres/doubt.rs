//! What a restore leaves in doubt, and noticing that there was one: a server's databases are put back by its own tools.

use jiff::Timestamp;
use sqlx::postgres::PgConnection;
use usher_model::{EffectKind, ExternalId, LeadId};

use super::operation::{meta, put_meta};
use super::{column, lock};
use crate::codec::{instant, ms, text};
use crate::deciding::NewEffect;
use crate::fault::Fault;
use crate::upkeep::{AGELESS, SKEW};

/// Which history this is: another cluster or database has it after a dump was put back, another timeline after a standby
/// took over or a cluster was recovered to an earlier instant.
const HISTORY: &str = "SELECT format('%s/%s/%s', (SELECT system_identifier FROM pg_control_system()), \
     (SELECT oid FROM pg_database WHERE datname = current_database()), left(pg_walfile_name(pg_current_wal_lsn()), 8))";
/// What was committed before this is in the database, whatever else it lost: a sign of life, or the last pull.
const SAFE_AT: &str = "SELECT greatest((SELECT value::bigint FROM meta WHERE name = 'alive_at'), \
     (SELECT max(moved_at) FROM cursor), 0), usher_now()";

/// Marks what is in doubt if this database goes on from a copy of the one that was written last.
pub(super) async fn notice(conn: &mut PgConnection) -> Result<(), Fault> {
    lock::graph(conn).await?;
    let (history,): (String,) = sqlx::query_as(HISTORY).fetch_one(&mut *conn).await?;
    let known = meta(conn, "history").await?;
    if known.as_ref() == Some(&history) {
        return Ok(());
    }
    put_meta(conn, "history", history, true).await?;
    if known.is_some() {
        let (safe_at, now): (i64, i64) = sqlx::query_as(SAFE_AT).fetch_one(&mut *conn).await?;
        let (safe_at, now) = (instant(safe_at)?, instant(now)?);
        let in_doubt = begin(conn, safe_at, now).await?;
        tracing::warn!(%safe_at, in_doubt, "the database was put back or taken over: what it may have forgotten is looked up before it is sent");
    }
    Ok(())
}

/// Marks everything that is not done. To be called under the graph's lock.
pub(super) async fn begin(conn: &mut PgConnection, safe_at: Timestamp, now: Timestamp) -> Result<u64, Fault> {
    sqlx::query("INSERT INTO restored (at, safe_at) VALUES ($1, $2) ON CONFLICT DO NOTHING")
        .bind(ms(now))
        .bind(ms(safe_at))
        .execute(&mut *conn)
        .await?;
    // A refusal or a parked write may have been retried by hand since, and then sent.
    let marked = sqlx::query(
        "UPDATE effect SET doubt_since = least(doubt_since, $1) \
         WHERE state IN ('blocked', 'planned', 'sending', 'unknown', 'rejected', 'parked') OR cancelled = 'refused'",
    )
    .bind(ms(safe_at) - SKEW.as_millis() as i64)
    .execute(&mut *conn)
    .await?;
    // The forgotten history may have sent it up to the last moment: the settle window counts from now.
    sqlx::query(
        "UPDATE effect SET state = 'unknown', due_at = $1, sent_at = $1, verified = 0, lease_until = NULL, \
         claimed_by = NULL, problem = 'it may have been sent before the restore' WHERE state IN ('sending', 'unknown')",
    )
    .bind(ms(now))
    .execute(conn)
    .await?;
    Ok(marked.rows_affected())
}

/// Marks effects that were just planned, if the vendor had their lead's record at the time of a restore.
pub(super) async fn mark(conn: &mut PgConnection, planned: &[NewEffect]) -> Result<(), Fault> {
    let (Some(at), Some(safe_at)): (Option<i64>, Option<i64>) =
        sqlx::query_as("SELECT max(at), min(safe_at) FROM restored").fetch_one(&mut *conn).await?
    else {
        return Ok(());
    };
    sqlx::query(
        "UPDATE effect e SET doubt_since = greatest($3, r.created_at) - $4 FROM record r WHERE e.key = ANY($1) \
         AND r.lead = e.lead AND r.state = 'opened' AND e.state IN ('blocked', 'planned') AND e.doubt_since IS NULL \
         AND coalesce(r.created_at - $4, r.received_at - $5) <= $2",
    )
    .bind(column(planned, |new| text(new.effect.key.as_str())))
    .bind(at)
    .bind(safe_at)
    .bind(SKEW.as_millis() as i64)
    .bind(AGELESS.as_millis() as i64)
    .execute(conn)
    .await?;
    Ok(())
}

/// Whatever could be sent now and is in doubt is looked up instead.
pub(super) async fn divert(conn: &mut PgConnection, clock: Option<i64>) -> Result<u64, Fault> {
    let done = sqlx::query(
        "WITH due AS MATERIALIZED (SELECT seq FROM effect WHERE state = 'planned' AND doubt_since IS NOT NULL \
         AND due_at <= coalesce($1, usher_now()) FOR UPDATE SKIP LOCKED) \
         UPDATE effect e SET state = 'unknown', due_at = coalesce($1, usher_now()), \
         sent_at = (SELECT max(at) FROM restored), problem = 'it may have been sent before the restore' \
         FROM due WHERE e.seq = due.seq",
    )
    .bind(clock)
    .execute(conn)
    .await?;
    Ok(done.rows_affected())
}

pub(super) async fn known_made(
    conn: &mut PgConnection,
    lead: LeadId,
    kind: EffectKind,
) -> Result<Vec<ExternalId>, Fault> {
    let rows: Vec<(String,)> = sqlx::query_as(
        "SELECT s.external_id FROM lead a JOIN lead l ON l.person = a.person \
         JOIN effect e ON e.lead = l.id AND e.kind = $2 JOIN slot s ON s.name = e.binds WHERE a.id = $1",
    )
    .bind(lead.to_string())
    .bind(kind.as_str())
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(|(id,)| id.into()).collect())
}
