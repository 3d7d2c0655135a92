//! Field definitions: custom fields of persons, organizations and deals (leads take the deals'), and their checks.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::errors::Problem;
use super::kinds::Kind;
use super::values::is_date;
use crate::clock::Millis;

/// A custom field to define.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PipedriveField {
    /// The name people see.
    pub name: String,
    /// The vendor's type: `varchar`, `text`, `double`, `enum`, `set`, `monetary`, `date`, `phone`, `user` ….
    #[serde(rename = "type")]
    pub field_type: String,
    /// 40 hex digits; made up if empty.
    #[serde(default)]
    pub key: String,
    /// Labels of the options of an `enum` or a `set`.
    #[serde(default)]
    pub options: Vec<String>,
}

/// A field as the account holds it.
#[derive(Debug, Clone)]
pub(crate) struct Field {
    pub(crate) id: u64,
    pub(crate) key: String,
    pub(crate) name: String,
    pub(crate) of: String,
    pub(crate) options: Vec<(u64, String)>,
    pub(crate) custom: bool,
    pub(crate) added: Millis,
}

/// The types that may be created (v2 document, addPersonField).
const TYPES: [&str; 16] = [
    "varchar",
    "text",
    "double",
    "phone",
    "date",
    "daterange",
    "time",
    "timerange",
    "set",
    "enum",
    "varchar_auto",
    "address",
    "monetary",
    "org",
    "people",
    "user",
];

/// The types that search looks into (v2 document, searchPersons).
const SEARCHABLE: [&str; 7] = ["address", "varchar", "text", "varchar_auto", "double", "monetary", "phone"];

/// A varchar holds this many characters (Pipedrive knowledge base, types of custom fields).
const VARCHAR: usize = 255;

impl Field {
    pub(crate) fn searchable(&self) -> bool {
        self.custom && SEARCHABLE.contains(&self.of.as_str())
    }

    /// Checks a value for this field; null clears it, an empty list does not (v2 document, custom_fields).
    pub(crate) fn check(&self, value: &Value) -> Result<(), Problem> {
        let refuse = |reason: &str| Err(Problem::schema(&format!("custom_fields.{}", self.key), reason));
        let known = |id: &Value| {
            let id = id.as_u64();
            self.options.iter().any(|(option, _)| Some(*option) == id)
        };
        match (self.of.as_str(), value) {
            (_, Value::Null) => Ok(()),
            ("varchar" | "varchar_auto" | "phone", Value::String(text)) if text.chars().count() > VARCHAR => {
                refuse("must be at most 255 characters")
            }
            ("varchar" | "varchar_auto" | "phone" | "text" | "time", Value::String(_)) => Ok(()),
            ("varchar" | "varchar_auto" | "phone" | "text" | "time", _) => refuse("must be a string"),
            ("double", value) if value.is_number() => Ok(()),
            ("double", _) => refuse("must be a number"),
            ("date", Value::String(text)) if is_date(text) => Ok(()),
            ("date", _) => refuse("must be a date"),
            ("enum", value) if known(value) => Ok(()),
            ("enum", _) => refuse("must be the id of an option"),
            ("set", Value::Array(ids)) if !ids.is_empty() && ids.iter().all(known) => Ok(()),
            ("set", _) => refuse("must be a list of option ids that is not empty"),
            ("user" | "org" | "people", value) if value.is_u64() => Ok(()),
            ("user" | "org" | "people", _) => refuse("must be an integer"),
            ("monetary", Value::Object(_)) if value["value"].is_number() && value["currency"].is_string() => {
                Ok(())
            }
            ("monetary", _) => refuse("must be an object of value and currency"),
            (_, Value::Object(_)) => Ok(()),
            (_, _) => refuse("must be an object"),
        }
    }
}

/// All fields by object type.
#[derive(Debug)]
pub(crate) struct Fields {
    by_kind: BTreeMap<Kind, Vec<Field>>,
    last: u64,
}

