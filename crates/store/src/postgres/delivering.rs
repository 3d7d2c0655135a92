//! Delivering on Postgres: claims. What becomes of them is in `finish`.

use std::collections::HashMap;

use async_trait::async_trait;
use jiff::Timestamp;
use sqlx::postgres::PgConnection;
use usher_model::{ConnectionName, Effect, EffectBody, EffectKey, EffectKind};

use super::{PostgresStore, count, doubt, finish, lasts};
use crate::codec::{fresh_since, from_json, id, maybe_instant, ms, slot_name, text};
use crate::delivering::{ClaimedEffect, Delivering, DueEffects, EffectOutcome, SlotBinding};
use crate::error::StoreError;
use crate::fault::Fault;
use crate::quota::most_fresh;

#[async_trait]
impl Delivering for PostgresStore {
    async fn due_effects(
        &self,
        connection: &ConnectionName,
        limit: u32,
        now: Timestamp,
    ) -> Result<Vec<DueEffects>, StoreError> {
        let (connection, clock) = (text(connection), self.asked(now));
        self.read("counts due effects", move |conn| {
            Box::pin(async move {
                let rows: Vec<(String, i64, bool)> = sqlx::query_as(
                    "SELECT k, (SELECT count(*) FROM (SELECT 1 FROM effect WHERE state = 'planned' AND connection = $1 \
                       AND kind = k AND due_at <= coalesce($2, usher_now()) AND doubt_since IS NULL LIMIT $3) due), \
                     EXISTS (SELECT 1 FROM effect WHERE state = 'planned' AND connection = $1 AND kind = k \
                       AND received_at >= $4 AND due_at <= coalesce($2, usher_now()) AND doubt_since IS NULL) \
                     FROM unnest($5::text[]) k WHERE NOT EXISTS (SELECT 1 FROM meta WHERE name = 'paused')",
                )
                .bind(connection)
                .bind(clock)
                .bind(i64::from(limit))
                .bind(ms(fresh_since(now)))
                .bind(EffectKind::ALL.map(EffectKind::as_str))
                .fetch_all(conn)
                .await?;
                let due = rows.into_iter().filter(|(_, due, _)| *due > 0);
                due.filter_map(|(kind, due, fresh)| Some((EffectKind::parse(&kind)?, due, fresh)))
                    .map(|(kind, due, fresh)| Ok(DueEffects { kind, count: count(due)?, fresh }))
                    .collect()
            })
        })
        .await
    }

    async fn claim_effects(
        &self,
        connection: &ConnectionName,
        kind: EffectKind,
        limit: u32,
        now: Timestamp,
        lease_until: Timestamp,
    ) -> Result<Vec<ClaimedEffect>, StoreError> {
        let (connection, clock, node) = (connection.clone(), self.asked(now), self.node.clone());
        self.write("claims effects", move |conn| {
            Box::pin(async move {
                let rows: Vec<ClaimedRow> = sqlx::query_as(
                    "WITH fresh AS MATERIALIZED (SELECT seq FROM effect WHERE state = 'planned' AND connection = $1 \
                       AND kind = $2 AND received_at >= $7 AND due_at <= coalesce($4, usher_now()) AND doubt_since IS NULL \
                       ORDER BY received_at, seq LIMIT $8 FOR UPDATE SKIP LOCKED), \
                     oldest AS MATERIALIZED (SELECT seq FROM effect WHERE state = 'planned' AND connection = $1 \
                       AND kind = $2 AND due_at <= coalesce($4, usher_now()) AND doubt_since IS NULL \
                       ORDER BY due_at, seq LIMIT $3 FOR UPDATE SKIP LOCKED), \
                     due AS (SELECT seq FROM (SELECT 0 AS tier, seq FROM fresh UNION ALL SELECT 1, seq FROM oldest) both_tiers \
                       WHERE NOT EXISTS (SELECT 1 FROM meta WHERE name = 'paused') \
                       GROUP BY seq ORDER BY min(tier), seq LIMIT $3) \
                     UPDATE effect e SET state = 'sending', attempts = e.attempts + 1, sent_before = e.sent_at, \
                     sent_at = coalesce($4, usher_now()), lease_until = coalesce($4, usher_now()) + $5, claimed_by = $6 \
                     FROM due WHERE e.seq = due.seq \
                     RETURNING e.due_at, e.seq, key, lead, episode, attempts, sent_before, verified, doubt_since, body",
                )
                .bind(text(&connection))
                .bind(kind.as_str())
                .bind(i64::from(limit))
                .bind(clock)
                .bind(lasts(now, lease_until))
                .bind(node)
                .bind(ms(fresh_since(now)))
                .bind(i64::from(most_fresh(limit)))
                .fetch_all(&mut *conn)
                .await?;
                claimed(conn, &connection, rows).await
            })
        })
        .await
    }

