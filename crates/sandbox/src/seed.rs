//! Bulk data from JSON lines: records, owners, property definitions.

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::Error;
use crate::clock::{Millis, parse_time};
use crate::hubspot::kinds::{self, link_type, link_types};
use crate::hubspot::owners::Owner;
use crate::hubspot::pipelines;
use crate::hubspot::record::Source;
use crate::hubspot::state::{Hub, Stamp};
use crate::hubspot::write::{Given, Values};
use crate::oracle::Actor;

/// One line of a seed: a record of an object type.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Line {
    object: String,
    #[serde(default)]
    id: Option<Value>,
    #[serde(default)]
    properties: Map<String, Value>,
    #[serde(default)]
    created_at: Option<Value>,
    #[serde(default)]
    updated_at: Option<Value>,
    #[serde(default)]
    source: Option<String>,
    #[serde(default)]
    associations: Vec<Link>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Link {
    to: String,
    id: Value,
    #[serde(default, rename = "type")]
    type_id: Option<u32>,
}

fn number(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| value.as_str()?.parse().ok())
}

fn time(value: Option<&Value>) -> Option<Millis> {
    let value = value?;
    value.as_i64().or_else(|| parse_time(value.as_str()?))
}

/// Reads all lines and returns the ids of the records made, in order. Nothing of a bad line is kept.
pub(crate) fn lines(hub: &mut Hub, text: &str, now: Millis) -> Result<Vec<u64>, Error> {
    let mut ids = Vec::new();
    for (at, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let id = one(hub, line, now).map_err(|reason| Error::Seed { line: at + 1, reason })?;
        ids.extend(id);
    }
    Ok(ids)
}

fn one(hub: &mut Hub, text: &str, now: Millis) -> Result<Option<u64>, String> {
    let bad = |error: serde_json::Error| error.to_string();
    if text.contains("\"owners\"") || text.contains("\"properties_of\"") {
        let mut value: Value = serde_json::from_str(text).map_err(bad)?;
        if value.get("object").and_then(Value::as_str) == Some("owners") {
            if let Some(map) = value.as_object_mut() {
                map.remove("object");
            }
            let mut owner: Owner = serde_json::from_value(value).map_err(bad)?;
            if owner.created_at == 0 {
                (owner.created_at, owner.updated_at) = (now, now);
            }
            hub.owners.insert(owner.id, owner);
            return Ok(None);
        }
        if let Some(object) = value.get("properties_of").and_then(Value::as_str) {
            let kind = kinds::find(object).ok_or_else(|| format!("there is no object type {object}"))?;
            let defined = hub.tables[kind].registry.define(&value, kind, now);
            return defined.map(|_| None).ok_or_else(|| "a property needs a name".to_owned());
        }
    }
    let line: Line = serde_json::from_str(text).map_err(bad)?;
    record(hub, &line, now).map(Some)
}

fn record(hub: &mut Hub, line: &Line, now: Millis) -> Result<u64, String> {
    let kind = kinds::find(&line.object).ok_or_else(|| format!("there is no object type {}", line.object))?;
    let source = match line.source.as_deref() {
        None => None,
        Some(name) => Some(Source::parse(name).ok_or_else(|| format!("there is no source {name}"))?),
    };
    let values = values(hub, kind, &line.properties)?;
    let given = Given {
        id: line.id.as_ref().and_then(number),
        created: time(line.created_at.as_ref()),
        modified: time(line.updated_at.as_ref()),
        source,
    };
    if let Some(id) = given.id.filter(|id| hub.tables[kind].records.contains_key(id)) {
        return Err(format!("{} {id} exists already", line.object));
    }
    let stamp = Stamp { at: now, actor: Actor::Seed, correlation: 0 };
    let mut links = Vec::new();
    for link in &line.associations {
        let to = kinds::find(&link.to).ok_or_else(|| format!("there is no object type {}", link.to))?;
        let found = match link.type_id {
            Some(id) => link_type(kind, id),
            None => link_types(kind, to).first().copied(),
        };
        let found =
            found.ok_or_else(|| format!("no association type from {} to {}", line.object, link.to))?;
        let other = number(&link.id).filter(|id| hub.tables[to].living(*id).is_some());
        links.push((found, (to, other.ok_or_else(|| format!("{} {} does not exist", link.to, link.id))?)));
    }
    let id = hub.create(kind, &values, stamp, given);
    for (link, to) in links {
        hub.associate((kind, id), to, link, stamp);
    }
    Ok(id)
}

/// Seeds may set what the API refuses, such as read-only properties; unknown names are still a mistake.
pub(crate) fn values(hub: &Hub, kind: usize, properties: &Map<String, Value>) -> Result<Values, String> {
    let registry = &hub.tables[kind].registry;
    let values = properties
        .iter()
        .map(|(name, value)| {
            let prop = registry.find(name).ok_or_else(|| format!("there is no property {name}"))?;
            let text = match value {
                Value::Null => None,
                Value::String(text) => Some(text.clone()),
                other => Some(other.to_string()),
            };
            Ok((prop, text))
        })
        .collect::<Result<Values, String>>();
    let mut values = values?;
    pipelines::follow_stage(registry, &mut values);
    Ok(values)
}
