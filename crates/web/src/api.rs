//! Leads by API: `POST /api/leads` with the lead's own field names as JSON.
//!
//! Asks for `Authorization: Bearer <key>` of `http.api_key`. An `Idempotency-Key` makes a repeat harmless. Answers 202
//! with `{"record": id}` once the lead is stored durably.

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use serde_json::json;
use serde_json::value::RawValue;

use crate::problem::Problem;
use crate::state::Gate;

pub(crate) async fn add_lead(
    State(gate): State<Gate>,
    headers: HeaderMap,
    body: Body,
) -> Result<(StatusCode, Json<serde_json::Value>), Problem> {
    authorize(&gate, &headers)?;
    let engine = gate.engine().map_err(Problem::unavailable)?;
    let body = gate.room.read(&headers, body).await?;
    let payload: Box<RawValue> = serde_json::from_slice(&body.bytes).map_err(|error| {
        let place = format!("line {}, column {}", error.line(), error.column());
        Problem::new(StatusCode::BAD_REQUEST, "usher:json", "the body is not JSON").with(vec![place])
    })?;
    let id = headers.get("idempotency-key").and_then(|value| value.to_str().ok());
    match engine.add_lead(payload, id).await {
        Ok(Ok(added)) => Ok((StatusCode::ACCEPTED, Json(json!({ "record": added.record })))),
        Ok(Err(refused)) => {
            let title = "the lead can not be taken as it is";
            Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "usher:lead", title).with(refused.problems))
        }
        Err(error) => {
            tracing::error!(error = &error as &dyn std::error::Error, "a lead could not be stored");
            Err(Problem::unavailable("the lead could not be stored"))
        }
    }
}

fn authorize(gate: &Gate, headers: &HeaderMap) -> Result<(), Problem> {
    let Some(key) = &gate.settings.api_key else {
        let title = "this route is off; set http.api_key in usher.yaml to turn it on";
        return Err(Problem::new(StatusCode::FORBIDDEN, "usher:off", title));
    };
    let given = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let given = given.and_then(|value| value.strip_prefix("Bearer "));
    if given.is_some_and(|given| key.matches(given.as_bytes())) {
        return Ok(());
    }
    let title = "the API key is missing or wrong; send `Authorization: Bearer <http.api_key>`";
    Err(Problem::new(StatusCode::UNAUTHORIZED, "usher:key", title))
}
