//! The HubSpot simulator as a rig: what writes come to, judged from the oracle.

use serde_json::{Value, json};
use usher_connector::Write;
use usher_model::{EffectBody, EffectKind, ExternalId, ObjectRef, SlotKind};
use usher_sandbox::Actor;

use super::hub::{Hub, LEFT, OWNERS};
use super::{known, made, number};
use crate::conformance::{CANARY, TargetWorld, World as _};

fn object(kind: SlotKind) -> &'static str {
    match kind {
        SlotKind::Person => "contacts",
        SlotKind::Company => "companies",
        SlotKind::Lead => "leads",
        SlotKind::Deal => "deals",
        SlotKind::Task => "tasks",
        SlotKind::Owner => "owners",
    }
}

impl Hub {
    fn property(&self, object: &str, id: u64, name: &str) -> String {
        let record = self.sim.read(object, id).unwrap_or_default();
        record["properties"][name].as_str().unwrap_or_default().to_owned()
    }

    fn is_archived(&self, object: &str, id: u64) -> bool {
        self.sim.read(object, id).is_none_or(|record| record["archived"] == true)
    }

    /// Living records of a type that the API made and that fit.
    fn made(&self, object: &str, fits: impl Fn(u64, &Value) -> bool) -> usize {
        let lives = |id: &u64, record: &Value| record["archived"] != true && fits(*id, record);
        let fits = |id: &u64| self.sim.read(object, *id).is_some_and(|record| lives(id, &record));
        made(self.sim.events(0), object).filter(fits).count()
    }

    fn tied(&self, from: (SlotKind, u64), to: (SlotKind, u64)) -> bool {
        self.sim.associated(object(from.0), from.1, object(to.0)).contains(&to.1)
    }

    fn holds(&self, target: &ObjectRef, wanted: &[(&str, String)]) -> bool {
        known(target).is_some_and(|(kind, id)| {
            wanted.iter().all(|(name, value)| self.property(object(kind), id, name) == *value)
        })
    }
}

impl TargetWorld for Hub {
    fn owners(&self) -> Vec<ExternalId> {
        OWNERS.map(|id| ExternalId::new(id.to_string())).to_vec()
    }

    fn left(&self) -> ExternalId {
        ExternalId::new(LEFT.to_string())
    }

    fn make(&self, kind: SlotKind) -> ExternalId {
        let number = self.number();
        let properties = match kind {
            SlotKind::Person => json!({"email": format!("{CANARY}.made.{number}@acme.example")}),
            SlotKind::Company => json!({"name": format!("Made {number}")}),
            SlotKind::Lead => json!({"hs_lead_name": format!("Made {number}")}),
            SlotKind::Deal => {
                json!({"dealname": format!("Made {number}"), "pipeline": "default", "dealstage": "appointmentscheduled"})
            }
            SlotKind::Task | SlotKind::Owner => {
                json!({"hs_task_subject": "Call", "hs_timestamp": "2026-11-22T10:00:00Z", "hs_task_status": "NOT_STARTED"})
            }
        };
        self.create(object(kind), &properties)
    }

    fn enter(&self, kind: SlotKind, person: &ExternalId) -> Option<ExternalId> {
        let name = if kind == SlotKind::Lead { "hs_lead_name" } else { "dealname" };
        let line = json!({"object": object(kind), "source": "CRM_UI", "createdAt": self.now().as_millisecond(),
            "properties": {name: format!("Entered {}", self.number())},
            "associations": [{"to": "contacts", "id": number(person)}]});
        self.seed(&line.to_string()).pop()
    }

    fn remove(&self, kind: SlotKind, id: &ExternalId) {
        // What is gone already can not be archived again, which is what was asked for.
        let _ = self.sim.archive(object(kind), number(id));
    }

    fn give(&self, kind: SlotKind, id: &ExternalId, owner: &ExternalId) {
        // An object that is gone belongs to nobody; the check that asked will say so.
        let _ = self.sim.assign_as_human(object(kind), number(id), number(owner));
    }

