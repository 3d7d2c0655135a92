//! Health: whether the process lives, and whether it takes and works off leads.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde_json::json;

use crate::problem::Problem;
use crate::state::Gate;

pub(crate) async fn alive() -> StatusCode {
    StatusCode::OK
}

/// As the watchdog found it a few seconds ago: asking often costs nothing.
pub(crate) async fn ready(State(gate): State<Gate>) -> Result<Json<serde_json::Value>, Problem> {
    let engine = gate.engine().map_err(Problem::unavailable)?;
    let health = engine.signs().health();
    if health.unready.is_empty() {
        return Ok(Json(json!({ "ready": true, "mode": engine.mode().as_str() })));
    }
    Err(Problem::unavailable("usher is not ready").with(health.unready))
}
