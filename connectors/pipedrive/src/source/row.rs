//! From a row to a record: custom fields by name, the person whom a lead or deal is about within it, and a revision that
//! changes with the content.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::value::to_raw_value;
use serde_json::{Map, Value, json};
use usher_connector::{CallLane, Fault, RowProblem, signature};
use usher_model::{ExternalId, ObjectType, Record};

use super::{PipedriveSource, Rows};
use crate::api::{IDS, LEADS, PERSONS};
use crate::find::{self, into_object};
use crate::wire::{self, Object};

/// Where a payload has its custom fields, as v2 has them.
const CUSTOM: &str = "custom_fields";

/// Where the payload of a lead or deal has its person.
const PERSON: &str = "person";

impl PipedriveSource {
    pub(super) async fn rows(
        &self,
        object: &'static str,
        raw: Vec<Value>,
        lane: CallLane,
    ) -> Result<Rows, Fault> {
        let (mut objects, mut rows) = (Vec::with_capacity(raw.len()), Rows::default());
        for row in raw {
            match into_object(row.clone()) {
                Some(own) if wire::id(&own).is_some() => objects.push(gathered(object, own)),
                _ => rows.problems.push(unreadable(&row)),
            }
        }
        let persons = self.persons_of(object, &objects, lane).await?;
        let objects = self.named(object, objects, lane).await?;
        let record = |row: Object| {
            let person = wire::refers(&row, "person_id").and_then(|id| persons.get(&id));
            self.record(object, row, person)
        };
        rows.records = objects.into_iter().filter_map(record).collect();
        Ok(rows)
    }

    /// The persons whom leads or deals are about, by id: without them nobody knows who asks.
    async fn persons_of(
        &self,
        object: &str,
        rows: &[Object],
        lane: CallLane,
    ) -> Result<BTreeMap<String, Object>, Fault> {
        let named = rows.iter().filter_map(|row| wire::refers(row, "person_id"));
        let ids: BTreeSet<String> = named.filter(|_| object != PERSONS).collect();
        let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
        let mut persons = Vec::with_capacity(ids.len());
        for ids in ids.chunks(IDS) {
            persons.extend(find::present(&*self.http, PERSONS, ids, lane).await?);
        }
        let persons = self.named(PERSONS, persons, lane).await?;
        Ok(persons.into_iter().filter_map(|person| Some((wire::id(&person)?, person))).collect())
    }

    /// Custom fields by name, the primary address and number first.
    async fn named(
        &self,
        object: &'static str,
        mut rows: Vec<Object>,
        lane: CallLane,
    ) -> Result<Vec<Object>, Fault> {
        let custom = |row: &Object| row.get(CUSTOM).and_then(Value::as_object).cloned().unwrap_or_default();
        let keys: Vec<String> =
            rows.iter().flat_map(|row| custom(row).into_iter().map(|(key, _)| key)).collect();
        let definitions = if keys.is_empty() {
            None
        } else {
            Some(self.fields.of(object, keys.iter().map(String::as_str), lane).await?)
        };
        for row in &mut rows {
            if let (Some(definitions), Some(Value::Object(custom))) = (&definitions, row.get_mut(CUSTOM)) {
                *custom = definitions.named(std::mem::take(custom));
            }
            for list in ["emails", "phones"] {
                if let Some(Value::Array(rows)) = row.get_mut(list) {
                    rows.sort_by_key(|row| row.get("primary") != Some(&Value::Bool(true)));
                }
            }
        }
        Ok(rows)
    }

    fn record(&self, object: &str, row: Object, person: Option<&Object>) -> Option<Record> {
        let mut row = into_object(sorted(Value::Object(row)))?;
        let modified_at = wire::time(&row, "update_time");
        // Two changes may share a second, so the time alone would hide the second one. What becomes of the person is no
        // change of the lead or deal.
        let print = signature::fingerprint(&[to_raw_value(&row).ok()?.get().as_bytes()]);
        let stamp = modified_at.map_or_else(|| "none".to_owned(), |at| at.as_millisecond().to_string());
        let revision = format!("{stamp}-{}", print.get(..12).unwrap_or(&print));
        if object != PERSONS {
            let person = person.map_or(Value::Null, |person| sorted(Value::Object(person.clone())));
            row.insert(PERSON.to_owned(), person);
        }
        Some(Record {
            connection: self.connection.clone(),
            object: ObjectType::new(object),
            external_id: ExternalId::new(wire::id(&row)?),
            revision,
            created_at: wire::time(&row, "add_time"),
            modified_at,
            imported: wire::text(&row, "origin").is_some_and(|origin| origin.eq_ignore_ascii_case("import")),
            gone: !find::lives(&row),
            payload: to_raw_value(&row).ok()?,
        })
    }
}

/// Leads have custom fields beside the others, and the currency of an amount beside it; here they stand as in v2.
fn gathered(object: &str, row: Object) -> Object {
    if object != LEADS {
        return row;
    }
    let (custom, mut row): (Map<String, Value>, Object) =
        row.into_iter().partition(|(key, _)| is_key(key.split('_').next().unwrap_or(key)));
    let whole = |(key, value): (&String, &Value)| {
        let value = match custom.get(&format!("{key}_currency")) {
            Some(currency) => json!({ "value": value, "currency": currency }),
            None => value.clone(),
        };
        is_key(key).then(|| (key.clone(), value))
    };
    let custom: Map<String, Value> = custom.iter().filter_map(whole).collect();
    row.insert(CUSTOM.to_owned(), Value::Object(custom));
    row
}

fn is_key(name: &str) -> bool {
    name.len() == 40 && name.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// The same value with its keys in order: by whichever way an object comes, it is the same text.
fn sorted(value: Value) -> Value {
    match value {
        Value::Object(map) => {
            let map: BTreeMap<String, Value> =
                map.into_iter().map(|(key, value)| (key, sorted(value))).collect();
            map.into_iter().collect()
        }
        Value::Array(items) => items.into_iter().map(sorted).collect(),
        other => other,
    }
}

/// A row that is no object of ours, named by its id if it has one, else by its bytes.
fn unreadable(row: &Value) -> RowProblem {
    let print = signature::fingerprint(&[row.to_string().as_bytes()]);
    let id = row.as_object().and_then(wire::id);
    RowProblem {
        external_id: ExternalId::new(id.unwrap_or_else(|| print.clone())),
        revision: print,
        reason: "Pipedrive's row has no id".to_owned(),
    }
}
