//! Nodes on SQLite: the lock on the file makes the one process the only node and the leader.

use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;

use super::SqliteStore;
use crate::error::StoreError;
use crate::nodes::{Fence, NodeStatus, Nodes};

#[async_trait]
impl Nodes for SqliteStore {
    fn is_shared(&self) -> bool {
        false
    }

    async fn beat(&self, _ttl: Duration) -> Result<Timestamp, StoreError> {
        Ok(Timestamp::now())
    }

    async fn lead(&self, _ttl: Duration) -> Result<Option<Fence>, StoreError> {
        Ok(Some(Fence(0)))
    }

    async fn leave(&self) -> Result<(), StoreError> {
        Ok(())
    }

    async fn nodes(&self) -> Result<Vec<NodeStatus>, StoreError> {
        Ok(Vec::new())
    }
}
