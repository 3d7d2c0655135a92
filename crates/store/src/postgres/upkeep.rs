//! Upkeep on Postgres. What the server has tools for, copies and its log, is left to them.

use std::path::Path;

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use usher_model::{EffectKind, ExternalId, LeadId};

use super::operation::put_meta;
use super::{LeaseClock, PostgresStore, column, doubt, lock, retention, vitals};
use crate::codec::{ms, text};
use crate::error::StoreError;
use crate::upkeep::{Alert, AlertRow, Backup, Cutoffs, Discrepancy, Pruned, Told, Upkeep, Vitals};

#[async_trait]
impl Upkeep for PostgresStore {
    /// A dump needs nothing of us: whatever is put back is noticed at the next start ([`doubt::notice`]).
    async fn back_up(&self, to: &Path, _now: Timestamp) -> Result<Backup, StoreError> {
        let advice = format!(
            "Postgres makes its own, while usher runs: `pg_dump --format=custom --file={} …`; put it back with `pg_restore` \
             into an empty database, and name that one in `store:`",
            to.display()
        );
        Err(StoreError::Backup { place: self.place.clone(), advice, source: None })
    }

    async fn distrust(&self, safe_at: Timestamp, now: Timestamp) -> Result<u64, StoreError> {
        self.write("marks what a restore left in doubt", move |conn| {
            Box::pin(async move {
                lock::graph(conn).await?;
                doubt::begin(conn, safe_at, now).await
            })
        })
        .await
    }

    async fn known_made(&self, lead: LeadId, kind: EffectKind) -> Result<Vec<ExternalId>, StoreError> {
        self.read("lists what was made for a person", move |conn| {
            Box::pin(doubt::known_made(conn, lead, kind))
        })
        .await
    }

    async fn prune(&self, keep: Cutoffs, so_far: Pruned) -> Result<Pruned, StoreError> {
        self.write("removes what is past its retention", move |conn| {
            Box::pin(retention::slice(conn, keep, so_far))
        })
        .await
    }

    /// The server's autovacuum and checkpoints do.
    async fn tidy(&self) -> Result<u64, StoreError> {
        Ok(0)
    }

    async fn vitals(&self, now: Timestamp, since: Timestamp) -> Result<Vitals, StoreError> {
        self.read("takes vital signs", move |conn| Box::pin(vitals::read(conn, now, since))).await
    }

    async fn prove_writable(&self, now: Timestamp) -> Result<(), StoreError> {
        let clock = self.asked(now);
        self.write("proves that it can write", move |conn| {
            Box::pin(async move {
                let (now,): (i64,) = sqlx::query_as("SELECT coalesce($1, usher_now())")
                    .bind(clock)
                    .fetch_one(&mut *conn)
                    .await?;
                put_meta(conn, "alive_at", now.to_string(), true).await
            })
        })
        .await
    }

    async fn discrepancies(&self) -> Result<Vec<Discrepancy>, StoreError> {
        self.read("adds its counts up", move |conn| Box::pin(vitals::discrepancies(conn))).await
    }

    /// Where the database's clock measures, one node's is nothing to the others.
    async fn shift(&self, by: SignedDuration) -> Result<(), StoreError> {
        // `blocked` too: a write is due from the instant that it was planned for, whenever it is freed.
        const DURATIONS: [&str; 5] = [
            "UPDATE record SET due_at = due_at + $1 WHERE state IN ('fetched', 'mapped')",
            "UPDATE effect SET due_at = due_at + $1 WHERE state IN ('blocked', 'planned')",
            "UPDATE effect SET due_at = due_at + $1, sent_at = sent_at + $1 WHERE state = 'unknown'",
            "UPDATE effect SET sent_at = sent_at + $1, lease_until = lease_until + $1 WHERE state = 'sending'",
            "UPDATE owner_write SET check_at = check_at + $1 WHERE check_at IS NOT NULL",
        ];
        if self.clock == LeaseClock::Database {
            return Ok(());
        }
        let by = i64::try_from(by.as_millis()).unwrap_or_default();
        self.write("follows the clock", move |conn| {
            Box::pin(async move {
                for statement in DURATIONS {
                    sqlx::query(statement).bind(by).execute(&mut *conn).await?;
                }
                Ok(())
            })
        })
        .await
    }

    async fn alerts(&self) -> Result<Vec<Alert>, StoreError> {
        self.read("reads alerts", move |conn| {
            Box::pin(async move {
                let rows: Vec<AlertRow> = sqlx::query_as(
                    "SELECT key, problem, raised_at, ended_at, told, told_at FROM alert ORDER BY raised_at, key",
                )
                .fetch_all(conn)
                .await?;
                rows.into_iter().map(Alert::of).collect()
            })
        })
        .await
    }

    async fn put_alerts(&self, alerts: Vec<Alert>, forget: Timestamp) -> Result<(), StoreError> {
        self.write("stores alerts", move |conn| {
            Box::pin(async move {
                sqlx::query(
                    "INSERT INTO alert (key, problem, raised_at, ended_at, told, told_at) SELECT * FROM unnest($1::text[], \
                     $2::text[], $3::bigint[], $4::bigint[], $5::text[], $6::bigint[]) AS v (key) ORDER BY v.key \
                     ON CONFLICT (key) DO UPDATE SET problem = excluded.problem, raised_at = excluded.raised_at, \
                     ended_at = excluded.ended_at, told = excluded.told, told_at = excluded.told_at",
                )
                .bind(column(&alerts, |alert| text(&alert.key)))
                .bind(column(&alerts, |alert| text(&alert.problem)))
                .bind(column(&alerts, |alert| ms(alert.raised_at)))
                .bind(column(&alerts, |alert| alert.ended_at.map(ms)))
                .bind(column(&alerts, |alert| alert.told.map(|(told, _)| Told::as_str(told))))
                .bind(column(&alerts, |alert| alert.told.map(|(_, at)| ms(at))))
                .execute(&mut *conn)
                .await?;
                sqlx::query("DELETE FROM alert WHERE ended_at < $1").bind(ms(forget)).execute(conn).await?;
                Ok(())
            })
        })
        .await
    }
}
