//! What a restore leaves in doubt: effects that a forgotten history may have sent.
//!
//! A restore rewinds our memory, not the vendor's. Effects that were not done at the backup's instant, and those that are
//! planned again for leads of that time, are never sent before a strong read has looked for them.

use jiff::Timestamp;
use sqlx::SqliteConnection;
use usher_model::{EffectKind, ExternalId, LeadId};

use super::codec::{list, ms};
use super::fault::Fault;
use crate::deciding::NewEffect;
use crate::upkeep::{AGELESS, SKEW};

/// Marks everything that is not done.
pub(super) async fn begin(
    conn: &mut SqliteConnection,
    safe_at: Timestamp,
    now: Timestamp,
) -> Result<u64, Fault> {
    sqlx::query("INSERT INTO restored (at, safe_at) VALUES (?, ?) ON CONFLICT DO NOTHING")
        .bind(ms(now))
        .bind(ms(safe_at))
        .execute(&mut *conn)
        .await?;
    // A refusal or a parked write may have been retried by hand since, and then sent.
    let marked = sqlx::query(
        "UPDATE effect SET doubt_since = min(coalesce(doubt_since, ?1), ?1) \
         WHERE state IN ('blocked', 'planned', 'sending', 'unknown', 'rejected', 'parked') OR cancelled = 'refused'",
    )
    .bind(ms(safe_at) - SKEW.as_millis() as i64)
    .execute(&mut *conn)
    .await?;
    // The forgotten history may have sent it up to the last moment: the settle window counts from now.
    sqlx::query(
        "UPDATE effect SET state = 'unknown', due_at = ?1, sent_at = ?1, verified = 0, lease_until = NULL, \
         problem = 'it may have been sent before the restore' WHERE state IN ('sending', 'unknown')",
    )
    .bind(ms(now))
    .execute(&mut *conn)
    .await?;
    Ok(marked.rows_affected())
}

/// Marks effects that were just planned, if the vendor had their lead's record at the time of a restore.
pub(super) async fn mark(conn: &mut SqliteConnection, planned: &[NewEffect]) -> Result<(), Fault> {
    let (Some(at), Some(safe_at)): (Option<i64>, Option<i64>) =
        sqlx::query_as("SELECT max(at), min(safe_at) FROM restored").fetch_one(&mut *conn).await?
    else {
        return Ok(());
    };
    sqlx::query(
        "UPDATE effect SET doubt_since = max(?3, coalesce(r.created_at, ?3)) - ?4 FROM json_each(?1) j \
         CROSS JOIN effect e ON e.key = j.value CROSS JOIN record r ON r.lead = e.lead AND r.state = 'opened' \
         WHERE effect.seq = e.seq AND e.state IN ('blocked', 'planned') AND e.doubt_since IS NULL \
         AND coalesce(r.created_at - ?4, r.received_at - ?5) <= ?2",
    )
    .bind(list(planned.iter().map(|new| new.effect.key.as_str()))?)
    .bind(at)
    .bind(safe_at)
    .bind(SKEW.as_millis() as i64)
    .bind(AGELESS.as_millis() as i64)
    .execute(conn)
    .await?;
    Ok(())
}

/// Whatever could be sent now and is in doubt is looked up instead.
pub(super) async fn divert(conn: &mut SqliteConnection, now: Timestamp) -> Result<u64, Fault> {
    let done = sqlx::query(
        "UPDATE effect SET state = 'unknown', due_at = ?1, sent_at = (SELECT max(at) FROM restored), \
         problem = 'it may have been sent before the restore' \
         WHERE state = 'planned' AND doubt_since IS NOT NULL AND due_at <= ?1",
    )
    .bind(ms(now))
    .execute(conn)
    .await?;
    Ok(done.rows_affected())
}

pub(super) async fn known_made(
    conn: &mut SqliteConnection,
    lead: LeadId,
    kind: EffectKind,
) -> Result<Vec<ExternalId>, Fault> {
    let rows: Vec<(String,)> = sqlx::query_as(
        "SELECT s.external_id FROM lead a CROSS JOIN lead l ON l.person = a.person \
         CROSS JOIN effect e ON e.lead = l.id AND e.kind = ?2 CROSS JOIN slot s ON s.name = e.binds \
         WHERE a.id = ?1",
    )
    .bind(lead.to_string())
    .bind(kind.as_str())
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(|(id,)| id.into()).collect())
}
