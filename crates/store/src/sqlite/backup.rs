//! Backups: a verified copy while others write, and putting one back without losing what was there.

use std::fs::{self, File, OpenOptions as FileOptions};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use sha2::{Digest as _, Sha256};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode};
use sqlx::{ConnectOptions, Connection};

use super::codec::{from_json, json, ms};
use super::operation::{meta, put_meta};
use super::{SqliteStore, doubt, open};
use crate::error::StoreError;
use crate::upkeep::{Backup, Restored};

/// Tables that only grow, so that a copy holds no fewer rows than before it and no more than after.
const GROWING: &str = "SELECT (SELECT count(*) FROM record), (SELECT count(*) FROM lead), (SELECT count(*) FROM effect), \
     (SELECT count(*) FROM decision), (SELECT count(*) FROM turn)";

type Rows = (i64, i64, i64, i64, i64);

/// Makes a backup of the database at `place`.
pub(super) async fn make(place: &Path, to: &Path, now: Timestamp) -> Result<Backup, StoreError> {
    if to.exists() {
        return Err(refuse(to, "there is such a file already; name another one"));
    }
    let partial = beside(to, "partial");
    let result = copy_to(place, &partial, now).await;
    let result = match result {
        Ok(rows) => finish(&partial, to, now, rows).await,
        Err(error) => Err(error),
    };
    if result.is_err() {
        // What is left of it is of no use; the error that is told matters more than this one.
        let _ = fs::remove_file(&partial);
    }
    result
}

async fn copy_to(place: &Path, partial: &Path, now: Timestamp) -> Result<Rows, StoreError> {
    // Holds personal data: for its owner's eyes only. SQLite takes a file that is there but empty.
    private_file(partial).map_err(|error| failed(partial, "it can not be written here", error))?;
    let source = SqliteConnectOptions::new().filename(place).read_only(true).disable_statement_logging();
    let mut source = source.connect().await.map_err(|error| failed(place, "it can not be read", error))?;
    let before = count(&mut source, place).await?;
    sqlx::query("VACUUM INTO ?")
        .bind(partial.display().to_string())
        .execute(&mut source)
        .await
        .map_err(|error| failed(partial, "it can not be written; is there room on the disk?", error))?;
    let after = count(&mut source, place).await?;
    close(source).await;
    let mut copy = open_copy(partial).await?;
    let rows = check(&mut copy, partial).await?;
    let grown = |a: Rows, b: Rows| a.0 <= b.0 && a.1 <= b.1 && a.2 <= b.2 && a.3 <= b.3 && a.4 <= b.4;
    if !grown(before, rows) || !grown(rows, after) {
        return Err(refuse(partial, "the copy does not hold as many rows as the database; try again"));
    }
    let stamp =
        json(&ms(now)).map_err(|fault| fault.during(&place.display().to_string(), "stamps a backup"))?;
    put_meta(&mut copy, "backup", stamp, true)
        .await
        .map_err(|fault| fault.during(&partial.display().to_string(), "stamps a backup"))?;
    close(copy).await;
    Ok(rows)
}

async fn finish(partial: &Path, to: &Path, now: Timestamp, rows: Rows) -> Result<Backup, StoreError> {
    let (from, to_file) = (partial.to_owned(), to.to_owned());
    let written = off_thread(move || {
        File::open(&from)?.sync_all()?;
        let (checksum, bytes) = checksum(&from)?;
        fs::rename(&from, &to_file)?;
        let name = to_file.file_name().unwrap_or_default().display();
        fs::write(beside(&to_file, "sha256"), format!("{checksum}  {name}\n"))?;
        sync_folder(&to_file)?;
        Ok((checksum, bytes))
    });
    let (checksum, bytes) = written.await.map_err(|error| failed(to, "it can not be completed", error))?;
    let rows = [rows.0, rows.1, rows.2].map(i64::unsigned_abs);
    Ok(Backup { safe_at: now, bytes, checksum, rows })
}

impl SqliteStore {
    /// Puts the backup in the place of the database, which is kept aside with its log. What was not done when the backup
    /// was taken will be looked up at the vendor before anything is sent.
    ///
    /// # Errors
    /// [`StoreError::InUse`] while a daemon runs on the database; [`StoreError::Backup`] if the file is no good backup.
    /// The database is untouched then.
    pub async fn restore(backup: &Path, path_or_url: &str, now: Timestamp) -> Result<Restored, StoreError> {
        let place = open::path_of(path_or_url);
        let _lock = open::lock(&place, &place.display().to_string())?;
        compare_checksum(backup).await?;
        let staged = beside(&place, "restoring");
        let (from, to) = (backup.to_owned(), staged.clone());
        off_thread(move || {
            remove_with_side_files(&to)?;
            private_file(&to)?;
            fs::copy(&from, &to).map(drop)
        })
        .await
        .map_err(|error| failed(backup, "it can not be copied to the database's folder", error))?;
        let result = prepare(&staged, now).await;
        let (safe_at, in_doubt) = match result {
            Ok(found) => found,
            Err(error) => {
                let _ = remove_with_side_files(&staged);
                return Err(error);
            }
        };
        let swapped = off_thread(move || swap(&staged, &place, now));
        let kept_aside =
            swapped.await.map_err(|error| failed(backup, "the database's files can not be moved", error))?;
        Ok(Restored { safe_at, in_doubt, kept_aside })
    }
}

