//! The HubSpot simulator: the endpoints that lead routing needs, as unkind as the vendor.

pub(crate) mod associations;
pub(crate) mod batch;
pub(crate) mod call;
pub(crate) mod catalog;
pub(crate) mod change;
pub(crate) mod errors;
pub(crate) mod http;
pub(crate) mod json;
pub(crate) mod kinds;
pub(crate) mod later;
pub(crate) mod limits;
pub(crate) mod links;
pub(crate) mod oauth;
pub(crate) mod oauth_http;
pub(crate) mod objects;
pub(crate) mod owners;
pub(crate) mod properties;
pub(crate) mod props;
pub(crate) mod record;
pub(crate) mod registry;
pub(crate) mod routes;
pub(crate) mod search;
pub(crate) mod search_filter;
pub(crate) mod search_plan;
pub(crate) mod sim;
pub(crate) mod sorted;
pub(crate) mod state;
pub(crate) mod table;
pub(crate) mod validate;
pub(crate) mod webhooks;
pub(crate) mod write;

pub use limits::Limits;
pub use oauth::{OAuthApp, OAuthCounts};
pub use owners::{Owner, Team};
pub use sim::HubspotSim;
pub use webhooks::{Subscription, WebhookTarget, sign_v3};
