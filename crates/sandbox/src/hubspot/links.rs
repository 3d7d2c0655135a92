//! Associations between records, kept in both directions.

use std::collections::HashMap;

use super::kinds::{LinkType, link_types};

/// One end of an association.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Link {
    pub(crate) to: u64,
    pub(crate) type_id: u32,
}

/// All associations of the account.
#[derive(Debug, Default)]
pub(crate) struct Links {
    map: HashMap<(u8, u8, u64), Vec<Link>>,
}

/// A record: index of its object type and id.
pub(crate) type Node = (usize, u64);

fn key(from: Node, to_kind: usize) -> (u8, u8, u64) {
    (u8::try_from(from.0).unwrap_or(u8::MAX), u8::try_from(to_kind).unwrap_or(u8::MAX), from.1)
}

impl Links {
    pub(crate) fn of(&self, from: Node, to_kind: usize) -> &[Link] {
        self.map.get(&key(from, to_kind)).map_or(&[], Vec::as_slice)
    }

    /// The associated ids without repeats, in order of creation.
    pub(crate) fn ids(&self, from: Node, to_kind: usize) -> Vec<u64> {
        let mut ids = Vec::new();
        for link in self.of(from, to_kind) {
            if !ids.contains(&link.to) {
                ids.push(link.to);
            }
        }
        ids
    }

    fn put(&mut self, from: Node, to: Node, type_id: u32) -> bool {
        let links = self.map.entry(key(from, to.0)).or_default();
        let link = Link { to: to.1, type_id };
        let new = !links.contains(&link);
        if new {
            links.push(link);
        }
        new
    }

    fn drop_type(&mut self, from: Node, to: Node, type_id: u32) {
        if let Some(links) = self.map.get_mut(&key(from, to.0)) {
            links.retain(|link| *link != Link { to: to.1, type_id });
        }
    }

    /// Adds an association of one type; returns whether it is new.
    ///
    /// A labelled one brings the unlabelled default along, and a contact has one primary company.
    pub(crate) fn add(&mut self, from: Node, to: Node, link: LinkType) -> bool {
        if link.label == Some("Primary") {
            let former: Vec<u64> =
                self.of(from, to.0).iter().filter(|old| old.type_id == link.id).map(|old| old.to).collect();
            for other in former {
                self.drop_type(from, (to.0, other), link.id);
                self.drop_type((to.0, other), from, link.back);
            }
        }
        if link.label.is_some()
            && let Some(plain) = link_types(from.0, to.0).first()
        {
            self.put(from, to, plain.id);
            self.put(to, from, plain.back);
        }
        let new = self.put(from, to, link.id);
        self.put(to, from, link.back);
        new
    }

    /// Removes every association between two records; returns whether there was one.
    pub(crate) fn remove(&mut self, from: Node, to: Node) -> bool {
        let mut was = false;
        for (a, b) in [(from, to), (to, from)] {
            if let Some(links) = self.map.get_mut(&key(a, b.0)) {
                was |= links.iter().any(|link| link.to == b.1);
                links.retain(|link| link.to != b.1);
            }
        }
        was
    }

    /// Moves all associations of a record to the one that it was merged into.
    pub(crate) fn move_all(&mut self, from: Node, into: Node, kinds: usize) {
        for kind in 0..kinds {
            let links = self.map.remove(&key(from, kind)).unwrap_or_default();
            for link in links {
                let Some(types) = link_types(from.0, kind).into_iter().find(|types| types.id == link.type_id)
                else {
                    continue;
                };
                let other = (kind, link.to);
                self.drop_type(other, from, types.back);
                let taken = types.label == Some("Primary")
                    && self.of(into, kind).iter().any(|present| present.type_id == types.id);
                // The primary's own primary company is kept (HubSpot changelog: Updated merge functionality).
                if !taken {
                    self.add(into, other, types);
                }
            }
        }
    }
}