    async fn claim_unknown(
        &self,
        connection: &ConnectionName,
        limit: u32,
        now: Timestamp,
        lease_until: Timestamp,
    ) -> Result<Vec<ClaimedEffect>, StoreError> {
        let (connection, clock, node) = (connection.clone(), self.asked(now), self.node.clone());
        self.write("claims unclear effects", move |conn| {
            Box::pin(async move {
                let rows: Vec<ClaimedRow> = sqlx::query_as(
                    "WITH due AS MATERIALIZED (SELECT seq FROM effect WHERE state = 'unknown' AND connection = $1 \
                     AND due_at <= coalesce($3, usher_now()) ORDER BY due_at, seq LIMIT $2 FOR UPDATE SKIP LOCKED) \
                     UPDATE effect e SET attempts = e.attempts + 1, due_at = coalesce($3, usher_now()) + $4, claimed_by = $5 \
                     FROM due WHERE e.seq = due.seq \
                     RETURNING e.due_at, e.seq, key, lead, episode, attempts, sent_at, verified, doubt_since, body",
                )
                .bind(text(&connection))
                .bind(i64::from(limit))
                .bind(clock)
                .bind(lasts(now, lease_until))
                .bind(node)
                .fetch_all(&mut *conn)
                .await?;
                claimed(conn, &connection, rows).await
            })
        })
        .await
    }

    async fn finish_effects(&self, outcomes: Vec<EffectOutcome>, now: Timestamp) -> Result<(), StoreError> {
        self.write("stores the outcome of effects", move |conn| Box::pin(finish::store(conn, outcomes, now)))
            .await
    }

    async fn recover_effects(&self, now: Timestamp) -> Result<u64, StoreError> {
        let clock = self.asked(now);
        self.write("recovers effects", move |conn| {
            Box::pin(async move {
                let done = sqlx::query(
                    "WITH lapsed AS MATERIALIZED (SELECT seq FROM effect WHERE state = 'sending' \
                     AND lease_until <= coalesce($1, usher_now()) FOR UPDATE SKIP LOCKED) \
                     UPDATE effect e SET state = 'unknown', due_at = coalesce($1, usher_now()), \
                     sent_at = coalesce($1, usher_now()), lease_until = NULL, claimed_by = NULL, \
                     problem = 'the process that sent it gave no answer' FROM lapsed WHERE e.seq = lapsed.seq",
                )
                .bind(clock)
                .execute(&mut *conn)
                .await?;
                Ok(done.rows_affected() + doubt::divert(conn, clock).await?)
            })
        })
        .await
    }
}

type ClaimedRow = (i64, i64, String, String, String, i64, Option<i64>, i64, Option<i64>, String);

/// The claimed effects in the order in which they were due, each with the ids of the slots that it needs.
async fn claimed(
    conn: &mut PgConnection,
    connection: &ConnectionName,
    mut rows: Vec<ClaimedRow>,
) -> Result<Vec<ClaimedEffect>, Fault> {
    rows.sort_by_key(|row| (row.0, row.1));
    let mut claimed = Vec::with_capacity(rows.len());
    for (_, _, key, lead, episode, attempts, sent_at, verified, doubt_since, body) in rows {
        let body: EffectBody = from_json("effect", &body)?;
        let key = EffectKey::new(key);
        let effect =
            Effect { key, connection: connection.clone(), lead: id(&lead)?, episode: id(&episode)?, body };
        let (attempt, verified) = (count(attempts)?, count(verified)?);
        let (sent_at, doubt_since) = (maybe_instant(sent_at)?, maybe_instant(doubt_since)?);
        claimed.push(ClaimedEffect { effect, bindings: Vec::new(), attempt, sent_at, verified, doubt_since });
    }
    let bound = bound_ids(conn, &claimed).await?;
    for claim in &mut claimed {
        for slot in claim.effect.body.needs() {
            if let Some(id) = bound.get(&slot_name(slot)) {
                claim.bindings.push(SlotBinding { slot: slot.clone(), id: id.as_str().into() });
            }
        }
    }
    Ok(claimed)
}

async fn bound_ids(
    conn: &mut PgConnection,
    claimed: &[ClaimedEffect],
) -> Result<HashMap<String, String>, Fault> {
    let names: Vec<String> =
        claimed.iter().flat_map(|claim| claim.effect.body.needs().map(slot_name)).collect();
    if names.is_empty() {
        return Ok(HashMap::new());
    }
    let rows: Vec<(String, String)> =
        sqlx::query_as("SELECT name, external_id FROM slot WHERE name = ANY($1)")
            .bind(names)
            .fetch_all(conn)
            .await?;
    Ok(rows.into_iter().collect())
}
