//! Bringing a database's schema up to date: never a newer one, never without a backup, never beside another daemon.

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use sqlx::SqliteConnection;
use sqlx::migrate::{MigrateError, Migrator};

use super::fault::is_busy;
use super::{backup, open};
use crate::error::StoreError;

/// How a file's schema stands to this program's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// An empty file.
    New,
    /// As this program wants it.
    Current,
    /// Of an earlier program; its last migration.
    Behind(i64),
    /// Of a later program; its last migration.
    Ahead(i64),
}

pub(super) async fn standing(conn: &mut SqliteConnection) -> Result<Standing, sqlx::Error> {
    let (known,): (bool,) =
        sqlx::query_as("SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE name = '_sqlx_migrations')")
            .fetch_one(&mut *conn)
            .await?;
    if !known {
        return Ok(Standing::New);
    }
    let applied: Vec<(i64,)> =
        sqlx::query_as("SELECT version FROM _sqlx_migrations WHERE success ORDER BY version")
            .fetch_all(conn)
            .await?;
    let ours: Vec<i64> = open::migrations().iter().map(|migration| migration.version).collect();
    let last = applied.last().map_or(0, |(version,)| *version);
    Ok(match applied {
        applied if applied.is_empty() => Standing::New,
        applied if applied.iter().any(|(version,)| !ours.contains(version)) => Standing::Ahead(last),
        applied if applied.len() < ours.len() => Standing::Behind(last),
        _ => Standing::Current,
    })
}

/// Makes the schema what this program wants. `keep` is the file, if a backup of it is to be made before it is changed.
pub(super) async fn bring_up(
    conn: &mut SqliteConnection,
    place: &str,
    keep: Option<&Path>,
) -> Result<(), StoreError> {
    let standing = standing(conn).await.map_err(|error| open::cannot_open(place, error))?;
    let before = match standing {
        Standing::Current => return Ok(()),
        Standing::Ahead(found) => return Err(newer(place, found)),
        Standing::New => None,
        Standing::Behind(from) => {
            if let Some(path) = keep {
                let to = backup_name(path, from);
                tracing::info!(backup = %to.display(), "the schema is about to change; a backup is made first");
                remove_earlier(&to);
                backup::make(path, &to, Timestamp::now()).await?;
            }
            Some(rows(conn).await.map_err(|error| open::cannot_open(place, error))?)
        }
    };
    migrate(conn, place).await?;
    let after = rows(conn).await.map_err(|error| open::cannot_open(place, error))?;
    if before.is_some_and(|before| before != after) {
        let advice = "the change of its schema lost rows, which is a mistake of ours; restore the backup beside it with \
                      the earlier version of usher, and report it";
        return Err(open::refuse(place, advice));
    }
    Ok(())
}

async fn rows(conn: &mut SqliteConnection) -> Result<(i64, i64, i64, i64), sqlx::Error> {
    sqlx::query_as(
        "SELECT (SELECT count(*) FROM record), (SELECT count(*) FROM lead), (SELECT count(*) FROM effect), \
         (SELECT count(*) FROM turn)",
    )
    .fetch_one(conn)
    .await
}

/// Where the automatic backup of a file goes whose last migration is `from`.
fn backup_name(path: &Path, from: i64) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".schema-{from}.backup"));
    PathBuf::from(name)
}

/// An earlier try that was interrupted left the file unchanged, so its backup is no better than a new one.
fn remove_earlier(backup: &Path) {
    if let Err(error) = std::fs::remove_file(backup)
        && error.kind() != std::io::ErrorKind::NotFound
    {
        tracing::warn!(%error, "an earlier backup can not be removed");
    }
}

async fn migrate(conn: &mut SqliteConnection, place: &str) -> Result<(), StoreError> {
    let migrator = Migrator::with_migrations(open::migrations());
    loop {
        match migrator.run_direct(None, conn, false).await {
            Ok(()) => return Ok(()),
            // A neighbour makes the same new file; what it did is found done in the next round.
            Err(MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _))
                if is_busy(&error) => {}
            Err(MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _)) => {
                return Err(open::cannot_open(place, error));
            }
            Err(_) => {
                let advice =
                    "its schema can not be brought up to date; was it changed by hand? restore a backup";
                return Err(open::refuse(place, advice));
            }
        }
    }
}

fn newer(place: &str, found: i64) -> StoreError {
    let ours = open::migrations().last().map_or(0, |migration| migration.version);
    let advice = format!(
        "it was written by a newer version of usher (its schema is {found}, this program knows {ours}): run that version, \
         or restore a backup made by this one"
    );
    open::refuse(place, &advice)
}
