//! Delivering on SQLite: claims. What becomes of them is in `finish`.

use std::collections::HashMap;

use async_trait::async_trait;
use jiff::Timestamp;
use sqlx::SqliteConnection;
use usher_model::{ConnectionName, EffectKind, Slot};

use super::codec::{fresh_since, list, maybe_instant, ms, slot_name, text};
use super::fault::Fault;
use super::writer::Priority;
use super::{SqliteStore, doubt, finish};
use crate::claimed_row::{ClaimedRow, read};
use crate::delivering::{ClaimedEffect, Delivering, DueEffects, EffectOutcome, SlotBinding};
use crate::ended;
use crate::error::StoreError;
use crate::quota::most_fresh;

#[async_trait]
impl Delivering for SqliteStore {
    async fn due_effects(
        &self,
        connection: &ConnectionName,
        limit: u32,
        now: Timestamp,
    ) -> Result<Vec<DueEffects>, StoreError> {
        let connection = text(connection);
        self.look("counts due effects", move |conn| {
            Box::pin(async move {
                let rows: Vec<(String, u32, bool)> = sqlx::query_as(
                    "SELECT j.value, (SELECT count(*) FROM (SELECT 1 FROM effect WHERE state = 'planned' \
                       AND connection = ?1 AND kind = j.value AND due_at <= ?2 AND doubt_since IS NULL LIMIT ?3)), \
                     EXISTS (SELECT 1 FROM effect WHERE state = 'planned' AND connection = ?1 AND kind = j.value \
                       AND received_at >= ?4 AND due_at <= ?2 AND doubt_since IS NULL) FROM json_each(?5) j \
                     WHERE NOT EXISTS (SELECT 1 FROM meta WHERE name = 'paused')",
                )
                .bind(connection)
                .bind(ms(now))
                .bind(limit)
                .bind(ms(fresh_since(now)))
                .bind(list(EffectKind::ALL.map(EffectKind::as_str))?)
                .fetch_all(conn)
                .await?;
                let due = rows.into_iter().filter(|(_, count, _)| *count > 0);
                Ok(due
                    .filter_map(|(kind, count, fresh)| Some(DueEffects { kind: EffectKind::parse(&kind)?, count, fresh }))
                    .collect())
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
        let connection = connection.clone();
        self.write(Priority::Decide, "claims effects", move |conn| {
            Box::pin(async move {
                let rows: Vec<ClaimedRow> = sqlx::query_as(
                    "UPDATE effect SET state = 'sending', attempts = attempts + 1, sent_before = sent_at, sent_at = ?4, \
                     lease_until = ?5 WHERE NOT EXISTS (SELECT 1 FROM meta WHERE name = 'paused') AND seq IN ( \
                       SELECT seq FROM (SELECT 0 AS tier, seq FROM (SELECT seq FROM effect WHERE state = 'planned' \
                           AND connection = ?1 AND kind = ?2 AND received_at >= ?6 AND due_at <= ?4 AND doubt_since IS NULL \
                           ORDER BY received_at, seq LIMIT ?7) \
                         UNION ALL SELECT 1, seq FROM (SELECT seq FROM effect WHERE state = 'planned' \
                           AND connection = ?1 AND kind = ?2 AND due_at <= ?4 AND doubt_since IS NULL \
                           ORDER BY due_at, seq LIMIT ?3)) \
                       GROUP BY seq ORDER BY min(tier), seq LIMIT ?3) \
                     RETURNING due_at, seq, key, lead, episode, attempts, sent_before, planned_at, verified, doubt_since, lapses, body",
                )
                .bind(text(&connection))
                .bind(kind.as_str())
                .bind(limit)
                .bind(ms(now))
                .bind(ms(lease_until))
                .bind(ms(fresh_since(now)))
                .bind(most_fresh(limit))
                .fetch_all(&mut *conn)
                .await?;
                claimed(conn, &connection, rows, now).await
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
        let connection = connection.clone();
        self.write(Priority::Decide, "claims unclear effects", move |conn| {
            Box::pin(async move {
                let rows: Vec<ClaimedRow> = sqlx::query_as(
                    "UPDATE effect SET attempts = attempts + 1, due_at = ?4 WHERE seq IN (SELECT seq FROM effect \
                     WHERE state = 'unknown' AND connection = ?1 AND due_at <= ?3 ORDER BY due_at, seq LIMIT ?2) \
                     RETURNING due_at, seq, key, lead, episode, attempts, sent_at, planned_at, verified, doubt_since, lapses, body",
                )
                .bind(text(&connection))
                .bind(limit)
                .bind(ms(now))
                .bind(ms(lease_until))
                .fetch_all(&mut *conn)
                .await?;
                claimed(conn, &connection, rows, now).await
            })
        })
        .await
    }

    async fn awaited(&self, slots: &[Slot]) -> Result<bool, StoreError> {
        let slots: Vec<String> = slots.iter().map(slot_name).collect();
        self.look("asks what is to be made", move |conn| {
            Box::pin(async move { super::slots::awaited(conn, &slots).await })
        })
        .await
    }

    async fn finish_effects(&self, outcomes: Vec<EffectOutcome>, now: Timestamp) -> Result<(), StoreError> {
        self.write(Priority::Decide, "stores the outcome of effects", move |conn| {
            Box::pin(finish::store(conn, outcomes, now))
        })
        .await
    }

    async fn recover_effects(&self, now: Timestamp) -> Result<u64, StoreError> {
        self.write(Priority::Decide, "recovers effects", move |conn| {
            Box::pin(async move {
                let lapsed = finish::recover(conn, Some(now), now).await?;
                Ok(lapsed + doubt::divert(conn, now).await?)
            })
        })
        .await
    }
}

/// The claimed effects in the order in which they were due, each with the ids of the slots that it needs.
async fn claimed(
    conn: &mut SqliteConnection,
    connection: &ConnectionName,
    mut rows: Vec<ClaimedRow>,
    now: Timestamp,
) -> Result<Vec<ClaimedEffect>, Fault> {
    rows.sort_by_key(|row| (row.0, row.1));
    let mut claimed = Vec::with_capacity(rows.len());
    let mut unreadable = Vec::new();
    for row in rows {
        let seq = row.1;
        match read(connection, row) {
            Ok(claim) => claimed.push(claim),
            Err(fault) => unreadable.push((seq, fault.of_row())),
        }
    }
    finish::fail_unreadable(conn, unreadable, now).await?;
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
    Ok(claimed)
}

/// Finds the owner that a person who is about to be made can be made with.
async fn go_along(conn: &mut SqliteConnection, claimed: &mut [ClaimedEffect]) -> Result<(), Fault> {
    let slots: Vec<String> = claimed.iter().filter_map(ClaimedEffect::makes).map(slot_name).collect();
    if slots.is_empty() {
        return Ok(());
    }
    let waiting = sqlx::query_as(
        "SELECT n.slot, e.key, e.body FROM json_each(?) j CROSS JOIN need n ON n.slot = j.value \
         CROSS JOIN effect e ON e.seq = n.effect WHERE e.kind = 'update_object' AND +e.state = 'blocked' \
         AND NOT EXISTS (SELECT 1 FROM need o WHERE o.effect = e.seq AND o.slot != n.slot)",
    )
    .bind(list(&slots)?)
    .fetch_all(conn)
    .await?;
    let mut along = ended::along(waiting)?;
    for claim in claimed {
        claim.along = claim.makes().and_then(|slot| along.remove(&slot_name(slot)));
    }
    Ok(())
}

async fn bound_ids(
    conn: &mut SqliteConnection,
    claimed: &[ClaimedEffect],
) -> Result<HashMap<String, (String, Option<i64>)>, Fault> {
    let mut names: Vec<String> =
        claimed.iter().flat_map(|claim| claim.effect.body.needs().map(slot_name)).collect();
    if names.is_empty() {
        return Ok(HashMap::new());
    }
    names.sort_unstable();
    names.dedup();
    let rows: Vec<(String, String, Option<i64>)> = sqlx::query_as(
        "SELECT s.name, s.external_id, s.made_at FROM json_each(?) j CROSS JOIN slot s ON s.name = j.value",
    )
    .bind(list(&names)?)
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(|(name, id, created_at)| (name, (id, created_at))).collect())
}
