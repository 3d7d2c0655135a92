//! The flood guard: an import of 20,000 rows is no 20,000 tasks.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use usher_model::ConnectionName;

use crate::engine::Engine;
use crate::error::EngineError;

/// How many leads each connection may still open.
pub(super) struct Allowance {
    /// Leads per hour; `None` for no guard.
    limit: Option<u64>,
    opened: BTreeMap<ConnectionName, u64>,
    flooded: BTreeSet<ConnectionName>,
}

impl Allowance {
    /// What the last hour left, or the time since an operator released the connection.
    pub(super) async fn new(engine: &Engine, now: Timestamp) -> Result<Self, EngineError> {
        let limit = engine.write.max_leads_per_hour;
        let opened = match (limit, now.checked_sub(SignedDuration::from_hours(1))) {
            (Some(_), Ok(since)) => engine.store.opened_since(since).await?,
            _ => BTreeMap::new(),
        };
        Ok(Self { limit, opened, flooded: BTreeSet::new() })
    }

    /// Whether the connection may open one more lead. A record that may not stays where it is.
    pub(super) fn admit(&mut self, connection: &ConnectionName) -> bool {
        let Some(limit) = self.limit else {
            return true;
        };
        let opened = self.opened.entry(connection.clone()).or_default();
        if *opened >= limit {
            self.flooded.insert(connection.clone());
            return false;
        }
        *opened += 1;
        true
    }

    /// Holds the connections that would have opened more: their records wait until an operator releases them.
    pub(super) async fn hold_flooded(self, engine: &Engine, now: Timestamp) -> Result<(), EngineError> {
        let limit = self.limit.unwrap_or_default();
        for connection in self.flooded {
            let reason = format!(
                "more than {limit} leads within an hour; look at them with `usher leads list`, then \
                 `usher pause {connection} --resume` lets as many pass again, or raise write.guard.max_per_hour"
            );
            tracing::warn!(%connection, limit, "flood guard: the connection is held");
            engine.store.hold(&connection, Some(&reason), now).await?;
        }
        Ok(())
    }
}
