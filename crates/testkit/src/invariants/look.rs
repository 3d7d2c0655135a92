//! A look into the program's database, whichever backend it has: statements that both understand, rows as tuples.

use std::path::{Path, PathBuf};

use anyhow::Context;
use sqlx::postgres::{PgConnection, PgRow};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteRow};
use sqlx::{ConnectOptions, Connection, FromRow};

/// An open connection that only reads.
#[derive(Debug)]
pub(super) enum Look {
    /// A file.
    Sqlite {
        /// The connection.
        conn: SqliteConnection,
        /// The file.
        path: PathBuf,
    },
    /// A database on a server.
    Postgres(PgConnection),
}

impl Look {
    /// Opens a `postgres:` URL, or a file by its path.
    pub(super) async fn open(place: &str) -> anyhow::Result<Self> {
        if place.starts_with("postgres") {
            let mut conn = PgConnection::connect(place).await.context("connecting to Postgres")?;
            sqlx::query("SET default_transaction_read_only = on").execute(&mut conn).await?;
            return Ok(Self::Postgres(conn));
        }
        let path = Path::new(place);
        let options = SqliteConnectOptions::new().filename(path).read_only(true).disable_statement_logging();
        let conn = options.connect().await.with_context(|| format!("opening {place}"))?;
        Ok(Self::Sqlite { conn, path: path.to_owned() })
    }

    pub(super) async fn close(self) -> anyhow::Result<()> {
        match self {
            Self::Sqlite { conn, .. } => Ok(conn.close().await?),
            Self::Postgres(conn) => Ok(conn.close().await?),
        }
    }

    pub(super) async fn rows<T>(&mut self, sql: &'static str) -> anyhow::Result<Vec<T>>
    where
        T: for<'r> FromRow<'r, SqliteRow> + for<'r> FromRow<'r, PgRow> + Send + Unpin,
    {
        let rows = match self {
            Self::Sqlite { conn, .. } => sqlx::query_as(sql).fetch_all(conn).await,
            Self::Postgres(conn) => sqlx::query_as(sql).fetch_all(conn).await,
        };
        rows.with_context(|| format!("asking `{sql}`"))
    }

    /// Size of the file's write-ahead log, bytes; 0 where there is none to grow.
    pub(super) fn wal_bytes(&self) -> u64 {
        let Self::Sqlite { path, .. } = self else { return 0 };
        let mut name = path.as_os_str().to_owned();
        name.push("-wal");
        std::fs::metadata(name).map_or(0, |file| file.len())
    }

    /// Whether the file is whole, in the words of SQLite; a server looks after its own files.
    pub(super) async fn integrity(&mut self) -> anyhow::Result<String> {
        let Self::Sqlite { .. } = self else { return Ok("ok".to_owned()) };
        let lines: Vec<(String,)> = self.rows("PRAGMA integrity_check").await?;
        Ok(lines.into_iter().map(|(line,)| line).collect::<Vec<_>>().join("; "))
    }
}
