//! HTTP in: webhooks, leads by API, health.
//!
//! Hook paths answer 2xx only after the durable commit, and 503 with `Retry-After` while the daemon starts, drains or
//! can not store: never 404, which makes some senders give up for good.

mod api;
mod health;
mod hooks;
mod problem;
mod state;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::{any, get, post};

pub use state::{Gate, WebSettings};

/// The largest body that is taken, in bytes.
pub const MAX_BODY: usize = 1024 * 1024;

/// Every route.
pub fn router(gate: Gate) -> Router {
    Router::new()
        .route("/hooks/{connection}", any(hooks::receive))
        .route("/api/leads", post(api::add_lead))
        .route("/healthz", get(health::alive))
        .route("/readyz", get(health::ready))
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .with_state(gate)
}
