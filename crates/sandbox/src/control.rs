//! The control API under `/_sandbox/`, for other processes: seed, act as people do, switch faults, ask the oracle.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use crate::faults::Faults;
use crate::hubspot::{HubspotSim, Limits, OAuthApp, Owner, WebhookTarget};
use crate::oracle::{Actor, Change, event_json};
use crate::typeform::{FormSpec, Submission, TypeformSim};
use crate::world::World;
use crate::{Error, set_faults};

pub(crate) type Shared = State<Arc<World>>;
pub(crate) type Answer = Result<Response, Refusal>;

/// A refused control request; the text says what to correct.
pub(crate) struct Refusal(String);

impl Refusal {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        (StatusCode::BAD_REQUEST, json!({"error": self.0}).to_string()).into_response()
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self(error.to_string())
    }
}

pub(crate) fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Refusal> {
    serde_json::from_slice(body).map_err(|error| Refusal(format!("the body does not fit: {error}")))
}

pub(crate) fn show(value: &impl serde::Serialize) -> Answer {
    let body = serde_json::to_vec(value).map_err(|error| Refusal(error.to_string()))?;
    Ok(([("content-type", "application/json")], body).into_response())
}

fn hubspot(world: &Arc<World>) -> HubspotSim {
    HubspotSim { world: Arc::clone(world) }
}

fn typeform(world: &Arc<World>) -> TypeformSim {
    TypeformSim { world: Arc::clone(world) }
}

/// All control routes; every simulator serves them.
pub(crate) fn router(world: Arc<World>) -> Router {
    Router::new()
        .route("/_sandbox/health", get(async || "ok"))
        .route("/_sandbox/seed", post(seed))
        .route("/_sandbox/contacts", post(contact).get(contacts))
        .route("/_sandbox/objects/{object}", post(create))
        .route("/_sandbox/objects/{object}/{id}", get(read).patch(update).delete(archive))
        .route("/_sandbox/merge", post(merge))
        .route("/_sandbox/owners", put(owner))
        .route("/_sandbox/tokens", put(token))
        .route("/_sandbox/oauth", get(oauth).put(oauth_app))
        .route("/_sandbox/oauth/expire", post(oauth_expire))
        .route("/_sandbox/oauth/revoke", post(oauth_revoke))
        .route("/_sandbox/limits", put(limits))
        .route("/_sandbox/webhook", put(webhook))
        .route("/_sandbox/forms", post(form))
        .route("/_sandbox/forms/{form}/responses", post(submit).get(taken))
        .route("/_sandbox/faults", get(faults).put(put_faults))
        .route("/_sandbox/fired", get(fired))
        .route("/_sandbox/oracle", get(oracle))
        .route("/_sandbox/summary", get(summary))
        .route("/_sandbox/clock", post(clock))
        .nest("/_sandbox/pipedrive", crate::pipedrive::control::router())
        .layer(DefaultBodyLimit::disable())
        .with_state(world)
}

