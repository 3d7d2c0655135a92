//! The simulated CRMs by one measure: reps, companies and people go in, what really happened comes out, in words that
//! every CRM has. Rigs and demos that work with any CRM see no more of it than this.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::Sandbox;
use crate::clock::Millis;
use crate::oracle::{Actor, Event};
use crate::summary::{Ownership, Summary};

/// Whose CRM it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CrmVendor {
    /// HubSpot.
    #[default]
    Hubspot,
    /// Pipedrive.
    Pipedrive,
}

/// What an object of a CRM is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CrmObject {
    /// Somebody.
    #[default]
    Person,
    /// A company.
    Company,
    /// Something that an owner is to do.
    Task,
    /// An inquiry that is not yet a deal.
    Lead,
    /// A deal.
    Deal,
}

impl CrmVendor {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Hubspot, Self::Pipedrive];

    /// The id of its connector, `hubspot`.
    #[must_use]
    pub fn id(self) -> &'static str {
        match self {
            Self::Hubspot => "hubspot",
            Self::Pipedrive => "pipedrive",
        }
    }

    /// What the vendor calls such objects, `contacts`.
    #[must_use]
    pub fn objects(self, object: CrmObject) -> &'static str {
        match (self, object) {
            (Self::Hubspot, CrmObject::Person) => "contacts",
            (Self::Hubspot, CrmObject::Company) => "companies",
            (Self::Hubspot, CrmObject::Task) => "tasks",
            (Self::Pipedrive, CrmObject::Person) => "persons",
            (Self::Pipedrive, CrmObject::Company) => "organizations",
            (Self::Pipedrive, CrmObject::Task) => "activities",
            (_, CrmObject::Lead) => "leads",
            (_, CrmObject::Deal) => "deals",
        }
    }
}

impl fmt::Display for CrmVendor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.id())
    }
}

impl FromStr for CrmVendor {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = Self::ALL.into_iter().find(|vendor| vendor.id() == text);
        found.ok_or_else(|| {
            format!("there is a simulated {}", Self::ALL.map(Self::id).join(" and a simulated "))
        })
    }
}

impl CrmObject {
    /// What a vendor's name for objects means; none for those that no rig looks at.
    #[must_use]
    pub fn named(objects: &str) -> Option<Self> {
        let all = [Self::Person, Self::Company, Self::Task, Self::Lead, Self::Deal];
        let is = |object: &Self| CrmVendor::ALL.iter().any(|vendor| vendor.objects(*object) == objects);
        all.into_iter().find(is)
    }
}

impl fmt::Display for CrmObject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Person => "person",
            Self::Company => "company",
            Self::Task => "task",
            Self::Lead => "lead",
            Self::Deal => "deal",
        })
    }
}

/// Somebody who can own what the CRM knows.
#[derive(Debug, Clone)]
pub struct Rep {
    /// The vendor's number.
    pub id: u64,
    /// First name.
    pub first_name: String,
    /// Last name.
    pub last_name: String,
    /// E-mail address.
    pub email: String,
}

/// A company that the CRM knows from before.
#[derive(Debug, Clone)]
pub struct Firm {
    /// Any of `name`, `website`, `phone`, `street`, `city`, `state`, `zip` and `country`.
    pub fields: Map<String, Value>,
    /// The rep who owns it.
    pub owner: Option<u64>,
    /// When it was last changed.
    pub at: Millis,
}

/// An object as far as rigs look at one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Look {
    /// The owner, 0 for none; nothing if the object is in the bin.
    pub owner: Option<u64>,
    /// Where a write leaves its key or number: a task's body, a lead's or deal's name, somebody's phone number.
    pub text: String,
    /// The person whom a lead or deal is about.
    pub person: Option<u64>,
}

/// A simulated CRM from behind the counter, whichever it is. Merged ids lead to what they became.
pub trait Crm: fmt::Debug + Send + Sync {
    /// Whose it is.
    fn vendor(&self) -> CrmVendor;

    /// Adds somebody who can own what the CRM knows.
    fn put_rep(&self, rep: &Rep);

    /// Gives persons a field for whatever somebody may tell and the vendor has no field for.
    ///
    /// # Errors
    /// When the account has such a field already.
    fn put_fields(&self) -> Result<(), crate::Error>;

    /// Adds companies; returns their ids in the same order. What the vendor keeps no field for is dropped.
    ///
    /// # Errors
    /// When the vendor refuses a field or value.
    fn put_firms(&self, firms: &[Firm]) -> Result<Vec<u64>, crate::Error>;

    /// Adds somebody as a person or another program does; returns the id. The fields are those of a firm, without
    /// `name` and with `first_name`, `last_name`, `email`, `title` and `company`; what the vendor keeps no field for is dropped.
    ///
    /// # Errors
    /// When the vendor refuses a value.
    fn enter(&self, who: &Map<String, Value>, actor: Actor) -> Result<u64, crate::Error>;

    /// As [`Crm::enter`], and a lead or deal about the person, which nobody was given yet; returns the oracle's number of it.
    ///
    /// # Errors
    /// When the vendor refuses a value, or the object is no lead or deal.
    fn enter_inquiry(
        &self,
        object: CrmObject,
        who: &Map<String, Value>,
        actor: Actor,
    ) -> Result<u64, crate::Error>;

    /// The verdict on everything so far.
    fn summary(&self) -> Summary;

    /// Every living person's owner and who decided it.
    fn persons(&self) -> Vec<Ownership>;

    /// The oracle's events from a position on.
    fn events(&self, from: usize) -> Vec<Event>;

    /// The number by which the oracle knows an id.
    fn number(&self, id: &str) -> Option<u64>;

    /// An object, also one in the bin.
    fn look(&self, object: CrmObject, id: u64) -> Option<Look>;
}

impl Sandbox {
    /// One of the CRMs.
    #[must_use]
    pub fn crm(&self, vendor: CrmVendor) -> Arc<dyn Crm> {
        match vendor {
            CrmVendor::Hubspot => Arc::new(self.hubspot()),
            CrmVendor::Pipedrive => Arc::new(self.pipedrive()),
        }
    }

    /// Where that CRM is served, without a slash at the end.
    #[must_use]
    pub fn crm_url(&self, vendor: CrmVendor) -> &str {
        match vendor {
            CrmVendor::Hubspot => &self.hubspot_url,
            CrmVendor::Pipedrive => &self.pipedrive_url,
        }
    }
}

impl crate::Options {
    /// The token of that CRM's connection.
    #[must_use]
    pub fn crm_token(&self, vendor: CrmVendor) -> &str {
        match vendor {
            CrmVendor::Hubspot => &self.hubspot_token,
            CrmVendor::Pipedrive => &self.pipedrive_token,
        }
    }
}

/// The text of a field, empty if there is none.
pub(crate) fn text<'a>(fields: &'a Map<String, Value>, name: &str) -> &'a str {
    fields.get(name).and_then(Value::as_str).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn vendors_and_objects_are_known_by_their_names() {
        for vendor in CrmVendor::ALL {
            assert_eq!(vendor.to_string().parse(), Ok(vendor));
            for object in [CrmObject::Person, CrmObject::Company, CrmObject::Task, CrmObject::Deal] {
                assert_eq!(CrmObject::named(vendor.objects(object)), Some(object));
            }
        }
        assert_eq!(CrmObject::named("notes"), None);
        let said = "siebel".parse::<CrmVendor>().unwrap_err();
        assert!(said.contains("hubspot") && said.contains("pipedrive"), "{said}");
    }
}