/// Some of the fields that every account has: object type, key, name, type.
const STANDARD: [(Kind, &str, &str, &str); 17] = [
    (Kind::Person, "name", "Name", "varchar"),
    (Kind::Person, "email", "Email", "varchar"),
    (Kind::Person, "phone", "Phone", "phone"),
    (Kind::Person, "org_id", "Organization", "org"),
    (Kind::Person, "owner_id", "Owner", "user"),
    (Kind::Person, "add_time", "Person created", "date"),
    (Kind::Organization, "name", "Name", "varchar"),
    (Kind::Organization, "address", "Address", "address"),
    (Kind::Organization, "website", "Website", "varchar"),
    (Kind::Organization, "owner_id", "Owner", "user"),
    (Kind::Organization, "add_time", "Organization created", "date"),
    (Kind::Deal, "title", "Title", "varchar"),
    (Kind::Deal, "value", "Value", "double"),
    (Kind::Deal, "person_id", "Contact person", "people"),
    (Kind::Deal, "org_id", "Organization", "org"),
    (Kind::Deal, "stage_id", "Stage", "stage"),
    (Kind::Deal, "owner_id", "Owner", "user"),
];

impl Default for Fields {
    fn default() -> Self {
        let mut fields = Self { by_kind: BTreeMap::new(), last: 0 };
        for (kind, key, name, of) in STANDARD {
            fields.last += 1;
            let field = Field {
                id: fields.last,
                key: key.to_owned(),
                name: name.to_owned(),
                of: of.to_owned(),
                options: Vec::new(),
                custom: false,
                added: 1_704_704_400_000,
            };
            fields.by_kind.entry(kind).or_default().push(field);
        }
        fields
    }
}

impl Fields {
    /// Every field of an object type; none for activities.
    pub(crate) fn of(&self, kind: Kind) -> &[Field] {
        let kind = kind.fields_of();
        kind.and_then(|kind| self.by_kind.get(&kind)).map(Vec::as_slice).unwrap_or_default()
    }

    pub(crate) fn custom(&self, kind: Kind) -> impl Iterator<Item = &Field> {
        self.of(kind).iter().filter(|field| field.custom)
    }

    pub(crate) fn find(&self, kind: Kind, key: &str) -> Option<&Field> {
        self.of(kind).iter().find(|field| field.key == key)
    }

    /// Defines a field; `bits` make up its key.
    pub(crate) fn define(
        &mut self,
        kind: Kind,
        wanted: PipedriveField,
        (bits, at): ([u64; 3], Millis),
    ) -> Result<Field, Problem> {
        if !TYPES.contains(&wanted.field_type.as_str()) {
            return Err(Problem::schema("field_type", "is not a type of field"));
        }
        let choice = matches!(wanted.field_type.as_str(), "enum" | "set");
        if choice == wanted.options.is_empty() {
            return Err(Problem::schema("options", "are needed for enum and set, and for these alone"));
        }
        let Some(kind) = kind.fields_of() else { return Err(Problem::not_found("field")) };
        let made_up = format!("{:016x}{:016x}{:08x}", bits[0], bits[1], bits[2] & 0xffff_ffff);
        let key = if wanted.key.is_empty() { made_up } else { wanted.key };
        if self.find(kind, &key).is_some() {
            return Err(Problem::schema("key", "exists already"));
        }
        self.last += 1;
        let (id, first) = (self.last, self.last * 100);
        let options = (first..).zip(wanted.options).collect();
        let field =
            Field { id, key, name: wanted.name, of: wanted.field_type, options, custom: true, added: at };
        self.by_kind.entry(kind).or_default().push(field.clone());
        Ok(field)
    }

    /// Checks values by key; an unknown key fails the whole request.
    pub(crate) fn check(&self, kind: Kind, values: &Map<String, Value>) -> Result<(), Problem> {
        for (key, value) in values {
            let field = self.find(kind, key).filter(|field| field.custom);
            let field =
                field.ok_or_else(|| Problem::schema(&format!("custom_fields.{key}"), "is not allowed"))?;
            field.check(value)?;
        }
        Ok(())
    }
}
