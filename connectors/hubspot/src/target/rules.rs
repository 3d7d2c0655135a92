//! What the account's own definitions let into the properties of a contact: a value that HubSpot would refuse is left
//! out, so that it does not cost the whole contact (FM-055).
//!
//! An admin may turn a text like `country` into a choice, or delete a property. Lengths and formats that an admin
//! demands are not part of the definitions; HubSpot's word on those ends the write as refused.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::{Map, Value};
use usher_connector::{CallLane, Fault, Http, Request};

use crate::api::{self, CONTACTS, VERSION};

/// Definitions are read again after so long, and after a refusal.
const KEPT: Duration = Duration::from_secs(3_600);
/// After so long if they could not be read.
const AGAIN: Duration = Duration::from_secs(60);
const EMAIL: &str = "email";

/// The definitions of contact properties, and until when they hold.
#[derive(Default)]
pub(super) struct Rules {
    read: Mutex<Option<(Instant, Arc<Definitions>)>>,
}

/// Definitions by name; none if they could not be read, and then everything fits.
#[derive(Default)]
pub(super) struct Definitions(BTreeMap<String, Definition>);

#[derive(Deserialize)]
struct Listed {
    results: Vec<Definition>,
}

#[derive(Deserialize)]
struct Definition {
    name: String,
    #[serde(default, rename = "type")]
    kind: String,
    #[serde(default)]
    options: Vec<Choice>,
    /// Its options are kept elsewhere, as owners are.
    #[serde(default, rename = "externalOptions")]
    external: bool,
    #[serde(default, rename = "modificationMetadata")]
    change: Change,
}

#[derive(Deserialize)]
struct Choice {
    label: String,
    value: String,
}

#[derive(Default, Deserialize)]
struct Change {
    #[serde(default, rename = "readOnlyValue")]
    read_only: bool,
}

impl Rules {
    /// The definitions, read at most once in an hour. Without the scope to read them a write goes out as it is.
    pub(super) async fn definitions(&self, http: &dyn Http) -> Arc<Definitions> {
        if let Some((until, known)) = &*self.lock()
            && Instant::now() < *until
        {
            return Arc::clone(known);
        }
        // What HubSpot does not say beforehand it says when it refuses the write.
        let (read, lasts) = match read(http).await {
            Ok(read) => (Arc::new(read), KEPT),
            Err(_) => (Arc::default(), AGAIN),
        };
        *self.lock() = Some((Instant::now() + lasts, Arc::clone(&read)));
        read
    }

    /// HubSpot refused a value: the definitions may have changed.
    pub(super) fn forget(&self) {
        *self.lock() = None;
    }

    /// Whoever panicked under the lock left a whole value.
    fn lock(&self) -> std::sync::MutexGuard<'_, Option<(Instant, Arc<Definitions>)>> {
        self.read.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn read(http: &dyn Http) -> Result<Definitions, Fault> {
    let request =
        Request::get(format!("/crm/properties/{VERSION}/{CONTACTS}")).lane(CallLane::Write).limits(api::CALL);
    let listed: Listed = http.send(request).await?.json()?;
    Ok(Definitions(listed.results.into_iter().map(|each| (each.name.clone(), each)).collect()))
}

impl Definitions {
    /// Brings values into the form that HubSpot takes, and removes those that have none. Says which and why, without the
    /// values. What tells the contact from others, its address and our key, stays: a contact without it would be made
    /// again.
    pub(super) fn fit(&self, properties: &mut Map<String, Value>, key: Option<&str>) -> Option<String> {
        if self.0.is_empty() {
            return None;
        }
        let mut left_out = Vec::new();
        let identifies = |name: &str| name == EMAIL || Some(name) == key;
        properties.retain(|name, value| {
            identifies(name)
                || match self.fitted(name, value.as_str().unwrap_or_default()) {
                    Ok(fitted) => {
                        *value = Value::String(fitted);
                        true
                    }
                    Err(reason) => {
                        left_out.push(format!("{name} ({reason})"));
                        false
                    }
                }
        });
        (!left_out.is_empty()).then(|| format!("left out: {}", left_out.join(", ")))
    }

