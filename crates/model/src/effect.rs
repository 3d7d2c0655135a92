//! An effect: one intended write at a vendor, with a deterministic key and a place in its episode's graph.

use std::collections::BTreeMap;
use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use uuid::Uuid;

use crate::id::{ConnectionName, EpisodeId, ExternalId, LeadId};
use crate::person::IdentityKey;

/// The kind of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EffectKind {
    /// Find the person at the CRM by a strong key, or create it.
    EnsurePerson,
    /// Find the company at the CRM by a strong key, or create it.
    EnsureCompany,
    /// Tie two objects together.
    Associate,
    /// Make the object that stands for the inquiry, with its owner.
    EnsureInquiry,
    /// Write owner and fields in one call.
    UpdateObject,
    /// Create the task that tells the rep.
    CreateTask,
    /// Complete a task of ours.
    CloseTask,
    /// Give a task of ours to another owner.
    ReassignTask,
    /// Archive an object that we created.
    ArchiveObject,
}

impl EffectKind {
    /// Every kind, in the order in which a lead's writes happen.
    pub const ALL: [EffectKind; 9] = [
        Self::EnsurePerson,
        Self::EnsureCompany,
        Self::Associate,
        Self::EnsureInquiry,
        Self::UpdateObject,
        Self::CreateTask,
        Self::ReassignTask,
        Self::CloseTask,
        Self::ArchiveObject,
    ];

    /// The name as stored and shown.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::EnsurePerson => "ensure_person",
            Self::EnsureCompany => "ensure_company",
            Self::Associate => "associate",
            Self::EnsureInquiry => "ensure_inquiry",
            Self::UpdateObject => "update_object",
            Self::CreateTask => "create_task",
            Self::CloseTask => "close_task",
            Self::ReassignTask => "reassign_task",
            Self::ArchiveObject => "archive_object",
        }
    }

    /// Its key names what is to be there, not the episode that wants it: wanted again, it is the same write.
    #[must_use]
    pub fn ensures(self) -> bool {
        matches!(self, Self::EnsurePerson | Self::EnsureCompany | Self::EnsureInquiry)
    }

    /// The kind of that name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }
}

/// Bytes of a UUID v7 that hold its time in milliseconds.
const TIME: usize = 6;

/// The secret of one installation, from which effect keys are derived; two installs never share keys.
#[derive(Clone)]
pub struct InstallKey([u8; 32]);

impl InstallKey {
    /// Wraps 32 random bytes that were made once and stored with the data.
    #[must_use]
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Derives a key from parts; parts are length-prefixed, so ("ab","c") and ("a","bc") differ.
    #[must_use]
    pub fn derive(&self, parts: &[&[u8]]) -> EffectKey {
        EffectKey::of(self.digest(parts))
    }

    /// The same for a write about something with a UUID v7, by whose time such keys sort: an index over them grows at its
    /// end, where keys in no order would touch a page each.
    #[must_use]
    pub fn derive_about(&self, id: &[u8; 16], parts: &[&[u8]]) -> EffectKey {
        let mut key = self.digest(parts);
        key[..TIME].copy_from_slice(&id[..TIME]);
        EffectKey::of(key)
    }

    /// 128 bits are plenty against accident and keep the marker line in a task short; so are those that a time leaves of
    /// them, within its millisecond.
    fn digest(&self, parts: &[&[u8]]) -> [u8; 16] {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0)
            .unwrap_or_else(|_| unreachable!("HMAC takes any key length"));
        for part in parts {
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part);
        }
        let mut short = [0; 16];
        short.copy_from_slice(&mac.finalize().into_bytes()[..16]);
        short
    }
}

impl fmt::Debug for InstallKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("InstallKey(…)")
    }
}

/// Names one intended write for ever: the same intent has the same key, on every node and after every restart.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EffectKey(String);

impl EffectKey {
    fn of(bytes: [u8; 16]) -> Self {
        Self(Uuid::from_bytes(bytes).simple().to_string())
    }

    /// Wraps a key as stored.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The key as text, 32 hexadecimal digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for EffectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What kind of vendor object a slot holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SlotKind {
    /// The person's object at the CRM.
    Person,
    /// The company's object at the CRM.
    Company,
    /// The CRM's lead that stands for one inquiry.
    Lead,
    /// The CRM's deal that stands for one inquiry.
    Deal,
    /// The task that an episode created.
    Task,
    /// The owner that an episode's write confirmed; holds an owner id. The task waits for it, so that nobody gets a
    /// task for a person whom a human gave to someone else meanwhile.
    Owner,
}

