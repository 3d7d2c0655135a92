//! This process among the nodes of its storage: whether it lives, and whether it leads.
//!
//! Both are leases that heartbeats renew. A node whose heartbeats fail stops by itself, before any other takes its place:
//! its leases are counted from before the question, and nothing that they cover starts after them.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use jiff::SignedDuration;
use usher_host::{Lease, Life, Moment};
use usher_store::{Fence, StoreError};

use crate::engine::Engine;
use crate::error::EngineError;

/// How long a node is believed to live, and to lead, without a further sign of it: what a takeover waits for.
const TTL: Duration = Duration::from_secs(8);
/// Clocks that are further apart than this are worth a warning: times of different nodes stand side by side in stories.
const SKEW: SignedDuration = SignedDuration::from_secs(2);

/// A pause before a database that went away is asked again.
const AGAIN: Duration = Duration::from_millis(500);

/// What the last heartbeats said.
#[derive(Debug, Default)]
pub(crate) struct Node {
    life: Life,
    lead: RwLock<Option<(Fence, Lease)>>,
    skewed: AtomicBool,
}

impl Node {
    pub(crate) fn life(&self) -> Life {
        self.life.clone()
    }

    fn lead(&self) -> Option<Fence> {
        let lead = *self.lead.read().unwrap_or_else(PoisonError::into_inner);
        lead.filter(|(_, lease)| lease.holds_for(Duration::ZERO)).map(|(fence, _)| fence)
    }

    pub(crate) fn set_lead(&self, lead: Option<(Fence, Lease)>) {
        *self.lead.write().unwrap_or_else(PoisonError::into_inner) = lead;
    }
}

impl Engine {
    /// How often [`Engine::beat`] wants to be called.
    pub const BEAT: Duration = Duration::from_secs(2);

    /// Whether other processes may work on the same storage, so that this one has to beat.
    #[must_use]
    pub fn is_one_of_many(&self) -> bool {
        self.store.is_shared()
    }

    /// Says that this node lives, and becomes or stays the leader if no other is. Where it is the only one, it lives and
    /// leads for ever.
    ///
    /// # Errors
    /// If the storage fails, or takes longer than a heartbeat may.
    pub async fn beat(&self) -> Result<(), EngineError> {
        if !self.is_one_of_many() {
            return Ok(());
        }
        let lease = Lease::new(Moment::now(), TTL);
        let clock = self.store.beat(TTL).await?;
        self.node.life.renew(lease);
        self.compare_clocks(self.now().duration_since(clock));
        let lease = Lease::new(Moment::now(), TTL);
        let Some(fence) = self.store.lead(TTL).await? else {
            self.node.set_lead(None);
            return Ok(());
        };
        if self.node.lead() != Some(fence) {
            // Another node may have read them since.
            let (owners, _) = self.store.owners(&self.crm).await?;
            self.replace_owners(&owners);
            tracing::info!(fence = fence.0, "this node leads");
        }
        self.node.set_lead(Some((fence, lease)));
        Ok(())
    }

    /// Whether to store the same again, after a pause: the database went away, and what a claim brought would be forgotten
    /// until the claim has lapsed.
    pub(crate) async fn again(&self, stored: &Result<(), StoreError>) -> bool {
        let again = matches!(stored, Err(StoreError::Away { .. })) && !self.is_stopping();
        if again {
            tokio::time::sleep(AGAIN).await;
        }
        again
    }

    fn compare_clocks(&self, ahead: SignedDuration) {
        let skewed = ahead.abs() > SKEW;
        if self.node.skewed.swap(skewed, Ordering::Relaxed) != skewed && skewed {
            let ahead_ms = i64::try_from(ahead.as_millis()).unwrap_or(i64::MAX);
            tracing::warn!(
                ahead_ms,
                "the clock of this machine differs from the database's: synchronise them"
            );
        }
    }

    /// Whether this node does what only one may do, and under which fence.
    #[must_use]
    pub fn leads(&self) -> Option<Fence> {
        if self.is_one_of_many() { self.node.lead() } else { Some(Fence(0)) }
    }

    /// Leaves the other nodes in good order: they take over at once.
    ///
    /// # Errors
    /// If the storage fails; then they wait for the leases.
    pub async fn leave(&self) -> Result<(), EngineError> {
        self.node.life.end();
        self.node.set_lead(None);
        Ok(self.store.leave().await?)
    }
}
