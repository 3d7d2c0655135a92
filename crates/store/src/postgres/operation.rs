//! Operation on Postgres.

use async_trait::async_trait;
use jiff::Timestamp;
use sqlx::postgres::PgConnection;
use usher_model::{ConnectionName, EffectKey, LeadId, Mode, RecordId};

use super::PostgresStore;
use super::{column, lock, nodes, settle};
use crate::codec::{from_json, instant, json, mode, ms, text};
use crate::error::StoreError;
use crate::fault::Fault;
use crate::operation::Operation;

#[async_trait]
impl Operation for PostgresStore {
    async fn set_paused(&self, paused: bool, reason: &str, now: Timestamp) -> Result<(), StoreError> {
        let reason = text(reason);
        self.write("pauses or resumes writes", move |conn| {
            Box::pin(async move {
                if paused {
                    // A second pause does not change since when.
                    put_meta(conn, "paused", json(&(ms(now), reason))?, false).await
                } else {
                    sqlx::query("DELETE FROM meta WHERE name = 'paused'").execute(conn).await?;
                    Ok(())
                }
            })
        })
        .await
    }

    async fn paused(&self) -> Result<Option<(Timestamp, String)>, StoreError> {
        self.read("looks whether writes are paused", move |conn| {
            Box::pin(async move {
                let Some(value) = meta(conn, "paused").await? else { return Ok(None) };
                let (at, reason): (i64, String) = from_json("pause", &value)?;
                Ok(Some((instant(at)?, reason)))
            })
        })
        .await
    }

    async fn hold(
        &self,
        connection: &ConnectionName,
        reason: Option<&str>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let (connection, reason) = (text(connection), reason.map(text));
        self.write("holds or releases a connection", move |conn| {
            Box::pin(async move {
                let held_at = reason.as_ref().map(|_| ms(now));
                sqlx::query(
                    "INSERT INTO connection (name, started_at, held_at, held_reason) VALUES ($1, $2, $3, $4) \
                     ON CONFLICT (name) DO UPDATE SET held_reason = excluded.held_reason, held_at = \
                     CASE WHEN excluded.held_at IS NOT NULL THEN coalesce(connection.held_at, excluded.held_at) END, \
                     released_at = CASE WHEN excluded.held_at IS NULL THEN $2 ELSE connection.released_at END",
                )
                .bind(connection)
                .bind(ms(now))
                .bind(held_at)
                .bind(reason)
                .execute(conn)
                .await?;
                Ok(())
            })
        })
        .await
    }

    async fn retry_records(&self, records: &[RecordId], now: Timestamp) -> Result<u64, StoreError> {
        let records = (!records.is_empty()).then(|| column(records, ToString::to_string));
        self.write("retries records", move |conn| {
            Box::pin(async move {
                let split = split_again(&mut *conn, records.as_deref()).await?;
                let done = sqlx::query(
                    "UPDATE record SET state = 'fetched', due_at = $1, attempts = 0, detail = NULL, ended_at = NULL \
                     WHERE state = 'failed' AND ($2::text[] IS NULL OR id = ANY($2))",
                )
                .bind(ms(now))
                .bind(records)
                .execute(conn)
                .await?;
                Ok(split + done.rows_affected())
            })
        })
        .await
    }

    async fn retry_leads(&self, leads: &[LeadId], now: Timestamp) -> Result<u64, StoreError> {
        let leads = (!leads.is_empty()).then(|| column(leads, ToString::to_string));
        self.write("retries leads", move |conn| {
            Box::pin(async move {
                lock::graph(conn).await?;
                let done = sqlx::query(
                    "UPDATE lead SET state = 'waiting', wait_until = $1, close_reason = NULL, closed_at = NULL, \
                     detail = NULL WHERE state = 'closed' AND close_reason = 'failed' \
                     AND ($2::text[] IS NULL OR id = ANY($2)) \
                     AND NOT EXISTS (SELECT 1 FROM effect e WHERE e.lead = lead.id) \
                     AND NOT EXISTS (SELECT 1 FROM shared_effect s WHERE s.lead = lead.id)",
                )
                .bind(ms(now))
                .bind(leads)
                .execute(conn)
                .await?;
                Ok(done.rows_affected())
            })
        })
        .await
    }