    fn fitted(&self, name: &str, text: &str) -> Result<String, &'static str> {
        let definition = self.0.get(name).ok_or("HubSpot has no such property")?;
        if definition.change.read_only {
            return Err("HubSpot does not let it be written");
        }
        // HubSpot refuses blanks around anything but texts.
        let trimmed = text.trim();
        match definition.kind.as_str() {
            "enumeration" | "bool" if !definition.external && !definition.options.is_empty() => {
                definition.choice(trimmed).ok_or("not one of HubSpot's options")
            }
            "number" if trimmed.parse::<f64>().is_err() => Err("no number"),
            "number" | "enumeration" | "bool" => Ok(trimmed.to_owned()),
            // No field of a lead is a time; what a text says about one is not for us to read.
            "date" | "datetime" => Err("HubSpot wants a time here"),
            _ => Ok(text.to_owned()),
        }
    }
}

impl Definition {
    /// The option of that value, else of that value or label in another case.
    fn choice(&self, text: &str) -> Option<String> {
        let lower = text.to_lowercase();
        let same = |option: &&Choice| option.value == text;
        let alike = |option: &&Choice| {
            option.value.to_lowercase() == lower || option.label.trim().to_lowercase() == lower
        };
        let mut options = self.options.iter();
        let found = options.find(same).or_else(|| self.options.iter().find(alike));
        found.map(|option| option.value.clone())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;

    fn definitions() -> Definitions {
        let listed: Listed = serde_json::from_value(json!({ "results": [
            { "name": "firstname", "type": "string" },
            { "name": "country", "type": "enumeration", "options": [
                { "label": "Germany", "value": "DE" }, { "label": "France ", "value": "FR" } ] },
            { "name": "owner", "type": "enumeration", "externalOptions": true, "options": [] },
            { "name": "zip", "type": "number" },
            { "name": "city", "type": "string", "modificationMetadata": { "readOnlyValue": true } },
            { "name": "since", "type": "date" },
        ] }))
        .unwrap();
        Definitions(listed.results.into_iter().map(|each| (each.name.clone(), each)).collect())
    }

    #[test]
    fn fm_040_what_tells_the_contact_from_others_is_never_left_out() {
        // Keys are made while the daemon runs; what it has read of the definitions may be older.
        let given = json!({ "email": "ana@acme.example", "usher_key": "k", "nickname": "An" });
        let mut properties = given.as_object().unwrap().clone();
        definitions().fit(&mut properties, Some("usher_key"));
        assert_eq!(Value::Object(properties), json!({ "email": "ana@acme.example", "usher_key": "k" }));
    }

    #[test]
    fn fm_055_values_take_the_form_of_the_account_or_are_left_out() {
        let fitted = |given: Value| {
            let mut properties = given.as_object().unwrap().clone();
            let note = definitions().fit(&mut properties, Some("usher_key"));
            (Value::Object(properties), note)
        };
        for (given, kept) in [("DE", "DE"), ("de", "DE"), (" germany ", "DE"), ("FRANCE", "FR")] {
            assert_eq!(fitted(json!({ "country": given })), (json!({ "country": kept }), None));
        }
        assert_eq!(
            fitted(
                json!({ "firstname": " Ana ", "country": "Utopia", "zip": "01067 Dresden", "city": "Bonn",
                "since": "2026-01-01", "message": "x", "owner": "7" })
            ),
            (
                json!({ "firstname": " Ana ", "owner": "7" }),
                Some(
                    "left out: country (not one of HubSpot's options), zip (no number), \
                     city (HubSpot does not let it be written), since (HubSpot wants a time here), \
                     message (HubSpot has no such property)"
                        .to_owned()
                )
            )
        );
    }
}
