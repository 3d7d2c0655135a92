//! HubSpot's answers, as far as they are read.

use std::borrow::Cow;
use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use serde_json::value::RawValue;
use usher_connector::{Fault, FaultClass};
use usher_model::ExternalId;

/// The property that names the owner.
const OWNER: &str = "hubspot_owner_id";

/// A text that borrows from the body where it holds no escapes.
#[derive(Debug, Deserialize)]
pub(crate) struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

impl Text<'_> {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

/// A page of a list, a search or a batch read, its rows unparsed.
#[derive(Debug, Deserialize)]
pub(crate) struct Page<'a> {
    #[serde(borrow)]
    pub(crate) results: Vec<&'a RawValue>,
    #[serde(default)]
    pub(crate) paging: Option<Paging>,
    #[serde(default, deserialize_with = "or_default")]
    pub(crate) errors: Vec<ErrorBody>,
}

impl Page<'_> {
    /// The token of the next page; `None` on the last.
    pub(crate) fn after(&self) -> Option<&str> {
        Some(&self.paging.as_ref()?.next.as_ref()?.after)
    }
}

#[derive(Debug, Deserialize)]
pub(crate) struct Paging {
    #[serde(default)]
    pub(crate) next: Option<Next>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Next {
    pub(crate) after: String,
}

/// A row of any object, complete.
#[derive(Debug, Clone, Default, Deserialize)]
pub(crate) struct Object {
    pub(crate) id: String,
    #[serde(default, deserialize_with = "or_default")]
    pub(crate) properties: BTreeMap<String, Option<String>>,
    #[serde(default)]
    pub(crate) archived: bool,
    #[serde(default, rename = "createdAt")]
    pub(crate) created_at: Option<String>,
    #[serde(default, rename = "propertiesWithHistory", deserialize_with = "or_default")]
    history: BTreeMap<String, Vec<Was>>,
}

/// What a property was.
#[derive(Debug, Clone, Deserialize)]
struct Was {
    #[serde(default)]
    value: Option<String>,
}

impl Object {
    /// What the property is, and was as far as that was asked for.
    pub(crate) fn texts(&self, property: &str) -> impl Iterator<Item = &str> {
        let past = self.history.get(property).into_iter().flatten();
        self.get(property).into_iter().chain(past.filter_map(|was| was.value.as_deref()))
    }

    /// The owner, where it was asked for. HubSpot shows what has no value as `null`, so a row without the property does not
    /// say whether somebody owns the object.
    pub(crate) fn owner(&self) -> Result<Option<ExternalId>, Fault> {
        if self.properties.contains_key(OWNER) {
            return Ok(self.get(OWNER).map(ExternalId::new));
        }
        Err(Fault::new(FaultClass::Transient, "an object in HubSpot's answer does not show its owner"))
    }

    /// The property's text; an empty one counts as none.
    pub(crate) fn get(&self, property: &str) -> Option<&str> {
        self.properties.get(property)?.as_deref().filter(|text| !text.is_empty())
    }
}

/// The answer to a batch read.
#[derive(Debug, Deserialize)]
pub(crate) struct Objects {
    pub(crate) results: Vec<Object>,
    #[serde(default, deserialize_with = "or_default")]
    pub(crate) errors: Vec<ErrorBody>,
}

/// The answer to a batch write: objects, or pairs where associations were made.
#[derive(Debug, Deserialize)]
pub(crate) struct BatchAnswer {
    pub(crate) results: Vec<BatchRow>,
    #[serde(default, deserialize_with = "or_default")]
    pub(crate) errors: Vec<ErrorBody>,
}

/// One row that a batch write did.
#[derive(Debug, Clone, Default, Deserialize)]
pub(crate) struct BatchRow {
    #[serde(default)]
    pub(crate) id: Option<String>,
    #[serde(default, rename = "objectWriteTraceId")]
    pub(crate) trace: Option<String>,
    #[serde(default, deserialize_with = "or_default")]
    pub(crate) properties: BTreeMap<String, Option<String>>,
    #[serde(default)]
    pub(crate) from: Option<End>,
    #[serde(default)]
    pub(crate) to: Option<End>,
}

impl BatchRow {
    /// The owner that the answer shows; none if it shows no owner at all.
    pub(crate) fn owner(&self) -> Option<&str> {
        self.properties.get(OWNER)?.as_deref().filter(|owner| !owner.is_empty())
    }
}

/// One end of an association.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct End {
    #[serde(deserialize_with = "any_id")]
    pub(crate) id: String,
}