    async fn retry_effects(
        &self,
        keys: &[EffectKey],
        resend: bool,
        now: Timestamp,
    ) -> Result<u64, StoreError> {
        let keys = keys.iter().map(|key| text(key.as_str())).collect::<Vec<_>>();
        self.write("retries effects", move |conn| Box::pin(retry_effects(conn, keys, resend, now))).await
    }

    async fn enter_mode(&self, mode: Mode, now: Timestamp) -> Result<u64, StoreError> {
        self.write("enters a mode", move |conn| {
            Box::pin(async move {
                lock::graph(conn).await?;
                put_meta(conn, "mode", mode.as_str().to_owned(), true).await?;
                if mode == Mode::Observe {
                    return Ok(0);
                }
                // One state at a time: then each reads the index of its queue, and not a million leads at every start.
                const OBSERVED: [&str; 2] = [
                    "UPDATE lead SET state = 'closed', close_reason = 'suppressed', closed_at = $1, \
                     detail = 'only observed: it arrived before going live' WHERE mode = 'observe' AND state = 'decided'",
                    "UPDATE lead SET state = 'closed', close_reason = 'suppressed', closed_at = $1, wait = NULL, \
                     wait_until = NULL, detail = 'only observed: it arrived before going live' \
                     WHERE mode = 'observe' AND state = 'waiting'",
                ];
                let mut closed = 0;
                for statement in OBSERVED {
                    closed += sqlx::query(statement).bind(ms(now)).execute(&mut *conn).await?.rows_affected();
                }
                Ok(closed)
            })
        })
        .await
    }

    /// Other nodes live on this database: only the dead lose their claims.
    async fn take_over(&self, _now: Timestamp) -> Result<(), StoreError> {
        self.write("takes over", move |conn| Box::pin(nodes::bury(conn))).await
    }

    async fn suppress(&self, lead: LeadId, reason: &str, now: Timestamp) -> Result<(), StoreError> {
        let reason = text(reason);
        self.write("suppresses a lead", move |conn| Box::pin(suppress(conn, lead, reason, now))).await
    }

    async fn install_key(&self, fresh: [u8; 32]) -> Result<[u8; 32], StoreError> {
        self.write("reads the key of this installation", move |conn| {
            Box::pin(async move {
                put_meta(conn, "install_key", json(&fresh)?, false).await?;
                let stored = meta(conn, "install_key").await?.unwrap_or_default();
                from_json("installation key", &stored)
            })
        })
        .await
    }

    async fn close(&self) -> Result<(), StoreError> {
        self.beats.close().await;
        self.pool.close().await;
        Ok(())
    }
}

/// A stored setting.
pub(super) async fn meta(conn: &mut PgConnection, name: &'static str) -> Result<Option<String>, Fault> {
    let row: Option<(String,)> =
        sqlx::query_as("SELECT value FROM meta WHERE name = $1").bind(name).fetch_optional(conn).await?;
    Ok(row.map(|(value,)| value))
}

/// Stores a setting; one that is there already stays unless `replace` says otherwise.
pub(super) async fn put_meta(
    conn: &mut PgConnection,
    name: &'static str,
    value: String,
    replace: bool,
) -> Result<(), Fault> {
    sqlx::query(
        "INSERT INTO meta (name, value) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET value = excluded.value WHERE $3",
    )
    .bind(name)
    .bind(value)
    .bind(replace)
    .execute(conn)
    .await?;
    Ok(())
}

/// The mode of the present or last run.
pub(super) async fn read_mode(conn: &mut PgConnection) -> Result<Option<Mode>, Fault> {
    meta(conn, "mode").await?.map(|name| mode(&name)).transpose()
}

