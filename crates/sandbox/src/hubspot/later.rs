//! What is yet to happen: index lag, late commits, people and workflows at work after a write.

use super::http::{LateCall, commit_late};
use super::kinds::{COMPANIES, CONTACTS, link_types};
use super::state::{Hub, Stamp};
use super::write::{Given, Values};
use crate::clock::Millis;
use crate::oracle::Actor;

/// One thing that happens at its time.
#[derive(Debug)]
pub(crate) enum Later {
    /// A change reaches the search index.
    Index { kind: usize, id: u64 },
    /// A person chooses another owner.
    HumanOwner { kind: usize, id: u64 },
    /// A workflow puts the former owner back; 0 clears it.
    OwnerBack { kind: usize, id: u64, owner: u64 },
    /// A person archives the record.
    Archive { kind: usize, id: u64 },
    /// A person merges the record with another.
    Merge { kind: usize, id: u64 },
    /// HubSpot creates and associates the company of a contact's e-mail domain.
    Company { contact: u64 },
    /// The form tool's own integration writes the contact.
    FormContact { properties: Vec<(String, String)>, source: super::record::Source },
    /// A request is committed whose client is long gone.
    Commit(Box<LateCall>),
}

impl Hub {
    /// Lets everything happen that is due.
    pub(crate) fn tick(&mut self, now: Millis) {
        while let Some(entry) = self.later.first_entry() {
            if entry.key().0 > now {
                break;
            }
            let ((at, _), what) = entry.remove_entry();
            self.happen(at, what);
        }
    }

    /// How many things are still to happen.
    pub(crate) fn pending(&self) -> usize {
        self.later.len()
    }

    fn happen(&mut self, at: Millis, what: Later) {
        let by = |actor| Stamp { at, actor, correlation: 0 };
        match what {
            Later::Index { kind, id } => self.tables[kind].show(id),
            Later::HumanOwner { kind, id } => self.other_owner(kind, id, by(Actor::Human)),
            Later::OwnerBack { kind, id, owner } => self.give(kind, id, owner, by(Actor::Workflow)),
            Later::Archive { kind, id } => {
                let id = self.tables[kind].resolve(id);
                self.archive(kind, id, by(Actor::Human));
            }
            Later::Merge { kind, id } => {
                let id = self.tables[kind].resolve(id);
                if let Some(other) = self.another(kind, id) {
                    self.merge(kind, id, other, by(Actor::Human));
                }
            }
            Later::Company { contact } => self.company_of(contact, by(Actor::Workflow)),
            Later::FormContact { properties, source } => {
                self.upsert_from_form(&properties, source, by(Actor::FormTool));
            }
            Later::Commit(late) => commit_late(self, at, &late),
        }
    }

    /// Sets an owner, 0 for none, on a living record.
    pub(crate) fn give(&mut self, kind: usize, id: u64, owner: u64, stamp: Stamp) {
        let id = self.tables[kind].resolve(id);
        if self.tables[kind].living(id).is_some() {
            let prop = self.tables[kind].registry.owner;
            let value = (owner != 0).then(|| owner.to_string());
            self.update(kind, id, &vec![(prop, value)], stamp);
        }
    }

    pub(crate) fn other_owner(&mut self, kind: usize, id: u64, stamp: Stamp) {
        let id = self.tables[kind].resolve(id);
        let table = &self.tables[kind];
        let Some(present) = table.living(id).map(|record| record.owner(&table.registry)) else { return };
        let others: Vec<u64> = self.active_owners().into_iter().filter(|owner| *owner != present).collect();
        if let Some(pick) = self.dice.pick(others.len()) {
            self.give(kind, id, others[pick], stamp);
        }
    }

    fn another(&mut self, kind: usize, id: u64) -> Option<u64> {
        let count = self.tables[kind].live.len();
        let pick = self.dice.pick(count)?;
        let live = &self.tables[kind].live;
        let near = live.slice(pick..(pick + 2).min(count)).chain(live.slice(0..count.min(2)));
        near.map(super::table::id_of).find(|other| *other != id)
    }

    /// The account setting "create and associate companies" (API-FACTS HubSpot: Create, Company; FM-054).
    fn company_of(&mut self, contact: u64, stamp: Stamp) {
        let contact = self.tables[CONTACTS].resolve(contact);
        let registry = &self.tables[CONTACTS].registry;
        let email = registry.find("email");
        let domain = self.tables[CONTACTS].living(contact).zip(email).and_then(|(record, prop)| {
            record.props.get(prop)?.split_once('@').map(|(_, domain)| domain.to_owned())
        });
        let free = ["gmail.com", "outlook.com", "hotmail.com", "yahoo.com", "icloud.com", "gmx.de", "web.de"];
        let Some(domain) = domain.filter(|domain| !free.contains(&domain.as_str())) else { return };
        let Some(prop) = self.tables[COMPANIES].registry.find("domain") else { return };
        let company = match self.tables[COMPANIES].unique(prop, &domain) {
            Some(company) => company,
            None => self.create(COMPANIES, &vec![(prop, Some(domain))], stamp, Given::default()),
        };
        for link in link_types(CONTACTS, COMPANIES) {
            self.associate((CONTACTS, contact), (COMPANIES, company), link, stamp);
        }
    }

    /// Creates the contact of this e-mail, or fills in what it lacks; returns its id.
    ///
    /// A form or its integration does not ask whether a value is allowed (HubSpot docs: Forms).
    pub(crate) fn upsert_from_form(
        &mut self,
        properties: &[(String, String)],
        source: super::record::Source,
        stamp: Stamp,
    ) -> u64 {
        let registry = &self.tables[CONTACTS].registry;
        let values: Values = properties
            .iter()
            .filter_map(|(name, value)| Some((registry.find(name)?, Some(value.trim().to_owned()))))
            .map(|(prop, value)| {
                let email = registry.get(prop).name == "email";
                (prop, if email { value.map(|text| text.to_lowercase()) } else { value })
            })
            .collect();
        let email = registry.find("email");
        let known = values
            .iter()
            .find(|(prop, _)| Some(*prop) == email)
            .and_then(|(prop, value)| self.tables[CONTACTS].unique(*prop, value.as_deref()?));
        match known {
            Some(id) => {
                self.update(CONTACTS, id, &values, stamp);
                id
            }
            None => self.create(CONTACTS, &values, stamp, Given { source: Some(source), ..Given::default() }),
        }
    }
}
