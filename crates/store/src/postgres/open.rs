//! Connecting: the address, the sessions' settings, the version check and migrations.

use std::fmt;
use std::time::{Duration, Instant};

use sqlx::migrate::{MigrateError, Migration, MigrationType, Migrator};
use sqlx::postgres::{PgConnectOptions, PgConnection, PgPool, PgPoolOptions};
use sqlx::{ConnectOptions, Connection, SqlSafeStr};

use super::doubt;
use crate::error::StoreError;
use crate::fault::Fault;

/// The first Postgres that the statements are written for.
const OLDEST: i32 = 140_000;
/// Connections of one node: its steps, and webhooks beside them.
const CONNECTIONS: u32 = 10;
/// How long a call waits for a connection, the database's restart included. A sender is told to come again after it.
const ACQUIRE: Duration = Duration::from_secs(5);
/// How long a transaction may take unless told otherwise.
const LONGEST: Duration = Duration::from_secs(30);
/// How long a heartbeat waits for its connection: the next beat may find a better one.
const ACQUIRE_BEAT: Duration = Duration::from_secs(2);
/// A pause between attempts to connect at start.
const PAUSE: Duration = Duration::from_millis(500);

/// What every session sets: nothing is answered before it is on disk, and a node that was paused or cut off in the middle
/// of a transaction does not hold its locks for long.
const SESSION: &str = "SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'; \
     SET idle_in_transaction_session_timeout = '5s'; SET lock_timeout = '15s'; SET tcp_keepalives_idle = 5; \
     SET tcp_keepalives_interval = 2; SET tcp_keepalives_count = 3; SET client_min_messages = 'warning'";

/// Whose clock measures leases.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeaseClock {
    /// The database's, which all nodes share.
    Database,
    /// The caller's, for tests that own the time.
    Caller,
}

/// How to reach a database.
pub struct PostgresOptions {
    connect: PgConnectOptions,
    pub(super) node: String,
    pub(super) clock: LeaseClock,
    patience: Duration,
    pub(super) longest: Duration,
}

impl fmt::Debug for PostgresOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresOptions").field("place", &self.place()).finish_non_exhaustive()
    }
}

impl PostgresOptions {
    /// Reads a `postgres://` URL. What it leaves out comes from the usual variables, as `PGHOST` and `PGPASSWORD`. `node` is
    /// the name of this process: no other may have it, nor have had it.
    ///
    /// # Errors
    /// [`StoreError::Open`] if it is no such URL.
    pub fn new(url: &str, node: impl Into<String>) -> Result<Self, StoreError> {
        let connect: PgConnectOptions = url.parse().map_err(|source| StoreError::Open {
            place: "in `store:`".to_owned(),
            advice: "write it as `postgres://user@host:5432/database`".to_owned(),
            source: Some(source),
        })?;
        let connect =
            connect.application_name("usher").statement_cache_capacity(256).disable_statement_logging();
        Ok(Self {
            connect,
            node: node.into(),
            clock: LeaseClock::Database,
            patience: Duration::ZERO,
            longest: LONGEST,
        })
    }

    /// With this password.
    #[must_use]
    pub fn password(mut self, password: &str) -> Self {
        self.connect = self.connect.password(password);
        self
    }

    /// With leases measured by this clock instead of the database's.
    #[must_use]
    pub fn clock(self, clock: LeaseClock) -> Self {
        Self { clock, ..self }
    }

