//! Webhooks in: checked on the raw bytes, stored, answered.

use axum::body::Body;
use axum::extract::{OriginalUri, Path, Query, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use usher_connector::Parts;
use usher_engine::{EngineError, Received};
use usher_model::ConnectionName;

use crate::problem::Problem;
use crate::state::Gate;

pub(crate) async fn receive(
    State(gate): State<Gate>,
    Path(connection): Path<String>,
    method: Method,
    OriginalUri(uri): OriginalUri,
    Query(query): Query<Vec<(String, String)>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let engine = gate.engine().map_err(Problem::unavailable)?;
    let body = gate.room.read(&headers, body).await?;
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let parts = Parts { method, url: format!("{}{path}", gate.settings.public_url), query, headers };
    let (body, _room) = body.into_parts();
    match engine.receive(&ConnectionName::new(connection), &parts, body).await {
        Ok(Received::Stored) => Ok(StatusCode::OK.into_response()),
        Ok(Received::Reply(reply)) => {
            Ok(([(header::CONTENT_TYPE, reply.content_type)], reply.body).into_response())
        }
        Ok(Received::Refused(refusal)) => {
            let status = StatusCode::from_u16(refusal.status).unwrap_or(StatusCode::BAD_REQUEST);
            Err(Problem::new(status, "usher:refused", "the request was refused; usher's log says why"))
        }
        Err(EngineError::Unsuitable { .. }) => Err(Problem::new(
            StatusCode::NOT_FOUND,
            "usher:no-such-hook",
            "no connection of this name takes webhooks",
        )),
        Err(error) => {
            tracing::error!(error = &error as &dyn std::error::Error, "a webhook could not be stored");
            Err(Problem::unavailable("the request could not be stored"))
        }
    }
}
