//! The changelog of a person or deal, v1 only (v1 document: getPersonChangelog, getDealChangelog): a row for each field.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::call::{Answer, By, Call, ok};
use super::cursor::page;
use super::errors::Problem;
use super::kinds::Kind;
use super::row::Row;
use super::state::Drive;
use super::users::old_time;
use crate::clock::Millis;
use crate::oracle::Actor;

/// What changed in each person and deal, the oldest first.
pub(crate) type Edits = BTreeMap<(Kind, u64), Vec<Edit>>;

/// A change of one field.
#[derive(Debug)]
pub(crate) struct Edit {
    at: Millis,
    actor: Actor,
    field: String,
    old: Value,
    new: Value,
}

impl Drive {
    /// Notes every field in which a record differs from what it was.
    pub(crate) fn note_edits(&mut self, kind: Kind, before: &Row, by: By) {
        let Some(after) = self.living(kind, before.id).filter(|_| matches!(kind, Kind::Person | Kind::Deal))
        else {
            return;
        };
        let mut edits = Vec::new();
        for (old, new) in [(&before.fields, &after.fields), (&before.custom, &after.custom)] {
            let value =
                |fields: &Map<String, Value>, name: &str| fields.get(name).cloned().unwrap_or_default();
            let gone = old.keys().filter(|name| !new.contains_key(*name));
            for name in new.keys().chain(gone) {
                let (old, new) = (value(old, name), value(new, name));
                if old != new {
                    // The owner of a deal has its older name here.
                    let older = kind == Kind::Deal && name == "owner_id";
                    let field = if older { "user_id" } else { name }.to_owned();
                    edits.push(Edit { at: by.at, actor: by.actor, field, old, new });
                }
            }
        }
        self.edits.entry((kind, before.id)).or_default().extend(edits);
    }
}

impl Edit {
    fn json(&self) -> Value {
        let source = match self.actor {
            Actor::Api(_) => "api",
            Actor::Workflow => "automation",
            _ => "app",
        };
        json!({"field_key": self.field, "old_value": text(&self.old), "new_value": text(&self.new),
            "actor_user_id": 1, "time": old_time(self.at), "change_source": source,
            "change_source_user_agent": null, "is_bulk_update_flag": false})
    }
}

/// Values are texts, whatever they are elsewhere.
fn text(value: &Value) -> Value {
    match value {
        Value::Null | Value::String(_) => value.clone(),
        other => other.to_string().into(),
    }
}

/// `GET /v1/{object}/{id}/changelog`, the newest first as in the document's example.
pub(crate) fn list(drive: &mut Drive, call: &Call<'_>, kind: Kind) -> Answer {
    let id = call.number()?;
    drive.living(kind, id).ok_or_else(|| Problem::not_found(kind.singular()))?;
    let edits = drive.edits.get(&(kind, id)).into_iter().flatten().rev();
    let (data, cursor) = page(call, edits.map(Edit::json).collect())?;
    ok(&json!({"success": true, "data": data, "additional_data": {"next_cursor": cursor}}))
}
