//! The SQLite backend under test, and what only SQLite has to prove.

use std::collections::BTreeMap;
use std::sync::Arc;

use sqlx::AssertSqlSafe;
use tempfile::TempDir;
use usher_model::Mode;

use super::Backend;
use super::fixture::{at, new_record};
use crate::sqlite::{OpenOptions, SqliteStore};
use crate::{Inspection, Intake, Operation, Store, StoreError, Upkeep};

pub(crate) struct SqliteFile {
    store: Arc<SqliteStore>,
    folder: TempDir,
}

async fn open(folder: &TempDir) -> Result<SqliteStore, StoreError> {
    let path = folder.path().join("usher.db");
    SqliteStore::open(path.to_str().unwrap(), OpenOptions::daemon()).await
}

impl Backend for SqliteFile {
    async fn start() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        Some(Self { store: Arc::new(open(&folder).await.unwrap()), folder })
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
    let file = SqliteFile::start().await.unwrap();
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
async fn fm_103_a_database_of_a_newer_version_is_refused() {
    let file = SqliteFile::start().await.unwrap();
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
    assert!(error.to_string().contains("written by a newer version"), "{error}");
}

#[tokio::test]
async fn a_clean_close_leaves_no_log_behind() {
    let file = SqliteFile::start().await.unwrap();
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
    assert_eq!(Inspection::counts(&store).await.unwrap().records["fetched"], 1);
}

#[tokio::test]
async fn the_disk_is_synced_before_anything_is_acknowledged() {
    let file = SqliteFile::start().await.unwrap();
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

/// A database as a program wrote it that knew the first migration only, with a lead in it.
async fn first_schema(path: &std::path::Path) {
    use sqlx::{ConnectOptions, Connection};
    let mut first = crate::sqlite::migrations_for_tests();
    first.truncate(1);
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(path).create_if_missing(true);
    let mut conn = options.connect().await.unwrap();
    sqlx::migrate::Migrator::with_migrations(first).run_direct(None, &mut conn, false).await.unwrap();
    sqlx::query(
        "INSERT INTO record (id, connection, object, external_id, revision, lane, imported, gone, received_at, state, \
         due_at, detail) VALUES ('1', 'form', 'responses', '1', '1', 0, 0, 0, 0, 'failed', 0, 'dirty')",
    )
    .execute(&mut conn)
    .await
    .unwrap();
    conn.close().await.unwrap();
}

#[tokio::test]
async fn fm_102_a_schema_changes_only_after_a_verified_backup() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("usher.db");
    first_schema(&path).await;
    let store = open(&folder).await.unwrap();
    assert_eq!(Inspection::counts(&store).await.unwrap().records["failed"], 1);
    // A second start finds nothing to do.
    store.close().await.unwrap();
    let backup = folder.path().join("usher.db.schema-1.backup");
    let made = backup.metadata().unwrap().modified().unwrap();
    open(&folder).await.unwrap().close().await.unwrap();
    assert_eq!(backup.metadata().unwrap().modified().unwrap(), made);
    // The backup is what the earlier program can start from: its schema, its rows.
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(&backup).read_only(true);
    let mut conn = sqlx::ConnectOptions::connect(&options).await.unwrap();
    let kept: (i64, i64) =
        sqlx::query_as("SELECT (SELECT max(version) FROM _sqlx_migrations), (SELECT count(*) FROM record)")
            .fetch_one(&mut conn)
            .await
            .unwrap();
    assert_eq!(kept, (1, 1));
}

#[tokio::test]
async fn fm_102_without_room_for_the_backup_nothing_is_changed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("usher.db");
    first_schema(&path).await;
    // A folder in the backup's place stands for a disk that does not take it.
    let blocked = folder.path().join("usher.db.schema-1.backup");
    std::fs::create_dir(&blocked).unwrap();
    let error = open(&folder).await.unwrap_err();
    assert!(matches!(error, StoreError::Backup { .. }), "{error:?}");
    std::fs::remove_dir(&blocked).unwrap();
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(&path);
    let mut conn = sqlx::ConnectOptions::connect(&options).await.unwrap();
    let (last,): (i64,) =
        sqlx::query_as("SELECT max(version) FROM _sqlx_migrations").fetch_one(&mut conn).await.unwrap();
    assert_eq!(last, 1);
}

