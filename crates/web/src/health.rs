//! Health: whether the process lives, and whether it takes leads.

use axum::extract::State;
use axum::http::StatusCode;

use crate::problem::Problem;
use crate::state::Gate;

pub(crate) async fn alive() -> StatusCode {
    StatusCode::OK
}

pub(crate) async fn ready(State(gate): State<Gate>) -> Result<StatusCode, Problem> {
    let engine = gate.engine().map_err(Problem::unavailable)?;
    match engine.store().paused().await {
        Ok(_) => Ok(StatusCode::OK),
        Err(error) => {
            tracing::error!(error = &error as &dyn std::error::Error, "the storage does not answer");
            Err(Problem::unavailable("the storage does not answer"))
        }
    }
}
