//! Whether a lead's person is known already.

use std::collections::BTreeMap;

use usher_model::{IdentityKey, IdentityKind, PersonId};

use crate::names::{Likeness, Names};
use crate::shared::is_shared_inbox;

/// A person who has at least one key in common with the lead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownPerson {
    /// Our id.
    pub id: PersonId,
    /// Every key known of this person.
    pub keys: Vec<IdentityKey>,
    /// The names under which the person was seen, one entry per lead.
    pub names: Vec<Names>,
}

/// Who the lead's person is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resolution {
    /// Nobody we know.
    New {
        /// Why not one of the candidates, in words that name keys by kind, never by value.
        reason: String,
    },
    /// A known person.
    Same {
        /// Who.
        person: PersonId,
        /// The key that decided.
        by: IdentityKey,
        /// Why.
        reason: String,
    },
    /// Several known persons fit equally well on a weak key. To be handled as new: a stranger's owner is worse than
    /// a second person.
    Ambiguous {
        /// Those who fit, in the order of their ids.
        persons: Vec<PersonId>,
        /// The key that they share.
        by: IdentityKey,
        /// Why none was chosen.
        reason: String,
    },
}

/// How far a key alone names one human being.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Strength {
    /// A personal address: exact is enough.
    Strong,
    /// A phone number or a shared inbox: counts only if nothing contradicts.
    Weak,
}

fn strength(key: &IdentityKey) -> Strength {
    match key.kind {
        IdentityKind::Email if !is_shared_inbox(&key.value) => Strength::Strong,
        IdentityKind::Email | IdentityKind::Phone => Strength::Weak,
    }
}

/// Decides who a lead's person is. The order of keys and candidates makes no difference.
///
/// 1. An exact personal e-mail address wins, whatever names and phone numbers say.
/// 2. An exact phone number or shared inbox (`info@…`) counts if the names do not contradict each other. If both
///    sides have personal addresses, and other ones, the names must even agree: colleagues share a switchboard.
/// 3. Several that fit a weak key: the one whose name is the same; else nobody.
#[must_use]
pub fn resolve(keys: &[IdentityKey], names: &Names, candidates: &[KnownPerson]) -> Resolution {
    let candidates = merged(candidates);
    let mut keys: Vec<&IdentityKey> = keys.iter().collect();
    keys.sort();
    keys.dedup();
    let (strong, mut weak): (Vec<&IdentityKey>, Vec<&IdentityKey>) =
        keys.into_iter().partition(|key| strength(key) == Strength::Strong);
    // A phone number is shared by fewer people than `info@`.
    weak.sort_by_key(|key| (std::cmp::Reverse(key.kind), &key.value));
    if let Some(found) = strong.iter().find_map(|key| by_address(key, &weak, names, &candidates)) {
        return found;
    }
    let mut reasons = Vec::new();
    let mut ambiguous = None;
    for key in weak {
        match by_weak_key(key, &strong, names, &candidates) {
            Some(Resolution::New { reason }) => reasons.push(reason),
            Some(same @ Resolution::Same { .. }) => return same,
            Some(several) => ambiguous = ambiguous.or(Some(several)),
            None => {}
        }
    }
    if reasons.is_empty() {
        reasons.push("no key of this person is known".to_owned());
    }
    ambiguous.unwrap_or_else(|| Resolution::New { reason: reasons.join("; ") })
}

/// One entry per person, in the order of ids, so that the order of candidates makes no difference.
fn merged(candidates: &[KnownPerson]) -> Vec<KnownPerson> {
    let mut by_id: BTreeMap<PersonId, KnownPerson> = BTreeMap::new();
    for candidate in candidates {
        let id = candidate.id;
        let empty = || KnownPerson { id, keys: Vec::new(), names: Vec::new() };
        let person = by_id.entry(id).or_insert_with(empty);
        person.keys.extend(candidate.keys.iter().cloned());
        person.names.extend(candidate.names.iter().cloned());
    }
    by_id.into_values().collect()
}

fn by_address(
    key: &IdentityKey,
    weak: &[&IdentityKey],
    names: &Names,
    candidates: &[KnownPerson],
) -> Option<Resolution> {
    let holders = candidates.iter().filter(|person| person.keys.contains(key));
    // More than one holder is left over from before a merge: likest name first, then the oldest.
    let person =
        holders.reduce(|best, next| if next.likeness(names) > best.likeness(names) { next } else { best })?;
    let elsewhere = |key: &&&IdentityKey| {
        !person.keys.contains(key) && candidates.iter().any(|other| other.keys.contains(key))
    };
    let mut reason = "same e-mail address".to_owned();
    if let Some(other) = weak.iter().find(elsewhere) {
        reason = format!("{reason}; the {} is known of somebody else, which counts less", describe(other));
    }
    Some(Resolution::Same { person: person.id, by: key.clone(), reason })
}

/// `None` if nobody has the key; `New` if somebody has it who can not be meant.
fn by_weak_key(
    key: &IdentityKey,
    strong: &[&IdentityKey],
    names: &Names,
    candidates: &[KnownPerson],
) -> Option<Resolution> {
    let holders: Vec<&KnownPerson> = candidates.iter().filter(|person| person.keys.contains(key)).collect();
    let what = describe(key);
    let fitting: Vec<(&KnownPerson, Likeness)> = holders
        .iter()
        .map(|person| (*person, person.likeness(names)))
        .filter(|(person, likeness)| match likeness {
            Likeness::Contradict => false,
            Likeness::Unknown => !person.has_other_addresses(strong),
            Likeness::Agree | Likeness::Same => true,
        })
        .collect();
    let best = fitting.iter().map(|(_, likeness)| *likeness).max();
    let likest: Vec<&(&KnownPerson, Likeness)> =
        fitting.iter().filter(|(_, likeness)| Some(*likeness) == best).collect();
    match likest.as_slice() {
        [] if holders.is_empty() => None,
        [] => Some(Resolution::New {
            reason: format!("the {what} is known, but of somebody else by name or address"),
        }),
        [(person, likeness)] if fitting.len() == 1 || *likeness == Likeness::Same => {
            let reason = match likeness {
                Likeness::Unknown => format!("same {what}, and no name speaks against it"),
                _ => format!("same {what}, and the names agree"),
            };
            Some(Resolution::Same { person: person.id, by: key.clone(), reason })
        }
        _ => Some(Resolution::Ambiguous {
            persons: fitting.iter().map(|(person, _)| person.id).collect(),
            by: key.clone(),
            reason: format!("the {what} is known of {} persons, and no name decides", fitting.len()),
        }),
    }
}

fn describe(key: &IdentityKey) -> &'static str {
    match key.kind {
        IdentityKind::Phone => "phone number",
        IdentityKind::Email => "shared inbox",
    }
}

impl KnownPerson {
    /// The best that any known name says; names that are not known say nothing.
    fn likeness(&self, names: &Names) -> Likeness {
        let known = self.names.iter().filter(|name| !name.is_unknown());
        known.map(|name| name.likeness(names)).max().unwrap_or(Likeness::Unknown)
    }

    /// Whether both sides have personal addresses and none in common.
    fn has_other_addresses(&self, strong: &[&IdentityKey]) -> bool {
        let own = self.keys.iter().filter(|key| strength(key) == Strength::Strong);
        !strong.is_empty() && own.clone().count() > 0 && !own.into_iter().any(|key| strong.contains(&key))
    }
}
