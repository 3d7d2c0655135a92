//! The HubSpot account as any CRM.

use serde_json::{Map, Value, json};

use super::owners::Owner;
use super::sim::HubspotSim;
use crate::Error;
use crate::crm::{Crm, CrmObject, CrmVendor, Firm, Look, Rep, text};
use crate::oracle::{Actor, Event};
use crate::summary::{Ownership, Summary};

const OBJECT_OWNER: &str = "hubspot_owner_id";
/// Companies taken at once, as lines of text.
const CHUNK: usize = 5_000;

/// The property that keeps a field of a person or firm.
fn property(field: &str) -> Result<&'static str, Error> {
    Ok(match field {
        "first_name" => "firstname",
        "last_name" => "lastname",
        "email" => "email",
        "title" => "jobtitle",
        "company" => "company",
        "name" => "name",
        "website" => "website",
        "phone" => "phone",
        "street" => "address",
        "city" => "city",
        "state" => "state",
        "zip" => "zip",
        "country" => "country",
        other => return Err(Error::Input(format!("nobody has a field {other}"))),
    })
}

fn properties(fields: &Map<String, Value>) -> Result<Map<String, Value>, Error> {
    fields.iter().map(|(field, value)| Ok((property(field)?.to_owned(), value.clone()))).collect()
}

fn line(firm: &Firm) -> Result<String, Error> {
    let mut properties = properties(&firm.fields)?;
    // A plain host is what HubSpot would show as the domain; addresses of pages stay in `website`.
    let website = text(&firm.fields, "website");
    if !website.is_empty() && !website.contains('/') {
        properties.insert("domain".to_owned(), website.into());
    }
    if let Some(owner) = firm.owner {
        properties.insert(OBJECT_OWNER.to_owned(), owner.to_string().into());
    }
    let line = json!({ "object": "companies", "createdAt": firm.at, "updatedAt": firm.at, "properties": properties });
    Ok(line.to_string())
}

/// By which way a record came, as HubSpot names it.
fn source(actor: Actor) -> &'static str {
    match actor {
        Actor::Form => "FORM",
        Actor::FormTool => "INTEGRATION",
        Actor::Workflow => "AUTOMATION_PLATFORM",
        Actor::Seed => "IMPORT",
        Actor::Human | Actor::Api(_) => "CRM_UI",
    }
}

impl Crm for HubspotSim {
    fn vendor(&self) -> CrmVendor {
        CrmVendor::Hubspot
    }

    fn put_rep(&self, rep: &Rep) {
        self.put_owner(Owner {
            id: rep.id,
            email: rep.email.clone(),
            first_name: rep.first_name.clone(),
            last_name: rep.last_name.clone(),
            user_id: Some(rep.id + 1_000),
            archived: false,
            teams: Vec::new(),
            created_at: 0,
            updated_at: 0,
        });
    }

    /// Contacts have a property for everything.
    fn put_fields(&self) -> Result<(), Error> {
        Ok(())
    }

    fn put_firms(&self, firms: &[Firm]) -> Result<Vec<u64>, Error> {
        let mut ids = Vec::with_capacity(firms.len());
        for some in firms.chunks(CHUNK) {
            let lines: Vec<String> = some.iter().map(line).collect::<Result<_, _>>()?;
            ids.extend(self.seed(&lines.join("\n"))?);
        }
        Ok(ids)
    }

    fn enter(&self, who: &Map<String, Value>, actor: Actor) -> Result<u64, Error> {
        self.create("contacts", &properties(who)?, source(actor))
    }

    fn enter_inquiry(&self, object: CrmObject, who: &Map<String, Value>, actor: Actor) -> Result<u64, Error> {
        let name = match object {
            CrmObject::Lead => "hs_lead_name",
            CrmObject::Deal => "dealname",
            _ => return Err(Error::Input(format!("a {object} is no inquiry"))),
        };
        let contact = self.enter(who, actor)?;
        let parts = [text(who, "first_name"), text(who, "last_name")].map(str::to_owned).into_iter();
        let parts: Vec<String> = parts.filter(|part| !part.is_empty()).chain([object.to_string()]).collect();
        let named = Map::from_iter([(name.to_owned(), parts.join(" ").into())]);
        self.create_about(contact, CrmVendor::Hubspot.objects(object), &named, source(actor))
    }

    fn summary(&self) -> Summary {
        Self::summary(self)
    }

    fn persons(&self) -> Vec<Ownership> {
        self.ownership()
    }

    fn events(&self, from: usize) -> Vec<Event> {
        Self::events(self, from)
    }

    fn number(&self, id: &str) -> Option<u64> {
        id.parse().ok()
    }

    fn look(&self, object: CrmObject, id: u64) -> Option<Look> {
        let record = self.read(CrmVendor::Hubspot.objects(object), id)?;
        let value = |name: &str| record["properties"][name].as_str().unwrap_or_default().to_owned();
        let name = match object {
            CrmObject::Person => "phone",
            CrmObject::Company => "name",
            CrmObject::Task => "hs_task_body",
            CrmObject::Lead => "hs_lead_name",
            CrmObject::Deal => "dealname",
        };
        let lives = record["archived"] != true;
        let person = match object {
            CrmObject::Lead | CrmObject::Deal => self.contact_of(CrmVendor::Hubspot.objects(object), id),
            _ => None,
        };
        Some(Look {
            owner: lives.then(|| value(OBJECT_OWNER).parse().unwrap_or(0)),
            text: value(name),
            person,
        })
    }
}
