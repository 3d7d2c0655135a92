//! The Pipedrive part of the control API, under `/_sandbox/pipedrive/`.

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::routing::{get, post, put};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::fields::PipedriveField;
use super::kinds::lead_number;
use super::limits::PipedriveLimits;
use super::oauth::PipedriveApp;
use super::sim::{PipedriveSim, PipedriveToken};
use super::users::PipedriveUser;
use crate::control::{Answer, Refusal, Shared, actor, parse, show};
use crate::oracle::{Actor, event_json};
use crate::world::World;

fn sim(world: &Arc<World>) -> PipedriveSim {
    PipedriveSim { world: Arc::clone(world) }
}

/// The routes below `/_sandbox/pipedrive`; the caller gives them the world.
pub(crate) fn router() -> Router<Arc<World>> {
    Router::new()
        .route("/seed", post(seed))
        .route("/users", put(user))
        .route("/tokens", put(token))
        .route("/fields/{object}", post(field))
        .route("/objects/{object}", post(create))
        .route("/objects/{object}/{id}", get(read).patch(update).delete(delete))
        .route("/merge", post(merge))
        .route("/oauth", get(oauth).put(oauth_app))
        .route("/oauth/expire", post(oauth_expire))
        .route("/oauth/revoke", post(oauth_revoke))
        .route("/limits", put(limits))
        .route("/exhaust", post(exhaust))
        .route("/fired", get(fired))
        .route("/oracle", get(oracle))
        .route("/ownership/{object}", get(ownership))
        .route("/summary", get(summary))
}

async fn seed(State(world): Shared, body: String) -> Answer {
    let ids = sim(&world).seed(&body)?;
    show(&json!({"records": ids.len(), "first_id": ids.first(), "last_id": ids.last()}))
}

async fn user(State(world): Shared, body: Bytes) -> Answer {
    sim(&world).put_user(parse::<PipedriveUser>(&body)?);
    show(&json!({}))
}

async fn token(State(world): Shared, body: Bytes) -> Answer {
    sim(&world).put_token(parse::<PipedriveToken>(&body)?);
    show(&json!({}))
}

async fn field(State(world): Shared, Path(object): Path<String>, body: Bytes) -> Answer {
    let key = sim(&world).put_field(&object, parse::<PipedriveField>(&body)?)?;
    show(&json!({ "key": key }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    fields: Map<String, Value>,
    #[serde(default)]
    custom_fields: Map<String, Value>,
    #[serde(default)]
    actor: Option<String>,
}

async fn create(State(world): Shared, Path(object): Path<String>, body: Bytes) -> Answer {
    let input: Record = parse(&body)?;
    let actor: Actor = actor(input.actor.as_deref())?;
    show(&json!({"id": sim(&world).create(&object, &input.fields, &input.custom_fields, actor)?}))
}

/// A number, or the UUID of a lead.
fn number(id: &str) -> Result<u64, Refusal> {
    let number = id.parse().ok().or_else(|| lead_number(id));
    number.ok_or_else(|| Refusal::new("the id is a number or the UUID of a lead"))
}

async fn read(State(world): Shared, Path((object, id)): Path<(String, String)>) -> Answer {
    match sim(&world).read(&object, number(&id)?) {
        Some(record) => show(&record),
        None => Ok(StatusCode::NOT_FOUND.into_response()),
    }
}

async fn update(State(world): Shared, Path((object, id)): Path<(String, String)>, body: Bytes) -> Answer {
    let input: Record = parse(&body)?;
    let actor = actor(input.actor.as_deref())?;
    show(&json!({"changed": sim(&world).update(&object, number(&id)?, &input.fields, actor)?}))
}

async fn delete(State(world): Shared, Path((object, id)): Path<(String, String)>) -> Answer {
    show(&json!({"deleted": sim(&world).delete(&object, number(&id)?)?}))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Merge {
    object: String,
    primary: u64,
    other: u64,
}

async fn merge(State(world): Shared, body: Bytes) -> Answer {
    let input: Merge = parse(&body)?;
    show(&json!({"id": sim(&world).merge(&input.object, input.primary, input.other)?}))
}

async fn oauth(State(world): Shared) -> Answer {
    show(&sim(&world).app())
}

async fn oauth_app(State(world): Shared, body: Bytes) -> Answer {
    sim(&world).put_app(parse::<PipedriveApp>(&body)?);
    show(&json!({}))
}

async fn oauth_expire(State(world): Shared) -> Answer {
    sim(&world).expire_access();
    show(&json!({}))
}

async fn oauth_revoke(State(world): Shared) -> Answer {
    sim(&world).revoke_grants();
    show(&json!({}))
}

async fn limits(State(world): Shared, body: Bytes) -> Answer {
    sim(&world).set_limits(parse::<Option<PipedriveLimits>>(&body)?);
    show(&json!({}))
}

async fn exhaust(State(world): Shared) -> Answer {
    sim(&world).exhaust_tokens();
    show(&json!({}))
}

async fn fired(State(world): Shared) -> Answer {
    show(&sim(&world).fired())
}

#[derive(Deserialize)]
struct From {
    #[serde(default)]
    after: usize,
}

/// Events from a position on; `next` is the position to go on from.
async fn oracle(State(world): Shared, Query(from): Query<From>) -> Answer {
    let events = sim(&world).events(from.after);
    let shown: Vec<Value> = (from.after..).zip(&events).map(|(seq, event)| event_json(seq, event)).collect();
    show(&json!({"events": shown, "next": from.after + events.len()}))
}

async fn ownership(State(world): Shared, Path(object): Path<String>) -> Answer {
    show(&sim(&world).ownership(&object))
}

async fn summary(State(world): Shared) -> Answer {
    show(&sim(&world).summary())
}
