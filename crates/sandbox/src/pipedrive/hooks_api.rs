//! Endpoints of webhooks, v1 only (v1 document: getWebhooks, addWebhook, deleteWebhook).

use serde::Deserialize;
use serde_json::{Value, json};

use super::call::{Answer, Call, ok};
use super::errors::Problem;
use super::hooks::Hook;
use super::state::Drive;
use super::users::COMPANY;
use crate::clock::iso;
use crate::reply::Reply;

const ACTIONS: [&str; 4] = ["create", "change", "delete", "*"];
const OBJECTS: [&str; 11] = [
    "activity",
    "deal",
    "lead",
    "note",
    "organization",
    "person",
    "pipeline",
    "product",
    "stage",
    "user",
    "*",
];
/// Pipedrive guide for webhooks: 40 of each user.
const MOST: usize = 40;

impl Hook {
    /// As the list shows it; the documents' example has neither user nor password.
    fn json(&self, hides: bool) -> Value {
        let shown = |text: &Option<String>| text.clone().filter(|_| !hides);
        json!({
            "id": self.id,
            "company_id": COMPANY,
            "owner_id": self.user,
            "user_id": self.user,
            "event_action": self.action,
            "event_object": self.object,
            "subscription_url": self.url,
            "version": "2.0",
            "is_active": u8::from(self.active),
            "add_time": iso(self.added),
            "remove_time": null,
            "type": "general",
            "http_auth_user": shown(&self.auth_user),
            "http_auth_password": shown(&self.auth_password),
            "remove_reason": null,
            "last_delivery_time": self.last_delivery.map(iso),
            "last_http_status": self.last_status,
            "admin_id": self.user,
            "name": self.name,
        })
    }
}

/// `GET /v1/webhooks`.
pub(crate) fn list(drive: &mut Drive, _call: &Call<'_>) -> Answer {
    let hides = drive.faults.hidden_hook_password;
    let hooks: Vec<Value> = drive.hooks.values().map(|hook| hook.json(hides)).collect();
    ok(&json!({"status": "ok", "success": true, "data": hooks}))
}

#[derive(Deserialize)]
struct Input {
    subscription_url: String,
    event_action: String,
    event_object: String,
    name: String,
    #[serde(default)]
    user_id: Option<u64>,
    #[serde(default)]
    http_auth_user: Option<String>,
    #[serde(default)]
    http_auth_password: Option<String>,
    #[serde(default)]
    version: Option<String>,
}

fn check(drive: &Drive, input: &Input, user: u64) -> Result<(), Problem> {
    let refuse = |name: &str, reason: &str| Err(Problem::webhook(400, name, reason));
    let url = url::Url::parse(&input.subscription_url);
    if !url.is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host()) {
        return refuse("subscription_url", "invalid or non-reachable URL");
    }
    if !ACTIONS.contains(&input.event_action.as_str()) {
        return refuse("event_action", "is not an action");
    }
    if !OBJECTS.contains(&input.event_object.as_str()) {
        return refuse("event_object", "is not an object");
    }
    // Version 1.0 is at its end at the vendor and not simulated.
    if input.version.as_deref().is_some_and(|version| version != "2.0") {
        return refuse("version", "must be 2.0");
    }
    if input.name.is_empty() || input.name.chars().count() > 255 {
        return refuse("name", "must have 1 to 255 characters");
    }
    if drive.hooks.values().filter(|hook| hook.user == user).count() >= MOST {
        return refuse("user_id", "has too many webhooks");
    }
    Ok(())
}

/// `POST /v1/webhooks`: 201.
pub(crate) fn create(drive: &mut Drive, call: &Call<'_>) -> Answer {
    let input: Input = serde_json::from_slice(call.body)
        .map_err(|error| Problem::webhook(400, "body", &error.to_string()))?;
    let user = input.user_id.unwrap_or(call.by.user);
    check(drive, &input, user)?;
    let id = drive.next();
    let hook = Hook {
        id,
        user,
        action: input.event_action,
        object: input.event_object,
        url: input.subscription_url,
        name: input.name,
        active: true,
        auth_user: input.http_auth_user,
        auth_password: input.http_auth_password,
        added: call.by.at,
        last_delivery: None,
        last_status: None,
        failed: 0,
        banned_until: 0,
        failing_since: None,
    };
    let body = json!({"status": "ok", "success": true, "data": hook.json(drive.faults.hidden_hook_password)});
    drive.hooks.insert(id, hook);
    Ok(Reply::json(201, &body))
}

/// `DELETE /v1/webhooks/{id}`.
pub(crate) fn delete(drive: &mut Drive, call: &Call<'_>) -> Answer {
    let found = call.id.parse().ok().and_then(|id: u64| drive.hooks.remove(&id));
    found.ok_or_else(|| Problem::webhook(404, "id", "not found"))?;
    ok(&json!({"status": "ok", "success": true}))
}
