//! SQLite behind the storage traits: one writer that commits in groups, a few readers beside it.

mod arrivals;
mod backup;
mod bulk;
mod commit;
mod company;
mod deciding;
mod delivering;
mod directory;
mod doubt;
mod failures;
mod finish;
mod following;
mod gone;
mod inspection;
mod intake;
mod mount;
mod nodes;
mod open;
mod operation;
mod ownership;
mod plan;
mod preparation;
mod quota;
mod records;
mod retention;
mod schema;
mod settle;
mod slots;
mod standing;
mod story;
mod tokens;
mod undoing;
mod upkeep;
mod view;
mod vitals;
mod watching;
mod writer;

use std::fmt;

use futures::future::BoxFuture;
use sqlx::SqliteConnection;
use sqlx::sqlite::SqlitePool;

use self::fault::Fault;
use self::writer::{Priority, Writer};
use crate::error::StoreError;
// The twin uses them as well; the files here find them beside themselves.
use crate::{codec, fault};

pub use self::open::OpenOptions;

/// Every migration, for tests that act as an earlier program.
#[cfg(test)]
pub(crate) use self::open::migrations as migrations_for_tests;

/// A store in one SQLite file.
pub struct SqliteStore {
    place: String,
    writer: Writer,
    /// Absent for a database in memory, which has only the writer's connection.
    readers: Option<SqlitePool>,
}

impl fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteStore").field("place", &self.place).finish_non_exhaustive()
    }
}

impl SqliteStore {
    /// Opens (and at need makes and migrates) the database at a path or a `sqlite:` URL.
    ///
    /// # Errors
    /// [`StoreError::InUse`] if another process runs on the file and `options.exclusive` is set; [`StoreError::Open`]
    /// if it is no database of ours, was written by another version, or this SQLite is not safe to use.
    pub async fn open(path_or_url: &str, options: OpenOptions) -> Result<Self, StoreError> {
        let path = open::path_of(path_or_url);
        let opened = open::open(&path, options).await?;
        let writer = Writer::start(opened.writer, opened.lock);
        Ok(Self { place: path.display().to_string(), writer, readers: Some(opened.readers) })
    }

    /// A store that is gone when it is dropped, for tests.
    ///
    /// # Errors
    /// [`StoreError::Open`] if this SQLite is not safe to use.
    pub async fn in_memory() -> Result<Self, StoreError> {
        let writer = Writer::start(open::open_in_memory().await?, ());
        Ok(Self { place: ":memory:".to_owned(), writer, readers: None })
    }

    /// Runs `work` in a transaction of the writer.
    async fn write<T, F>(&self, priority: Priority, doing: &'static str, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: for<'c> FnOnce(&'c mut SqliteConnection) -> BoxFuture<'c, Result<T, Fault>> + Send + 'static,
    {
        self.writer.run(priority, work).await.map_err(|fault| fault.during(&self.place, doing))
    }

    /// Runs `work` on one snapshot of what is committed.
    async fn read<T, F>(&self, doing: &'static str, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: for<'c> FnOnce(&'c mut SqliteConnection) -> BoxFuture<'c, Result<T, Fault>> + Send + 'static,
    {
        let Some(readers) = &self.readers else {
            return self.write(Priority::Decide, doing, work).await;
        };
        let result = async {
            let mut snapshot = readers.begin().await?;
            let value = work(&mut snapshot).await?;
            snapshot.rollback().await?;
            Ok(value)
        };
        result.await.map_err(|fault: Fault| fault.during(&self.place, doing))
    }

    /// Runs `work` of a single statement, which sees one snapshot without a transaction around it.
    async fn look<T, F>(&self, doing: &'static str, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: for<'c> FnOnce(&'c mut SqliteConnection) -> BoxFuture<'c, Result<T, Fault>> + Send + 'static,
    {
        let Some(readers) = &self.readers else {
            return self.write(Priority::Decide, doing, work).await;
        };
        let result = async { work(&mut *readers.acquire().await?).await };
        result.await.map_err(|fault: Fault| fault.during(&self.place, doing))
    }

    /// Runs `work` as upkeep: how tests reach behind the traits.
    #[cfg(test)]
    pub(crate) async fn maintain<T, F>(&self, doing: &'static str, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: for<'c> FnOnce(&'c mut SqliteConnection) -> BoxFuture<'c, Result<T, sqlx::Error>> + Send + 'static,
    {
        self.write(Priority::Maintain, doing, move |conn| {
            Box::pin(async move { work(conn).await.map_err(Fault::from) })
        })
        .await
    }

    async fn shut(&self) {
        if let Some(readers) = &self.readers {
            readers.close().await;
        }
        self.writer.close().await;
    }
}