/// The answer to a read of associations.
#[derive(Debug, Deserialize)]
pub(crate) struct Associations {
    pub(crate) results: Vec<AssociationRow>,
    #[serde(default, deserialize_with = "or_default")]
    pub(crate) errors: Vec<ErrorBody>,
}

/// What one object is associated with.
#[derive(Debug, Deserialize)]
pub(crate) struct AssociationRow {
    #[serde(default)]
    pub(crate) from: Option<End>,
    #[serde(default)]
    pub(crate) to: Vec<Associated>,
    #[serde(default)]
    pub(crate) paging: Option<Paging>,
}

/// One associated object. HubSpot writes this id as a number and others as text.
#[derive(Debug, Deserialize)]
pub(crate) struct Associated {
    #[serde(rename = "toObjectId", deserialize_with = "any_id")]
    pub(crate) id: String,
}

/// A failure, of a call or of a row in a batch. Every field may be missing.
#[derive(Debug, Clone, Default, Deserialize)]
pub(crate) struct ErrorBody {
    #[serde(default)]
    pub(crate) status: Option<String>,
    #[serde(default)]
    pub(crate) category: Option<String>,
    #[serde(default, rename = "subCategory")]
    pub(crate) sub_category: Option<Value>,
    #[serde(default)]
    pub(crate) message: Option<String>,
    #[serde(default, rename = "policyName")]
    pub(crate) policy: Option<String>,
    #[serde(default)]
    code: Option<String>,
    #[serde(default, deserialize_with = "or_default")]
    pub(crate) errors: Vec<ErrorBody>,
    #[serde(default, deserialize_with = "or_default")]
    context: BTreeMap<String, Value>,
}

impl ErrorBody {
    pub(crate) fn is(&self, category: &str) -> bool {
        self.category.as_deref() == Some(category)
    }

    /// The row names an object that does not exist.
    pub(crate) fn is_not_found(&self) -> bool {
        self.is("OBJECT_NOT_FOUND") || self.codes().any(|(code, _)| code == "OBJECT_NOT_FOUND")
    }

    /// An association read of an object that has none.
    pub(crate) fn is_no_association(&self) -> bool {
        self.sub_category
            .as_ref()
            .and_then(Value::as_str)
            .is_some_and(|text| text.ends_with("NO_ASSOCIATIONS_FOUND"))
    }

    /// Something with that unique value is there already: a contact's e-mail, or a unique property.
    pub(crate) fn is_conflict(&self) -> bool {
        self.is("CONFLICT")
            || self.existing_id().is_some()
            || self.codes().any(|(code, _)| code == "CONFLICTING_UNIQUE_VALUE")
    }

    /// The owner is what the vendor does not accept.
    pub(crate) fn is_about_owner(&self) -> bool {
        self.codes().any(|(code, property)| property == "hubspot_owner_id" || code.contains("OWNER"))
    }

    /// The id that a conflict names ("Contact already exists. Existing ID: 123").
    pub(crate) fn existing_id(&self) -> Option<String> {
        let (_, behind) = self.message.as_deref()?.split_once("Existing ID:")?;
        let digits: String = behind.trim_start().chars().take_while(char::is_ascii_digit).collect();
        (!digits.is_empty()).then_some(digits)
    }

    /// What the failure's context lists under a key.
    pub(crate) fn context(&self, key: &str) -> Vec<String> {
        match self.context.get(key) {
            Some(Value::Array(list)) => list.iter().filter_map(plain).collect(),
            Some(value) => plain(value).into_iter().collect(),
            None => Vec::new(),
        }
    }

