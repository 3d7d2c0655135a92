//! How records change: create, update, archive, merge, associate; each is logged in the oracle.

use std::borrow::Cow;

use super::kinds::{COMPANIES, CONTACTS, KINDS, LinkType};
use super::later::Later;
use super::links::Node;
use super::props::{PropId, Props};
use super::record::{Past, Record, Source};
use super::state::{Hub, Stamp};
use super::table::id_key;
use super::webhooks::{HookEvent, What};
use crate::clock::{Millis, iso};
use crate::oracle::{Change, Event};

/// Checked values to set; none or empty unsets.
pub(crate) type Values = Vec<(PropId, Option<String>)>;

/// What a seed line may give beside the values.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Given {
    pub(crate) id: Option<u64>,
    pub(crate) created: Option<Millis>,
    pub(crate) modified: Option<Millis>,
    pub(crate) source: Option<Source>,
}

impl Hub {
    fn log(&mut self, stamp: Stamp, change: Change, node: Node, other: Node, owners: (u64, u64)) {
        let kind = |index: usize| u8::try_from(index).unwrap_or(u8::MAX);
        self.oracle.push(Event {
            at: stamp.at,
            actor: stamp.actor,
            change,
            kind: kind(node.0),
            other_kind: kind(other.0),
            id: node.1,
            other: other.1,
            old_owner: owners.0,
            new_owner: owners.1,
            correlation: stamp.correlation,
        });
    }

    /// The moment that the vendor stamps on a change.
    fn vendor_time(&self, at: Millis) -> Millis {
        let grain = i64::from(self.faults.ties_ms.max(1));
        at - at.rem_euclid(grain)
    }

    /// Makes a change visible to search, now or after the lag.
    fn publish(&mut self, kind: usize, id: u64, at: Millis) {
        let lag = self.faults.index_lag_ms;
        if lag.is_zero() {
            self.tables[kind].show(id);
        } else {
            let due = self.after(at, lag);
            self.schedule(due, Later::Index { kind, id });
        }
    }

    fn hook(&mut self, node: Node, what: What, at: Millis, source: Source) {
        let event = HookEvent { kind: node.0, id: node.1, what, at, source };
        if self.subscriptions.iter().any(|subscription| subscription.matches(&event)) {
            self.outbox.push(event);
        }
    }

    /// Creates a record; the values have been checked.
    pub(crate) fn create(&mut self, kind: usize, values: &Values, stamp: Stamp, given: Given) -> u64 {
        let at = self.vendor_time(stamp.at);
        let source = given.source.unwrap_or_else(|| stamp.actor.into());
        let table = &mut self.tables[kind];
        let id = table.take_id(given.id);
        let assigned = assigned_now(&table.registry, values, at);
        let set = values.iter().map(|(prop, value)| (*prop, value.as_deref()));
        let props = Props::default()
            .with(set.chain(assigned.as_ref().map(|(prop, text)| (*prop, Some(text.as_str())))));
        table.reindex_equal(id, &Props::default(), &props);
        let created = given.created.unwrap_or(at);
        let record = Record {
            id,
            created,
            modified: given.modified.unwrap_or(created),
            archived: 0,
            indexed: 0,
            source,
            props,
            history: Vec::new(),
        };
        let owner = record.owner(&table.registry);
        table.records.insert(id, record);
        table.live.insert(id_key(id));
        self.publish(kind, id, stamp.at);
        self.log(stamp, Change::Create, (kind, id), (0, 0), (0, owner));
        self.hook((kind, id), What::Creation, at, source);
        self.hook_values((kind, id), values, at, source);
        id
    }

    fn hook_values(&mut self, node: Node, values: &Values, at: Millis, source: Source) {
        if self.subscriptions.is_empty() {
            return;
        }
        for (prop, value) in values {
            let name = self.tables[node.0].registry.get(*prop).name.clone();
            let value = value.clone().unwrap_or_default();
            self.hook(node, What::Property { name, value }, at, source);
        }
    }

    /// Sets values on a living record; returns whether anything changed.
    pub(crate) fn update(&mut self, kind: usize, id: u64, values: &Values, stamp: Stamp) -> bool {
        let at = self.vendor_time(stamp.at);
        let source: Source = stamp.actor.into();
        let table = &mut self.tables[kind];
        let Some(record) = table.records.get(&id) else { return false };
        let changed: Values = values
            .iter()
            .filter(|(prop, value)| {
                record.props.get(*prop) != value.as_deref().filter(|text| !text.is_empty())
            })
            .cloned()
            .collect();
        if changed.is_empty() {
            return false;
        }
        let before = record.owner(&table.registry);
        let mut all = changed.clone();
        if let Some((prop, text)) = assigned_now(&table.registry, &changed, at) {
            all.push((prop, Some(text)));
        }
        table.hold_back(id);
        let Some(record) = table.records.get_mut(&id) else { return false };
        keep_history(record, &all, at, source);
        let props = record.props.with(all.iter().map(|(prop, value)| (*prop, value.as_deref())));
        let old = std::mem::replace(&mut record.props, props.clone());
        record.modified = at.max(record.modified);
        let after = record.owner(&table.registry);
        table.reindex_equal(id, &old, &props);
        self.publish(kind, id, stamp.at);
        self.log(stamp, Change::Update, (kind, id), (0, 0), (before, after));
        self.hook_values((kind, id), &changed, at, source);
        true
    }

    /// Puts a record into the bin; returns whether it lived.
    pub(crate) fn archive(&mut self, kind: usize, id: u64, stamp: Stamp) -> bool {
        if !self.retire(kind, id, stamp.at) {
            return false;
        }
        let table = &mut self.tables[kind];
        table.binned.insert(id_key(id));
        let owner = table.records.get(&id).map_or(0, |record| record.owner(&table.registry));
        self.log(stamp, Change::Archive, (kind, id), (0, 0), (owner, owner));
        self.hook((kind, id), What::Deletion, stamp.at, stamp.actor.into());
        true
    }