/// Checks and migrates the copy, and marks what is in doubt.
async fn prepare(staged: &Path, now: Timestamp) -> Result<(Timestamp, u64), StoreError> {
    let place = staged.display().to_string();
    let mut copy = open_copy(staged).await?;
    check(&mut copy, staged).await?;
    let stamp = meta(&mut copy, "backup").await.map_err(|fault| fault.during(&place, "reads a backup"))?;
    let Some(stamp) = stamp else {
        let advice = "it was not made by `usher backup`, so nobody knows which writes it is too old for";
        return Err(refuse(staged, advice));
    };
    let read = from_json("stamp of a backup", &stamp).and_then(super::codec::instant);
    let safe_at = read.map_err(|fault| fault.during(&place, "reads a backup"))?;
    open::prepare(&mut copy, &place, None).await?;
    let marked = doubt::begin(&mut copy, safe_at, now).await;
    let in_doubt = marked.map_err(|fault| fault.during(&place, "marks what a restore left in doubt"))?;
    close(copy).await;
    Ok((safe_at, in_doubt))
}

/// The old files go aside first: a log beside a database that it does not belong to would corrupt it.
fn swap(staged: &Path, place: &Path, now: Timestamp) -> io::Result<Option<String>> {
    File::open(staged)?.sync_all()?;
    let aside = beside(place, &format!("replaced-{}", now.strftime("%Y%m%dT%H%M%SZ")));
    let mut kept = None;
    if place.exists() {
        fs::rename(place, &aside)?;
        kept = Some(aside.display().to_string());
    }
    let log = side_file(place, "-wal");
    if log.exists() {
        fs::rename(log, side_file(&aside, "-wal"))?;
    }
    remove_if_there(&side_file(place, "-shm"))?;
    fs::rename(staged, place)?;
    sync_folder(place)?;
    Ok(kept)
}

/// Opens a copy that belongs to nobody else: without a log beside it.
async fn open_copy(path: &Path) -> Result<SqliteConnection, StoreError> {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .journal_mode(SqliteJournalMode::Delete)
        .foreign_keys(true)
        .disable_statement_logging();
    options.connect().await.map_err(|error| failed(path, "it is no database of usher", error))
}

async fn check(copy: &mut SqliteConnection, path: &Path) -> Result<Rows, StoreError> {
    let verdict: (String,) = sqlx::query_as("PRAGMA integrity_check(1)")
        .fetch_one(&mut *copy)
        .await
        .map_err(|error| failed(path, "it is no database of usher, or damaged", error))?;
    if verdict.0 != "ok" {
        return Err(refuse(path, "it is damaged; use another one"));
    }
    count(copy, path).await
}

async fn count(conn: &mut SqliteConnection, path: &Path) -> Result<Rows, StoreError> {
    let counted = sqlx::query_as(GROWING).fetch_one(conn).await;
    counted.map_err(|error| failed(path, "it is no database of usher", error))
}

async fn close(conn: SqliteConnection) {
    if let Err(error) = conn.close().await {
        tracing::warn!(%error, "closing a copy failed");
    }
}

/// A backup whose checksum file lies beside it must match it.
async fn compare_checksum(backup: &Path) -> Result<(), StoreError> {
    let file = backup.to_owned();
    let compared = off_thread(move || {
        let told = match fs::read_to_string(beside(&file, "sha256")) {
            Ok(told) => told,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                tracing::warn!("the backup has no checksum beside it; its contents are checked all the same");
                return File::open(&file).map(|_| true);
            }
            Err(error) => return Err(error),
        };
        Ok(checksum(&file)?.0 == told.split_whitespace().next().unwrap_or_default())
    });
    match compared.await {
        Ok(true) => Ok(()),
        Ok(false) => Err(refuse(backup, "it is not what its .sha256 file says; use another one")),
        Err(error) => Err(failed(backup, "it can not be read", error)),
    }
}

fn checksum(path: &Path) -> io::Result<(String, u64)> {
    let mut file = File::open(path)?;
    let (mut hash, mut bytes, mut part) = (Sha256::new(), 0, vec![0; 1 << 20]);
    loop {
        let read = file.read(&mut part)?;
        if read == 0 {
            let digits = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
            return Ok((digits, bytes));
        }
        hash.update(part.get(..read).unwrap_or_default());
        bytes += read as u64;
    }
}

fn private_file(path: &Path) -> io::Result<()> {
    let mut options = FileOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map(drop)
}

fn remove_with_side_files(path: &Path) -> io::Result<()> {
    for end in ["", "-wal", "-shm", "-journal"] {
        remove_if_there(&side_file(path, end))?;
    }
    Ok(())
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// SQLite's own names for what lies beside a database.
fn side_file(path: &Path, end: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(end);
    PathBuf::from(name)
}

fn beside(path: &Path, what: &str) -> PathBuf {
    side_file(path, &format!(".{what}"))
}

/// A rename is durable once its folder is.
fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or_else(|| Path::new(".")))?.sync_all()
}

async fn off_thread<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| Err(io::Error::other(error)))
}

fn refuse(path: &Path, advice: &str) -> StoreError {
    StoreError::Backup { place: path.display().to_string(), advice: advice.to_owned(), source: None }
}

fn failed(
    path: &Path,
    advice: &str,
    source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> StoreError {
    let (place, advice) = (path.display().to_string(), advice.to_owned());
    StoreError::Backup { place, advice, source: Some(source.into()) }
}
