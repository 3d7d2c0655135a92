//! Which HubSpot property holds which field of a lead. Fields without a line here have no home in HubSpot.

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use usher_connector::{Fault, FaultClass};

/// Field of the lead, property of the contact.
const CONTACT: &[(&str, &str)] = &[
    ("email", "email"),
    ("phone", "phone"),
    ("first_name", "firstname"),
    ("last_name", "lastname"),
    ("title", "jobtitle"),
    ("company", "company"),
    ("website", "website"),
    ("street", "address"),
    ("city", "city"),
    ("state", "state"),
    ("postal_code", "zip"),
    ("country", "country"),
    ("message", "message"),
];

/// Properties to create a contact with; fields that HubSpot has no place for are left out.
pub(crate) fn to_create(fields: &BTreeMap<String, Value>) -> Map<String, Value> {
    let mut properties = Map::new();
    for (field, property) in CONTACT {
        if let Some(text) = fields.get(*field).and_then(text) {
            properties.insert((*property).to_owned(), Value::String(text));
        }
    }
    let nameless = !properties.contains_key("firstname") && !properties.contains_key("lastname");
    if nameless && let Some(name) = fields.get("full_name").and_then(text) {
        let (first, last) = name.trim().split_once(char::is_whitespace).unwrap_or(("", name.trim()));
        for (property, part) in [("firstname", first), ("lastname", last.trim())] {
            if !part.is_empty() {
                properties.insert(property.to_owned(), Value::String(part.to_owned()));
            }
        }
    }
    // HubSpot wants one of e-mail, first and last name; a caller may have left a number only.
    let named = ["email", "firstname", "lastname"].iter().any(|property| properties.contains_key(*property));
    if !named && let Some(phone) = properties.get("phone").cloned() {
        properties.insert("lastname".to_owned(), phone);
    }
    properties
}

/// Properties to update; a field without a place is refused, since whoever planned the write counts on it.
pub(crate) fn to_update(fields: &BTreeMap<String, Value>) -> Result<Map<String, Value>, Fault> {
    let mut properties = Map::new();
    for (field, value) in fields {
        let Some((_, property)) = CONTACT.iter().find(|(name, _)| name == field) else {
            let message = format!("the field `{field}` has no HubSpot property in this version");
            return Err(Fault::new(FaultClass::Rejected, message).advise("leave it out of what is written"));
        };
        // An empty text clears a property.
        properties.insert((*property).to_owned(), Value::String(text(value).unwrap_or_default()));
    }
    Ok(properties)
}

/// Every HubSpot property is a text on the wire.
fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) if text.trim().is_empty() => None,
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(flag.to_string()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;

    fn created(fields: &Value) -> Value {
        Value::Object(to_create(&serde_json::from_value(fields.clone()).unwrap()))
    }

    #[test]
    fn names_come_from_parts_or_are_split() {
        assert_eq!(
            created(&json!({ "full_name": "Ana María de la Cruz", "budget": 5, "title": null })),
            json!({ "firstname": "Ana", "lastname": "María de la Cruz" })
        );
        assert_eq!(
            created(&json!({ "full_name": "x y", "last_name": "Cruz", "postal_code": "01067" })),
            json!({ "lastname": "Cruz", "zip": "01067" })
        );
        assert_eq!(created(&json!({ "full_name": "Ana" })), json!({ "lastname": "Ana" }));
    }

    #[test]
    fn a_bare_number_gets_a_name_so_that_hubspot_takes_it() {
        assert_eq!(
            created(&json!({ "phone": "+4930123" })),
            json!({ "phone": "+4930123", "lastname": "+4930123" })
        );
    }

    #[test]
    fn an_update_of_a_homeless_field_is_refused_by_name() {
        let fields = BTreeMap::from([("urgency".to_owned(), json!("high"))]);
        assert!(to_update(&fields).unwrap_err().to_string().contains("`urgency`"));
    }
}
