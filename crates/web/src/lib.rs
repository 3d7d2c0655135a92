//! HTTP in: webhooks, leads by API, health.
//!
//! Hook paths answer 2xx only after the durable commit, and 503 with `Retry-After` while the daemon starts, drains or
//! can not store: never 404, which makes some senders give up for good.

mod api;
mod health;
mod hooks;
mod problem;
mod room;
mod serve;
mod state;

use axum::Router;
use axum::routing::{any, get, post};

pub use room::MAX_BODY;
pub use serve::serve;
pub use state::{Gate, WebSettings};

/// Every route.
pub fn router(gate: Gate) -> Router {
    Router::new()
        .route("/hooks/{connection}", any(hooks::receive))
        .route("/api/leads", post(api::add_lead))
        .route("/healthz", get(health::alive))
        .route("/readyz", get(health::ready))
        .with_state(gate)
}
