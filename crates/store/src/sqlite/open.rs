//! Opening the file: the lock that keeps a second daemon out, the version check and pragmas.

use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::migrate::{Migration, MigrationType};
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePool, SqlitePoolOptions,
    SqliteSynchronous,
};
use sqlx::{ConnectOptions, SqlSafeStr};

use super::schema::{self, Standing};
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
        let advice = "there is no such file; `usher run` makes it, and `store:` in usher.yaml names it";
        return Err(refuse(&place, advice));
    }
    super::mount::check(path, &place)?;
    let mut held = if options.exclusive { Some(lock(path, &place)?) } else { None };
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
    // Cache sizes are negative KiB. 32 MB of WAL between checkpoints, and a file that shrinks again after a peak.
    let write = connect
        .clone()
        .pragma("cache_size", "-8000")
        .pragma("wal_autocheckpoint", "4000")
        .pragma("journal_size_limit", "67108864");
    let mut writer = write.connect().await.map_err(|error| cannot_open(&place, error))?;
    if held.is_none() {
        held = lock_to_migrate(&mut writer, path, &place).await?;
    }
    prepare(&mut writer, &place, Some(path)).await?;
    let lock = held.filter(|_| options.exclusive);
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
    prepare(&mut writer, ":memory:", None).await?;
    Ok(writer)
}

/// A command that finds an older schema changes it only if no daemon runs on it.
async fn lock_to_migrate(
    conn: &mut SqliteConnection,
    path: &Path,
    place: &str,
) -> Result<Option<File>, StoreError> {
    let standing = schema::standing(conn).await.map_err(|error| cannot_open(place, error))?;
    if !matches!(standing, Standing::Behind(_)) {
        return Ok(None);
    }
    lock(path, place).map(Some).map_err(|error| match error {
        StoreError::InUse { .. } => refuse(
            place,
            "a daemon of an earlier version runs on it; restart that daemon with this version first",
        ),
        other => other,
    })
}

/// Checks that this SQLite is safe to use, and brings the schema up to date; `keep` is the file, if it is to be backed
/// up before its schema changes.
pub(super) async fn prepare(
    conn: &mut SqliteConnection,
    place: &str,
    keep: Option<&Path>,
) -> Result<(), StoreError> {
    let version: String = sqlx::query_scalar("SELECT sqlite_version()")
        .fetch_one(&mut *conn)
        .await
        .map_err(|error| cannot_open(place, error))?;
    if !is_fit(&version) {
        let advice = format!(
            "SQLite {version} can corrupt databases like this one; build usher with its own SQLite ({} or later)",
            OLDEST.map(|part| part.to_string()).join(".")
        );
        return Err(refuse(place, &advice));
    }
    schema::bring_up(conn, place, keep).await
}

/// True if this SQLite version is safe to use in WAL mode.
fn is_fit(version: &str) -> bool {
    let mut parts = version.split('.').map(|part| part.parse::<u32>().unwrap_or(0));
    let found: [u32; 3] = std::array::from_fn(|_| parts.next().unwrap_or(0));
    found >= OLDEST
}

/// Every migration, in order.
pub(crate) fn migrations() -> Vec<Migration> {
    let migration = |version, name: &'static str, text: &'static str| {
        Migration::new(version, name.into(), MigrationType::Simple, text.into_sql_str(), false)
    };
    vec![
        migration(1, "first", include_str!("../../migrations/sqlite/0001_first.sql")),
        migration(2, "tokens", include_str!("../../migrations/sqlite/0002_tokens.sql")),
        migration(3, "upkeep", include_str!("../../migrations/sqlite/0003_upkeep.sql")),
        migration(4, "effects", include_str!("../../migrations/sqlite/0004_effects.sql")),
        migration(5, "quota", include_str!("../../migrations/sqlite/0005_quota.sql")),
        migration(6, "intake", include_str!("../../migrations/sqlite/0006_intake.sql")),
        migration(7, "objects", include_str!("../../migrations/sqlite/0007_objects.sql")),
        migration(8, "watching", include_str!("../../migrations/sqlite/0008_watching.sql")),
    ]
}

pub(super) fn cannot_open(place: &str, source: sqlx::Error) -> StoreError {
    let advice =
        "check that the folder exists, that usher may write there, and that the file is a database of usher";
    StoreError::Open { place: place.to_owned(), advice: advice.to_owned(), source: Some(source) }
}

/// The file is not fit for use, for a reason of ours.
pub(super) fn refuse(place: &str, advice: &str) -> StoreError {
    StoreError::Open { place: place.to_owned(), advice: advice.to_owned(), source: None }
}

/// Takes the advisory lock beside the database; the system releases it when the process ends, however it ends.
pub(super) fn lock(path: &Path, place: &str) -> Result<File, StoreError> {
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
