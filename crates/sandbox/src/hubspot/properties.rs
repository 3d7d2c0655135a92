//! The properties API: definitions, groups, creation (API-FACTS HubSpot: Unique properties).

use serde_json::{Value, json};

use super::call::{Call, Reply};
use super::errors::ApiError;
use super::kinds::KINDS;
use super::registry::{Definition, MAX_UNIQUE};
use super::state::Hub;

/// `GET /crm/properties/{date}/{object}`.
pub(crate) fn list(hub: &Hub, call: &Call<'_>, kind: usize) -> Result<Reply, ApiError> {
    call.need(KINDS[kind].read_scope)?;
    let results: Vec<Value> = hub.tables[kind].registry.iter().map(Definition::json).collect();
    Ok(Reply::json(200, &json!({"results": results})))
}

/// `GET .../{object}/{name}`.
pub(crate) fn read(hub: &Hub, call: &Call<'_>, kind: usize, name: &str) -> Result<Reply, ApiError> {
    call.need(KINDS[kind].read_scope)?;
    let registry = &hub.tables[kind].registry;
    let prop = registry.find(name).ok_or_else(|| missing(name))?;
    Ok(Reply::json(200, &registry.get(prop).json()))
}

fn missing(name: &str) -> ApiError {
    ApiError::new(404, "OBJECT_NOT_FOUND", format!("Property {name} does not exist"))
}

fn groups_of(kind: usize) -> Vec<String> {
    vec![format!("{}information", KINDS[kind].singular)]
}

/// `GET .../{object}/groups`.
pub(crate) fn groups(call: &Call<'_>, kind: usize) -> Result<Reply, ApiError> {
    call.need(KINDS[kind].read_scope)?;
    let results: Vec<Value> = groups_of(kind)
        .iter()
        .map(|name| json!({"name": name, "label": name, "displayOrder": -1, "archived": false}))
        .collect();
    Ok(Reply::json(200, &json!({"results": results})))
}

/// `POST .../{object}`.
pub(crate) fn create(hub: &mut Hub, call: &Call<'_>, kind: usize) -> Result<Reply, ApiError> {
    // No schema scope is task-specific; activities take the one of contacts (API-FACTS HubSpot: Auth).
    let scope = match KINDS[kind].plural {
        "companies" => "crm.schemas.companies.write",
        "deals" => "crm.schemas.deals.write",
        _ => "crm.schemas.contacts.write",
    };
    call.need(scope)?;
    let body: Value = call.json()?;
    let word = |key: &str| body.get(key).and_then(Value::as_str);
    for key in ["name", "label", "type", "fieldType", "groupName"] {
        if word(key).is_none_or(str::is_empty) {
            return Err(ApiError::validation(format!("{key} is required")));
        }
    }
    let name = word("name").unwrap_or_default();
    let well_formed = name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    if !well_formed {
        return Err(ApiError::validation(format!("Property name {name} is not valid")));
    }
    let group = word("groupName").unwrap_or_default();
    if !groups_of(kind).iter().any(|known| known == group) {
        return Err(ApiError::validation(format!("Property group {group} does not exist")));
    }
    let registry = &mut hub.tables[kind].registry;
    if registry.find(name).is_some() {
        return Err(ApiError::new(409, "CONFLICT", format!("A property named '{name}' already exists.")));
    }
    let unique = body.get("hasUniqueValue").and_then(Value::as_bool).unwrap_or(false);
    if unique && registry.iter().filter(|definition| definition.unique).count() >= MAX_UNIQUE {
        return Err(ApiError::validation(format!(
            "The limit of {MAX_UNIQUE} unique properties has been reached"
        )));
    }
    let prop = registry.define(&body, kind, call.stamp.at).ok_or_else(|| ApiError::malformed("no name"))?;
    Ok(Reply::json(201, &registry.get(prop).json()))
}
