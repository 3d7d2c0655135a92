//! The property definitions of one object type: the account's own and HubSpot's.

use std::collections::HashMap;

use serde_json::{Value, json};

use super::catalog;
use super::kinds::{KINDS, Kind};
use super::props::PropId;
use crate::clock::{Millis, iso};

/// A property whose value is kept in the record itself instead of its packed text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Virtual {
    Id,
    Created,
    Modified,
    Source,
    SourceLabel,
}

/// How values are checked and compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ValueType {
    Text,
    Number,
    Time,
    Choice,
}

/// One definition.
#[derive(Debug, Clone)]
pub(crate) struct Definition {
    pub(crate) name: String,
    pub(crate) label: String,
    pub(crate) vendor_type: String,
    pub(crate) field_type: String,
    pub(crate) group: String,
    pub(crate) unique: bool,
    pub(crate) read_only: bool,
    pub(crate) options: Vec<String>,
    pub(crate) virtual_value: Option<Virtual>,
    pub(crate) value_type: ValueType,
    /// Part of the equality index: unique properties, e-mail, domain.
    pub(crate) indexed: bool,
    created: Option<Millis>,
}

/// All definitions of one object type.
#[derive(Debug)]
pub(crate) struct Registry {
    all: Vec<Definition>,
    by_name: HashMap<String, PropId>,
    pub(crate) owner: PropId,
    pub(crate) owner_assigned: PropId,
    pub(crate) merged_ids: PropId,
}

/// HubSpot's limit (API-FACTS HubSpot: Unique properties).
pub(crate) const MAX_UNIQUE: usize = 10;

impl Registry {
    pub(crate) fn new(kind: &Kind) -> Self {
        let mut registry =
            Self { all: Vec::new(), by_name: HashMap::new(), owner: 0, owner_assigned: 0, merged_ids: 0 };
        for &(name, vendor_type, field_type, read_only) in
            catalog::COMMON.iter().chain(catalog::rows(kind.plural))
        {
            registry.add(Definition {
                name: name.to_owned(),
                label: name.to_owned(),
                vendor_type: vendor_type.to_owned(),
                field_type: field_type.to_owned(),
                group: format!("{}information", kind.singular),
                unique: false,
                read_only,
                options: catalog::options(name).iter().map(|&option| option.to_owned()).collect(),
                virtual_value: virtual_of(kind, name),
                value_type: value_type(vendor_type),
                indexed: matches!((kind.plural, name), ("contacts", "email") | ("companies", "domain")),
                created: None,
            });
        }
        registry.owner = registry.find("hubspot_owner_id").unwrap_or_default();
        registry.owner_assigned = registry.find("hubspot_owner_assigneddate").unwrap_or_default();
        registry.merged_ids = registry.find("hs_merged_object_ids").unwrap_or_default();
        registry
    }

    pub(crate) fn find(&self, name: &str) -> Option<PropId> {
        self.by_name.get(name).copied()
    }

    pub(crate) fn get(&self, id: PropId) -> &Definition {
        &self.all[usize::from(id)]
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Definition> {
        self.all.iter()
    }

    fn put(&mut self, definition: Definition) -> PropId {
        match self.find(&definition.name) {
            Some(id) => {
                self.all[usize::from(id)] = definition;
                id
            }
            None => self.add(definition),
        }
    }

    fn add(&mut self, definition: Definition) -> PropId {
        let id = PropId::try_from(self.all.len()).unwrap_or(PropId::MAX);
        self.by_name.insert(definition.name.clone(), id);
        self.all.push(definition);
        id
    }

    /// Adds a property of the account's own, as a creation request or a seed line names it. A seed line may also make
    /// something else of one that is there, as an admin does.
    pub(crate) fn define(&mut self, input: &Value, kind: usize, now: Millis) -> Option<PropId> {
        let word = |key: &str| input.get(key).and_then(Value::as_str).map(str::to_owned);
        let name = word("name")?;
        let vendor_type = word("type").unwrap_or_else(|| "string".to_owned());
        let unique = input.get("hasUniqueValue").and_then(Value::as_bool).unwrap_or(false);
        let options = input.get("options").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        Some(
            self.put(Definition {
                label: word("label").unwrap_or_else(|| name.clone()),
                value_type: value_type(&vendor_type),
                field_type: word("fieldType").unwrap_or_else(|| "text".to_owned()),
                group: word("groupName").unwrap_or_else(|| format!("{}information", KINDS[kind].singular)),
                unique,
                read_only: false,
                options: options
                    .iter()
                    .filter_map(|option| option.get("value")?.as_str().map(str::to_owned))
                    .collect(),
                virtual_value: None,
                indexed: unique,
                created: Some(now),
                vendor_type,
                name,
            }),
        )
    }
}

fn virtual_of(kind: &Kind, name: &str) -> Option<Virtual> {
    match name {
        "hs_object_id" => Some(Virtual::Id),
        "hs_object_source" => Some(Virtual::Source),
        "hs_object_source_label" => Some(Virtual::SourceLabel),
        _ if name == kind.created => Some(Virtual::Created),
        _ if name == kind.modified => Some(Virtual::Modified),
        _ => None,
    }
}

fn value_type(vendor_type: &str) -> ValueType {
    match vendor_type {
        "number" => ValueType::Number,
        "datetime" | "date" => ValueType::Time,
        "enumeration" | "bool" => ValueType::Choice,
        _ => ValueType::Text,
    }
}

impl Definition {
    /// The JSON of the properties API.
    pub(crate) fn json(&self) -> Value {
        let options: Vec<Value> = self
            .options
            .iter()
            .enumerate()
            .map(|(order, value)| json!({"label": value, "value": value, "displayOrder": order, "hidden": false}))
            .collect();
        json!({
            "name": self.name,
            "label": self.label,
            "type": self.vendor_type,
            "fieldType": self.field_type,
            "description": "",
            "groupName": self.group,
            "options": options,
            "displayOrder": -1,
            "calculated": false,
            "externalOptions": self.name == "hubspot_owner_id",
            "hasUniqueValue": self.unique,
            "hidden": false,
            "hubspotDefined": self.created.is_none(),
            "archived": false,
            "createdAt": self.created.map(iso),
            "updatedAt": self.created.map(iso),
            "formField": !self.read_only,
            "modificationMetadata": {
                "archivable": self.created.is_some(),
                "readOnlyDefinition": self.created.is_none(),
                "readOnlyOptions": false,
                "readOnlyValue": self.read_only,
            },
        })
    }
}
