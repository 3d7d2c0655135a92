//! Backfill: what the CRM knew before we came. Learns companies and owners; opens no leads.

use usher_model::{ConnectionName, Lane, ObjectType};

use crate::engine::Engine;
use crate::error::EngineError;

/// What a backfill would read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackfillPlan {
    /// The streams that have a history.
    pub streams: Vec<ObjectType>,
    /// Whether owners and companies are read as well: the connection is the CRM of record.
    pub directory: bool,
}

/// What a backfill brought.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BackfillReport {
    /// Owners read.
    pub owners: usize,
    /// Companies read.
    pub accounts: usize,
    /// Records read.
    pub records: u64,
}

impl Engine {
    /// What a backfill of the connection would read, without reading it.
    ///
    /// # Errors
    /// If the connection does not exist.
    pub fn backfill_plan(&self, connection: &ConnectionName) -> Result<BackfillPlan, EngineError> {
        let connected = self.connection(connection)?;
        let streams = connected.roles.source.as_ref().map(|source| source.streams()).unwrap_or_default();
        let streams = streams.into_iter().filter(|stream| stream.lanes.contains(&Lane::Backfill));
        Ok(BackfillPlan {
            streams: streams.map(|stream| stream.object).collect(),
            directory: *connection == self.crm && connected.roles.directory.is_some(),
        })
    }

    /// Reads the history of a connection and learns from it. Goes on where an interrupted backfill ended.
    ///
    /// # Errors
    /// If the vendor or the storage fails; the next call goes on from there.
    pub async fn backfill(&self, connection: &ConnectionName) -> Result<BackfillReport, EngineError> {
        let plan = self.backfill_plan(connection)?;
        let mut report = BackfillReport::default();
        if plan.directory {
            let refreshed = self.refresh().await?;
            report.owners = refreshed.owners;
            report.accounts = refreshed.accounts;
        }
        for object in &plan.streams {
            let pulled = self.pull(connection, object, Lane::Backfill, u64::MAX).await?;
            report.records += pulled.new;
        }
        while self.prepare().await? > 0 {}
        Ok(report)
    }
}
