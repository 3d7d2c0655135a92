//! The declared fields of a lead: their names, types and where a value came from.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What kind of value a field holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FieldType {
    /// Text, cleaned or as given.
    Text,
    /// A number, without unit.
    Number,
}

/// One declared field of a lead.
#[derive(Debug, Clone, Copy)]
pub struct FieldSpec {
    /// The name as used in mappings and expressions (`lead.<name>`).
    pub name: &'static str,
    /// The type of its value.
    pub kind: FieldType,
    /// One line for admins.
    pub doc: &'static str,
}

macro_rules! fields {
    ($($name:literal $kind:ident $doc:literal,)*) => {
        /// Every field that a mapping may fill and a rule may read, in the order in which they are shown.
        pub const CATALOGUE: &[FieldSpec] =
            &[$(FieldSpec { name: $name, kind: FieldType::$kind, doc: $doc },)*];
    };
}

fields! {
    "email" Text "Address of the person, lower case",
    "phone" Text "Number in E.164 form, as +493012345678",
    "first_name" Text "Given name",
    "last_name" Text "Family name",
    "full_name" Text "Whole name, where the source has no parts",
    "title" Text "Job title",
    "company" Text "Company name as the person wrote it",
    "website" Text "Company website or domain",
    "street" Text "Street and number",
    "city" Text "City",
    "state" Text "State or region",
    "postal_code" Text "Postal code; leading zeros are kept",
    "country" Text "ISO 3166 two-letter code, as DE",
    "language" Text "ISO 639 two-letter code, as de",
    "service_line" Text "What the person wants, in the agency's own words",
    "urgency" Text "How soon: high, normal, low",
    "budget" Number "Budget in the agency's currency",
    "message" Text "What the person wrote",
    "lifecycle" Text "Stage that the CRM shows",
    "source" Text "Channel, as paid search or referral",
    "source_detail" Text "Which form, campaign or list",
    "owner" Text "Owner id that the CRM already shows",
    "crm_person" Text "Id of the person whom the CRM's lead or deal names",
}

/// The declared field of that name.
#[must_use]
pub fn find(name: &str) -> Option<&'static FieldSpec> {
    CATALOGUE.iter().find(|field| field.name == name)
}

/// Fields that show how things stand at the CRM, and nothing that the person said.
pub const STANDING: [&str; 2] = ["owner", "crm_person"];

/// Where a field's value came from, kept so that the trace can show it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Provenance {
    /// The path in the payload, or `value` for a constant and `default` for a default.
    pub from: String,
    /// What a cleaner or table did to it, where it changed something.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// The mapped values of one lead.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Fields {
    /// Declared fields by name; a name that is absent is null.
    pub values: BTreeMap<String, Value>,
    /// Carried along untouched, readable as `lead.extra.*`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub extra: BTreeMap<String, Value>,
    /// By field name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub provenance: BTreeMap<String, Provenance>,
}

impl Fields {
    /// The field's text, if it has one.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&str> {
        self.values.get(name).and_then(Value::as_str)
    }

    /// Takes from `other` every value that is absent here; what is known already stays.
    pub fn fill_from(&mut self, other: &Fields) {
        for (name, value) in &other.values {
            if !self.values.contains_key(name) {
                self.values.insert(name.clone(), value.clone());
                if let Some(provenance) = other.provenance.get(name) {
                    self.provenance.insert(name.clone(), provenance.clone());
                }
            }
        }
        for (name, value) in &other.extra {
            self.extra.entry(name.clone()).or_insert_with(|| value.clone());
        }
    }

    /// A name to show to a rep: full name, or its parts, or the e-mail's local part.
    #[must_use]
    pub fn display_name(&self) -> String {
        if let Some(name) = self.text("full_name") {
            return name.to_owned();
        }
        let parts: Vec<&str> =
            ["first_name", "last_name"].iter().filter_map(|name| self.text(name)).collect();
        if parts.is_empty() {
            return self.text("email").or(self.text("phone")).unwrap_or("someone without a name").to_owned();
        }
        parts.join(" ")
    }
}
