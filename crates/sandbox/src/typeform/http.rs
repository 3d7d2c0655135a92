//! One Typeform request from the wire to the answer.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::{Value, json};

use super::responses::{list, problem};
use super::state::{Forms, Hook};
use crate::clock::{Millis, answer_after};
use crate::faults::Dice;
use crate::reply::Reply;
use crate::serve::{Kill, Wire};
use crate::world::World;

/// Answers one request.
pub(crate) async fn answer(world: &Arc<World>, wire: Wire, kill: &Kill) -> Reply {
    let begun = Instant::now();
    let now = world.clock.now();
    let (strike, lose, wait) = strikes(world, &wire, now);
    let mut shuffle = shuffler(world, now);
    let reply = match strike {
        Some(reply) => reply,
        None => {
            let mut forms = world.forms();
            let refused = admit(&mut forms, &wire, now);
            refused.unwrap_or_else(|| route(&mut forms, &wire, now, &mut shuffle))
        }
    };
    answer_after(begun, wait).await;
    if lose {
        kill.now();
    }
    reply
}

/// The switches that strike before anything is done, whether the answer is lost, and how long it takes.
fn strikes(world: &World, wire: &Wire, now: Millis) -> (Option<Reply>, bool, Duration) {
    let mut hub = world.hub();
    let number = hub.next();
    hub.oracle.request("typeform request");
    let faults = hub.faults.clone();
    let mut wait = hub.dice.span(faults.latency_ms);
    if !faults.covers(&wire.path) {
        return (None, false, Duration::from_millis(wait));
    }
    if hub.fires(faults.slow, "slow", now, number) {
        wait += hub.dice.span(faults.slow_ms);
    }
    let wait = Duration::from_millis(wait);
    let strike = if hub.fires(faults.throttle_burst, "throttle_burst", now, number) {
        Some(throttled())
    } else if hub.fires(faults.server_error, "server_error", now, number) {
        Some(problem(503, "SERVICE_UNAVAILABLE", "Try again later"))
    } else if hub.fires(faults.html, "html", now, number) {
        Some(Reply::html(200, "Log in"))
    } else if hub.fires(faults.truncated, "truncated", now, number) {
        Some(Reply::bytes(200, b"{\"total_items\":1,\"page_count\":1,\"items\":[{\"tok".to_vec()))
    } else {
        None
    };
    let lose = strike.is_none() && hub.fires(faults.lost_response, "lost_response", now, number);
    (strike, lose, wait)
}

fn throttled() -> Reply {
    problem(429, "TOO_MANY_REQUESTS", "You have reached the rate limit of 2 requests per second")
}

/// Token and the limit of 2 requests per second and token (API-FACTS Typeform).
fn admit(forms: &mut Forms, wire: &Wire, now: Millis) -> Option<Reply> {
    let token = wire.authorization.as_deref().and_then(|header| header.split_once(' '));
    let token =
        token.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer")).map(|(_, token)| token.trim());
    let Some(token) = token.filter(|token| forms.tokens.iter().any(|known| known == token)) else {
        return Some(problem(
            401,
            "AUTHENTICATION_FAILED",
            "Authentication credentials not found on the Request Headers",
        ));
    };
    let limit = forms.limit?;
    let window = forms.window.entry(token.to_owned()).or_default();
    while window.front().is_some_and(|at| *at <= now - 1_000) {
        window.pop_front();
    }
    if window.len() >= limit {
        return Some(throttled());
    }
    window.push_back(now);
    None
}

#[derive(Deserialize)]
struct HookInput {
    url: String,
    enabled: bool,
    #[serde(default)]
    secret: Option<String>,
    #[serde(default)]
    verify_ssl: bool,
}

/// Puts a page's rows out of order, when the switch fires. Dice of its own, since the forms are locked meanwhile.
fn shuffler(world: &World, now: Millis) -> impl FnMut(&mut Vec<Value>) + use<> {
    let mut hub = world.hub();
    let rate = hub.faults.shuffled;
    let mut dice = hub.fires(rate, "shuffled", now, 0).then(|| Dice::new(hub.dice.bits()));
    move |rows| {
        if let Some(dice) = &mut dice {
            dice.untidy(rows);
        }
    }
}

fn route(forms: &mut Forms, wire: &Wire, now: Millis, shuffle: &mut impl FnMut(&mut Vec<Value>)) -> Reply {
    let segments = wire.segments();
    let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
    let ["forms", id, rest @ ..] = segments.as_slice() else {
        return problem(404, "NOT_FOUND", "There is nothing here");
    };
    let Some(form) = forms.all.get_mut(*id) else {
        return problem(404, "FORM_NOT_FOUND", &format!("Non existing form with uid {id}"));
    };
    match (wire.method.as_str(), rest) {
        ("GET", []) => Reply::json(200, &json!(form.spec)),
        ("GET", ["responses"]) => list(form, &wire.query, now, shuffle),
        ("GET", ["webhooks"]) => {
            let items: Vec<Value> = form.hooks.iter().map(|(tag, hook)| hook.json(id, tag)).collect();
            Reply::json(200, &json!({"items": items}))
        }
        ("GET", ["webhooks", tag]) => match form.hooks.get(*tag) {
            Some(hook) => Reply::json(200, &hook.json(id, tag)),
            None => problem(404, "NOT_FOUND", &format!("There is no webhook {tag}")),
        },
        ("PUT", ["webhooks", tag]) => {
            let Ok(input) = serde_json::from_slice::<HookInput>(&wire.body) else {
                return problem(400, "VALIDATION_ERROR", "url and enabled are required");
            };
            let created_at = form.hooks.get(*tag).map_or(now, |hook| hook.created_at);
            let hook = Hook {
                url: input.url,
                enabled: input.enabled,
                secret: input.secret,
                verify_ssl: input.verify_ssl,
                created_at,
                updated_at: now,
            };
            let reply = Reply::json(200, &hook.json(id, tag));
            form.hooks.insert((*tag).to_owned(), hook);
            reply
        }
        ("DELETE", ["webhooks", tag]) => match form.hooks.remove(*tag) {
            Some(_) => Reply::empty(204),
            None => problem(404, "NOT_FOUND", &format!("There is no webhook {tag}")),
        },
        _ => problem(405, "METHOD_NOT_ALLOWED", "This method is not allowed here"),
    }
}