    /// Takes a record out of every list of the living; returns whether it lived.
    fn retire(&mut self, kind: usize, id: u64, at: Millis) -> bool {
        let table = &mut self.tables[kind];
        let Some(record) = table.records.get_mut(&id).filter(|record| record.lives()) else { return false };
        record.archived = at.max(1);
        table.hide(id);
        table.live.remove(id_key(id));
        true
    }

    /// Merges two living records into a new one and returns its id.
    ///
    /// Both old ids stand for the new record from then on, the primary's values win, associations move
    /// (HubSpot changelog: Updated merge functionality for contacts and companies).
    pub(crate) fn merge(&mut self, kind: usize, primary: u64, other: u64, stamp: Stamp) -> Option<u64> {
        let table = &self.tables[kind];
        let (first, second) = (table.living(primary)?, table.living(other)?);
        if first.id == second.id {
            return None;
        }
        let (primary, other) = (first.id, second.id);
        let owners = (first.owner(&table.registry), second.owner(&table.registry));
        let created = first.created.min(second.created);
        let values = merged_values(table, first, second);
        for id in [primary, other] {
            self.retire(kind, id, stamp.at);
            let table = &mut self.tables[kind];
            if let Some(record) = table.records.get_mut(&id) {
                let props = std::mem::take(&mut record.props);
                table.reindex_equal(id, &props, &Props::default());
            }
        }
        let modified = Some(self.vendor_time(stamp.at));
        let given =
            Given { created: Some(created), modified, source: Some(Source::Merge), ..Given::default() };
        let id = self.create(kind, &values, stamp, given);
        for (old, owner) in [(primary, owners.0), (other, owners.1)] {
            self.tables[kind].aliases.insert(old, id);
            self.links.move_all((kind, old), (kind, id), KINDS.len());
            self.log(stamp, Change::Merge, (kind, old), (kind, id), (owner, owner));
        }
        self.hook((kind, id), What::Merge { primary, others: vec![other] }, stamp.at, Source::Merge);
        Some(id)
    }

    /// Associates two living records; returns whether that is new.
    pub(crate) fn associate(&mut self, from: Node, to: Node, link: LinkType, stamp: Stamp) -> bool {
        let new = self.links.add(from, to, link);
        if new {
            self.log(stamp, Change::Associate, from, to, (0, 0));
            let primary = match (from.0, to.0, link.label) {
                (CONTACTS, COMPANIES, Some("Primary")) => Some((from.1, to.1)),
                (COMPANIES, CONTACTS, Some("Primary")) => Some((to.1, from.1)),
                _ => None,
            };
            if let Some((contact, company)) = primary
                && let Some(prop) = self.tables[CONTACTS].registry.find("associatedcompanyid")
            {
                self.update(CONTACTS, contact, &vec![(prop, Some(company.to_string()))], stamp);
            }
        }
        new
    }

    pub(crate) fn dissociate(&mut self, from: Node, to: Node, stamp: Stamp) {
        if self.links.remove(from, to) {
            self.log(stamp, Change::Dissociate, from, to, (0, 0));
        }
    }
}

/// HubSpot keeps the date of the last owner assignment (API-FACTS HubSpot: Touch facts).
fn assigned_now(
    registry: &super::registry::Registry,
    values: &Values,
    at: Millis,
) -> Option<(PropId, String)> {
    let owned = values.iter().any(|(prop, value)| {
        *prop == registry.owner && value.as_deref().is_some_and(|text| !text.is_empty())
    });
    owned.then(|| (registry.owner_assigned, iso(at)))
}

fn keep_history(record: &mut Record, changes: &Values, at: Millis, source: Source) {
    let (created, first_source) = (record.created, record.source);
    let history = &mut record.history;
    for (prop, value) in changes {
        if !history.iter().any(|past| past.prop == *prop)
            && let Some(first) = record.props.get(*prop)
        {
            history.push(Past { prop: *prop, value: first.into(), at: created, source: first_source });
        }
        let value: Cow<'_, str> = value.as_deref().unwrap_or_default().into();
        history.push(Past { prop: *prop, value: value.into(), at, source });
    }
}

fn merged_values(table: &super::table::Table, first: &Record, second: &Record) -> Values {
    let mut values: Values =
        second.props.iter().map(|(prop, value)| (prop, Some(value.to_owned()))).collect();
    values.retain(|(prop, _)| first.props.get(*prop).is_none());
    values.extend(first.props.iter().map(|(prop, value)| (prop, Some(value.to_owned()))));
    let registry = &table.registry;
    let joined = |prop: Option<PropId>, extra: &[String]| -> Option<(PropId, Option<String>)> {
        let prop = prop?;
        let mut parts: Vec<String> = [first, second]
            .iter()
            .filter_map(|record| record.props.get(prop))
            .flat_map(|text| text.split(';').map(str::to_owned))
            .collect();
        parts.extend(extra.iter().cloned());
        Some((prop, Some(parts.join(";"))))
    };
    let email = registry.find("email").and_then(|prop| {
        first.props.get(prop)?;
        second.props.get(prop).map(str::to_owned)
    });
    let emails: Vec<String> = email.into_iter().collect();
    let ids = [first.id.to_string(), second.id.to_string()];
    for (prop, value) in
        [joined(registry.find("hs_additional_emails"), &emails), joined(Some(registry.merged_ids), &ids)]
            .into_iter()
            .flatten()
    {
        values.retain(|(other, _)| *other != prop);
        values.push((prop, value));
    }
    values
}
