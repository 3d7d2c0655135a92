//! One record, and all records of a type in the two orders that lists need.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use crate::clock::Millis;

/// A record: the document's fields as it names them, apart from id, times and deletion.
#[derive(Debug, Clone, Default)]
pub(crate) struct Row {
    pub(crate) id: u64,
    pub(crate) added: Millis,
    pub(crate) updated: Millis,
    /// When it was deleted, 0 while it lives.
    pub(crate) deleted: Millis,
    pub(crate) fields: Map<String, Value>,
    /// Custom fields that are set, by their 40 hex digits.
    pub(crate) custom: Map<String, Value>,
}

impl Row {
    pub(crate) fn lives(&self) -> bool {
        self.deleted == 0
    }

    pub(crate) fn number(&self, name: &str) -> Option<u64> {
        self.fields.get(name).and_then(Value::as_u64)
    }

    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.fields.get(name).and_then(Value::as_str)
    }

    pub(crate) fn flag(&self, name: &str) -> bool {
        self.fields.get(name).and_then(Value::as_bool).unwrap_or(false)
    }

    /// The owner, 0 for none.
    pub(crate) fn owner(&self) -> u64 {
        self.number("owner_id").unwrap_or(0)
    }
}

/// All records of one type.
#[derive(Debug, Default)]
pub(crate) struct Table {
    pub(crate) rows: BTreeMap<u64, Row>,
    /// By the time of the last update, then id.
    pub(crate) by_update: BTreeSet<(Millis, u64)>,
    /// Which record a merged one became.
    pub(crate) merged: BTreeMap<u64, u64>,
    last: u64,
}

impl Table {
    /// A free id, or the one that is asked for.
    pub(crate) fn take_id(&mut self, wanted: Option<u64>) -> u64 {
        let id = wanted.unwrap_or(self.last + 1);
        self.last = self.last.max(id);
        id
    }

    pub(crate) fn insert(&mut self, row: Row) {
        self.by_update.insert((row.updated, row.id));
        self.rows.insert(row.id, row);
    }

    /// Changes a record and stamps it; the time of an update never goes back.
    pub(crate) fn change(&mut self, id: u64, at: Millis, edit: impl FnOnce(&mut Row)) {
        let Some(row) = self.rows.get_mut(&id) else { return };
        self.by_update.remove(&(row.updated, id));
        edit(row);
        row.updated = row.updated.max(at);
        self.by_update.insert((row.updated, id));
    }

    pub(crate) fn living(&self, id: u64) -> Option<&Row> {
        self.rows.get(&id).filter(|row| row.lives())
    }

    pub(crate) fn all_living(&self) -> impl Iterator<Item = &Row> {
        self.rows.values().filter(|row| row.lives())
    }

    /// The record that an id stands for after merges.
    pub(crate) fn resolve(&self, mut id: u64) -> u64 {
        while let Some(next) = self.merged.get(&id) {
            id = *next;
        }
        id
    }
}