#[tokio::test]
async fn fm_103_a_command_changes_no_schema_under_a_running_daemon() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("usher.db");
    first_schema(&path).await;
    let lock = std::fs::File::create(folder.path().join("usher.db.lock")).unwrap();
    lock.try_lock().unwrap();
    let beside = SqliteStore::open(path.to_str().unwrap(), OpenOptions::command()).await.unwrap_err();
    assert!(beside.to_string().contains("restart that daemon"), "{beside}");
    lock.unlock().unwrap();
    let beside = SqliteStore::open(path.to_str().unwrap(), OpenOptions::command()).await.unwrap();
    // The command keeps no daemon out afterwards.
    open(&folder).await.unwrap();
    drop(beside);
}

#[tokio::test]
async fn fm_104_a_backup_under_load_restores_to_what_was_there() {
    let file = SqliteFile::start().await.unwrap();
    let path = file.folder.path().join("usher.db");
    let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let writer = {
        let (store, stop) = (file.store(), Arc::clone(&stop));
        tokio::spawn(async move {
            let mut n = 0;
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                n += 1;
                super::fixture::decided(&store, n).await;
            }
        })
    };
    for round in 0..20 {
        let to = file.folder.path().join(format!("backup-{round}"));
        let before = file.store.counts().await.unwrap();
        let backup = file.store.back_up(&to, at(round)).await.unwrap();
        let sums =
            |counts: &crate::Counts| [counts.records.values().sum::<u64>(), counts.leads.values().sum()];
        assert!(backup.rows[0] >= sums(&before)[0] && backup.rows[1] >= sums(&before)[1]);
        let elsewhere = tempfile::tempdir().unwrap();
        let place = elsewhere.path().join("usher.db");
        let restored = SqliteStore::restore(&to, place.to_str().unwrap(), at(10_000)).await.unwrap();
        assert_eq!((restored.safe_at, restored.kept_aside), (at(round), None));
        let store = SqliteStore::open(place.to_str().unwrap(), OpenOptions::daemon()).await.unwrap();
        let counts = store.counts().await.unwrap();
        assert_eq!(sums(&counts), [backup.rows[0], backup.rows[1]]);
        assert_eq!(store.discrepancies().await.unwrap(), []);
    }
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    writer.await.unwrap();
    let again = file.store.back_up(&file.folder.path().join("backup-0"), at(1)).await.unwrap_err();
    assert!(again.to_string().contains("there is such a file already"), "{again}");
    assert!(path.exists());
}

#[tokio::test]
async fn fm_104_a_restore_leaves_no_stale_log_and_loses_nothing() {
    let file = SqliteFile::start().await.unwrap();
    let store = file.store();
    super::fixture::decided(&store, 1).await;
    let (folder, path) = (file.folder.path(), file.folder.path().join("usher.db"));
    let backup = folder.join("backup");
    store.back_up(&backup, at(5)).await.unwrap();
    let refused = SqliteStore::restore(&backup, path.to_str().unwrap(), at(9)).await.unwrap_err();
    assert!(matches!(refused, StoreError::InUse { .. }), "{refused}");

    // The machine loses power: the database has a log that belongs to it, and to nothing else.
    super::fixture::decided(&store, 2).await;
    let crashed = tempfile::tempdir().unwrap();
    let place = crashed.path().join("usher.db");
    for name in ["usher.db", "usher.db-wal"] {
        std::fs::copy(folder.join(name), crashed.path().join(name)).unwrap();
    }
    std::fs::write(crashed.path().join("usher.db-shm"), "stale").unwrap();
    let restored = SqliteStore::restore(&backup, place.to_str().unwrap(), at(9)).await.unwrap();
    assert_eq!((restored.safe_at, restored.in_doubt), (at(5), 3));
    assert!(!crashed.path().join("usher.db-wal").exists() && !crashed.path().join("usher.db-shm").exists());
    let leads = async |path: &str| {
        let store = SqliteStore::open(path, OpenOptions::command()).await.unwrap();
        store.counts().await.unwrap().leads["decided"]
    };
    assert_eq!(leads(place.to_str().unwrap()).await, 1);
    assert_eq!(leads(&restored.kept_aside.unwrap()).await, 2, "what was replaced is whole, log included");
}

