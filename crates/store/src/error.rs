//! What can go wrong in storage, by what to do about it.

/// A failure of the storage. Nothing of the failed call was stored.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The disk is full or read-only: intake must answer 503 and no write may be sent.
    #[error("the database can not be written: free disk space or make {place} writable; nothing was lost")]
    NoSpace {
        /// The database file.
        place: String,
        /// The database's own words.
        #[source]
        source: sqlx::Error,
    },
    /// The database can not be opened or is not fit for use.
    #[error("the database {place} can not be opened: {advice}")]
    Open {
        /// File or URL without credentials.
        place: String,
        /// What to do.
        advice: String,
        /// The database's own words.
        #[source]
        source: Option<sqlx::Error>,
    },
    /// Another process holds the database.
    #[error("the database {place} is in use by another usher process: stop it first, or use its HTTP API")]
    InUse {
        /// The database file.
        place: String,
    },
    /// The database does not answer, or its connection broke: what was under way is either stored whole or not at all.
    #[error(
        "the database {place} does not answer; usher goes on asking, look whether it runs and can be reached"
    )]
    Away {
        /// URL without credentials.
        place: String,
        /// The database's own words.
        #[source]
        source: sqlx::Error,
    },
    /// Another node leads by now: what this one decided is not stored, and the other decides it.
    #[error("another node leads by now")]
    Fenced,
    /// A backup can not be made or put back.
    #[error("the backup {place}: {advice}")]
    Backup {
        /// The file.
        place: String,
        /// What is wrong, and what to do.
        advice: String,
        /// The cause, where there is one.
        #[source]
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    },
    /// What was read no longer holds: read again and decide again.
    #[error("the stored state changed meanwhile")]
    Stale,
    /// A stored value can not be read: written by a newer version, or damaged.
    #[error("a stored {what} can not be read: was the database written by a newer version of usher?")]
    Unreadable {
        /// What kind of value.
        what: &'static str,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Anything else that the database reports.
    #[error("the database failed while it {doing}")]
    Database {
        /// What it was doing, as "stores a webhook".
        doing: &'static str,
        /// The database's own words.
        #[source]
        source: sqlx::Error,
    },
    /// The store was closed.
    #[error("the database was closed")]
    Closed,
}