    /// Error codes with the property that each is about (empty if none). HubSpot puts them into `errors`, or as JSON
    /// behind `Property values were not valid:` in the message.
    pub(crate) fn codes(&self) -> impl Iterator<Item = (String, String)> + '_ {
        let own = std::iter::once(self).chain(&self.errors).flat_map(|error| {
            let mut properties = error.context("propertyName");
            if properties.is_empty() {
                properties.push(String::new());
            }
            let code = error.code.clone().unwrap_or_default();
            properties.into_iter().map(move |property| (code.clone(), property))
        });
        let embedded =
            self.message.as_deref().and_then(|text| text.split_once("not valid: ")).map(|(_, json)| json);
        let embedded: Vec<BadValue> =
            embedded.and_then(|json| serde_json::from_str(json).ok()).unwrap_or_default();
        own.chain(embedded.into_iter().map(|bad| (bad.error, bad.name)))
            .filter(|(code, property)| !code.is_empty() || !property.is_empty())
    }

    /// What is wrong, in category, codes and property names. Never the vendor's message: it quotes values.
    pub(crate) fn words(&self) -> String {
        let safe =
            |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.".contains(&byte));
        let mut parts: Vec<String> = self.category.iter().filter(|text| safe(text)).cloned().collect();
        for (code, property) in self.codes() {
            let part = match (code.as_str(), property.as_str()) {
                (code, "") => code.to_owned(),
                ("", property) => format!("property {property}"),
                (code, property) => format!("{code} at property {property}"),
            };
            if safe(&code) && safe(&property) && !parts.contains(&part) {
                parts.push(part);
            }
        }
        if parts.is_empty() { "no reason given".to_owned() } else { parts.join(", ") }
    }
}

#[derive(Debug, Deserialize)]
struct BadValue {
    #[serde(default)]
    error: String,
    #[serde(default)]
    name: String,
}

/// A time as HubSpot writes it: ISO 8601 with offset, or milliseconds since 1970. Other forms are no time.
pub(crate) fn instant(text: &str) -> Option<Timestamp> {
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Timestamp::from_millisecond(text.parse().ok()?).ok();
    }
    text.parse().ok()
}

fn plain(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// `null` counts as missing.
pub(crate) fn or_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(
    from: D,
) -> Result<T, D::Error> {
    Option::<T>::deserialize(from).map(Option::unwrap_or_default)
}

/// An id as text, whether it came as text or number.
fn any_id<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    let value = Value::deserialize(from)?;
    plain(&value).ok_or_else(|| serde::de::Error::custom("an id is neither text nor number"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn error(json: &str) -> ErrorBody {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn words_hold_codes_and_no_values() {
        let embedded = error(
            r#"{"status":"error","category":"VALIDATION_ERROR","message":"Property values were not valid: [{\"isValid\":false,\"message\":\"Email address ana@acme is invalid\",\"error\":\"INVALID_EMAIL\",\"name\":\"email\"}]"}"#,
        );
        assert_eq!(embedded.words(), "VALIDATION_ERROR, INVALID_EMAIL at property email");
        let listed = error(
            r#"{"category":"VALIDATION_ERROR","errors":[{"message":"x","code":"INVALID_OPTION","context":{"propertyName":["hubspot_owner_id"]}}],"context":null}"#,
        );
        assert!(listed.is_about_owner());
        assert_eq!(error(r#"{"message":"ana@acme.example is odd"}"#).words(), "no reason given");
    }

    #[test]
    fn fm_056_a_conflict_names_the_existing_id() {
        let conflict =
            error(r#"{"category":"CONFLICT","message":"Contact already exists. Existing ID: 4711"}"#);
        assert_eq!(conflict.existing_id().as_deref(), Some("4711"));
        assert_eq!(error(r#"{"category":"CONFLICT","message":"exists"}"#).existing_id(), None);
    }

    #[test]
    fn fm_021_times_have_two_known_forms() {
        assert_eq!(instant("2026-11-22T10:00:00.123Z").unwrap().as_millisecond(), 1_795_341_600_123);
        assert_eq!(instant("1795341600123").unwrap().as_millisecond(), 1_795_341_600_123);
        assert_eq!(instant("2026-11-22T11:00:00.123+01:00").unwrap().as_millisecond(), 1_795_341_600_123);
        assert_eq!(instant("2026-11-22 10:00"), None);
        assert_eq!(instant(""), None);
    }
}