    fn applied(&self, write: &Write) -> usize {
        match &write.body {
            EffectBody::EnsurePerson { keys, .. } => {
                let email = keys.first().map(|key| key.value.clone()).unwrap_or_default();
                self.sim.ownership().iter().filter(|owned| owned.email.as_deref() == Some(&email)).count()
            }
            EffectBody::EnsureCompany { domain, .. } => {
                let domain = domain.clone().unwrap_or_default();
                self.made("companies", |_, record| record["properties"]["domain"] == domain.as_str())
            }
            EffectBody::EnsureInquiry { slot, person, company, owner, .. } => {
                let key = write.key.as_str();
                let mark = key.get(key.len().saturating_sub(8)..).unwrap_or(key);
                let ends = || [person].into_iter().chain(company);
                self.made(object(slot.kind), |id, record| {
                    let properties = &record["properties"];
                    let named = ["dealname", "hs_lead_name"]
                        .iter()
                        .any(|name| properties[*name].as_str().is_some_and(|text| text.contains(mark)));
                    let owned = properties["hubspot_owner_id"] == owner.as_str();
                    named && owned && ends().filter_map(known).all(|to| self.tied((slot.kind, id), to))
                })
            }
            EffectBody::CreateTask { about, owner, .. } => self.made("tasks", |id, record| {
                let body = record["properties"]["hs_task_body"].as_str().unwrap_or_default();
                let owned = record["properties"]["hubspot_owner_id"] == owner.as_str();
                let tied = about.iter().filter_map(known).all(|to| self.tied((SlotKind::Task, id), to));
                body.contains(write.key.as_str()) && owned && tied
            }),
            EffectBody::Associate { from, to } => {
                known(from).zip(known(to)).is_some_and(|(from, to)| self.tied(from, to)).into()
            }
            EffectBody::UpdateObject { target, owner, fields, .. } => {
                let owner = owner.iter().map(|change| {
                    ("hubspot_owner_id", change.to.as_ref().map(ToString::to_string).unwrap_or_default())
                });
                let name = fields.get("last_name").and_then(Value::as_str);
                let name = name.iter().map(|name| ("lastname", (*name).to_owned()));
                self.holds(target, &owner.chain(name).collect::<Vec<_>>()).into()
            }
            EffectBody::CloseTask { task, .. } => {
                self.holds(task, &[("hs_task_status", "COMPLETED".to_owned())]).into()
            }
            EffectBody::ReassignTask { task, to } => {
                self.holds(task, &[("hubspot_owner_id", to.to_string())]).into()
            }
            EffectBody::ArchiveObject { target } => {
                known(target).is_some_and(|(kind, id)| self.is_archived(object(kind), id)).into()
            }
        }
    }

    fn changes(&self) -> usize {
        self.sim.events(0).iter().filter(|event| matches!(event.actor, Actor::Api(_))).count()
    }

    fn refuse_a_row(&self, kind: EffectKind) -> bool {
        // Associations and archiving know no errors of single rows besides objects that do not exist.
        let can_fail = !matches!(kind, EffectKind::Associate | EffectKind::ArchiveObject);
        self.set(|faults| {
            (faults.partial_row, faults.times) = (1.0, Some(1));
            faults.partial_category = "VALIDATION_ERROR".to_owned();
        });
        can_fail
    }

    fn omit_a_row(&self, kind: EffectKind) -> bool {
        self.set(|faults| (faults.missing_row, faults.times) = (1.0, Some(1)));
        matches!(kind, EffectKind::UpdateObject | EffectKind::CloseTask | EffectKind::ReassignTask)
    }

    fn refuse_whole(&self) {
        self.set(|faults| faults.batch_fails_whole = true);
    }

    fn drop_owners(&self) {
        self.set(|faults| faults.drop_owner = 1.0);
    }
}