impl SlotKind {
    /// Every kind.
    pub const ALL: [SlotKind; 6] =
        [Self::Person, Self::Company, Self::Lead, Self::Deal, Self::Task, Self::Owner];

    /// An object that stands for one inquiry, not for who asked.
    #[must_use]
    pub fn is_inquiry(self) -> bool {
        matches!(self, Self::Lead | Self::Deal)
    }

    /// The name as stored and shown.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Person => "person",
            Self::Company => "company",
            Self::Lead => "lead",
            Self::Deal => "deal",
            Self::Task => "task",
            Self::Owner => "owner",
        }
    }
}

/// Whose object a slot holds: our person or lead id for those, a company's domain, the effect's key for a task, the episode for an
/// owner.
pub type SlotOwner = String;

/// A named place for a vendor id that may not exist yet; later effects name the slot and wait until it is bound.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Slot {
    /// The connection at which the object lives.
    pub connection: ConnectionName,
    /// What kind of object.
    pub kind: SlotKind,
    /// Whose object.
    pub of: SlotOwner,
}

/// How a slot came by its vendor id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SlotOrigin {
    /// The vendor had the object.
    Found,
    /// We created it; only such an object may ever be archived by us.
    Created,
}

impl SlotOrigin {
    /// The name as stored and shown.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Found => "found",
            Self::Created => "created",
        }
    }
}

/// A vendor object, known by id or by the slot that will hold its id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "by", rename_all = "snake_case")]
pub enum ObjectRef {
    /// Known by id.
    Id {
        /// What it is; the connector knows its own name for that.
        kind: SlotKind,
        /// The vendor's id.
        id: ExternalId,
    },
    /// Will be known once the slot is bound.
    Slot {
        /// The slot.
        slot: Slot,
    },
}

/// An owner write with the state it was decided on.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnerChange {
    /// The owner that the decision saw; `None` for unowned. Another owner found at the vendor means that a human won.
    pub expected: Option<ExternalId>,
    /// The owner to write; `None` for nobody.
    pub to: Option<ExternalId>,
    /// An instant at which the object surely had the expected owner; `None` if only a comparison can tell.
    #[serde(default)]
    pub seen_at: Option<Timestamp>,
    /// Gives an object back to the owner whom an earlier write of ours replaced. Such a write is outside the budget of
    /// its object and is not held against the vendor's history, so that it happens once.
    #[serde(default)]
    pub restores: bool,
    /// The object may be one that somebody entered by hand, with an owner whom no decision saw. Whoever that is keeps it and
    /// gets what waits for the owner, unless it is one of these, who stand for nobody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entered: Option<Vec<ExternalId>>,
}

impl OwnerChange {
    /// Whether it may be written over that owner.
    #[must_use]
    pub fn allows(&self, now: Option<&ExternalId>) -> bool {
        let nobody = |now| self.entered.iter().flatten().any(|nobody| nobody == now);
        now == self.expected.as_ref() || now == self.to.as_ref() || now.is_some_and(nobody)
    }
}

