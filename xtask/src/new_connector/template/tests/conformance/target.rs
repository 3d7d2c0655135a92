//! What writes do, and what they came to.

use serde_json::{Value, json};
use usher_connector::Write;
use usher_model::{EffectBody, ExternalId, ObjectRef, SlotKind};
use usher_testkit::Asked;
use usher_testkit::conformance::{CANARY, TargetWorld};

use crate::directory::USERS;
use crate::vendor::{State, Vendor, is};

impl State {
    fn table(&mut self, table: &str) -> &mut Vec<Value> {
        match table {
            "people" => &mut self.people,
            "companies" => &mut self.companies,
            _ => &mut self.tasks,
        }
    }

    fn row(&mut self, table: &str, id: &str) -> Option<&mut Value> {
        self.table(table).iter_mut().find(|row| is(&row["id"], id))
    }

    /// A call about one object.
    pub(crate) fn object(&mut self, table: &str, rest: &[&str], asked: &Asked) -> (u16, Value) {
        let gone = (404, json!({ "error": "not_found" }));
        let mut body = asked.body.clone();
        if body["owner"].as_u64().is_some_and(|owner| owner == 13 || !USERS.contains(&owner)) {
            return (422, json!({ "error": "owner_inactive" }));
        }
        if self.drops_owners && body.get("owner").is_some() {
            body["owner"] = Value::Null;
        }
        let answer = match (asked.method.as_str(), rest) {
            ("GET", [id]) => return self.row(table, id).map_or(gone, |row| (200, row.clone())),
            ("POST", []) => self.create(table, body),
            ("PATCH", [id]) => {
                let now = self.now;
                let Some(row) = self.row(table, id) else { return gone };
                for (name, value) in body.as_object().into_iter().flatten() {
                    row[name] = value.clone();
                }
                row["updated_at"] = json!(now);
                (200, row.clone())
            }
            ("DELETE", [id]) => {
                let Some(row) = self.row(table, id).map(|row| row.clone()) else { return gone };
                self.table(table).retain(|other| *other != row);
                (200, row)
            }
            _ => gone,
        };
        self.changes += usize::from(answer.0 < 300);
        answer
    }

    fn create(&mut self, table: &str, body: Value) -> (u16, Value) {
        let taken = |row: &Value| table == "people" && row["email"] == body["email"];
        if self.table(table).iter().any(taken) {
            return (409, json!({ "error": "email_taken" }));
        }
        let parent = body["person"].to_string();
        if table == "tasks" && self.row("people", &parent).is_none() {
            return (404, json!({ "error": "not_found" }));
        }
        let row = self.made(table, body);
        (201, row)
    }

    fn made(&mut self, table: &str, mut body: Value) -> Value {
        if table == "tasks" {
            body["done"] = json!(false);
        }
        let now = self.now;
        let row = self.stamped(body, now);
        self.table(table).push(row.clone());
        row
    }
}

fn table(kind: SlotKind) -> &'static str {
    match kind {
        SlotKind::Company => "companies",
        SlotKind::Task => "tasks",
        _ => "people",
    }
}

fn shown(state: &mut State, object: &ObjectRef) -> Option<Value> {
    let ObjectRef::Id { kind, id } = object else { return None };
    state.row(table(*kind), id.as_str()).map(|row| row.clone())
}

impl TargetWorld for Vendor {
    fn owners(&self) -> Vec<ExternalId> {
        USERS[..2].iter().map(|id| ExternalId::new(id.to_string())).collect()
    }

    fn left(&self) -> ExternalId {
        ExternalId::new("13")
    }

    fn make(&self, kind: SlotKind) -> ExternalId {
        let mut state = self.state();
        let email = format!("{CANARY}.made.{}@acme.example", state.people.len());
        let row = match kind {
            SlotKind::Company => json!({ "name": "Made", "owner": null }),
            SlotKind::Task => json!({ "subject": "Call", "body": "", "owner": null }),
            _ => json!({ "email": email, "owner": null, "company": null }),
        };
        ExternalId::new(state.made(table(kind), row)["id"].to_string())
    }

    fn remove(&self, kind: SlotKind, id: &ExternalId) {
        self.state().table(table(kind)).retain(|row| !is(&row["id"], id.as_str()));
    }

    fn give(&self, kind: SlotKind, id: &ExternalId, owner: &ExternalId) {
        if let Some(row) = self.state().row(table(kind), id.as_str()) {
            row["owner"] = json!(owner.as_str().parse::<u64>().unwrap());
        }
    }

    fn applied(&self, write: &Write) -> usize {
        let mut state = self.state();
        let is = |value: &Value, owner: &ExternalId| is(value, owner.as_str());
        match &write.body {
            EffectBody::EnsurePerson { keys, .. } => {
                state.people.iter().filter(|row| row["email"] == keys[0].value.as_str()).count()
            }
            EffectBody::CreateTask { owner, .. } => {
                let ours = |row: &&Value| row["body"].as_str().unwrap_or_default().contains(&write.marker());
                state.tasks.iter().filter(ours).filter(|row| is(&row["owner"], owner)).count()
            }
            EffectBody::Associate { from, to: ObjectRef::Id { id, .. } } => {
                shown(&mut state, from).is_some_and(|row| is(&row["company"], id)).into()
            }
            EffectBody::UpdateObject { target, owner, fields, .. } => shown(&mut state, target)
                .is_some_and(|row| {
                    let to = owner.as_ref().and_then(|change| change.to.as_ref());
                    to.is_none_or(|to| is(&row["owner"], to))
                        && fields.iter().all(|(name, value)| row[name] == *value)
                })
                .into(),
            EffectBody::CloseTask { task, .. } => {
                shown(&mut state, task).is_some_and(|row| row["done"] == true).into()
            }
            EffectBody::ReassignTask { task, to } => {
                shown(&mut state, task).is_some_and(|row| is(&row["owner"], to)).into()
            }
            EffectBody::ArchiveObject { target } => shown(&mut state, target).is_none().into(),
            _ => 0,
        }
    }

    fn changes(&self) -> usize {
        self.state().changes
    }

    fn drop_owners(&self) {
        self.state().drops_owners = true;
    }
}
