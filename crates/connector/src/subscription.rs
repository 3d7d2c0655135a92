//! Subscriptions: what the vendor was told to call, kept as it should be. For vendors that can be told by API.

use async_trait::async_trait;

use crate::fault::Fault;

/// What a connection wants to be called by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscription {
    /// Where the vendor shall call.
    pub url: String,
    /// Names this installation at the vendor, in letters, digits and `-`. What carries it was made by us.
    pub marker: String,
    /// Every URL of this installation that is wanted, `url` included: whatever else carries the marker is a stray.
    pub wanted: Vec<String>,
}

/// What was done about a subscription; all false if it was as it should be.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Subscribed {
    /// It was missing.
    pub created: bool,
    /// It was switched off, or called another URL.
    pub repaired: bool,
    /// How many strays were deleted.
    pub strays: usize,
}

/// Tells the vendor what to call.
#[async_trait]
pub trait Subscriber: Send + Sync {
    /// Lists what the vendor calls, compares, creates only what is missing, repairs what is switched off and deletes
    /// strays that carry the marker. What carries no marker belongs to somebody else and is left alone.
    async fn ensure(&self, wanted: &Subscription) -> Result<Subscribed, Fault>;
}
