//! Bulk data from JSON lines: records, users, custom fields.

use serde::Deserialize;
use serde_json::{Map, Value};

use super::call::By;
use super::change::Given;
use super::fields::PipedriveField;
use super::kinds::{Kind, lead_number};
use super::later::other;
use super::shape::Changes;
use super::show::blank;
use super::state::Drive;
use super::users::PipedriveUser;
use crate::Error;
use crate::clock::{Millis, parse_time};
use crate::oracle::Actor;

/// One line: a record with its fields as answers name them, or one user, or one custom field.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, untagged)]
enum Line {
    User { user: PipedriveUser },
    Field { field_of: String, field: PipedriveField },
    Record(Record),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    object: String,
    #[serde(default)]
    id: Option<Value>,
    #[serde(default)]
    fields: Map<String, Value>,
    #[serde(default)]
    custom_fields: Map<String, Value>,
    #[serde(default)]
    add_time: Option<String>,
    #[serde(default)]
    update_time: Option<String>,
}

/// Reads all lines and returns the ids of the records made, in order; of leads their numbers. Nothing of a bad line is
/// kept.
pub(crate) fn lines(drive: &mut Drive, text: &str, now: Millis) -> Result<Vec<u64>, Error> {
    let mut ids = Vec::new();
    for (at, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let id = one(drive, line, now).map_err(|reason| Error::Seed { line: at + 1, reason })?;
        ids.extend(id);
    }
    Ok(ids)
}

fn one(drive: &mut Drive, text: &str, now: Millis) -> Result<Option<u64>, String> {
    let line = serde_json::from_str(text).map_err(|_| {
        "neither a record with object and fields, nor a user, nor a field with field_of".to_owned()
    })?;
    match line {
        Line::User { user } => {
            drive.users.insert(user.id, user);
            Ok(None)
        }
        Line::Field { field_of, field } => {
            define(drive, &field_of, field, now).map_err(|error| error.to_string())?;
            Ok(None)
        }
        Line::Record(record) => {
            let kind = kind_of(&record.object).map_err(|error| error.to_string())?;
            let id = record.id.as_ref().and_then(|id| id.as_u64().or_else(|| lead_number(id.as_str()?)));
            if id.is_some_and(|id| drive.table(kind).rows.contains_key(&id)) {
                return Err(format!("{} exists already", record.object));
            }
            let time = |text: &Option<String>| text.as_deref().and_then(parse_time);
            let given = Given { id, added: time(&record.add_time), updated: time(&record.update_time) };
            let by = other(Actor::Seed, now);
            let changes = changes(drive, kind, record.fields, record.custom_fields, by)
                .map_err(|error| error.to_string())?;
            Ok(Some(drive.create(kind, changes, by, given)))
        }
    }
}

pub(crate) fn kind_of(object: &str) -> Result<Kind, Error> {
    Kind::find(object).ok_or_else(|| Error::Input(format!("there is no object type {object}")))
}

/// Defines a custom field and returns its key.
pub(crate) fn define(
    drive: &mut Drive,
    object: &str,
    field: PipedriveField,
    now: Millis,
) -> Result<String, Error> {
    let kind = kind_of(object)?;
    let bits = [drive.dice.bits(), drive.dice.bits(), drive.dice.bits()];
    let made = drive.fields.define(kind, field, (bits, now));
    made.map(|field| field.key)
        .map_err(|_| Error::Input("the field's type, options or key do not fit".to_owned()))
}

/// Fields as somebody other than a client sets them: also those that the API refuses, but no unknown ones.
pub(crate) fn changes(
    drive: &Drive,
    kind: Kind,
    fields: Map<String, Value>,
    custom: Map<String, Value>,
    by: By,
) -> Result<Changes, Error> {
    let known = blank(kind, by);
    if let Some(name) = fields.keys().find(|name| !known.contains_key(*name)) {
        return Err(Error::Input(format!("{} have no field {name}", kind.plural())));
    }
    drive
        .fields
        .check(kind, &custom)
        .map_err(|_| Error::Input("a custom field is unknown or its value does not fit".to_owned()))?;
    Ok(Changes { fields, custom })
}