/// Unreadable items of webhook bodies: their rows give way and the bodies are split once more.
async fn split_again(conn: &mut PgConnection, records: Option<&[String]>) -> Result<u64, Fault> {
    let items: Vec<(i64, String)> = sqlx::query_as(
        "DELETE FROM record WHERE state = 'failed' AND object = 'deliveries' \
         AND ($1::text[] IS NULL OR id = ANY($1)) RETURNING seq, external_id",
    )
    .bind(records)
    .fetch_all(&mut *conn)
    .await?;
    let bodies = items.iter().filter_map(|(_, item)| item.split_once('#')).map(|(delivery, _)| delivery);
    sqlx::query("UPDATE delivery SET split_at = NULL WHERE id = ANY($1)")
        .bind(bodies.collect::<Vec<_>>())
        .execute(&mut *conn)
        .await?;
    sqlx::query("DELETE FROM payload WHERE record = ANY($1)")
        .bind(column(&items, |item| item.0))
        .execute(conn)
        .await?;
    Ok(items.len() as u64)
}

/// Only effects of a lead's last episode, and those that no episode owns, are worth another try: an earlier decision
/// was replaced by a later one.
async fn retry_effects(
    conn: &mut PgConnection,
    keys: Vec<String>,
    resend: bool,
    now: Timestamp,
) -> Result<u64, Fault> {
    lock::graph(conn).await?;
    let retried: Vec<(i64, String, Option<String>)> = sqlx::query_as(
        "UPDATE effect SET state = CASE WHEN state = 'parked' AND NOT $3 THEN 'unknown' ELSE 'planned' END, due_at = $1, \
         verified = 0, lapses = 0, ended_at = NULL, doubt_since = CASE WHEN NOT $3 THEN doubt_since END \
         WHERE state IN ('rejected', 'parked') AND ($2::text[] IS NULL OR key = ANY($2)) \
         AND (kind IN ('ensure_person', 'ensure_company', 'ensure_inquiry') \
              OR episode = (SELECT lead.episode FROM lead WHERE lead.id = effect.lead)) RETURNING seq, lead, binds",
    )
    .bind(ms(now))
    .bind((!keys.is_empty()).then_some(keys))
    .bind(resend)
    .fetch_all(&mut *conn)
    .await?;
    let effects: Vec<i64> = retried.iter().map(|row| row.0).collect();
    let slots: Vec<String> = retried.iter().filter_map(|row| row.2.clone()).collect();
    // What was cancelled because of the refusal waits again; its needs are still written down.
    let freed: Vec<(String,)> = sqlx::query_as(
        "WITH RECURSIVE again (slot) AS (SELECT unnest($1::text[]) UNION SELECT e.binds FROM again \
           JOIN need n ON n.slot = again.slot JOIN effect e ON e.seq = n.effect \
           WHERE e.state = 'cancelled' AND e.cancelled = 'refused' AND e.binds IS NOT NULL) \
         UPDATE effect SET state = 'blocked', cancelled = NULL, ended_at = NULL, problem = NULL \
         WHERE seq IN (SELECT n.effect FROM again JOIN need n ON n.slot = again.slot) \
         AND state = 'cancelled' AND cancelled = 'refused' RETURNING lead",
    )
    .bind(slots)
    .fetch_all(&mut *conn)
    .await?;
    let mut leads: Vec<String> = retried.into_iter().map(|(_, lead, _)| lead).collect();
    leads.extend(freed.into_iter().map(|(lead,)| lead));
    leads.extend(settle::leads_behind(conn, &effects).await?);
    sqlx::query(
        "UPDATE lead SET state = 'decided', close_reason = NULL, closed_at = NULL, detail = NULL \
         WHERE id = ANY($1) AND state = 'closed' AND close_reason = 'failed'",
    )
    .bind(leads)
    .execute(conn)
    .await?;
    Ok(effects.len() as u64)
}

pub(super) async fn suppress(
    conn: &mut PgConnection,
    lead: LeadId,
    reason: String,
    now: Timestamp,
) -> Result<(), Fault> {
    lock::graph(conn).await?;
    sqlx::query(
        "UPDATE lead SET state = 'closed', close_reason = 'suppressed', detail = $2, closed_at = $3, wait = NULL, \
         wait_until = NULL WHERE id = $1 AND state != 'closed'",
    )
    .bind(lead.to_string())
    .bind(reason.as_str())
    .bind(ms(now))
    .execute(&mut *conn)
    .await?;
    settle::cancel_unsent(conn, &[&lead.to_string()], &reason, now).await
}
