//! Quota: what of the vendors' limits is spent outlives the process, and so does a vendor's wish to be left alone.

use usher_connector::LimitStanding;

use crate::engine::Engine;
use crate::error::EngineError;

impl Engine {
    /// Stores where the limits of every connection stand. To be called now and then, and before the process ends: what
    /// is spent between the last call and a crash is forgotten.
    ///
    /// # Errors
    /// If the storage fails.
    pub async fn save_quotas(&self) -> Result<(), EngineError> {
        let now = self.now();
        for connected in self.connections.values() {
            let mut standing = connected.gauge.standing();
            standing.retain(|limit| {
                limit.blocked_until.is_some() || limit.strikes > 0 || !limit.spent.is_empty()
            });
            if standing.is_empty() {
                continue;
            }
            let value = serde_json::to_value(standing)
                .map_err(|source| EngineError::Defect { place: "a quota", source: Box::new(source) })?;
            self.store.put_quota(&connected.name, value, now).await?;
        }
        Ok(())
    }

    /// Takes up the limits where the last process stopped. What can not be read is as good as nothing spent: the
    /// vendor's own headers say it soon enough.
    pub(crate) async fn resume_quotas(&self) -> Result<(), EngineError> {
        for (connection, value) in self.store.quotas().await? {
            let standing: Result<Vec<LimitStanding>, _> = serde_json::from_value(value);
            match (self.connections.get(&connection), standing) {
                (Some(connected), Ok(standing)) => connected.gauge.resume(standing),
                (Some(_), Err(error)) => {
                    tracing::warn!(%connection, %error, "the stored quota can not be read");
                }
                (None, _) => {}
            }
        }
        Ok(())
    }
}