/// What is to be written. Names of fields are the model's; the connector knows the vendor's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum EffectBody {
    /// Find the person by its keys, strongest first, or create it with these lead fields.
    EnsurePerson {
        /// The slot to bind.
        slot: Slot,
        /// What names the person.
        keys: Vec<IdentityKey>,
        /// Lead fields to create the person with, by their declared names.
        fields: BTreeMap<String, serde_json::Value>,
    },
    /// Find the company that the person belongs to, or the one of that domain, or create it: once for a domain.
    EnsureCompany {
        /// The slot to bind.
        slot: Slot,
        /// Name to create it with.
        name: String,
        /// Registrable domain to find it by, where known.
        domain: Option<String>,
        /// Who belongs to it. The CRM may have tied them to a company by itself.
        person: ObjectRef,
    },
    /// Tie two objects together with the vendor's default association.
    Associate {
        /// One end.
        from: ObjectRef,
        /// The other end.
        to: ObjectRef,
    },
    /// Make the object that stands for the inquiry, tied to who asked: once for a lead.
    EnsureInquiry {
        /// The slot to bind; its kind says what is made.
        slot: Slot,
        /// What to call it, one line.
        title: String,
        /// Who asked.
        person: ObjectRef,
        /// For which company, where that is known.
        company: Option<ObjectRef>,
        /// Who is to own it.
        owner: ExternalId,
        /// An open one of the person's that somebody entered by hand since then is the inquiry's, and none is made; of
        /// several the youngest. `None` if there can be none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        entered_since: Option<Timestamp>,
    },
    /// Write owner and fields in one call.
    UpdateObject {
        /// The object.
        target: ObjectRef,
        /// The owner, where it is to change.
        owner: Option<OwnerChange>,
        /// Lead fields to write, by their declared names.
        fields: BTreeMap<String, serde_json::Value>,
        /// The owner slot that success binds, where other writes wait for the owner.
        slot: Option<Slot>,
        /// The slot that must be bound first, where another object's owner decides.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        after: Option<Slot>,
    },
    /// Create the task that tells the rep.
    CreateTask {
        /// The slot that will hold the task's id.
        slot: Slot,
        /// One line.
        subject: String,
        /// Plain text; the connector adds the marker line.
        body: String,
        /// When it is due.
        due: Timestamp,
        /// Who is to do it.
        owner: ExternalId,
        /// What it is about; its first entry is the parent by which the task is verified.
        about: Vec<ObjectRef>,
        /// The owner slot that must be bound first, where the episode writes an owner.
        after: Option<Slot>,
    },
    /// Complete a task of ours.
    CloseTask {
        /// The task.
        task: ObjectRef,
        /// Leave it alone once somebody has begun, finished or deferred it.
        #[serde(default)]
        only_untouched: bool,
    },
    /// Give a task of ours to another owner.
    ReassignTask {
        /// The task.
        task: ObjectRef,
        /// The owner to write.
        to: ExternalId,
    },
    /// Archive an object that we created.
    ArchiveObject {
        /// The object.
        target: ObjectRef,
    },
}

impl EffectBody {
    /// The kind of the write.
    #[must_use]
    pub fn kind(&self) -> EffectKind {
        match self {
            Self::EnsurePerson { .. } => EffectKind::EnsurePerson,
            Self::EnsureCompany { .. } => EffectKind::EnsureCompany,
            Self::Associate { .. } => EffectKind::Associate,
            Self::EnsureInquiry { .. } => EffectKind::EnsureInquiry,
            Self::UpdateObject { .. } => EffectKind::UpdateObject,
            Self::CreateTask { .. } => EffectKind::CreateTask,
            Self::CloseTask { .. } => EffectKind::CloseTask,
            Self::ReassignTask { .. } => EffectKind::ReassignTask,
            Self::ArchiveObject { .. } => EffectKind::ArchiveObject,
        }
    }

    /// The slot that success binds.
    #[must_use]
    pub fn binds(&self) -> Option<&Slot> {
        match self {
            Self::EnsurePerson { slot, .. }
            | Self::EnsureCompany { slot, .. }
            | Self::EnsureInquiry { slot, .. }
            | Self::CreateTask { slot, .. } => Some(slot),
            Self::UpdateObject { slot, .. } => slot.as_ref(),
            _ => None,
        }
    }

    /// The objects that must be known by id before the write can be sent.
    pub fn refs(&self) -> impl Iterator<Item = &ObjectRef> {
        let list: Vec<&ObjectRef> = match self {
            Self::EnsurePerson { .. } => Vec::new(),
            Self::EnsureCompany { person, .. } => vec![person],
            Self::Associate { from, to } => vec![from, to],
            Self::EnsureInquiry { person, company, .. } => [person].into_iter().chain(company).collect(),
            Self::UpdateObject { target, .. } | Self::ArchiveObject { target } => vec![target],
            Self::CreateTask { about, .. } => about.iter().collect(),
            Self::CloseTask { task, .. } | Self::ReassignTask { task, .. } => vec![task],
        };
        list.into_iter()
    }

    /// The slots that must be bound before the write can be sent.
    pub fn needs(&self) -> impl Iterator<Item = &Slot> {
        let after = match self {
            Self::CreateTask { after, .. } | Self::UpdateObject { after, .. } => after.as_ref(),
            _ => None,
        };
        let named = self.refs().filter_map(|object| match object {
            ObjectRef::Slot { slot } => Some(slot),
            ObjectRef::Id { .. } => None,
        });
        named.chain(after)
    }

