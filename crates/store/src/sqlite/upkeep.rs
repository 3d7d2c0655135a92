//! Upkeep on SQLite. Backups, retention and vital signs have files of their own.

use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use sqlx::ConnectOptions;
use sqlx::sqlite::SqliteConnectOptions;
use usher_model::{EffectKind, ExternalId, LeadId};

use super::codec::{ms, text};
use super::fault::Fault;
use super::operation::put_meta;
use super::writer::Priority;
use super::{SqliteStore, backup, bulk::Bulk, doubt, retention, vitals};
use crate::error::StoreError;
use crate::upkeep::{Alert, AlertRow, Backup, Cutoffs, Discrepancy, Pruned, Upkeep, Vitals};

/// A write-ahead log that outgrew this is written back at once: a long reader had kept it from starting afresh.
const LOG_LIMIT: u64 = 64 * 1024 * 1024;

static ALERT: Bulk = Bulk::insert(
    "INSERT INTO alert (key, problem, raised_at, ended_at, told, told_at)",
    6,
    "ON CONFLICT DO UPDATE SET problem = excluded.problem, raised_at = excluded.raised_at, \
     ended_at = excluded.ended_at, told = excluded.told, told_at = excluded.told_at",
);

#[async_trait]
impl Upkeep for SqliteStore {
    async fn back_up(&self, to: &Path, now: Timestamp) -> Result<Backup, StoreError> {
        backup::make(Path::new(&self.place), to, now).await
    }

    async fn distrust(&self, safe_at: Timestamp, now: Timestamp) -> Result<u64, StoreError> {
        self.write(Priority::Maintain, "marks what a restore left in doubt", move |conn| {
            Box::pin(doubt::begin(conn, safe_at, now))
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
        self.write(Priority::Maintain, "removes what is past its retention", move |conn| {
            Box::pin(retention::slice(conn, keep, so_far))
        })
        .await
    }

    async fn tidy(&self) -> Result<u64, StoreError> {
        let log = format!("{}-wal", self.place);
        let size = || std::fs::metadata(&log).map_or(0, |log| log.len());
        if size() > LOG_LIMIT {
            let checkpoint = async {
                // Readers may hold it up: then the next round tries again, and the writer waits no longer than this.
                let options = SqliteConnectOptions::new()
                    .filename(&self.place)
                    .busy_timeout(Duration::from_millis(200))
                    .disable_statement_logging();
                let mut conn = options.connect().await?;
                sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").execute(&mut conn).await?;
                Ok(())
            };
            checkpoint.await.map_err(|fault: Fault| fault.during(&self.place, "writes its log back"))?;
        }
        Ok(size())
    }

    async fn vitals(&self, now: Timestamp, since: Timestamp) -> Result<Vitals, StoreError> {
        self.read("takes vital signs", move |conn| Box::pin(vitals::read(conn, now, since))).await
    }

    async fn prove_writable(&self, now: Timestamp) -> Result<(), StoreError> {
        self.write(Priority::Acknowledge, "proves that it can write", move |conn| {
            Box::pin(async move { put_meta(conn, "alive_at", ms(now).to_string(), true).await })
        })
        .await
    }

    async fn discrepancies(&self) -> Result<Vec<Discrepancy>, StoreError> {
        self.read("adds its counts up", move |conn| Box::pin(vitals::discrepancies(conn))).await
    }

    async fn shift(&self, by: SignedDuration) -> Result<(), StoreError> {
        // `blocked` too: a write is due from the instant that it was planned for, whenever it is freed. One state at a
        // time, so that each statement reads the index of its queue.
        const DURATIONS: [&str; 7] = [
            "UPDATE record SET due_at = due_at + ?1 WHERE state = 'fetched'",
            "UPDATE record SET due_at = due_at + ?1 WHERE state = 'mapped'",
            "UPDATE effect SET due_at = due_at + ?1 WHERE state = 'blocked'",
            "UPDATE effect SET due_at = due_at + ?1 WHERE state = 'planned'",
            "UPDATE effect SET due_at = due_at + ?1, sent_at = sent_at + ?1 WHERE state = 'unknown'",
            "UPDATE effect SET sent_at = sent_at + ?1, lease_until = lease_until + ?1 WHERE state = 'sending'",
            "UPDATE owner_write SET check_at = check_at + ?1 WHERE check_at IS NOT NULL",
        ];
        let by = i64::try_from(by.as_millis()).unwrap_or_default();
        self.write(Priority::Acknowledge, "follows the clock", move |conn| {
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
        self.write(Priority::Maintain, "stores alerts", move |conn| {
            Box::pin(async move {
                ALERT
                    .run(conn, &alerts, |query, alert| {
                        query
                            .bind(text(&alert.key))
                            .bind(text(&alert.problem))
                            .bind(ms(alert.raised_at))
                            .bind(alert.ended_at.map(ms))
                            .bind(alert.told.map(|(told, _)| told.as_str()))
                            .bind(alert.told.map(|(_, at)| ms(at)))
                    })
                    .await?;
                sqlx::query("DELETE FROM alert WHERE ended_at < ?").bind(ms(forget)).execute(conn).await?;
                Ok(())
            })
        })
        .await
    }
}
