//! Who the fold's leads belong to: what the store knows, and what the fold has added so far.

use std::collections::{BTreeMap, HashMap, HashSet};

use usher_identity::{KnownPerson, Names, Resolution};
use usher_model::{Draft, ExternalId, Fields, IdentityKey, Lead, PersonId, Slot};
use usher_store::{DecisionView, LinkKey, LinkRow};

/// Persons, objects and open leads as the fold sees them.
pub(super) struct People {
    /// A weak key may name several.
    by_key: HashMap<IdentityKey, Vec<PersonId>>,
    known: HashMap<PersonId, KnownPerson>,
    being_written: HashSet<PersonId>,
    links: BTreeMap<LinkKey, LinkRow>,
    open: HashMap<PersonId, Lead>,
    slots: HashMap<Slot, ExternalId>,
}

impl People {
    pub(super) fn new(view: &mut DecisionView) -> Self {
        let mut people = Self {
            by_key: HashMap::new(),
            known: HashMap::new(),
            being_written: HashSet::new(),
            links: view.links.drain(..).map(|row| (row.key.clone(), row)).collect(),
            open: view.open_leads.drain(..).map(|open| (open.lead.person, open.lead)).collect(),
            slots: view.slots.drain(..).collect(),
        };
        for person in view.persons.drain(..) {
            if person.being_written {
                people.being_written.insert(person.id);
            }
            let names = person.names.iter().map(|name| names_in(name)).collect();
            people.known.insert(person.id, KnownPerson { id: person.id, keys: Vec::new(), names });
            people.learn(person.id, &person.keys);
        }
        people
    }

    /// The object's row, if it is known.
    pub(super) fn link(&self, draft: &Draft) -> Option<&LinkRow> {
        self.links.get(&link_key(draft))
    }

    /// The person that the object belongs to, if it is known.
    pub(super) fn behind(&self, object: &LinkKey) -> Option<PersonId> {
        self.links.get(object).map(|link| link.person)
    }

    /// Which known person the draft is about, if any.
    pub(super) fn resolve(&self, draft: &Draft) -> Option<PersonId> {
        let mut ids: Vec<PersonId> =
            draft.keys.iter().filter_map(|key| self.by_key.get(key)).flatten().copied().collect();
        ids.sort_unstable();
        ids.dedup();
        let candidates: Vec<KnownPerson> = ids.iter().filter_map(|id| self.known.get(id)).cloned().collect();
        match usher_identity::resolve(&draft.keys, &Names::of(&draft.fields), &candidates) {
            Resolution::Same { person, .. } => Some(person),
            Resolution::New { .. } | Resolution::Ambiguous { .. } => None,
        }
    }

    /// Whether a write that creates or finds the person at the CRM is under way.
    pub(super) fn being_written(&self, person: PersonId) -> bool {
        self.being_written.contains(&person)
    }

    /// The person's lead that is still the same inquiry.
    pub(super) fn open_lead(&self, person: PersonId) -> Option<&Lead> {
        self.open.get(&person)
    }

    /// The same, to be completed.
    pub(super) fn open_lead_mut(&mut self, person: PersonId) -> Option<&mut Lead> {
        self.open.get_mut(&person)
    }

    /// The vendor id that the slot holds.
    pub(super) fn bound(&self, slot: &Slot) -> Option<&ExternalId> {
        self.slots.get(slot)
    }

    /// Binds a slot for the leads that follow; false if it was bound already.
    pub(super) fn bind(&mut self, slot: &Slot, id: &ExternalId) -> bool {
        if self.slots.contains_key(slot) {
            return false;
        }
        self.slots.insert(slot.clone(), id.clone());
        true
    }

    /// Adds a person that the fold made.
    pub(super) fn add(&mut self, id: PersonId, names: Names) {
        self.known.insert(id, KnownPerson { id, keys: Vec::new(), names: vec![names] });
    }

    /// Gives the person these keys; returns those that are new to it.
    pub(super) fn learn(&mut self, id: PersonId, keys: &[IdentityKey]) -> Vec<IdentityKey> {
        let Some(person) = self.known.get_mut(&id) else {
            return Vec::new();
        };
        let new: Vec<IdentityKey> = keys.iter().filter(|key| !person.keys.contains(key)).cloned().collect();
        for key in &new {
            person.keys.push(key.clone());
            self.by_key.entry(key.clone()).or_default().push(id);
        }
        new
    }

    /// Notes that the object has opened its lead.
    pub(super) fn enrolled(&mut self, draft: &Draft, person: PersonId, seen: Option<String>) {
        let key = link_key(draft);
        self.links.insert(key.clone(), LinkRow { key, person, enrolled: true, ours: false, seen });
    }

    /// Notes that the person's creation at the CRM was planned.
    pub(super) fn planned_at_crm(&mut self, person: PersonId) {
        self.being_written.insert(person);
    }

    /// Adds a lead that the fold opened.
    pub(super) fn opened(&mut self, lead: Lead) {
        self.open.insert(lead.person, lead);
    }
}

/// The parts of a stored display name.
fn names_in(name: &str) -> Names {
    let mut fields = Fields::default();
    fields.values.insert("full_name".to_owned(), name.into());
    Names::of(&fields)
}

/// Names the object behind a draft.
pub(super) fn link_key(draft: &Draft) -> LinkKey {
    LinkKey {
        connection: draft.connection.clone(),
        object: draft.object.clone(),
        external_id: draft.external_id.clone(),
    }
}
