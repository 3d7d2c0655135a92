//! Nodes: the processes that work on one database, and which of them does what only one may do.

use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;

use crate::error::StoreError;

/// A token of leadership. It grows with every change of the leader, so that storage can refuse a leader that was
/// replaced while it slept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fence(pub u64);

/// One process, as an operator sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeStatus {
    /// Its name.
    pub name: String,
    /// When it was first heard of.
    pub since: Timestamp,
    /// Whether it has been heard of lately.
    pub alive: bool,
    /// Whether it leads.
    pub leads: bool,
}

/// Nodes. A handle on a storage is a node; it becomes visible with its first beat. Times are measured by the database's
/// clock, whose reading a beat returns.
#[async_trait]
pub trait Nodes: Send + Sync {
    /// Whether other processes may work on the same storage. Where not, the one node lives and leads for ever.
    fn is_shared(&self) -> bool;

    /// Says that this node lives for at least `ttl` more. Claims of nodes that are dead by now are let go: records are
    /// prepared again, and what was being sent becomes `unknown`, never `planned`.
    async fn beat(&self, ttl: Duration) -> Result<Timestamp, StoreError>;

    /// Becomes or stays the leader for `ttl`. `None` if another node leads.
    async fn lead(&self, ttl: Duration) -> Result<Option<Fence>, StoreError>;

    /// Leaves in good order: lets go of leadership and of what is still claimed, at once.
    async fn leave(&self) -> Result<(), StoreError>;

    /// The nodes that were heard of within a day, by name; none where there can be only one.
    async fn nodes(&self) -> Result<Vec<NodeStatus>, StoreError>;
}
