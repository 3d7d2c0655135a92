//! Persons: found by e-mail, else by number and name, else created. Nothing is unique at Pipedrive, so looking comes first.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use usher_connector::{CallLane, Fault, FaultClass, Request, SendFailure, Write, Written};
use usher_model::{EffectBody, ExternalId, IdentityKind};

use super::{PipedriveTarget, Sent, created, defect, found, number};
use crate::api::{self, PERSONS};
use crate::fields::Definitions;
use crate::find::{self, has_email};
use crate::wire::{self, Object};

pub(super) async fn send(target: &PipedriveTarget, item: &Write) -> Sent {
    let who = Who::of(item)?;
    if let Some(person) = look(target, &who).await? {
        return Ok(found(&person));
    }
    // Held on to: what forgets the definitions meanwhile must not change what this write says.
    let custom = target.custom.marker.is_some() || !target.custom.fields.is_empty();
    let known = match custom {
        true => Some(target.fields.of(PERSONS, std::iter::empty(), CallLane::Write).await?),
        false => None,
    };
    let (body, note) = body(target, item, known.as_deref())?;
    let made = target.write(api::create(PERSONS, &body)?).await;
    if matches!(made, Err(SendFailure::Fault(ref fault)) if fault.class() == FaultClass::Rejected) {
        target.fields.forget(PERSONS);
    }
    if item.owner.is_some() && matches!(made, Err(SendFailure::OwnerRejected { .. })) {
        // The next try is without, so that at least the person is there.
        return Err(Fault::new(FaultClass::Transient, "Pipedrive refuses the person's owner").into());
    }
    let made = made?;
    // An answer may leave out what was not accepted.
    let owned = item.owner.is_some()
        && wire::refers(&made, "owner_id").as_deref() == item.owner.as_ref().map(ExternalId::as_str);
    Ok(Written { note, owned, ..created(&made) })
}

/// Who is there already. Without an address only a number under the same name tells: a number may be a whole company's.
async fn look(target: &PipedriveTarget, who: &Who) -> Result<Option<Object>, Fault> {
    let http = &*target.http;
    if !who.emails.is_empty() {
        let mut known = find::by_email(http, &who.emails, CallLane::Write).await?;
        return Ok(who.emails.iter().find_map(|email| known.remove(email)));
    }
    if who.phone.is_none() {
        return Ok(None);
    }
    // By name: a search for a number finds the one spelling that it is asked for.
    let shown = find::by_search(http, PERSONS, "name", &who.name, CallLane::Write).await?;
    if let Some(person) = shown.into_iter().find(|person| who.is(person)) {
        return Ok(Some(person));
    }
    let recent = find::recent(http, PERSONS, CallLane::Write).await?;
    Ok(recent.into_iter().find(|person| who.is(person)))
}

/// The body, and what was left out of it. Custom fields are named by their keys as far as those are known.
fn body(
    target: &PipedriveTarget,
    item: &Write,
    known: Option<&Definitions>,
) -> Result<(Value, Option<String>), SendFailure> {
    let EffectBody::EnsurePerson { fields, .. } = &item.body else {
        return Err(defect("a write of another kind was taken for a person"));
    };
    let who = Who::of(item)?;
    let rows = |values: Vec<&String>| -> Vec<Value> {
        let row = |(at, value)| json!({ "value": value, "primary": at == 0, "label": "work" });
        values.into_iter().enumerate().map(row).collect()
    };
    let mut body = json!({ "name": who.name });
    if let Some(owner) = &item.owner {
        body["owner_id"] = json!(number(owner.as_str())?);
    }
    if !who.emails.is_empty() {
        body["emails"] = json!(rows(who.emails.iter().take(1).collect()));
    }
    if let Some(phone) = &who.phone {
        body["phones"] = json!(rows(vec![phone]));
    }
    let (custom, note) = custom(target, item, fields, known);
    if !custom.is_empty() {
        body["custom_fields"] = Value::Object(custom);
    }
    Ok((body, note))
}

fn custom(
    target: &PipedriveTarget,
    item: &Write,
    fields: &BTreeMap<String, Value>,
    known: Option<&Definitions>,
) -> (Map<String, Value>, Option<String>) {
    let (mut custom, mut left_out) = (Map::new(), Vec::new());
    let key = json!(item.key);
    let own = target.custom.marker.iter().map(|name| (name, &key));
    let given = target
        .custom
        .fields
        .iter()
        .filter_map(|(field, name)| Some((name, fields.get(field).filter(|value| !value.is_null())?)));
    for (name, value) in own.chain(given) {
        match known.map(|known| known.fitted(name, value)) {
            None => drop(custom.insert(name.clone(), value.clone())),
            Some(Ok((key, value))) => drop(custom.insert(key, value)),
            Some(Err(reason)) => left_out.push(format!("{name} ({reason})")),
        }
    }
    let note = (!left_out.is_empty()).then(|| format!("left out: {}", left_out.join(", ")));
    (custom, note)
}