async fn seed(State(world): Shared, body: String) -> Answer {
    let ids = hubspot(&world).seed(&body)?;
    show(&json!({"records": ids.len(), "first_id": ids.first(), "last_id": ids.last()}))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewRecord {
    properties: Map<String, Value>,
    #[serde(default = "by_hand")]
    source: String,
}

fn by_hand() -> String {
    "CRM_UI".to_owned()
}

async fn contact(State(world): Shared, body: Bytes) -> Answer {
    let input: NewRecord = parse(&body)?;
    let id = hubspot(&world).create("contacts", &input.properties, &input.source)?;
    show(&json!({"id": id.to_string()}))
}

async fn create(State(world): Shared, Path(object): Path<String>, body: Bytes) -> Answer {
    let input: NewRecord = parse(&body)?;
    let id = hubspot(&world).create(&object, &input.properties, &input.source)?;
    show(&json!({"id": id.to_string()}))
}

/// Every living contact with its owner, one JSON object a line.
async fn contacts(State(world): Shared) -> Answer {
    let mut out = String::new();
    for owned in hubspot(&world).ownership() {
        out.push_str(&json!(owned).to_string());
        out.push('\n');
    }
    Ok(([("content-type", "application/x-ndjson")], out).into_response())
}

async fn read(State(world): Shared, Path((object, id)): Path<(String, u64)>) -> Answer {
    match hubspot(&world).read(&object, id) {
        Some(record) => show(&record),
        None => Ok(StatusCode::NOT_FOUND.into_response()),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Edit {
    properties: Map<String, Value>,
    #[serde(default)]
    actor: Option<String>,
}

/// Who acts, a person unless told.
pub(crate) fn actor(name: Option<&str>) -> Result<Actor, Refusal> {
    match name {
        None | Some("human") => Ok(Actor::Human),
        Some("workflow") => Ok(Actor::Workflow),
        Some("form_tool") => Ok(Actor::FormTool),
        Some(other) => Err(Refusal(format!("actor is human, workflow or form_tool, not {other}"))),
    }
}

async fn update(State(world): Shared, Path((object, id)): Path<(String, u64)>, body: Bytes) -> Answer {
    let input: Edit = parse(&body)?;
    let actor = actor(input.actor.as_deref())?;
    show(&json!({"changed": hubspot(&world).update(&object, id, &input.properties, actor)?}))
}

async fn archive(State(world): Shared, Path((object, id)): Path<(String, u64)>) -> Answer {
    show(&json!({"archived": hubspot(&world).archive(&object, id)?}))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MergeInput {
    object: String,
    primary: u64,
    other: u64,
}

async fn merge(State(world): Shared, body: Bytes) -> Answer {
    let input: MergeInput = parse(&body)?;
    let id = hubspot(&world).merge(&input.object, input.primary, input.other)?;
    show(&json!({"id": id.to_string()}))
}

async fn owner(State(world): Shared, body: Bytes) -> Answer {
    hubspot(&world).put_owner(parse::<Owner>(&body)?);
    show(&json!({}))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TokenInput {
    token: String,
    #[serde(default)]
    scopes: Option<Vec<String>>,
    #[serde(default)]
    expired: bool,
}

async fn token(State(world): Shared, body: Bytes) -> Answer {
    let input: TokenInput = parse(&body)?;
    hubspot(&world).put_token(&input.token, input.scopes, input.expired);
    show(&json!({}))
}

/// The app and what its authorization server has done.
async fn oauth(State(world): Shared) -> Answer {
    let account = hubspot(&world);
    show(&json!({"app": account.app(), "counts": account.oauth_counts()}))
}

async fn oauth_app(State(world): Shared, body: Bytes) -> Answer {
    hubspot(&world).put_app(parse::<OAuthApp>(&body)?);
    show(&json!({}))
}

async fn oauth_expire(State(world): Shared) -> Answer {
    hubspot(&world).expire_access();
    show(&json!({}))
}

async fn oauth_revoke(State(world): Shared) -> Answer {
    hubspot(&world).revoke_grants();
    show(&json!({}))
}

async fn limits(State(world): Shared, body: Bytes) -> Answer {
    hubspot(&world).set_limits(parse::<Option<Limits>>(&body)?);
    show(&json!({}))
}

async fn webhook(State(world): Shared, body: Bytes) -> Answer {
    hubspot(&world).set_webhook(parse::<Option<WebhookTarget>>(&body)?);
    show(&json!({}))
}

async fn form(State(world): Shared, body: Bytes) -> Answer {
    typeform(&world).define(parse::<FormSpec>(&body)?);
    show(&json!({}))
}

async fn submit(State(world): Shared, Path(form): Path<String>, body: Bytes) -> Answer {
    let submission = Submission { form, ..parse::<Submission>(&body)? };
    show(&json!({"token": typeform(&world).submit(&submission)?}))
}

/// Every response that was taken, as the oracle remembers it.
async fn taken(State(world): Shared, Path(form): Path<String>) -> Answer {
    show(&typeform(&world).taken(&form))
}

async fn faults(State(world): Shared) -> Answer {
    let faults = world.hub().faults.clone();
    show(&faults)
}

async fn put_faults(State(world): Shared, body: Bytes) -> Answer {
    set_faults(&world, parse::<Faults>(&body)?);
    show(&json!({}))
}

async fn fired(State(world): Shared) -> Answer {
    let fired = hubspot(&world).fired();
    show(&fired)
}

#[derive(Deserialize)]
struct OracleQuery {
    #[serde(default)]
    after: usize,
    limit: Option<usize>,
    object: Option<String>,
    id: Option<u64>,
    change: Option<String>,
    actor: Option<String>,
}

/// Events from a position on; `next` is the position to go on from.
async fn oracle(State(world): Shared, Query(query): Query<OracleQuery>) -> Answer {
    let name = |value: Value| value.as_str().map(str::to_owned);
    let change = |change: Change| name(json!(change));
    let actor = |actor: Actor| name(json!(actor)["type"].clone());
    let hub = world.hub();
    let events = hub.oracle.events();
    let limit = query.limit.unwrap_or(10_000);
    let (mut found, mut next) = (Vec::new(), events.len());
    for (seq, event) in events.iter().enumerate().skip(query.after) {
        let fits = query.object.as_deref().is_none_or(|object| object == event.object())
            && query.id.is_none_or(|id| id == event.id)
            && query.change.as_ref().is_none_or(|wanted| change(event.change).as_ref() == Some(wanted))
            && query.actor.as_ref().is_none_or(|wanted| actor(event.actor).as_ref() == Some(wanted));
        if !fits {
            continue;
        }
        if found.len() == limit {
            next = seq;
            break;
        }
        found.push(event_json(seq, event));
    }
    show(&json!({"events": found, "next": next, "total": events.len()}))
}

async fn summary(State(world): Shared) -> Answer {
    show(&hubspot(&world).summary())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Advance {
    advance_ms: u64,
}

async fn clock(State(world): Shared, body: Bytes) -> Answer {
    let input: Advance = parse(&body)?;
    world.clock.advance(Duration::from_millis(input.advance_ms));
    world.settle();
    show(&json!({"now": world.clock.now()}))
}
