//! All records of one object type, with the live list, the search index and the equality index.

use std::collections::HashMap;

use super::kinds::KINDS;
use super::props::{PropId, Props};
use super::record::{Record, View};
use super::registry::Registry;
use super::sorted::{Key, SortedKeys};
use crate::clock::Millis;

/// What the search index still shows of a record that has changed since.
#[derive(Debug)]
pub(crate) struct Snapshot {
    pub(crate) modified: Millis,
    pub(crate) props: Props,
}

/// The records of one object type.
#[derive(Debug)]
pub(crate) struct Table {
    pub(crate) kind: usize,
    pub(crate) registry: Registry,
    pub(crate) records: HashMap<u64, Record>,
    /// Ids of living records, always up to date: what the list endpoint pages through.
    pub(crate) live: SortedKeys,
    /// Ids of archived records.
    pub(crate) binned: SortedKeys,
    /// The search index, as old as the lag.
    pub(crate) by_modified: SortedKeys,
    pub(crate) by_created: SortedKeys,
    pub(crate) by_id: SortedKeys,
    /// Records whose last change has not reached the search index.
    pub(crate) stale: HashMap<u64, Snapshot>,
    equal: HashMap<PropId, HashMap<Box<str>, Vec<u64>>>,
    /// Ids that were merged away, and into which record.
    pub(crate) aliases: HashMap<u64, u64>,
    next_id: u64,
}

/// Ties are returned in storage order, which is not the order of ids; the mask makes it visibly so.
/// It is its own inverse, so the id can be had back from a key.
const STORAGE_ORDER: u64 = 0x2A5;

pub(crate) fn time_key(at: Millis, id: u64) -> Key {
    (at, id ^ STORAGE_ORDER)
}

pub(crate) fn id_key(id: u64) -> Key {
    (i64::try_from(id).unwrap_or(i64::MAX), id ^ STORAGE_ORDER)
}

pub(crate) fn id_of(key: Key) -> u64 {
    key.1 ^ STORAGE_ORDER
}

/// The form under which unique values are compared.
pub(crate) fn fold(value: &str) -> String {
    value.trim().to_lowercase()
}

impl Table {
    pub(crate) fn new(kind: usize) -> Self {
        Self {
            kind,
            registry: Registry::new(&KINDS[kind]),
            records: HashMap::new(),
            live: SortedKeys::default(),
            binned: SortedKeys::default(),
            by_modified: SortedKeys::default(),
            by_created: SortedKeys::default(),
            by_id: SortedKeys::default(),
            stale: HashMap::new(),
            equal: HashMap::new(),
            aliases: HashMap::new(),
            // Every type counts from the same number, so that ids of different types collide (FM-048).
            next_id: 101,
        }
    }

    pub(crate) fn take_id(&mut self, given: Option<u64>) -> u64 {
        let id = given.unwrap_or(self.next_id);
        self.next_id = self.next_id.max(id + 1);
        id
    }

    /// The record that an id stands for today, through merges.
    pub(crate) fn resolve(&self, id: u64) -> u64 {
        let mut id = id;
        while let Some(next) = self.aliases.get(&id) {
            id = *next;
        }
        id
    }

    /// A living record by id, through merges.
    pub(crate) fn living(&self, id: u64) -> Option<&Record> {
        self.records.get(&self.resolve(id)).filter(|record| record.lives())
    }

    /// Living or archived records with this value of an indexed property.
    pub(crate) fn equal(&self, prop: PropId, value: &str) -> &[u64] {
        self.equal.get(&prop).and_then(|values| values.get(fold(value).as_str())).map_or(&[], Vec::as_slice)
    }

    /// The living record with this value of a unique property.
    pub(crate) fn unique(&self, prop: PropId, value: &str) -> Option<u64> {
        self.equal(prop, value).iter().copied().find(|id| self.records.get(id).is_some_and(Record::lives))
    }

    /// Brings the equality index in line with a record's change.
    pub(crate) fn reindex_equal(&mut self, id: u64, before: &Props, after: &Props) {
        let emails = self.registry.find("hs_additional_emails").zip(self.registry.find("email"));
        let props: Vec<PropId> = before.iter().chain(after.iter()).map(|(prop, _)| prop).collect();
        for prop in props {
            let target = match emails {
                // A secondary address blocks a create like the primary one (FM-056).
                Some((additional, email)) if prop == additional => Some(email),
                _ => self.registry.get(prop).indexed.then_some(prop),
            };
            let Some(target) = target else { continue };
            if before.get(prop) == after.get(prop) {
                continue;
            }
            let values = self.equal.entry(target).or_default();
            for old in before.get(prop).unwrap_or_default().split(';').filter(|part| !part.is_empty()) {
                let old = fold(old);
                if let Some(ids) = values.get_mut(old.as_str()) {
                    ids.retain(|other| *other != id);
                    if ids.is_empty() {
                        values.remove(old.as_str());
                    }
                }
            }
            for new in after.get(prop).unwrap_or_default().split(';').filter(|part| !part.is_empty()) {
                let ids = values.entry(fold(new).into()).or_default();
                if !ids.contains(&id) {
                    ids.push(id);
                }
            }
        }
    }

    /// Keeps what the search index knows of a record before it changes.
    pub(crate) fn hold_back(&mut self, id: u64) {
        if let Some(record) = self.records.get(&id)
            && record.indexed != 0
        {
            self.stale
                .entry(id)
                .or_insert_with(|| Snapshot { modified: record.modified, props: record.props.clone() });
        }
    }

    /// Lets the search index see a record as it is now.
    pub(crate) fn show(&mut self, id: u64) {
        self.stale.remove(&id);
        let Some(record) = self.records.get_mut(&id) else { return };
        if !record.lives() || record.indexed == record.modified {
            return;
        }
        if record.indexed == 0 {
            self.by_created.insert(time_key(record.created, id));
            self.by_id.insert(id_key(id));
        } else {
            self.by_modified.remove(time_key(record.indexed, id));
        }
        record.indexed = record.modified;
        self.by_modified.insert(time_key(record.modified, id));
    }

    /// Takes a record out of search at once: archived rows never appear (API-FACTS HubSpot: Search).
    pub(crate) fn hide(&mut self, id: u64) {
        self.stale.remove(&id);
        let Some(record) = self.records.get_mut(&id) else { return };
        if record.indexed != 0 {
            self.by_modified.remove(time_key(record.indexed, id));
            self.by_created.remove(time_key(record.created, id));
            self.by_id.remove(id_key(id));
            record.indexed = 0;
        }
    }

    /// A record as search sees it, if search sees it.
    pub(crate) fn shown(&self, id: u64) -> Option<View<'_>> {
        let record = self.records.get(&id).filter(|record| record.indexed != 0)?;
        let mut view = record.view();
        if let Some(old) = self.stale.get(&id) {
            view.modified = old.modified;
            view.props = &old.props;
        }
        Some(view)
    }
}
