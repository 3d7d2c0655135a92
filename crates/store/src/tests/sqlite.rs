//! The SQLite backend under test, and what only SQLite has to prove.

use std::collections::BTreeMap;
use std::sync::Arc;

use sqlx::AssertSqlSafe;
use tempfile::TempDir;
use usher_model::Mode;

use super::Backend;
use super::fixture::{at, new_record};
use crate::sqlite::{OpenOptions, SqliteStore};
use crate::{Intake, Operation, Store, StoreError};

pub(crate) struct SqliteFile {
    store: Arc<SqliteStore>,
    folder: TempDir,
}

async fn open(folder: &TempDir) -> Result<SqliteStore, StoreError> {
    let path = folder.path().join("usher.db");
    SqliteStore::open(path.to_str().unwrap(), OpenOptions::daemon()).await
}

impl Backend for SqliteFile {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self { store: Arc::new(open(&folder).await.unwrap()), folder }
    }

    fn store(&self) -> Arc<dyn Store> {
        Arc::clone(&self.store) as Arc<dyn Store>
    }

    async fn reopen(self) -> Self {
        let Self { store, folder } = self;
        drop(store);
        // The writer's task releases the lock as its last act.
        loop {
            match open(&folder).await {
                Ok(store) => return Self { store: Arc::new(store), folder },
                Err(StoreError::InUse { .. }) => tokio::task::yield_now().await,
                Err(error) => panic!("{error}"),
            }
        }
    }

    async fn fill_disk(&self, full: bool) {
        self.store
            .maintain("limits the file", move |conn| {
                Box::pin(async move {
                    let pages: i64 = sqlx::query_scalar("PRAGMA page_count").fetch_one(&mut *conn).await?;
                    let most = if full { pages } else { 1_000_000 };
                    sqlx::query(AssertSqlSafe(format!("PRAGMA max_page_count = {most}")))
                        .execute(conn)
                        .await?;
                    Ok(())
                })
            })
            .await
            .unwrap();
    }

    async fn spoil(&self, table: &'static str) {
        let column = if table == "lead" { "fields" } else { "body" };
        let sql =
            format!("UPDATE {table} SET {column} = '{{' WHERE rowid = (SELECT min(rowid) FROM {table})");
        let spoil = self.store.maintain("spoils a row", move |conn| {
            Box::pin(async move { sqlx::query(AssertSqlSafe(sql)).execute(conn).await })
        });
        assert_eq!(spoil.await.unwrap().rows_affected(), 1);
    }

    async fn ledger(&self, mode: Mode) -> BTreeMap<(String, String), (f64, f64)> {
        let rows: Vec<(String, String, f64, f64)> = self
            .store
            .maintain("sums the ledger", move |conn| {
                Box::pin(async move {
                    sqlx::query_as(
                        "WITH line AS (SELECT t.pool, j.key AS rep, j.value AS entitled, 0.0 AS taken \
                         FROM turn t, json_each(t.shares) j WHERE t.mode = ?1 \
                         UNION ALL SELECT pool, rep, 0.0, count FROM turn WHERE mode = ?1) \
                         SELECT pool, rep, total(entitled), total(taken) FROM line GROUP BY pool, rep",
                    )
                    .bind(mode.as_str())
                    .fetch_all(conn)
                    .await
                })
            })
            .await
            .unwrap();
        rows.into_iter().map(|(pool, rep, entitled, taken)| ((pool, rep), (entitled, taken))).collect()
    }
}

#[tokio::test]
async fn fm_073_a_second_daemon_on_one_file_is_refused() {
    let file = SqliteFile::start().await;
    let error = open(&file.folder).await.unwrap_err();
    assert!(matches!(error, StoreError::InUse { .. }), "{error}");
    assert!(error.to_string().contains("usher.db is in use"));

    // Commands beside it still read and write.
    let path = file.folder.path().join("usher.db");
    let beside =
        SqliteStore::open(&format!("sqlite://{}", path.display()), OpenOptions::command()).await.unwrap();
    beside.set_paused(true, "looking into it", at(5)).await.unwrap();
    assert_eq!(file.store.paused().await.unwrap(), Some((at(5), "looking into it".to_owned())));

    let file = file.reopen().await;
    assert!(file.store.paused().await.unwrap().is_some());
}

#[tokio::test]
async fn a_command_makes_no_database() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("usher.db");
    let error = SqliteStore::open(path.to_str().unwrap(), OpenOptions::command()).await.unwrap_err();
    assert!(error.to_string().contains("there is no such file"), "{error}");
    assert!(!path.exists());
}

#[tokio::test]
async fn a_file_that_is_no_database_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("usher.db");
    std::fs::write(&path, "name,email\nAna,ana@acme.example\n".repeat(100)).unwrap();
    let error = SqliteStore::open(path.to_str().unwrap(), OpenOptions::daemon()).await.unwrap_err();
    assert!(error.to_string().contains("usher.db can not be opened"), "{error}");
}

#[tokio::test]
async fn a_database_of_a_newer_version_is_refused() {
    let file = SqliteFile::start().await;
    file.store
        .maintain("acts as a newer version", |conn| {
            Box::pin(async move {
                sqlx::query(
                    "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
                     VALUES (999, 'later', 1, x'00', 0)",
                )
                .execute(conn)
                .await?;
                Ok(())
            })
        })
        .await
        .unwrap();
    file.store.close().await.unwrap();
    let SqliteFile { store, folder } = file;
    drop(store);
    let error = open(&folder).await.unwrap_err();
    assert!(error.to_string().contains("written by another version"), "{error}");
}

#[tokio::test]
async fn a_clean_close_leaves_no_log_behind() {
    let file = SqliteFile::start().await;
    file.store.store_records((0..200).map(new_record).collect()).await.unwrap();
    file.store.close().await.unwrap();
    let wal = file.folder.path().join("usher.db-wal");
    assert!(!wal.exists() || wal.metadata().unwrap().len() == 0);
}

#[tokio::test]
async fn a_store_in_memory_works_without_readers() {
    let store = SqliteStore::in_memory().await.unwrap();
    let ids = store.store_records(vec![new_record(1), new_record(1)]).await.unwrap();
    assert_eq!(ids[0], ids[1]);
    assert_eq!(crate::Inspection::counts(&store).await.unwrap().records["fetched"], 1);
}

#[tokio::test]
async fn the_disk_is_synced_before_anything_is_acknowledged() {
    let file = SqliteFile::start().await;
    let settings: (String, i64, i64) = file
        .store
        .maintain("reads pragmas", |conn| {
            Box::pin(async move {
                let journal = sqlx::query_scalar("PRAGMA journal_mode").fetch_one(&mut *conn).await?;
                let synchronous = sqlx::query_scalar("PRAGMA synchronous").fetch_one(&mut *conn).await?;
                let foreign_keys = sqlx::query_scalar("PRAGMA foreign_keys").fetch_one(&mut *conn).await?;
                Ok((journal, synchronous, foreign_keys))
            })
        })
        .await
        .unwrap();
    // 2 is FULL.
    assert_eq!(settings, ("wal".to_owned(), 2, 1));
}
