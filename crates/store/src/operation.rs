//! Operation: what an operator changes by command.

use async_trait::async_trait;
use jiff::Timestamp;
use usher_model::{ConnectionName, EffectKey, LeadId, Mode, RecordId};

use crate::error::StoreError;

/// Operation.
#[async_trait]
pub trait Operation: Send + Sync {
    /// Stops or resumes all writes at once; intake and deciding go on.
    async fn set_paused(&self, paused: bool, reason: &str, now: Timestamp) -> Result<(), StoreError>;

    /// Since when writes are paused, and why.
    async fn paused(&self) -> Result<Option<(Timestamp, String)>, StoreError>;

    /// Holds a connection: its records wait instead of opening leads. `None` releases it.
    async fn hold(
        &self,
        connection: &ConnectionName,
        reason: Option<&str>,
        now: Timestamp,
    ) -> Result<(), StoreError>;

    /// Gives failed records another try: back to `fetched`. All failed ones if `ids` is empty. Returns how many.
    async fn retry_records(&self, ids: &[RecordId], now: Timestamp) -> Result<u64, StoreError>;

    /// Lets leads that failed without any write be decided again. All of them if `ids` is empty. Returns how many.
    async fn retry_leads(&self, ids: &[LeadId], now: Timestamp) -> Result<u64, StoreError>;

    /// Gives rejected or parked effects another try. A parked one goes to `unknown`, so that it is looked up before
    /// anything is sent, unless `resend` says that somebody looked at the vendor and it is not there. Reopens their leads.
    /// All if `keys` is empty. Returns how many.
    async fn retry_effects(
        &self,
        keys: &[EffectKey],
        resend: bool,
        now: Timestamp,
    ) -> Result<u64, StoreError>;

    /// The mode of the last run, and makes `mode` the present one. Going live closes the leads that were only
    /// observed as suppressed; returns how many.
    async fn enter_mode(&self, mode: Mode, now: Timestamp) -> Result<u64, StoreError>;

    /// Lets every claim lapse at once. Only for a process that holds the storage alone: whoever made these claims is
    /// dead. What was being sent becomes `unknown`, never `planned`.
    async fn take_over(&self, now: Timestamp) -> Result<(), StoreError>;

    /// Closes a lead by hand as suppressed and cancels its unsent effects.
    async fn suppress(&self, lead: LeadId, reason: &str, now: Timestamp) -> Result<(), StoreError>;

    /// The secret of this installation, from which effect keys are derived: the stored one, or `fresh` (random bytes),
    /// which is stored first.
    async fn install_key(&self, fresh: [u8; 32]) -> Result<[u8; 32], StoreError>;

    /// Waits for what is queued, checkpoints and closes the database.
    async fn close(&self) -> Result<(), StoreError>;
}
