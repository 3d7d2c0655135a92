//! The oracle log: every record that ever existed and every effect that was really applied.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::clock::Millis;
use crate::crm::CrmObject;
use crate::hubspot::kinds::KINDS;
use crate::pipedrive::kinds::{Kind, lead_uuid};

/// Who did it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case", tag = "type", content = "id")]
pub enum Actor {
    /// A client of the API; the number of its token.
    Api(u16),
    /// A person in the CRM's pages.
    Human,
    /// A form on the vendor's own pages.
    Form,
    /// The form tool's own CRM integration.
    FormTool,
    /// A workflow inside the CRM.
    Workflow,
    /// Data that was there before the run, or a bulk import.
    Seed,
}

/// What happened to the record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// The record came to be.
    Create,
    /// Properties changed.
    Update,
    /// The record went to the bin.
    Archive,
    /// The record was merged away; `other` is the record that it became.
    Merge,
    /// An association was made; `other` is the record at its end.
    Associate,
    /// An association was removed.
    Dissociate,
}

/// One effect as it was really applied.
#[derive(Debug, Clone, Copy)]
pub struct Event {
    /// When, by the simulators' clock.
    pub at: Millis,
    /// Who.
    pub actor: Actor,
    /// What.
    pub change: Change,
    /// Index of the object type.
    pub(crate) kind: u8,
    /// Index of the other record's object type.
    pub(crate) other_kind: u8,
    /// The record; for a lead of Pipedrive its number, of which [`crate::lead_uuid`] makes the vendor's id.
    pub id: u64,
    /// The other record of a merge or an association, else 0.
    pub other: u64,
    /// The owner before, 0 for none.
    pub old_owner: u64,
    /// The owner after, 0 for none.
    pub new_owner: u64,
    /// The request that did it, as in its answer's `correlationId`; 0 for none.
    pub correlation: u64,
}

impl Event {
    /// Plural name of the object type, `contacts`.
    #[must_use]
    pub fn object(&self) -> &'static str {
        object_name(self.kind)
    }

    /// What the object is; none for those that no rig looks at.
    #[must_use]
    pub fn crm_object(&self) -> Option<CrmObject> {
        CrmObject::named(self.object())
    }
}

/// Object types of Pipedrive are counted from here in [`Event::kind`], those of HubSpot from 0.
pub(crate) const PIPEDRIVE: u8 = 128;

fn pipedrive_kind(kind: u8) -> Option<Kind> {
    Kind::ALL.get(usize::from(kind.checked_sub(PIPEDRIVE)?)).copied()
}

fn object_name(kind: u8) -> &'static str {
    match pipedrive_kind(kind) {
        Some(kind) => kind.plural(),
        None => KINDS.get(usize::from(kind)).map_or("", |kind| kind.plural),
    }
}

/// A record's id as its vendor writes it.
fn record_id(kind: u8, id: u64) -> String {
    if pipedrive_kind(kind) == Some(Kind::Lead) { lead_uuid(id) } else { id.to_string() }
}

/// One firing of a switch.
#[derive(Debug, Clone, Serialize)]
pub struct Fired {
    /// When.
    pub at: Millis,
    /// The name of the switch.
    pub fault: &'static str,
    /// The request that it hit, empty for none.
    pub correlation: String,
}

/// The log itself. Events are 72 bytes, so a million records cost 72 MB.
#[derive(Debug, Default)]
pub(crate) struct Oracle {
    events: Vec<Event>,
    fired: Vec<Fired>,
    counts: BTreeMap<&'static str, u64>,
    requests: BTreeMap<&'static str, u64>,
}

/// More firings than this are counted but no longer listed one by one.
const LISTED_FIRINGS: usize = 200_000;

impl Oracle {
    pub(crate) fn push(&mut self, event: Event) {
        self.events.push(event);
    }

    pub(crate) fn fire(&mut self, at: Millis, fault: &'static str, correlation: u64) {
        *self.counts.entry(fault).or_default() += 1;
        if self.fired.len() < LISTED_FIRINGS {
            self.fired.push(Fired { at, fault, correlation: correlation_id(correlation) });
        }
    }

    pub(crate) fn request(&mut self, what: &'static str) {
        *self.requests.entry(what).or_default() += 1;
    }

    pub(crate) fn events(&self) -> &[Event] {
        &self.events
    }

    pub(crate) fn fired(&self) -> &[Fired] {
        &self.fired
    }

    pub(crate) fn counts(&self) -> &BTreeMap<&'static str, u64> {
        &self.counts
    }

    /// How many requests of these sorts there were.
    pub(crate) fn requested(&self, sorts: &[&str]) -> u64 {
        sorts.iter().filter_map(|sort| self.requests.get(sort)).sum()
    }

    pub(crate) fn requests(&self) -> &BTreeMap<&'static str, u64> {
        &self.requests
    }
}

/// The text form of a request number, shaped like the vendor's UUIDs.
pub(crate) fn correlation_id(number: u64) -> String {
    if number == 0 {
        return String::new();
    }
    format!("0198{:04x}-{:04x}-7000-8000-{:012x}", (number >> 48) & 0xffff, (number >> 32) & 0xffff, number)
}

/// The JSON form of an event.
pub(crate) fn event_json(seq: usize, event: &Event) -> serde_json::Value {
    let owner = |id: u64| (id != 0).then(|| id.to_string());
    serde_json::json!({
        "seq": seq,
        "at": event.at,
        "actor": event.actor,
        "change": event.change,
        "object": event.object(),
        "id": record_id(event.kind, event.id),
        "other": (event.other != 0).then(|| serde_json::json!({
            "object": object_name(event.other_kind),
            "id": record_id(event.other_kind, event.other),
        })),
        "old_owner": owner(event.old_owner),
        "new_owner": owner(event.new_owner),
        "correlation": correlation_id(event.correlation),
    })
}
