//! What can go wrong inside a command, before the call that it belongs to is known.

use std::error::Error;
use std::fmt;
use std::sync::Arc;

use crate::error::StoreError;

/// SQLite's primary result codes that need a treatment of their own.
const BUSY: u32 = 5;
const LOCKED: u32 = 6;
const READONLY: u32 = 8;
const IOERR: u32 = 10;
const FULL: u32 = 13;

/// A failed command.
#[derive(Debug)]
pub(super) enum Fault {
    /// Full, read-only or failing disk.
    NoSpace(sqlx::Error),
    /// Anything else from the database.
    Sql(sqlx::Error),
    /// A compare-and-set missed.
    Stale,
    /// A stored value can not be read.
    Unreadable { what: &'static str, source: Box<dyn Error + Send + Sync> },
    /// The store was closed.
    Closed,
}

impl Fault {
    /// The public error, for a call that was `doing` something at `place`.
    pub(super) fn during(self, place: &str, doing: &'static str) -> StoreError {
        match self {
            Self::NoSpace(source) => StoreError::NoSpace { place: place.to_owned(), source },
            Self::Sql(source) => StoreError::Database { doing, source },
            Self::Stale => StoreError::Stale,
            Self::Unreadable { what, source } => StoreError::Unreadable { what, source },
            Self::Closed => StoreError::Closed,
        }
    }

    /// What is wrong with one row, without the value that is wrong: it may be personal data.
    pub(super) fn of_row(&self) -> String {
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
    pub(super) fn unreadable(what: &'static str, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Unreadable { what, source: source.into() }
    }
}

impl From<sqlx::Error> for Fault {
    fn from(error: sqlx::Error) -> Self {
        match primary_code(&error) {
            Some(READONLY | IOERR | FULL) => Self::NoSpace(error),
            _ if matches!(error, sqlx::Error::PoolClosed) => Self::Closed,
            _ => Self::Sql(error),
        }
    }
}

/// True if another process holds the write lock.
pub(super) fn is_busy(error: &sqlx::Error) -> bool {
    matches!(primary_code(error), Some(BUSY | LOCKED))
}

fn primary_code(error: &sqlx::Error) -> Option<u32> {
    let code = error.as_database_error()?.code()?;
    // Extended codes carry the primary one in their low byte.
    code.parse::<u32>().ok().map(|extended| extended & 0xff)
}

/// One failure of a whole group, told to each of its members.
#[derive(Debug, Clone)]
pub(super) struct GroupFault {
    no_space: bool,
    source: Arc<sqlx::Error>,
}

impl GroupFault {
    /// The failure of a transaction; `no_space` if one of its commands found the disk full.
    pub(super) fn new(error: sqlx::Error, no_space: bool) -> Self {
        let no_space = no_space || matches!(primary_code(&error), Some(READONLY | IOERR | FULL));
        Self { no_space, source: Arc::new(error) }
    }

    /// The fault as one member sees it.
    pub(super) fn member(&self) -> Fault {
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
