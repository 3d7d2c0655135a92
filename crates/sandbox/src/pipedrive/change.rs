//! How records change: create, update, delete, merge; each is logged, told to webhooks and, later, to search.

use serde_json::{Map, Value, json};

use super::call::By;
use super::errors::Problem;
use super::hooks::Happening;
use super::kinds::Kind;
use super::later::Later;
use super::pipelines;
use super::row::Row;
use super::shape::Changes;
use super::show::blank;
use super::state::Drive;
use crate::clock::{Millis, iso_seconds};
use crate::oracle::{Actor, Change, Event, PIPEDRIVE};

/// What a seed may give beside the fields.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Given {
    pub(crate) id: Option<u64>,
    pub(crate) added: Option<Millis>,
    pub(crate) updated: Option<Millis>,
}

fn byte(kind: Kind) -> u8 {
    PIPEDRIVE + kind as u8
}

/// How a person's one name is split; a client cannot write the parts (v2 document, addPerson).
fn name_parts(name: &str) -> [(&'static str, Value); 2] {
    let (first, last) = name.trim().split_once(' ').unwrap_or((name.trim(), ""));
    let last = last.trim();
    let last = if last.is_empty() { Value::Null } else { last.into() };
    [("first_name", first.into()), ("last_name", last)]
}

/// The fields that follow from others.
fn derive(kind: Kind, before: &Map<String, Value>, fields: &mut Map<String, Value>, at: Millis) {
    let changed = |fields: &Map<String, Value>, name: &str| fields.get(name) != before.get(name);
    let now: Value = iso_seconds(at).into();
    match kind {
        Kind::Person if changed(fields, "name") => {
            let name = fields["name"].as_str().unwrap_or_default().to_owned();
            fields.extend(name_parts(&name).map(|(key, value)| (key.to_owned(), value)));
        }
        Kind::Activity => {
            let rows = fields["participants"].as_array();
            let primary = rows.and_then(|rows| rows.iter().find(|row| row["primary"] == true));
            let person = primary.map_or(Value::Null, |row| row["person_id"].clone());
            fields.insert("person_id".to_owned(), person);
            if changed(fields, "done") {
                let time = if fields["done"] == true { now } else { Value::Null };
                fields.insert("marked_as_done_time".to_owned(), time);
            }
        }
        Kind::Deal => {
            if changed(fields, "stage_id") {
                fields.insert("stage_change_time".to_owned(), now.clone());
            }
            if changed(fields, "status") {
                let status = fields["status"].as_str().unwrap_or_default().to_owned();
                for (name, of) in [("won_time", "won"), ("lost_time", "lost")] {
                    let time = if status == of { now.clone() } else { Value::Null };
                    fields.insert(name.to_owned(), time);
                }
                let closed = if status == "open" { Value::Null } else { now };
                fields.insert("close_time".to_owned(), closed);
            }
        }
        _ => {}
    }
}

impl Drive {
    fn log(
        &mut self,
        by: By,
        change: Change,
        of: (Kind, u64),
        other: Option<(Kind, u64)>,
        owners: (u64, u64),
    ) {
        self.oracle.push(Event {
            at: by.at,
            actor: by.actor,
            change,
            kind: byte(of.0),
            other_kind: other.map_or(0, |(kind, _)| byte(kind)),
            id: of.1,
            other: other.map_or(0, |(_, id)| id),
            old_owner: owners.0,
            new_owner: owners.1,
            correlation: by.correlation,
        });
    }

    /// The moment that the vendor stamps on a change: whole seconds, leads milliseconds (API-FACTS Pipedrive: Time).
    fn vendor_time(&self, kind: Kind, at: Millis) -> Millis {
        let grain = if kind == Kind::Lead { 1 } else { 1_000 };
        at - at.rem_euclid(grain.max(i64::from(self.faults.ties_ms)))
    }

    /// Makes a change visible to search after the lag; what was there before the run is known to it at once.
    fn publish(&mut self, kind: Kind, id: u64, by: By) {
        let lag = self.faults.search_lag_ms;
        if by.actor == Actor::Seed || lag.is_zero() {
            self.reindex(kind, id);
        } else {
            let due = self.after(by.at, lag);
            self.schedule(due, Later::Index { kind, id });
        }
    }

    /// Creates a record; the fields have been checked.
    pub(crate) fn create(&mut self, kind: Kind, changes: Changes, by: By, given: Given) -> u64 {
        let at = self.vendor_time(kind, by.at);
        let mut fields = blank(kind, by);
        let bare = fields.clone();
        fields.extend(changes.fields);
        if fields.get("owner_id").is_none_or(Value::is_null) {
            fields.insert("owner_id".to_owned(), by.user.into());
        }
        let added = match fields.remove("add_time").as_ref().and_then(Value::as_str).map(str::parse) {
            Some(Ok(time)) => jiff::Timestamp::as_millisecond(time),
            _ => given.added.unwrap_or(at),
        };
        self.complete(kind, &mut fields);
        derive(kind, &bare, &mut fields, at);
        let mut custom = changes.custom;
        custom.retain(|_, value| !value.is_null());
        let id = self.table_mut(kind).take_id(given.id);
        let updated = given.updated.unwrap_or_else(|| given.added.unwrap_or(at));
        let row = Row { id, added, updated, deleted: 0, fields, custom };
        let owner = row.owner();
        self.table_mut(kind).insert(row);
        self.publish(kind, id, by);
        self.log(by, Change::Create, (kind, id), None, (0, owner));
        self.tell(kind, id, &Happening::Create, by);
        id
    }

    /// Defaults that depend on the account.
    fn complete(&self, kind: Kind, fields: &mut Map<String, Value>) {
        if kind == Kind::Deal {
            let stage = fields["stage_id"].as_u64().and_then(pipelines::stage);
            let stage = stage.unwrap_or_else(pipelines::first);
            fields.insert("stage_id".to_owned(), stage.id.into());
            fields.insert("pipeline_id".to_owned(), stage.pipeline.into());
        }
        if kind == Kind::Activity && fields["subject"].is_null() {
            let of = self.activity_types.iter().find(|of| fields["type"] == of.key.as_str());
            fields.insert("subject".to_owned(), of.map_or("Call", |of| of.name.as_str()).into());
        }
    }

    /// Sets fields on a living record; returns whether anything changed.
    pub(crate) fn update(&mut self, kind: Kind, id: u64, changes: Changes, by: By) -> bool {
        let at = self.vendor_time(kind, by.at);
        let Some(row) = self.living(kind, id) else { return false };
        let before = row.clone();
        let mut fields = before.fields.clone();
        fields.extend(changes.fields.into_iter().filter(|(name, _)| name != "add_time"));
        derive(kind, &before.fields, &mut fields, at);
        let mut custom = before.custom.clone();
        custom.extend(changes.custom);
        custom.retain(|_, value| !value.is_null());
        if fields == before.fields && custom == before.custom {
            return false;
        }
        self.table_mut(kind).change(id, at, |row| (row.fields, row.custom) = (fields, custom));
        self.publish(kind, id, by);
        let owner = self.living(kind, id).map_or(0, Row::owner);
        self.log(by, Change::Update, (kind, id), None, (before.owner(), owner));
        self.note_edits(kind, &before, by);
        self.tell(kind, id, &Happening::Change { before: &before }, by);
        true
    }

    /// Deletes a record; returns whether it lived. Deleting leaves the time of the last update as it was (FM-019).
    pub(crate) fn delete(&mut self, kind: Kind, id: u64, by: By) -> bool {
        self.retire(kind, id, Change::Archive, None, by)
    }

    fn retire(&mut self, kind: Kind, id: u64, change: Change, into: Option<u64>, by: By) -> bool {
        let Some(row) = self.living(kind, id) else { return false };
        let before = row.clone();
        if let Some(row) = self.table_mut(kind).rows.get_mut(&id) {
            row.deleted = by.at.max(1);
        }
        self.publish(kind, id, by);
        let owner = before.owner();
        self.log(by, change, (kind, id), into.map(|id| (kind, id)), (owner, owner));
        self.tell(kind, id, &Happening::Delete { before: &before, into }, by);
        true
    }

    /// Merges `other` into `primary`, which keeps its id and its values; what pointed at the other moves.
    pub(crate) fn merge(&mut self, kind: Kind, primary: u64, other: u64, by: By) -> Option<u64> {
        let (first, second) = (self.living(kind, primary)?.clone(), self.living(kind, other)?.clone());
        if primary == other {
            return None;
        }
        let mut changes = Changes::default();
        for (name, value) in &second.fields {
            let mine = first.fields.get(name).unwrap_or(&Value::Null);
            match (mine, value) {
                (Value::Null, value) if !value.is_null() => {
                    changes.fields.insert(name.clone(), value.clone());
                }
                (Value::Array(mine), Value::Array(more)) if matches!(&**name, "emails" | "phones") => {
                    changes.fields.insert(name.clone(), joined(mine, more).into());
                }
                _ => {}
            }
        }
        let unset = second.custom.into_iter().filter(|(key, _)| !first.custom.contains_key(key));
        changes.custom.extend(unset);
        self.retire(kind, other, Change::Merge, Some(primary), by);
        self.table_mut(kind).merged.insert(other, primary);
        self.move_links(kind, other, primary);
        self.update(kind, primary, changes, by);
        Some(primary)
    }

    /// Leads, deals and activities of a merged record point at what it became.
    fn move_links(&mut self, kind: Kind, from: u64, to: u64) {
        let names: &[&str] = match kind {
            Kind::Person => &["person_id"],
            Kind::Organization => &["org_id", "organization_id"],
            _ => &[],
        };
        for owner in Kind::ALL {
            for row in self.table_mut(owner).rows.values_mut() {
                for name in names {
                    if row.number(name) == Some(from) {
                        row.fields.insert((*name).to_owned(), to.into());
                    }
                }
                if let (Kind::Person, Some(Value::Array(rows))) = (kind, row.fields.get_mut("participants")) {
                    rows.iter_mut()
                        .filter(|row| row["person_id"] == from)
                        .for_each(|row| row["person_id"] = to.into());
                }
            }
        }
    }
}

/// The rows of both, each value once; the first keeps being primary.
fn joined(mine: &[Value], more: &[Value]) -> Vec<Value> {
    let new = more.iter().filter(|row| mine.iter().all(|own| own["value"] != row["value"]));
    let demoted = new.map(|row| {
        let primary = mine.is_empty() && row["primary"] == true;
        json!({"value": row["value"], "primary": primary, "label": row["label"]})
    });
    mine.iter().cloned().chain(demoted).collect()
}

/// Times and reasons of a deal's end fit its status (v2 document, addDeal).
pub(crate) fn check_deal(changes: &Changes, before: Option<&Row>) -> Result<(), Problem> {
    let given = |name: &str| changes.fields.get(name).filter(|value| !value.is_null());
    let status = given("status").and_then(Value::as_str).or_else(|| before?.text("status")).unwrap_or("open");
    for (name, fits) in [
        ("lost_reason", status == "lost"),
        ("lost_time", status == "lost"),
        ("won_time", status == "won"),
        ("close_time", status != "open"),
    ] {
        if given(name).is_some() && !fits {
            return Err(Problem::schema(name, "does not fit the status"));
        }
    }
    for (name, known) in [
        ("stage_id", given("stage_id").is_none_or(|id| id.as_u64().and_then(pipelines::stage).is_some())),
        ("pipeline_id", given("pipeline_id").is_none_or(|id| *id == pipelines::PIPELINE)),
    ] {
        if !known {
            return Err(Problem::new(400, format!("{name} was not found")));
        }
    }
    Ok(())
}