    /// Waiting so long at start for a database that does not answer yet.
    #[must_use]
    pub fn patience(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    /// Giving up whatever takes longer than this, with its connection.
    #[must_use]
    pub fn longest(self, longest: Duration) -> Self {
        Self { longest, ..self }
    }

    /// The database's URL without user and password.
    pub(super) fn place(&self) -> String {
        let host = match self.connect.get_socket() {
            Some(folder) => folder.display().to_string(),
            None => format!("{}:{}", self.connect.get_host(), self.connect.get_port()),
        };
        format!("postgres://{host}/{}", self.connect.get_database().unwrap_or_default())
    }
}

pub(super) async fn open(options: PostgresOptions, place: &str) -> Result<(PgPool, PgPool), StoreError> {
    let mut first = connect_patiently(&options, place).await?;
    prepare(&mut first, place).await?;
    let noticed = async {
        let mut transaction = first.begin().await?;
        doubt::notice(&mut transaction).await?;
        Ok(transaction.commit().await?)
    };
    noticed.await.map_err(|fault: Fault| fault.during(place, "looks whether it was put back"))?;
    drop(first);
    let pool = |connections, acquire: Duration| {
        PgPoolOptions::new()
            .max_connections(connections)
            .acquire_timeout(acquire.min(options.longest))
            .after_connect(|conn, _| Box::pin(async move { set_up(conn).await }))
            .connect_lazy_with(options.connect.clone())
    };
    Ok((pool(CONNECTIONS, ACQUIRE), pool(1, ACQUIRE_BEAT)))
}

async fn set_up(conn: &mut PgConnection) -> Result<(), sqlx::Error> {
    sqlx::raw_sql(SESSION).execute(conn).await.map(drop)
}

/// The database may start later than we do, with the machine for example.
async fn connect_patiently(options: &PostgresOptions, place: &str) -> Result<PgConnection, StoreError> {
    let started = Instant::now();
    loop {
        let connected = tokio::time::timeout(ACQUIRE, options.connect.connect()).await;
        let error = match connected {
            Ok(Ok(conn)) => return Ok(conn),
            Ok(Err(error)) => error,
            Err(late) => sqlx::Error::Io(late.into()),
        };
        match Fault::from(error) {
            Fault::Away(source) if started.elapsed() < options.patience => {
                tracing::warn!(place, %source, "the database does not answer yet; still trying");
                tokio::time::sleep(PAUSE).await;
            }
            Fault::Sql(source) | Fault::NoSpace(source) => return Err(cannot_open(place, source)),
            fault => return Err(fault.during(place, "connects")),
        }
    }
}

async fn prepare(conn: &mut PgConnection, place: &str) -> Result<(), StoreError> {
    let refused = |error: sqlx::Error| cannot_open(place, error);
    set_up(&mut *conn).await.map_err(refused)?;
    let (version, encoding): (i32, String) = sqlx::query_as(
        "SELECT current_setting('server_version_num')::int, current_setting('server_encoding')",
    )
    .fetch_one(&mut *conn)
    .await
    .map_err(refused)?;
    if version < OLDEST {
        let advice =
            format!("it runs Postgres {}; usher needs {} or later", version / 10_000, OLDEST / 10_000);
        return Err(StoreError::Open { place: place.to_owned(), advice, source: None });
    }
    if encoding != "UTF8" {
        let advice = format!("its encoding is {encoding}; create one with `ENCODING 'UTF8'`");
        return Err(StoreError::Open { place: place.to_owned(), advice, source: None });
    }
    migrate(conn, place).await
}

fn migrations() -> Vec<Migration> {
    let migration = |version, name: &'static str, text: &'static str| {
        Migration::new(version, name.into(), MigrationType::Simple, text.into_sql_str(), false)
    };
    vec![
        migration(1, "first", include_str!("../../migrations/postgres/0001_first.sql")),
        migration(2, "tokens", include_str!("../../migrations/postgres/0002_tokens.sql")),
        migration(3, "upkeep", include_str!("../../migrations/postgres/0003_upkeep.sql")),
        migration(4, "effects", include_str!("../../migrations/postgres/0004_effects.sql")),
        migration(5, "quota", include_str!("../../migrations/postgres/0005_quota.sql")),
        migration(6, "intake", include_str!("../../migrations/postgres/0006_intake.sql")),
        migration(7, "objects", include_str!("../../migrations/postgres/0007_objects.sql")),
        migration(8, "watching", include_str!("../../migrations/postgres/0008_watching.sql")),
    ]
}

/// Nodes that start together wait for each other: the migrator holds a lock of the database.
async fn migrate(conn: &mut PgConnection, place: &str) -> Result<(), StoreError> {
    let migrator = Migrator::with_migrations(migrations());
    let advice = match migrator.run_direct(None, conn, false).await {
        Ok(()) => return Ok(()),
        Err(MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _)) => {
            return Err(cannot_open(place, error));
        }
        Err(MigrateError::VersionMissing(_) | MigrateError::VersionMismatch(_)) => {
            "it was written by another version of usher; use that version, or restore a backup"
        }
        Err(_) => "its schema can not be brought up to date; restore a backup",
    };
    Err(StoreError::Open { place: place.to_owned(), advice: advice.to_owned(), source: None })
}

fn cannot_open(place: &str, source: sqlx::Error) -> StoreError {
    let advice = "check the name, the user and the password (`password:` in usher.yaml, or PGPASSWORD), and that the user \
                  may create tables in it";
    StoreError::Open { place: place.to_owned(), advice: advice.to_owned(), source: Some(source) }
}
