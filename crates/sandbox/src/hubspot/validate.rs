//! Checks property values as the vendor does before it writes them.
//!
//! API-FACTS HubSpot: Owner write, Create, Tasks, 2026-09 ("Property value rules apply to every version").

use serde_json::{Map, Value, json};

use super::catalog::LIFECYCLE;
use super::errors::{ApiError, BadValue};
use super::kinds::{COMPANIES, CONTACTS, KINDS};
use super::record::Record;
use super::registry::{Definition, ValueType};
use super::state::Hub;
use super::write::Values;
use crate::clock::{iso, parse_time};

/// Checks the properties of a create or (with the record) an update.
pub(crate) fn check(
    hub: &Hub,
    kind: usize,
    input: &Map<String, Value>,
    existing: Option<&Record>,
) -> Result<Values, ApiError> {
    let registry = &hub.tables[kind].registry;
    let (mut values, mut bad) = (Values::new(), Vec::new());
    for (name, value) in input {
        let Some(prop) = registry.find(name) else {
            bad.push(bad_value(format!("Property \"{name}\" does not exist"), "PROPERTY_DOESNT_EXIST", name));
            continue;
        };
        let text = match value {
            Value::Null => String::new(),
            Value::String(text) => text.clone(),
            Value::Number(_) | Value::Bool(_) => value.to_string(),
            _ => return Err(ApiError::malformed(&format!("the value of {name} is not a string"))),
        };
        let definition = registry.get(prop);
        let present = existing.and_then(|record| record.props.get(prop));
        match checked(hub, definition, text, present) {
            Ok(Some(text)) => values.push((prop, Some(text).filter(|text| !text.is_empty()))),
            Ok(None) => {}
            Err(problem) => bad.push(problem),
        }
    }
    if !bad.is_empty() {
        return Err(ApiError::values(&bad));
    }
    Ok(values)
}

fn bad_value(message: String, code: &'static str, name: &str) -> BadValue {
    BadValue { message, code, name: name.to_owned() }
}

/// The value to store, none where the vendor ignores it.
fn checked(
    hub: &Hub,
    definition: &Definition,
    text: String,
    present: Option<&str>,
) -> Result<Option<String>, BadValue> {
    let name = definition.name.as_str();
    if definition.read_only {
        let message = format!("\"{name}\" is a read only property; its value cannot be set.");
        return Err(bad_value(message, "READ_ONLY_VALUE", name));
    }
    if text.is_empty() {
        return Ok(Some(text));
    }
    if definition.value_type != ValueType::Text && text.trim() != text {
        // HubSpot changelog: Enhanced validations for non-string properties (January 2025).
        let message = format!("\"{text}\" includes leading or trailing whitespace.");
        return Err(bad_value(message, "LEADING_TRAILING_WHITESPACE", name));
    }
    if name == "hubspot_owner_id" {
        let known =
            text.parse().ok().and_then(|id: u64| hub.owners.get(&id)).is_some_and(|owner| !owner.archived);
        let message = format!("Owner {text} does not exist");
        return if known { Ok(Some(text)) } else { Err(bad_value(message, "INVALID_OWNER_ID", name)) };
    }
    if name == "email" {
        return checked_email(&text);
    }
    match definition.value_type {
        ValueType::Time => match parse_time(&text) {
            Some(at) => Ok(Some(iso(at))),
            None => Err(bad_value(format!("{text} was not a valid long."), "INVALID_LONG", name)),
        },
        ValueType::Number if text.parse::<f64>().is_err() => {
            Err(bad_value(format!("{text} was not a valid number."), "INVALID_NUMBER", name))
        }
        ValueType::Choice if !definition.options.is_empty() && !definition.options.contains(&text) => {
            let message =
                format!("{text} was not one of the allowed options: [{}]", definition.options.join(", "));
            Err(bad_value(message, "INVALID_OPTION", name))
        }
        _ if name == "lifecyclestage" && moves_back(&text, present) => Ok(None),
        _ => Ok(Some(text)),
    }
}

fn checked_email(text: &str) -> Result<Option<String>, BadValue> {
    let text = text.trim().to_lowercase();
    let valid = text.split_once('@').is_some_and(|(local, domain)| {
        !local.is_empty() && domain.contains('.') && !domain.starts_with('.') && !domain.ends_with('.')
    }) && !text.contains(char::is_whitespace);
    if valid {
        Ok(Some(text))
    } else {
        Err(bad_value(format!("Email address {text} is invalid"), "INVALID_EMAIL", "email"))
    }
}

/// `lifecyclestage` moves only forward; a step back is accepted and ignored (API-FACTS HubSpot: Owner write).
fn moves_back(text: &str, present: Option<&str>) -> bool {
    let rank = |stage: &str| LIFECYCLE.iter().position(|other| *other == stage);
    present.and_then(rank).zip(rank(text)).is_some_and(|(now, then)| then < now)
}

/// What a create must bring.
pub(crate) fn check_required(kind: usize, input: &Map<String, Value>) -> Result<(), ApiError> {
    let set = |name: &str| match input.get(name) {
        Some(Value::String(text)) => !text.trim().is_empty(),
        Some(Value::Null) | None => false,
        Some(_) => true,
    };
    let missing: Vec<&str> = KINDS[kind].required.iter().copied().filter(|name| !set(name)).collect();
    if !missing.is_empty() {
        let what = KINDS[kind].singular.to_uppercase();
        return Err(ApiError::validation(format!(
            "Error creating {what}. Some required properties were not set."
        ))
        .with("context", json!({"properties": missing})));
    }
    if kind == CONTACTS && !["email", "firstname", "lastname"].into_iter().any(set) {
        return Err(ApiError::validation("At least one of email, firstname or lastname must be set.")
            .with("context", json!({"properties": ["email", "firstname", "lastname"]})));
    }
    if kind == COMPANIES && !["name", "domain"].into_iter().any(set) {
        return Err(ApiError::validation("At least one of name or domain must be set.")
            .with("context", json!({"properties": ["name", "domain"]})));
    }
    Ok(())
}

/// Refuses values of unique properties that another living record holds.
pub(crate) fn check_unique(
    hub: &Hub,
    kind: usize,
    values: &Values,
    own: Option<u64>,
) -> Result<(), ApiError> {
    let table = &hub.tables[kind];
    for (prop, value) in values {
        let Some(value) = value else { continue };
        let definition = table.registry.get(*prop);
        let email = kind == CONTACTS && definition.name == "email";
        if !email && !definition.unique {
            continue;
        }
        let Some(holder) = table.unique(*prop, value).filter(|holder| Some(*holder) != own) else { continue };
        if email {
            return Err(ApiError::contact_exists(holder));
        }
        let message = format!("Cannot set {} to {value}: {holder} already has that value.", definition.name);
        return Err(ApiError::values(&[bad_value(message, "CONFLICTING_UNIQUE_VALUE", &definition.name)]));
    }
    Ok(())
}
