//! Opening the file: the lock that keeps a second daemon out, the version check, pragmas and migrations.

use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::migrate::{MigrateError, Migration, MigrationType, Migrator};
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePool, SqlitePoolOptions,
    SqliteSynchronous,
};
use sqlx::{ConnectOptions, SqlSafeStr};

use super::fault::is_busy;
use crate::error::StoreError;

/// The first SQLite without the bug that can corrupt a database in WAL mode with several connections.
const OLDEST: [u32; 3] = [3, 51, 3];
/// Connections that read beside the writer.
const READERS: u32 = 4;

/// How to open a database file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpenOptions {
    /// Be the one daemon of this file: a second one is refused. Commands that only look or change a switch leave it
    /// off and work beside the daemon.
    pub exclusive: bool,
    /// Make the file if it is missing.
    pub create: bool,
}

impl OpenOptions {
    /// For `run` and `sync`: the only one, and the file is made at need.
    #[must_use]
    pub fn daemon() -> Self {
        Self { exclusive: true, create: true }
    }

    /// For commands beside a daemon: the file must be there.
    #[must_use]
    pub fn command() -> Self {
        Self { exclusive: false, create: false }
    }
}

/// An open database: one writing connection and the pool of readers.
pub(super) struct Opened {
    pub(super) writer: SqliteConnection,
    pub(super) readers: SqlitePool,
    pub(super) lock: Option<File>,
}

/// The path of `sqlite://file`, `sqlite:file` or a plain path.
pub(super) fn path_of(path_or_url: &str) -> PathBuf {
    let path = path_or_url.strip_prefix("sqlite://").or_else(|| path_or_url.strip_prefix("sqlite:"));
    PathBuf::from(path.unwrap_or(path_or_url))
}

pub(super) async fn open(path: &Path, options: OpenOptions) -> Result<Opened, StoreError> {
    let place = path.display().to_string();
    if !options.create && !path.exists() {
        let advice =
            "there is no such file; `usher run` makes it, and `store:` in usher.yaml names it".to_owned();
        return Err(StoreError::Open { place, advice, source: None });
    }
    let lock = if options.exclusive { Some(lock(path, &place)?) } else { None };
    let connect = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(options.create)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .page_size(8192)
        .foreign_keys(true)
        .busy_timeout(Duration::from_secs(5))
        .statement_cache_capacity(256)
        .pragma("temp_store", "MEMORY")
        .disable_statement_logging();
    // Cache sizes are negative KiB. 16 MB of WAL between checkpoints, and a file that shrinks again after a peak.
    let write = connect
        .clone()
        .pragma("cache_size", "-8000")
        .pragma("wal_autocheckpoint", "2000")
        .pragma("journal_size_limit", "67108864");
    let mut writer = write.connect().await.map_err(|error| cannot_open(&place, error))?;
    prepare(&mut writer, &place).await?;
    let readers = SqlitePoolOptions::new()
        .max_connections(READERS)
        .test_before_acquire(false)
        .max_lifetime(None)
        .connect_lazy_with(connect.create_if_missing(false).read_only(true).pragma("cache_size", "-2000"));
    Ok(Opened { writer, readers, lock })
}

/// A database that lives as long as its one connection.
pub(super) async fn open_in_memory() -> Result<SqliteConnection, StoreError> {
    let connect = SqliteConnectOptions::new()
        .filename(":memory:")
        .statement_cache_capacity(256)
        .foreign_keys(true)
        .disable_statement_logging();
    let mut writer = connect.connect().await.map_err(|error| cannot_open(":memory:", error))?;
    prepare(&mut writer, ":memory:").await?;
    Ok(writer)
}

async fn prepare(conn: &mut SqliteConnection, place: &str) -> Result<(), StoreError> {
    let version: String = sqlx::query_scalar("SELECT sqlite_version()")
        .fetch_one(&mut *conn)
        .await
        .map_err(|error| cannot_open(place, error))?;
    if !is_fit(&version) {
        let advice = format!(
            "SQLite {version} can corrupt databases like this one; build usher with its own SQLite ({} or later)",
            OLDEST.map(|part| part.to_string()).join(".")
        );
        return Err(StoreError::Open { place: place.to_owned(), advice, source: None });
    }
    migrate(conn, place).await
}

/// True if this SQLite version is safe to use in WAL mode.
fn is_fit(version: &str) -> bool {
    let mut parts = version.split('.').map(|part| part.parse::<u32>().unwrap_or(0));
    let found: [u32; 3] = std::array::from_fn(|_| parts.next().unwrap_or(0));
    found >= OLDEST
}

fn migrations() -> Vec<Migration> {
    let scripts = [
        (1, "first", include_str!("../../migrations/sqlite/0001_first.sql")),
        (5, "quota", include_str!("../../migrations/sqlite/0005_quota.sql")),
    ];
    let migration = |(number, name, sql): (i64, &'static str, &'static str)| {
        Migration::new(number, name.into(), MigrationType::Simple, sql.into_sql_str(), false)
    };
    scripts.map(migration).into()
}

async fn migrate(conn: &mut SqliteConnection, place: &str) -> Result<(), StoreError> {
    let migrator = Migrator::with_migrations(migrations());
    loop {
        let advice = match migrator.run_direct(None, conn, false).await {
            Ok(()) => return Ok(()),
            // A neighbour migrates the same file; what it did is found done in the next round.
            Err(MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _))
                if is_busy(&error) =>
            {
                continue;
            }
            Err(MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _)) => {
                return Err(cannot_open(place, error));
            }
            Err(MigrateError::VersionMissing(_) | MigrateError::VersionMismatch(_)) => {
                "it was written by another version of usher; use that version, or restore a backup"
            }
            Err(_) => "its schema can not be brought up to date; restore a backup",
        };
        return Err(StoreError::Open { place: place.to_owned(), advice: advice.to_owned(), source: None });
    }
}

fn cannot_open(place: &str, source: sqlx::Error) -> StoreError {
    let advice =
        "check that the folder exists, that usher may write there, and that the file is a database of usher";
    StoreError::Open { place: place.to_owned(), advice: advice.to_owned(), source: Some(source) }
}

/// Takes the advisory lock beside the database; the system releases it when the process ends, however it ends.
fn lock(path: &Path, place: &str) -> Result<File, StoreError> {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    let refuse = |error: io::Error| cannot_open(place, sqlx::Error::Io(error));
    let file = File::options().create(true).truncate(false).write(true).open(name).map_err(refuse)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StoreError::InUse { place: place.to_owned() }),
        Err(TryLockError::Error(error)) => Err(refuse(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_sqlite_with_the_wal_reset_bug_is_refused() {
        for unfit in ["3.51.2", "3.50.4", "3.7.0", "2.9.9", "", "new"] {
            assert!(!is_fit(unfit), "{unfit}");
        }
        for fit in ["3.51.3", "3.51.10", "3.52.0", "4.0.0"] {
            assert!(is_fit(fit), "{fit}");
        }
    }

    #[test]
    fn a_path_and_both_forms_of_url_name_the_same_file() {
        for name in ["usher.db", "sqlite:usher.db", "sqlite://usher.db"] {
            assert_eq!(path_of(name), PathBuf::from("usher.db"));
        }
    }
}
