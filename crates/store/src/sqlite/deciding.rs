//! Deciding on SQLite: the queue of what is ready, and the way to view and commit.

use std::collections::BTreeMap;

use async_trait::async_trait;
use jiff::Timestamp;
use sqlx::SqliteConnection;
use usher_model::ConnectionName;

use super::SqliteStore;
use super::codec::{fresh_since, ms};
use super::fault::Fault;
use super::writer::Priority;
use super::{commit, view};
use crate::deciding::{Deciding, DecisionCommit, DecisionView, Ready, ViewAsk};
use crate::error::StoreError;
use crate::quota::most_fresh;
use crate::stored_lead::lead_columns;
use crate::view_rows;

#[async_trait]
impl Deciding for SqliteStore {
    async fn ready(&self, limit: u32, now: Timestamp) -> Result<Ready, StoreError> {
        self.read("reads what is ready", move |conn| Box::pin(ready(conn, limit, now))).await
    }

    async fn decision_view(&self, ask: &ViewAsk) -> Result<DecisionView, StoreError> {
        let ask = ask.clone();
        self.read("reads what is known of the ready leads", move |conn| Box::pin(view::read(conn, ask))).await
    }

    async fn opened_since(&self, since: Timestamp) -> Result<BTreeMap<ConnectionName, u64>, StoreError> {
        self.look("counts opened leads", move |conn| {
            Box::pin(async move {
                let rows: Vec<(String, i64)> = sqlx::query_as(
                    "SELECT l.connection, count(*) FROM lead l LEFT JOIN connection c ON c.name = l.connection \
                     WHERE l.opened_at >= ?1 AND l.opened_at > coalesce(c.released_at, 0) GROUP BY l.connection",
                )
                .bind(ms(since))
                .fetch_all(conn)
                .await?;
                Ok(rows.into_iter().map(|(name, count)| (name.into(), count.unsigned_abs())).collect())
            })
        })
        .await
    }

    async fn commit_decisions(&self, commit: DecisionCommit, now: Timestamp) -> Result<(), StoreError> {
        self.write(Priority::Decide, "stores decisions", move |conn| {
            Box::pin(commit::store(conn, commit, now))
        })
        .await
    }
}

async fn ready(conn: &mut SqliteConnection, limit: u32, now: Timestamp) -> Result<Ready, Fault> {
    let drafts = sqlx::query_as(
        "SELECT r.id, d.body FROM (SELECT seq, id, min(tier) AS tier, lane, received_at FROM ( \
           SELECT 0 AS tier, * FROM (SELECT seq, id, lane, received_at FROM record INDEXED BY record_mapped \
             WHERE state = 'mapped' AND lane = 0 AND received_at >= ?3 AND due_at <= ?1 \
             AND connection NOT IN (SELECT name FROM connection WHERE held_at IS NOT NULL) \
             ORDER BY received_at, seq LIMIT ?4) \
           UNION ALL SELECT 1, * FROM (SELECT seq, id, lane, received_at FROM record INDEXED BY record_mapped \
             WHERE state = 'mapped' AND due_at <= ?1 \
             AND connection NOT IN (SELECT name FROM connection WHERE held_at IS NOT NULL) \
             ORDER BY lane, received_at, seq LIMIT ?2)) \
           GROUP BY seq ORDER BY min(tier), lane, received_at, seq LIMIT ?2) r CROSS JOIN draft d ON d.record = r.seq \
         ORDER BY r.tier, r.lane, r.received_at, r.seq",
    )
    .bind(ms(now))
    .bind(limit)
    .bind(ms(fresh_since(now)))
    .bind(most_fresh(limit))
    .fetch_all(&mut *conn)
    .await?;
    let waiting = sqlx::query_as(concat!(
        "SELECT ",
        lead_columns!(),
        ", l.wait, l.crm_owner FROM lead l WHERE l.state = 'waiting' AND l.wait_until <= ? \
         AND l.mode = coalesce((SELECT value FROM meta WHERE name = 'mode'), l.mode) \
         ORDER BY l.received_at, l.seq LIMIT ?"
    ))
    .bind(ms(now))
    .bind(limit)
    .fetch_all(conn)
    .await?;
    view_rows::ready(drafts, waiting, now)
}
