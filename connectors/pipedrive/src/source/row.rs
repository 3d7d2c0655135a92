//! From a row to a record: custom fields by name, and a revision that changes with the content.

use std::collections::BTreeMap;

use serde_json::value::to_raw_value;
use serde_json::{Map, Value, json};
use usher_connector::{CallLane, Fault, RowProblem, signature};
use usher_model::{ExternalId, ObjectType, Record};

use super::{PipedriveSource, Rows};
use crate::api::LEADS;
use crate::fields::Definitions;
use crate::find::into_object;
use crate::wire::{self, Object};

/// Where a payload has its custom fields, as v2 has them.
const CUSTOM: &str = "custom_fields";

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
        let custom = |row: &Object| row.get(CUSTOM).and_then(Value::as_object).cloned().unwrap_or_default();
        let keys: Vec<String> =
            objects.iter().flat_map(|row| custom(row).into_iter().map(|(key, _)| key)).collect();
        let definitions = if keys.is_empty() {
            None
        } else {
            Some(self.fields.of(object, keys.iter().map(String::as_str), lane).await?)
        };
        rows.records =
            objects.into_iter().filter_map(|row| self.record(object, row, definitions.as_deref())).collect();
        Ok(rows)
    }

    fn record(&self, object: &str, mut row: Object, definitions: Option<&Definitions>) -> Option<Record> {
        if let (Some(definitions), Some(Value::Object(custom))) = (definitions, row.get_mut(CUSTOM)) {
            *custom = definitions.named(std::mem::take(custom));
        }
        for list in ["emails", "phones"] {
            if let Some(Value::Array(rows)) = row.get_mut(list) {
                rows.sort_by_key(|row| row.get("primary") != Some(&Value::Bool(true)));
            }
        }
        let row = sorted(Value::Object(row));
        let payload = to_raw_value(&row).ok()?;
        let row = into_object(row)?;
        let modified_at = wire::time(&row, "update_time");
        // Two changes may share a second, so the time alone would hide the second one.
        let print = signature::fingerprint(&[payload.get().as_bytes()]);
        let stamp = modified_at.map_or_else(|| "none".to_owned(), |at| at.as_millisecond().to_string());
        let revision = format!("{stamp}-{}", print.get(..12).unwrap_or(&print));
        Some(Record {
            connection: self.connection.clone(),
            object: ObjectType::new(object),
            external_id: ExternalId::new(wire::id(&row)?),
            revision,
            created_at: wire::time(&row, "add_time"),
            modified_at,
            imported: wire::text(&row, "origin").is_some_and(|origin| origin.eq_ignore_ascii_case("import")),
            gone: wire::flag(&row, "is_deleted"),
            payload,
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