#[tokio::test]
async fn fm_104_a_bad_backup_is_refused_and_changes_nothing() {
    let file = SqliteFile::start().await.unwrap();
    super::fixture::decided(&file.store(), 1).await;
    let folder = file.folder.path();
    let backup = folder.join("backup");
    file.store.back_up(&backup, at(5)).await.unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    let place = elsewhere.path().join("usher.db");
    std::fs::write(&place, "what was there").unwrap();
    let whole = std::fs::read(&backup).unwrap();
    let sum = folder.join("backup.sha256");
    let told = std::fs::read(&sum).unwrap();

    let refuse = async |says: &str| {
        let error = SqliteStore::restore(&backup, place.to_str().unwrap(), at(9)).await.unwrap_err();
        assert!(error.to_string().contains(says), "{error}");
        assert_eq!(std::fs::read(&place).unwrap(), b"what was there");
        assert!(!elsewhere.path().join("usher.db.restoring").exists());
    };
    let mut flipped = whole.clone();
    let middle = flipped.len() / 2;
    flipped[middle] ^= 1;
    std::fs::write(&backup, &flipped).unwrap();
    refuse("is not what its .sha256 file says").await;
    std::fs::remove_file(&sum).unwrap();
    std::fs::write(&backup, &whole[..whole.len() / 2]).unwrap();
    refuse("backup").await;
    std::fs::write(&backup, "name,email\n".repeat(1_000)).unwrap();
    refuse("no database of usher").await;
    // A copied file is whole, but does not say how old it is.
    file.store.close().await.unwrap();
    std::fs::copy(folder.join("usher.db"), &backup).unwrap();
    refuse("was not made by `usher backup`").await;
    std::fs::write(&backup, &whole).unwrap();
    std::fs::write(&sum, told).unwrap();
    std::fs::remove_file(&place).unwrap();
    SqliteStore::restore(&backup, place.to_str().unwrap(), at(9)).await.unwrap();
}

#[tokio::test]
async fn fm_075_whichever_write_finds_no_room_nothing_is_half_done() {
    use usher_model::EffectKind::{CreateTask, EnsurePerson, UpdateObject};
    let file = SqliteFile::start().await.unwrap();
    let store = file.store();
    let limit = async |spare: Option<i64>| {
        let set = file.store.maintain("limits the file", move |conn| {
            Box::pin(async move {
                let pages: i64 = sqlx::query_scalar("PRAGMA page_count").fetch_one(&mut *conn).await?;
                let most = spare.map_or(1_000_000, |spare| pages + spare);
                let pragma = format!("PRAGMA max_page_count = {most}");
                sqlx::query(AssertSqlSafe(pragma)).execute(conn).await.map(drop)
            })
        });
        set.await.unwrap();
    };
    let (mut full, mut n) = (0, 0);
    for spare in 0..12 {
        limit(Some(spare)).await;
        // Leads go their whole way until one of its writes finds no room.
        let error = loop {
            n += 1;
            let way = async {
                let mut new = new_record(n);
                new.record.payload =
                    serde_json::value::RawValue::from_string(format!("\"{}\"", "x".repeat(3_000))).unwrap();
                let record = store.store_records(vec![new]).await?[0];
                let (draft, ready_at) = (Box::new(super::fixture::draft(record, n)), at(n));
                let verdict = crate::Verdict::Mapped { draft, ready_at };
                store.commit_prepared(vec![crate::Prepared { record, verdict }], at(n)).await?;
                let person = usher_model::PersonId::new(at(n));
                let opened = super::fixture::opening(record, n, person, Mode::Live, at(n));
                store.commit_decisions(opened.commit, at(n)).await?;
                for kind in [EnsurePerson, UpdateObject, CreateTask] {
                    let claimed =
                        store.claim_effects(&super::fixture::crm(), kind, 9, at(n), at(n + 9)).await?;
                    let outcomes = claimed.iter().map(|claim| super::fixture::done(claim, "1")).collect();
                    store.finish_effects(outcomes, at(n)).await?;
                }
                Ok::<_, StoreError>(())
            };
            if let Err(error) = way.await {
                break error;
            }
        };
        assert!(matches!(error, StoreError::NoSpace { .. }), "{error:?}");
        full += 1;
        assert_eq!(store.discrepancies().await.unwrap(), [], "with {spare} pages to spare");
        limit(None).await;
        // What was on its way goes on, and nothing is missing.
        store.recover_effects(at(n + 9)).await.unwrap();
        let unclear = store.claim_unknown(&super::fixture::crm(), 99, at(n + 9), at(n + 19)).await.unwrap();
        store
            .finish_effects(unclear.iter().map(|claim| super::fixture::done(claim, "1")).collect(), at(n + 9))
            .await
            .unwrap();
        assert_eq!(store.discrepancies().await.unwrap(), []);
    }
    assert_eq!(full, 12);
}

