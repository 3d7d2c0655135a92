//! The search index: it shows a change only after a while, and until then what was there before.
//!
//! The vendor does not say how late its index is (API-FACTS Pipedrive: Search); the switch `search_lag_ms` does.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::kinds::{Kind, lead_uuid};
use super::row::Row;
use super::state::Drive;

/// The groups that `fields` of a search names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scope {
    Name,
    Email,
    Phone,
    Address,
    Custom,
    /// Title and name are one group; notes are not simulated and match nothing.
    Notes,
}

/// A searchable value.
#[derive(Debug, Clone)]
pub(crate) struct Term {
    pub(crate) scope: Scope,
    /// The field's key, for a search in one field.
    pub(crate) key: String,
    pub(crate) text: String,
    pub(crate) lower: String,
}

/// A record as the index has it.
#[derive(Debug, Clone)]
pub(crate) struct Doc {
    pub(crate) item: Value,
    pub(crate) terms: Vec<Term>,
    pub(crate) person: Option<u64>,
    pub(crate) organization: Option<u64>,
}

/// What search knows.
#[derive(Debug, Default)]
pub(crate) struct Index {
    docs: BTreeMap<(Kind, u64), Doc>,
}

impl Index {
    pub(crate) fn of(&self, kind: Kind) -> impl Iterator<Item = (u64, &Doc)> {
        self.docs.range((kind, 0)..=(kind, u64::MAX)).map(|((_, id), doc)| (*id, doc))
    }
}

fn values<'a>(row: &'a Row, name: &str) -> Vec<&'a str> {
    let rows = row.fields.get(name).and_then(Value::as_array);
    rows.into_iter().flatten().filter_map(|row| row["value"].as_str()).collect()
}

/// A custom value as text: numbers too are found (v2 document, searchPersons).
fn text_of(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Object(map) => map.get("value").map(text_of).unwrap_or_default(),
        other => other.to_string(),
    }
}

impl Drive {
    /// Shows search the record as it is now.
    pub(crate) fn reindex(&mut self, kind: Kind, id: u64) {
        let doc = self
            .living(kind, id)
            .filter(|_| !matches!(kind, Kind::Activity | Kind::Note))
            .map(|row| self.doc(kind, row));
        match doc {
            Some(doc) => {
                self.index.docs.insert((kind, id), doc);
            }
            None => {
                self.index.docs.remove(&(kind, id));
            }
        }
    }

    fn doc(&self, kind: Kind, row: &Row) -> Doc {
        let mut terms = Vec::new();
        let mut add = |scope: Scope, key: &str, text: &str| {
            if !text.is_empty() {
                let (key, text) = (key.to_owned(), text.to_owned());
                terms.push(Term { scope, key, lower: text.to_lowercase(), text });
            }
        };
        let name = if matches!(kind, Kind::Deal | Kind::Lead) { "title" } else { "name" };
        add(Scope::Name, name, row.text(name).unwrap_or_default());
        if kind == Kind::Person {
            values(row, "emails").into_iter().for_each(|text| add(Scope::Email, "email", text));
            values(row, "phones").into_iter().for_each(|text| add(Scope::Phone, "phone", text));
        }
        let address = row.fields.get("address").and_then(|address| address["value"].as_str());
        add(Scope::Address, "address", address.unwrap_or_default());
        let mut custom = Vec::new();
        for (key, value) in &row.custom {
            if self.fields.find(kind, key).is_some_and(super::fields::Field::searchable) {
                let text = text_of(value);
                add(Scope::Custom, key, &text);
                custom.push(Value::from(text));
            }
        }
        let organization = row.number("org_id").or_else(|| row.number("organization_id"));
        let item = self.item(kind, row, custom);
        Doc { item, terms, person: row.number("person_id"), organization }
    }

    fn named(&self, kind: Kind, id: Option<u64>) -> Value {
        let row = id.and_then(|id| self.table(kind).rows.get(&id));
        row.map_or(Value::Null, |row| json!({"id": row.id, "name": row.text("name")}))
    }

    /// The item of a result (v2 document: searchPersons, searchOrganization, searchLeads).
    fn item(&self, kind: Kind, row: &Row, custom: Vec<Value>) -> Value {
        let visible = row.fields.get("visible_to");
        let visible = visible.and_then(|to| to.as_u64().or_else(|| to.as_str()?.parse().ok()));
        let mut item = Map::new();
        let mut set = |name: &str, value: Value| item.insert(name.to_owned(), value);
        set("id", if kind == Kind::Lead { lead_uuid(row.id).into() } else { row.id.into() });
        set("type", kind.singular().into());
        set("owner", json!({"id": row.owner()}));
        set("visible_to", visible.into());
        set("custom_fields", custom.into());
        set("notes", json!([]));
        match kind {
            Kind::Person => {
                set("name", row.text("name").into());
                set("emails", values(row, "emails").into());
                set("phones", values(row, "phones").into());
                set("organization", self.named(Kind::Organization, row.number("org_id")));
            }
            Kind::Organization => {
                set("name", row.text("name").into());
                let address = row.fields.get("address").map(|address| address["value"].clone());
                set("address", address.unwrap_or_default());
            }
            _ => {
                let person = row.number("person_id").and_then(|id| self.table(Kind::Person).rows.get(&id));
                let value = row.fields.get("value").filter(|value| value.is_object());
                set("title", row.text("title").into());
                set("person", self.named(Kind::Person, row.number("person_id")));
                set("organization", self.named(Kind::Organization, row.number("organization_id")));
                set("emails", person.map(|row| values(row, "emails")).unwrap_or_default().into());
                set("phones", person.map(|row| values(row, "phones")).unwrap_or_default().into());
                set(
                    "value",
                    value.and_then(|value| value["amount"].as_f64()).map(|amount| amount as i64).into(),
                );
                set("currency", value.map(|value| value["currency"].clone()).unwrap_or_default());
                set("is_archived", row.flag("is_archived").into());
            }
        }
        item.into()
    }
}
