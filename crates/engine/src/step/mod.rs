//! The steps, in the order in which a lead passes them.

pub(crate) mod decide;
pub(crate) mod deliver;
pub(crate) mod dispatch;
mod entered;
pub(crate) mod fetch;
mod forgotten;
mod gone;
mod open_deals;
mod ownership;
pub(crate) mod prepare;
pub(crate) mod pull;
pub(crate) mod quota;
pub(crate) mod receive;
pub(crate) mod reconcile;
pub(crate) mod refresh;
pub(crate) mod split;
pub(crate) mod subscribe;
mod verify;
pub(crate) mod watch;
