//! The Pipedrive simulator as a rig: what writes come to, judged from the oracle.

use serde_json::{Value, json};
use usher_connector::Write;
use usher_model::{EffectBody, ExternalId, ObjectRef, SlotKind};
use usher_sandbox::{Actor, lead_uuid};

use super::drive::{Drive, LEFT, STAGE, USERS, inquiry};
use super::{known, made, number};
use crate::conformance::{CANARY, TargetWorld};

fn object(kind: SlotKind) -> &'static str {
    match kind {
        SlotKind::Person => "persons",
        SlotKind::Company => "organizations",
        SlotKind::Lead => "leads",
        SlotKind::Deal => "deals",
        SlotKind::Task => "activities",
        SlotKind::Owner => "users",
    }
}

impl Drive {
    fn field(&self, of: &ObjectRef, name: &str) -> Value {
        let record = known(of).and_then(|(kind, id)| self.sim.read(object(kind), id));
        record.map(|record| record[name].clone()).unwrap_or_default()
    }

    /// Living records of a type that the API made and that fit.
    fn made(&self, object: &str, fits: impl Fn(&Value) -> bool) -> usize {
        let lives = |record: &Value| record["is_deleted"] != true && fits(record);
        let fits = |id: &u64| self.sim.read(object, *id).is_some_and(|record| lives(&record));
        made(self.sim.events(0), object).filter(fits).count()
    }
}

/// Where a lead or deal bears the key of a write.
fn bears(record: &Value, key: &str) -> bool {
    let custom =
        || record["custom_fields"].as_object().is_some_and(|all| all.values().any(|value| value == key));
    record["origin_id"] == key || custom()
}

/// Whether a record names that other one; leads have other names for companies, and are named by their own ids.
fn names(record: &Value, (kind, id): (SlotKind, u64)) -> bool {
    match kind {
        SlotKind::Person => record["person_id"] == id,
        SlotKind::Company => record["org_id"] == id || record["organization_id"] == id,
        SlotKind::Lead => record["lead_id"] == lead_uuid(id),
        SlotKind::Deal => record["deal_id"] == id,
        SlotKind::Task | SlotKind::Owner => false,
    }
}

impl TargetWorld for Drive {
    fn owners(&self) -> Vec<ExternalId> {
        USERS.map(|id| ExternalId::new(id.to_string())).to_vec()
    }

    fn left(&self) -> ExternalId {
        ExternalId::new(LEFT.to_string())
    }

    fn make(&self, kind: SlotKind) -> ExternalId {
        let number = self.number();
        let email = format!("{CANARY}.made.{number}@acme.example");
        let fields = match kind {
            SlotKind::Person => {
                json!({"name": format!("Made{number}"), "emails": [{"value": email, "primary": true, "label": "work"}]})
            }
            SlotKind::Company => json!({"name": format!("Made {number}")}),
            // The vendor takes no change of one that is about nobody.
            SlotKind::Deal | SlotKind::Lead => inquiry(super::number(&self.make(SlotKind::Person))),
            SlotKind::Task | SlotKind::Owner => json!({"subject": "Call", "type": "task"}),
        };
        self.create(object(kind), &fields)
    }

    fn enter(&self, kind: SlotKind, person: &ExternalId) -> Option<ExternalId> {
        Some(self.create(object(kind), &inquiry(number(person))))
    }

    fn remove(&self, kind: SlotKind, id: &ExternalId) {
        // What is gone already can not be deleted again, which is what was asked for.
        let _ = self.sim.delete(object(kind), number(id));
    }

    fn give(&self, kind: SlotKind, id: &ExternalId, owner: &ExternalId) {
        // An object that is gone belongs to nobody; the check that asked will say so.
        let _ = self.sim.assign_as_human(object(kind), number(id), number(owner));
    }

    fn applied(&self, write: &Write) -> usize {
        match &write.body {
            EffectBody::EnsurePerson { keys, .. } => {
                let email = keys.first().map(|key| key.value.clone()).unwrap_or_default();
                let all = self.sim.ownership("persons");
                all.iter().filter(|owned| owned.email.as_deref() == Some(&email)).count()
            }
            EffectBody::EnsureInquiry { slot, person, company, owner, .. } => {
                let ends = || [person].into_iter().chain(company).filter_map(known);
                let begins = |record: &Value| slot.kind != SlotKind::Deal || record["stage_id"] == STAGE;
                self.made(object(slot.kind), |record| {
                    let owned = record["owner_id"] == number(owner);
                    bears(record, write.key.as_str())
                        && owned
                        && begins(record)
                        && ends().all(|end| names(record, end))
                })
            }
            EffectBody::EnsureCompany { name, domain, .. } => self.made("organizations", |record| {
                record["name"] == name.as_str() && record["website"] == json!(domain)
            }),
            EffectBody::CreateTask { about, owner, .. } => self.made("activities", |record| {
                let note = record["note"].as_str().unwrap_or_default();
                let about = about.iter().filter_map(known).all(|about| names(record, about));
                note.contains(write.key.as_str()) && record["owner_id"] == number(owner) && about
            }),
            EffectBody::Associate { from, to } => {
                known(to).is_some_and(|(_, id)| self.field(from, "org_id") == id).into()
            }
            EffectBody::UpdateObject { target, owner, fields, .. } => {
                let to = owner.as_ref().and_then(|change| change.to.as_ref()).map(number);
                let owned = owner.is_none() || Some(self.field(target, "owner_id")) == to.map(Value::from);
                let name = fields.get("last_name").is_none_or(|name| self.field(target, "name") == *name);
                (owned && name).into()
            }
            EffectBody::CloseTask { task, .. } => (self.field(task, "done") == true).into(),
            EffectBody::ReassignTask { task, to } => (self.field(task, "owner_id") == number(to)).into(),
            EffectBody::ArchiveObject { target } => (self.field(target, "is_deleted") == true).into(),
        }
    }

    fn changes(&self) -> usize {
        self.sim.events(0).iter().filter(|event| matches!(event.actor, Actor::Api(_))).count()
    }

    fn drop_owners(&self) {
        self.set(|faults| faults.drop_owner = 1.0);
    }
}
