//! The Pipedrive account as any CRM.

use serde_json::{Map, Value, json};

use super::fields::{Field, PipedriveField};
use super::kinds::{Kind, lead_number};
use super::seed::kind_of;
use super::sim::PipedriveSim;
use super::summary::contact_values;
use super::users::PipedriveUser;
use crate::Error;
use crate::clock::iso_seconds;
use crate::crm::{Crm, CrmObject, CrmVendor, Firm, Look, Rep, text};
use crate::oracle::{Actor, Event};
use crate::summary::{Ownership, Summary};

/// What people tell and persons have no field for: company and title, and a postal address without contact sync.
const UNKEPT: [&str; 8] = ["title", "company", "website", "street", "city", "state", "zip", "country"];
/// Companies taken at once, as lines of text.
const CHUNK: usize = 5_000;

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

/// Addresses are one object, and there is no number of a company.
fn line(firm: &Firm) -> String {
    let field = |name: &str| firm.fields.get(name).cloned().unwrap_or_default();
    let at = iso_seconds(firm.at);
    let address = json!({ "value": field("street"), "locality": field("city"), "admin_area_level_1": field("state"),
                          "postal_code": field("zip"), "country": field("country") });
    let mut fields =
        object(json!({ "name": field("name"), "website": field("website"), "address": address }));
    if let Some(owner) = firm.owner {
        fields.insert("owner_id".to_owned(), owner.into());
    }
    json!({ "object": "organizations", "fields": fields, "add_time": at, "update_time": at }).to_string()
}

/// The one row of a list of addresses or numbers.
fn only(value: &str) -> Vec<Value> {
    let row = || json!({ "value": value, "primary": true, "label": "work" });
    if value.is_empty() { Vec::new() } else { vec![row()] }
}

/// By what somebody is called who may have no name.
fn name_of(who: &Map<String, Value>) -> String {
    let name = format!("{} {}", text(who, "first_name"), text(who, "last_name"));
    let named = [name.trim(), text(who, "email"), text(who, "phone")];
    named.into_iter().find(|name| !name.is_empty()).unwrap_or("unknown").to_owned()
}

impl Crm for PipedriveSim {
    fn vendor(&self) -> CrmVendor {
        CrmVendor::Pipedrive
    }

    fn put_rep(&self, rep: &Rep) {
        self.put_user(PipedriveUser {
            id: rep.id,
            name: format!("{} {}", rep.first_name, rep.last_name),
            email: rep.email.clone(),
            active: true,
            deleted: false,
            timezone: "Europe/Berlin".to_owned(),
            role_id: 1,
            admin: false,
        });
    }

    fn put_fields(&self) -> Result<(), Error> {
        for name in UNKEPT.map(str::to_owned) {
            let (field_type, key, options) = ("varchar".to_owned(), String::new(), Vec::new());
            self.put_field("persons", PipedriveField { name, field_type, key, options })?;
        }
        Ok(())
    }

    fn put_firms(&self, firms: &[Firm]) -> Result<Vec<u64>, Error> {
        let mut ids = Vec::with_capacity(firms.len());
        for some in firms.chunks(CHUNK) {
            let lines: Vec<String> = some.iter().map(line).collect();
            ids.extend(self.seed(&lines.join("\n"))?);
        }
        Ok(ids)
    }

    /// What a person has no field for is kept in the account's custom fields of the same names.
    fn enter(&self, who: &Map<String, Value>, actor: Actor) -> Result<u64, Error> {
        let fields = json!({ "name": name_of(who), "emails": only(text(who, "email")), "phones": only(text(who, "phone")) });
        let told = |field: &Field| Some((field.key.clone(), who.get(&field.name)?.clone()));
        let custom = self.world.drive().fields.custom(Kind::Person).filter_map(told).collect();
        self.create("persons", &object(fields), &custom, actor)
    }

    fn enter_inquiry(&self, kind: CrmObject, who: &Map<String, Value>, actor: Actor) -> Result<u64, Error> {
        let person = self.enter(who, actor)?;
        let fields = json!({ "title": format!("{} {kind}", name_of(who)), "person_id": person });
        self.create(CrmVendor::Pipedrive.objects(kind), &object(fields), &Map::new(), actor)
    }

    fn summary(&self) -> Summary {
        Self::summary(self)
    }

    fn persons(&self) -> Vec<Ownership> {
        self.ownership("persons")
    }

    fn events(&self, from: usize) -> Vec<Event> {
        Self::events(self, from)
    }

    fn number(&self, id: &str) -> Option<u64> {
        id.parse().ok().or_else(|| lead_number(id))
    }

    fn look(&self, object: CrmObject, id: u64) -> Option<Look> {
        let kind = kind_of(CrmVendor::Pipedrive.objects(object)).ok()?;
        let drive = self.world.drive();
        let table = drive.table(kind);
        let row = table.rows.get(&table.resolve(id))?;
        let text = |name: &str| row.text(name).unwrap_or_default().to_owned();
        let person = match object {
            CrmObject::Lead | CrmObject::Deal => row.number("person_id"),
            _ => None,
        };
        let person = person.map(|id| drive.table(Kind::Person).resolve(id));
        let text = match object {
            CrmObject::Person => contact_values(row, "phones").next().unwrap_or_default().to_owned(),
            CrmObject::Company => text("name"),
            CrmObject::Task => text("note"),
            CrmObject::Lead | CrmObject::Deal => format!("{} {}", text("title"), text("origin_id")),
        };
        Some(Look { owner: row.lives().then(|| row.owner()), text, person })
    }
}
