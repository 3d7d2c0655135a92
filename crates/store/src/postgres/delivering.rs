//! Delivering on Postgres: claims. What becomes of them is in `finish`.

use std::collections::HashMap;

use async_trait::async_trait;
use jiff::Timestamp;
use sqlx::postgres::PgConnection;
use usher_model::{ConnectionName, EffectKind, Slot};

use super::{PostgresStore, doubt, finish, lasts};
use crate::claimed_row::{ClaimedRow, read};
use crate::codec::{count, fresh_since, maybe_instant, ms, slot_name, text};
use crate::delivering::{ClaimedEffect, Delivering, DueEffects, EffectOutcome, SlotBinding};
use crate::ended;
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
        let claims = self.write("claims effects", move |conn| {
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
                     RETURNING e.due_at, e.seq, key, lead, episode, attempts, sent_before, planned_at, verified, doubt_since, lapses, body",
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
        });
        self.readable(claims.await?, now).await
    }

    async fn claim_unknown(
        &self,
        connection: &ConnectionName,
        limit: u32,
        now: Timestamp,
        lease_until: Timestamp,
    ) -> Result<Vec<ClaimedEffect>, StoreError> {
        let (connection, clock, node) = (connection.clone(), self.asked(now), self.node.clone());
        let claims = self.write("claims unclear effects", move |conn| {
            Box::pin(async move {
                let rows: Vec<ClaimedRow> = sqlx::query_as(
                    "WITH due AS MATERIALIZED (SELECT seq FROM effect WHERE state = 'unknown' AND connection = $1 \
                     AND due_at <= coalesce($3, usher_now()) ORDER BY due_at, seq LIMIT $2 FOR UPDATE SKIP LOCKED) \
                     UPDATE effect e SET attempts = e.attempts + 1, due_at = coalesce($3, usher_now()) + $4, claimed_by = $5 \
                     FROM due WHERE e.seq = due.seq \
                     RETURNING e.due_at, e.seq, key, lead, episode, attempts, sent_at, planned_at, verified, doubt_since, lapses, body",
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
        });
        self.readable(claims.await?, now).await
    }

    async fn awaited(&self, slots: &[Slot]) -> Result<bool, StoreError> {
        let slots: Vec<String> = slots.iter().map(slot_name).collect();
        self.read("asks what is to be made", move |conn| {
            Box::pin(async move { super::slots::awaited(conn, &slots).await })
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
                let lapsed = finish::recover(conn, clock, &[]).await?;
                Ok(lapsed + doubt::divert(conn, clock).await?)
            })
        })
        .await
    }
}

impl PostgresStore {
    /// Fails what can not be read, in a transaction of its own: it changes the graph, and a claim does not wait for that.
    async fn readable(
        &self,
        (claimed, unreadable): (Vec<ClaimedEffect>, Vec<(i64, String)>),
        now: Timestamp,
    ) -> Result<Vec<ClaimedEffect>, StoreError> {
        if !unreadable.is_empty() {
            self.write("fails unreadable effects", move |conn| {
                Box::pin(finish::fail_unreadable(conn, unreadable, now))
            })
            .await?;
        }
        Ok(claimed)
    }
}

/// The claimed effects in the order in which they were due, each with the ids of the slots that it needs; and the numbers
/// of those whose stored form can not be read, with the reason.
async fn claimed(
    conn: &mut PgConnection,
    connection: &ConnectionName,
    mut rows: Vec<ClaimedRow>,
) -> Result<(Vec<ClaimedEffect>, Vec<(i64, String)>), Fault> {
    rows.sort_by_key(|row| (row.0, row.1));
    let (mut claimed, mut unreadable) = (Vec::with_capacity(rows.len()), Vec::new());
    for row in rows {
        let seq = row.1;
        match read(connection, row) {
            Ok(claim) => claimed.push(claim),
            Err(fault) => unreadable.push((seq, fault.of_row())),
        }
    }
    let bound = bound_ids(conn, &claimed).await?;
    for claim in &mut claimed {
        for slot in claim.effect.body.needs() {
            if let Some((id, created_at)) = bound.get(&slot_name(slot)) {
                let (id, created_at) = (id.as_str().into(), maybe_instant(*created_at)?);
                claim.bindings.push(SlotBinding { slot: slot.clone(), id, created_at });
            }
        }
    }
    go_along(conn, &mut claimed).await?;
    Ok((claimed, unreadable))
}

/// Finds the owner that a person who is about to be made can be made with.
async fn go_along(conn: &mut PgConnection, claimed: &mut [ClaimedEffect]) -> Result<(), Fault> {
    let slots: Vec<String> = claimed.iter().filter_map(ClaimedEffect::makes).map(slot_name).collect();
    if slots.is_empty() {
        return Ok(());
    }
    let waiting = sqlx::query_as(
        "SELECT n.slot, e.key, e.body FROM need n JOIN effect e ON e.seq = n.effect WHERE n.slot = ANY($1) \
         AND e.kind = 'update_object' AND e.state = 'blocked' \
         AND NOT EXISTS (SELECT 1 FROM need o WHERE o.effect = e.seq AND o.slot != n.slot)",
    )
    .bind(slots)
    .fetch_all(conn)
    .await?;
    let mut along = ended::along(waiting)?;
    for claim in claimed {
        claim.along = claim.makes().and_then(|slot| along.remove(&slot_name(slot)));
    }
    Ok(())
}

async fn bound_ids(
    conn: &mut PgConnection,
    claimed: &[ClaimedEffect],
) -> Result<HashMap<String, (String, Option<i64>)>, Fault> {
    let names: Vec<String> =
        claimed.iter().flat_map(|claim| claim.effect.body.needs().map(slot_name)).collect();
    if names.is_empty() {
        return Ok(HashMap::new());
    }
    let rows: Vec<(String, String, Option<i64>)> =
        sqlx::query_as("SELECT name, external_id, made_at FROM slot WHERE name = ANY($1)")
            .bind(names)
            .fetch_all(conn)
            .await?;
    Ok(rows.into_iter().map(|(name, id, created_at)| (name, (id, created_at))).collect())
}