    /// The same write with every slot replaced by the id that it holds, and its owner by the one that turned out to stand;
    /// `None` if a slot is not bound.
    #[must_use]
    pub fn resolved(&self, id_in: impl Fn(&Slot) -> Option<ExternalId>) -> Option<Self> {
        let resolve = |object: &ObjectRef| match object {
            ObjectRef::Id { .. } => Some(object.clone()),
            ObjectRef::Slot { slot } => id_in(slot).map(|id| ObjectRef::Id { kind: slot.kind, id }),
        };
        let stands = |after: &Option<Slot>| {
            after.as_ref().filter(|slot| slot.kind == SlotKind::Owner).and_then(&id_in)
        };
        let mut body = self.clone();
        match &mut body {
            Self::EnsurePerson { .. } => {}
            Self::EnsureCompany { person, .. } => *person = resolve(person)?,
            Self::Associate { from, to } => {
                *from = resolve(from)?;
                *to = resolve(to)?;
            }
            Self::EnsureInquiry { person, company, .. } => {
                *person = resolve(person)?;
                if let Some(company) = company {
                    *company = resolve(company)?;
                }
            }
            Self::UpdateObject { target, owner, after, .. } => {
                *target = resolve(target)?;
                if let (Some(change), Some(owner)) = (owner, stands(after)) {
                    change.to = Some(owner);
                }
            }
            Self::ArchiveObject { target } => *target = resolve(target)?,
            Self::CreateTask { about, owner, after, .. } => {
                *about = about.iter().map(resolve).collect::<Option<_>>()?;
                *owner = stands(after).unwrap_or_else(|| owner.clone());
            }
            Self::CloseTask { task, .. } | Self::ReassignTask { task, .. } => *task = resolve(task)?,
        }
        Some(body)
    }
}

/// Where an effect stands.
///
/// There is no way from `Sending` back to `Planned` unless it is proven that nothing was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EffectState {
    /// Waits for slots.
    Blocked,
    /// May be sent when due.
    Planned,
    /// Handed to the vendor; the answer is not stored yet.
    Sending,
    /// Sent, no answer that says what happened; to be verified after the settle window.
    Unknown,
    /// Done.
    Done,
    /// The vendor refused it for good.
    Rejected,
    /// Unclear for good: never resent by itself, shown to the operator.
    Parked,
    /// Not wanted any more.
    Cancelled,
}

impl EffectState {
    /// The name as stored and shown.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Blocked => "blocked",
            Self::Planned => "planned",
            Self::Sending => "sending",
            Self::Unknown => "unknown",
            Self::Done => "done",
            Self::Rejected => "rejected",
            Self::Parked => "parked",
            Self::Cancelled => "cancelled",
        }
    }

    /// True if nothing more will happen to it.
    #[must_use]
    pub fn is_final(self) -> bool {
        matches!(self, Self::Done | Self::Rejected | Self::Parked | Self::Cancelled)
    }
}

/// One intended write.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Effect {
    /// Names the intent.
    pub key: EffectKey,
    /// Where it is to be written.
    pub connection: ConnectionName,
    /// For which lead.
    pub lead: LeadId,
    /// In which episode.
    pub episode: EpisodeId,
    /// What is to be written.
    pub body: EffectBody,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_sort_by_the_time_of_what_they_are_about_and_differ_by_their_parts() {
        let install = InstallKey::new([7; 32]);
        let at = |second| EpisodeId::new(Timestamp::from_second(second).unwrap_or_default());
        let (early, late) = (at(1_800_000_000), at(1_800_000_001));
        let key = |id: EpisodeId, part: &str| install.derive_about(id.as_bytes(), &[part.as_bytes()]);
        assert!(["a", "b", "c", "d"].iter().all(|part| key(early, part) < key(late, "a")));
        assert_eq!(key(early, "a"), key(early, "a"));
        assert_ne!(key(early, "a"), key(early, "b"));
        assert_ne!(key(early, "a"), InstallKey::new([8; 32]).derive_about(early.as_bytes(), &[b"a"]));
        assert_eq!(key(early, "a").as_str().len(), 32);
    }
}
