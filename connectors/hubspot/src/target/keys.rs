//! Unique properties that carry our keys: with one, a repeated create is refused and leads to what the first one made.
//!
//! A create with a unique value is used rather than HubSpot's upsert: it takes associations in the same call, and never
//! resets a task that a rep has worked on meanwhile.

use http::Method;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use usher_connector::{Access, CallLane, Fault, FaultClass, Http, KeyProperty, KeyState, Request, Write};

use crate::api::{self, COMPANIES, CONTACTS, DEALS, LEADS, TASKS, VERSION};
use crate::source::unread;
use crate::wire::Objects;

/// The property's name, unless the settings say otherwise.
const USUAL: &str = "usher_key";

/// The properties that carry keys, where the settings name one.
#[derive(Debug, Clone, Default)]
pub(crate) struct Keys {
    pub(crate) contacts: Option<String>,
    pub(crate) companies: Option<String>,
    pub(crate) leads: Option<String>,
    pub(crate) deals: Option<String>,
    pub(crate) tasks: Option<String>,
}

impl Keys {
    /// The property of that object type.
    pub(super) fn of(&self, object: &str) -> Option<&str> {
        match object {
            CONTACTS => self.contacts.as_deref(),
            COMPANIES => self.companies.as_deref(),
            LEADS => self.leads.as_deref(),
            DEALS => self.deals.as_deref(),
            TASKS => self.tasks.as_deref(),
            _ => None,
        }
    }

    /// Adds the write's key to what is created.
    pub(super) fn mark(&self, object: &str, properties: &mut Map<String, Value>, write: &Write) {
        if let Some(property) = self.of(object) {
            properties.insert(property.to_owned(), json!(write.key));
        }
    }

    /// The object that carries the write's key; `None` if there is none, or keys are not in use.
    pub(super) async fn find(
        &self,
        http: &dyn Http,
        object: &str,
        write: &Write,
        lane: CallLane,
    ) -> Result<Option<String>, Fault> {
        let Some(property) = self.of(object) else { return Ok(None) };
        let request = api::read(object, [write.key.as_str()], Some(property), &[property], lane)?;
        let answer: Objects = http.send(request).await?.json()?;
        if let Some(error) = answer.errors.iter().find(|error| !error.is_not_found()) {
            return Err(unread(error));
        }
        let ours = |property_of: &str| property_of == write.key.as_str();
        let mut found = answer.results.into_iter().filter(|row| !row.archived);
        Ok(found.find(|row| row.get(property).is_some_and(ours)).map(|row| row.id))
    }

    /// How the properties stand; makes those that are missing if asked.
    pub(super) async fn properties(
        &self,
        http: &dyn Http,
        objects: impl Iterator<Item = &'static str>,
        create: bool,
    ) -> Result<Vec<KeyProperty>, Fault> {
        let mut properties = Vec::new();
        for object in objects {
            let configured = self.of(object);
            let name = configured.unwrap_or(USUAL).to_owned();
            let mut state = state(http, object, &name).await?;
            if create && state == KeyState::Missing {
                make(http, object, &name).await?;
                // Whether activities can have unique properties is undocumented, so the definition is read back.
                state = self::state(http, object, &name).await?;
            }
            properties.push(KeyProperty { object, name, configured: configured.is_some(), state });
        }
        Ok(properties)
    }
}

#[derive(Deserialize)]
struct Named<T> {
    results: Vec<T>,
}

#[derive(Deserialize)]
struct Definition {
    name: String,
    #[serde(default, rename = "hasUniqueValue")]
    unique: bool,
}

#[derive(Deserialize)]
struct Group {
    name: String,
}

fn path(object: &str) -> String {
    format!("/crm/properties/{VERSION}/{object}")
}

async fn state(http: &dyn Http, object: &str, name: &str) -> Result<KeyState, Fault> {
    let request = Request::get(path(object)).lane(CallLane::Refresh).limits(api::CALL);
    let all: Named<Definition> = http.send(request).await?.json()?;
    Ok(match all.results.into_iter().find(|property| property.name == name) {
        None => KeyState::Missing,
        Some(property) if property.unique => KeyState::Ready,
        Some(_) => KeyState::NotUnique,
    })
}

async fn make(http: &dyn Http, object: &str, name: &str) -> Result<(), Fault> {
    let request = Request::get(format!("{}/groups", path(object))).lane(CallLane::Refresh).limits(api::CALL);
    let groups: Named<Group> = http.send(request).await?.json()?;
    let Some(group) = groups.results.into_iter().next() else {
        let message = format!("HubSpot has no group of properties for {object}");
        return Err(Fault::new(FaultClass::Rejected, message).advise("create the property in HubSpot"));
    };
    let body = json!({
        "name": name, "label": "Usher key", "type": "string", "fieldType": "text", "groupName": group.name,
        "hasUniqueValue": true, "description": "Set by usher, so that a repeated write makes nothing new.",
    });
    let request = Request::new(Method::POST, path(object), Access::Write).json(&body)?.limits(api::CALL);
    http.send(request).await.map(drop)
}