#[tokio::test]
async fn fm_107_what_does_not_add_up_is_found() {
    let file = SqliteFile::start().await.unwrap();
    let store = file.store();
    for (damage, says) in [
        ("DELETE FROM lead", "not equally many"),
        ("UPDATE effect SET state = 'done', ended_at = 1, lease_until = NULL", "nothing is left to write"),
        ("DELETE FROM draft", "without a draft"),
        (
            "DELETE FROM payload WHERE record IN (SELECT seq FROM record WHERE state = 'fetched')",
            "without a payload",
        ),
        ("DELETE FROM need", "wait for nothing"),
        (
            "UPDATE effect SET state = 'parked', ended_at = 1 WHERE kind = 'ensure_person'",
            "blocked by something that is not being written",
        ),
    ] {
        super::fixture::decided(&store, 1).await;
        super::fixture::mapped(&store, new_record(2), at(2)).await;
        store.store_records(vec![new_record(3)]).await.unwrap();
        assert_eq!(store.discrepancies().await.unwrap(), [], "before: {damage}");
        let run = file.store.maintain("damages the rows", move |conn| {
            Box::pin(async move { sqlx::query(damage).execute(conn).await.map(drop) })
        });
        run.await.unwrap();
        let found = store.discrepancies().await.unwrap();
        assert!(found.iter().any(|found| found.what.contains(says) && found.rows > 0), "{damage}: {found:?}");
        let clear = file.store.maintain("clears the tables", |conn| {
            Box::pin(async move {
                for table in
                    ["record", "payload", "draft", "lead", "effect", "need", "person", "link", "identity_key"]
                {
                    sqlx::query(AssertSqlSafe(format!("DELETE FROM {table}"))).execute(&mut *conn).await?;
                }
                Ok(())
            })
        });
        clear.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn fm_069_a_record_whose_holders_die_again_and_again_gives_others_time() {
    let backend = SqliteFile::start().await.unwrap();
    let store = backend.store();
    store.store_records(vec![new_record(1)]).await.unwrap();
    let claimed = async |now: i64| store.claim_records(9, at(now), at(now + 120)).await.unwrap().len();
    for (died_at, rests_until) in [(10, 10), (20, 22), (30, 34), (40, 48)] {
        assert_eq!(claimed(died_at).await, 1);
        store.take_over(at(died_at)).await.unwrap();
        if rests_until > died_at {
            assert_eq!(claimed(rests_until - 1).await, 0);
        }
        store.take_over(at(died_at)).await.unwrap();
    }
    assert_eq!(claimed(47).await, 0);
    assert_eq!(claimed(48).await, 1);
}