/// As a dry run shows it: with what is known without asking.
pub(super) fn request(target: &PipedriveTarget, item: &Write) -> Result<Request, SendFailure> {
    let known = target.fields.cached(PERSONS).map(|(_, known)| known);
    Ok(api::create(PERSONS, &body(target, item, known.as_deref())?.0)?)
}

/// What tells a person from others.
#[derive(Debug)]
pub(super) struct Who {
    /// In lower case, as given first: a key may be a cleaned form that Pipedrive does not know.
    pub(super) emails: Vec<String>,
    pub(super) phone: Option<String>,
    /// What Pipedrive shows; it wants one.
    pub(super) name: String,
}

impl Who {
    pub(super) fn of(item: &Write) -> Result<Self, SendFailure> {
        let EffectBody::EnsurePerson { keys, fields, .. } = &item.body else {
            return Err(defect("a write of another kind was taken for a person"));
        };
        let text = |field: &str| {
            fields.get(field).and_then(Value::as_str).map(str::trim).filter(|text| !text.is_empty())
        };
        let of = |kind| keys.iter().filter(move |key| key.kind == kind).map(|key| key.value.as_str());
        let mut emails: Vec<String> = Vec::new();
        for email in text("email").into_iter().chain(of(IdentityKind::Email)).map(str::to_lowercase) {
            if !emails.contains(&email) {
                emails.push(email);
            }
        }
        let phone = text("phone").or_else(|| of(IdentityKind::Phone).next()).map(str::to_owned);
        let name = name(text).or_else(|| emails.first().cloned()).or_else(|| phone.clone());
        let Some(name) = name else {
            let message = "Pipedrive can not hold a person without name, e-mail and phone number";
            return Err(Fault::new(FaultClass::Rejected, message).advise("map one of these fields").into());
        };
        Ok(Self { emails, phone, name })
    }

    /// Whether that is the person, as far as addresses, or number and name, tell.
    pub(super) fn is(&self, person: &Object) -> bool {
        if !self.emails.is_empty() {
            return self.emails.iter().any(|email| has_email(person, email));
        }
        let same_name =
            wire::text(person, "name").is_some_and(|name| name.to_lowercase() == self.name.to_lowercase());
        let has =
            |phone: &String| wire::values(person, "phones").iter().any(|own| digits(own) == digits(phone));
        same_name && self.phone.as_ref().is_some_and(has)
    }
}

/// What every spelling of a number has.
fn digits(number: &str) -> String {
    number.chars().filter(char::is_ascii_digit).collect()
}

/// The whole name from its parts; parts win.
pub(super) fn name<'a>(text: impl Fn(&str) -> Option<&'a str>) -> Option<String> {
    let parts: Vec<&str> = ["first_name", "last_name"].into_iter().filter_map(&text).collect();
    if parts.is_empty() { text("full_name").map(str::to_owned) } else { Some(parts.join(" ")) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::sync::{Arc, OnceLock};
    use std::time::Instant;

    use usher_connector::{OwnerRead, Target as _};
    use usher_model::{EffectKey, Slot, SlotKind};

    use super::super::{Carrier, Custom};
    use super::*;
    use crate::fields::Fields;
    use crate::testing::{listed, vendor};

    #[tokio::test]
    async fn fm_055_definitions_that_are_forgotten_meanwhile_change_nothing_of_a_creation() {
        let known: Arc<OnceLock<Arc<Fields>>> = Arc::default();
        let (rival, key) = (Arc::clone(&known), "a".repeat(40));
        let script = vendor(move |request| match request.path.rsplit('/').next().unwrap() {
            "search" => (200, json!({ "success": true, "data": { "items": [] } })),
            "personFields" => listed(&json!([{ "field_code": key, "field_name": "First message",
                "field_type": "text", "options": null, "is_custom_field": true }])),
            // Another write was refused in the same moment.
            _ if request.method == http::Method::POST => {
                rival.get().unwrap().forget(PERSONS);
                (201, json!({ "success": true, "data": { "id": 7 } }))
            }
            _ => listed(&json!([])),
        });
        let fields = Arc::new(Fields::new(script.clone()));
        known.set(Arc::clone(&fields)).ok().unwrap();
        let named = [("message", "First message"), ("source", "Lead source")];
        let named = named.map(|(field, name)| (field.to_owned(), name.to_owned()));
        let custom = Custom { fields: BTreeMap::from(named), ..Custom::default() };
        let target = PipedriveTarget::new(script, fields, Arc::default(), custom, Carrier::default());
        let given =
            json!({ "full_name": "Ana", "email": "ana@acme.example", "message": "SEO", "source": "Fair" });
        let slot = Slot { connection: "main".into(), kind: SlotKind::Person, of: "test".to_owned() };
        let fields = serde_json::from_value(given).unwrap();
        let body = EffectBody::EnsurePerson { slot, keys: Vec::new(), fields };
        let owner_read = OwnerRead { fresh: false, until: Instant::now() };
        let item = Write { key: EffectKey::new("a1"), body, owner_read, owner: None };
        let made = target.send(&[item]).await.pop().unwrap().unwrap();
        assert_eq!(made.note.as_deref(), Some("left out: Lead source (Pipedrive has no such field)"));
    }
}
