//! What can go wrong inside a command, before the call that it belongs to is known.

use std::error::Error;
use std::fmt;
use std::sync::Arc;

use sqlx::error::DatabaseError;
use sqlx::postgres::PgDatabaseError;

use crate::error::StoreError;

/// SQLite's primary result codes that need a treatment of their own.
const BUSY: u32 = 5;
const LOCKED: u32 = 6;
const READONLY: u32 = 8;
const IOERR: u32 = 10;
const FULL: u32 = 13;

/// What Postgres says when nothing can be written: disk full, input or output failed, read-only (a standby).
const PG_NO_SPACE: [&str; 3] = ["53100", "58030", "25006"];
/// What Postgres says, by the first characters, when it goes away, has no room left for a session, or lets one
/// transaction give way to another: nothing is wrong with what was asked. 25P03 ends a session that was idle for too long.
const PG_AWAY: [&str; 6] = ["08", "53", "57", "40", "55P03", "25P03"];

/// A failed command.
#[derive(Debug)]
pub(crate) enum Fault {
    /// Full, read-only or failing disk.
    NoSpace(sqlx::Error),
    /// Anything else from the database.
    Sql(sqlx::Error),
    /// The database does not answer, or went away in the middle.
    Away(sqlx::Error),
    /// A compare-and-set missed.
    Stale,
    /// Another node leads.
    Fenced,
    /// A stored value can not be read.
    Unreadable { what: &'static str, source: Box<dyn Error + Send + Sync> },
    /// The store was closed.
    Closed,
}

impl Fault {
    /// The public error, for a call that was `doing` something at `place`.
    pub(crate) fn during(self, place: &str, doing: &'static str) -> StoreError {
        match self {
            Self::NoSpace(source) => StoreError::NoSpace { place: place.to_owned(), source },
            Self::Sql(source) => StoreError::Database { doing, source },
            Self::Away(source) => StoreError::Away { place: place.to_owned(), source },
            Self::Stale => StoreError::Stale,
            Self::Fenced => StoreError::Fenced,
            Self::Unreadable { what, source } => StoreError::Unreadable { what, source },
            Self::Closed => StoreError::Closed,
        }
    }

    /// What is wrong with one row, without the value that is wrong: it may be personal data.
    pub(crate) fn of_row(&self) -> String {
        let what = match self {
            Self::Unreadable { what, .. } => what,
            _ => "row",
        };
        format!(
            "the stored {what} can not be read; if a newer version of usher wrote it, use that one, then `usher failed \
             retry`"
        )
    }

    /// A stored value that can not be read.
    pub(crate) fn unreadable(what: &'static str, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Unreadable { what, source: source.into() }
    }
}

impl From<sqlx::Error> for Fault {
    fn from(error: sqlx::Error) -> Self {
        use sqlx::Error::{Io, PoolClosed, PoolTimedOut, WorkerCrashed};
        match &error {
            PoolClosed => Self::Closed,
            Io(_) | PoolTimedOut | WorkerCrashed => Self::Away(error),
            _ => match pg_code(&error).as_deref() {
                Some(code) if PG_NO_SPACE.contains(&code) => Self::NoSpace(error),
                Some(code) if PG_AWAY.iter().any(|away| code.starts_with(away)) => Self::Away(error),
                Some(_) => Self::Sql(error),
                None if is_no_space(&error) => Self::NoSpace(error),
                None => Self::Sql(error),
            },
        }
    }
}

fn is_no_space(error: &sqlx::Error) -> bool {
    matches!(primary_code(error), Some(READONLY | IOERR | FULL))
}

fn pg_code(error: &sqlx::Error) -> Option<String> {
    let database: &dyn DatabaseError = error.as_database_error()?;
    Some(database.try_downcast_ref::<PgDatabaseError>()?.code().to_owned())
}

/// True if another process holds the write lock.
pub(crate) fn is_busy(error: &sqlx::Error) -> bool {
    matches!(primary_code(error), Some(BUSY | LOCKED))
}

fn primary_code(error: &sqlx::Error) -> Option<u32> {
    let code = error.as_database_error()?.code()?;
    // Extended codes carry the primary one in their low byte.
    code.parse::<u32>().ok().map(|extended| extended & 0xff)
}

/// One failure of a whole group, told to each of its members.
#[derive(Debug, Clone)]
pub(crate) struct GroupFault {
    no_space: bool,
    source: Arc<sqlx::Error>,
}

impl GroupFault {
    /// The failure of a transaction; `no_space` if one of its commands found the disk full.
    pub(crate) fn new(error: sqlx::Error, no_space: bool) -> Self {
        let no_space = no_space || is_no_space(&error);
        Self { no_space, source: Arc::new(error) }
    }

    /// A command's failure, for the several callers that it has.
    pub(crate) fn of(fault: Fault) -> Self {
        match fault {
            Fault::NoSpace(error) => Self::new(error, true),
            Fault::Sql(error) | Fault::Away(error) => Self::new(error, false),
            // What has several callers only inserts: it compares nothing and reads nothing back.
            Fault::Stale | Fault::Fenced | Fault::Unreadable { .. } | Fault::Closed => {
                Self::new(sqlx::Error::PoolClosed, false)
            }
        }
    }

    pub(crate) fn is_no_space(&self) -> bool {
        self.no_space
    }

    /// The fault as one member sees it.
    pub(crate) fn member(&self) -> Fault {
        let source = sqlx::Error::AnyDriverError(Box::new(Shared(Arc::clone(&self.source))));
        if self.no_space { Fault::NoSpace(source) } else { Fault::Sql(source) }
    }
}

#[derive(Debug)]
struct Shared(Arc<sqlx::Error>);

impl fmt::Display for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the transaction that it shared with its neighbours failed")
    }
}

impl Error for Shared {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&*self.0)
    }
}
