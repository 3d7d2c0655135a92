//! The target role: writes, each with its own outcome, and how an unclear one is verified.

use std::time::Instant;

use async_trait::async_trait;
use jiff::Timestamp;
use usher_model::{
    ChangedBy, EffectBody, EffectKey, EffectKind, ExternalId, ObjectRef, ObjectType, SlotKind, SlotOrigin,
};

use crate::fault::{Fault, FaultClass};
use crate::http::Request;

/// How an unclear write of some kind can be verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VerifyBy {
    /// Reading the object by its id shows the outcome.
    Id,
    /// Reading by a key that the vendor keeps unique.
    UniqueKey,
    /// Listing the parent's objects and looking for our marker.
    ParentListing,
    /// Listing all that was made or changed since the write was sent, and looking for a marker or what names the object.
    RecentChanges,
    /// Not at all: an unknown outcome parks.
    Nothing,
}

/// What a target can do for one kind of write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capability {
    /// The kind.
    pub kind: EffectKind,
    /// The vendor's name of the objects that it writes.
    pub object: &'static str,
    /// Writes per `send`.
    pub max_batch: usize,
    /// The vendor itself lets a repeat with the same key make nothing new.
    pub keyed: bool,
    /// How an unclear outcome is verified.
    pub verify: VerifyBy,
}

/// One write to send. Every object in it is known by id: the host has resolved the slots.
#[derive(Debug, Clone, PartialEq)]
pub struct Write {
    /// Names the intent; travels to the vendor where there is a place for it.
    pub key: EffectKey,
    /// What to write.
    pub body: EffectBody,
    /// What is known of the owner that an owner change expects; of no meaning for other writes.
    pub owner_read: OwnerRead,
    /// Who is to own the object if this write makes it. An object that is there already keeps its owner.
    pub owner: Option<ExternalId>,
}

/// How the line begins in what we make by which it is found again.
pub const MARKER: &str = "usher:";

impl Write {
    /// The line by which what the write makes is found again, where the vendor has no better place for a key.
    #[must_use]
    pub fn marker(&self) -> String {
        format!("{MARKER}{}", self.key)
    }
}

/// What the object is, and its id. A slot is a defect: the host resolves every slot before it hands a write over.
pub fn bound(object: &ObjectRef) -> Result<(SlotKind, &ExternalId), Fault> {
    match object {
        ObjectRef::Id { kind, id } => Ok((*kind, id)),
        ObjectRef::Slot { .. } => {
            Err(Fault::new(FaultClass::Defect, "a write was handed over before its slots were bound"))
        }
    }
}

/// How old the knowledge is on which an owner would be overwritten.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OwnerRead {
    /// The host has read the expected owner so recently that the write needs no comparison of its own. Counts for the
    /// first call only: nobody knows how long that one takes.
    pub fresh: bool,
    /// The call that writes must have left by then ([`Request::before`]), lest the read or the comparison be too old.
    pub until: Instant,
}

/// A write that is done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// The object's id at the vendor, for writes that bind a slot.
    pub id: Option<ExternalId>,
    /// Whether the object was there already.
    pub origin: SlotOrigin,
    /// What of the write was left out, and why; without personal data.
    pub note: Option<String>,
    /// The object was made with the owner that the write names: nobody had one to choose before. Left false where it is
    /// not certain; then the owner is written by itself.
    pub owned: bool,
}

impl Written {
    /// All of it, as asked.
    #[must_use]
    pub fn whole(id: Option<ExternalId>, origin: SlotOrigin) -> Self {
        Self { id, origin, note: None, owned: false }
    }
}

/// A write that is not done.
#[derive(Debug)]
pub enum SendFailure {
    /// A fault with its class.
    Fault(Fault),
    /// The owner at the vendor is not the expected one: a human decided in the meantime.
    HumanWon {
        /// The owner found.
        owner: Option<ExternalId>,
    },
    /// The vendor does not accept the owner (deactivated, unknown): decide again without it.
    OwnerRejected {
        /// The vendor's words.
        reason: String,
    },
    /// The object to write is gone, or one that it needs and the vendor does not name.
    Gone,
    /// This object, which the write needs, is gone.
    Lost {
        /// What it is.
        kind: SlotKind,
        /// Its id.
        id: ExternalId,
    },
    /// Somebody has worked on the task meanwhile, so it is not ours to close any more.
    Touched,
}

impl VerifyBy {
    /// How it is shown.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Id => "id",
            Self::UniqueKey => "unique key",
            Self::ParentListing => "marker among the parent's objects",
            Self::RecentChanges => "marker or keys among the latest changes",
            Self::Nothing => "nothing: parks",
        }
    }
}

impl From<Fault> for SendFailure {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

/// What a strong read says of an unclear write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It happened.
    Found(Written),
    /// It did not happen (so far).
    Absent,
    /// No strong read can tell.
    Unsure,
}

/// An owner that an object had, by the vendor's history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnerEntry {
    /// The owner; `None` for nobody.
    pub owner: Option<ExternalId>,
    /// Since when, by the vendor's clock.
    pub at: Timestamp,
    /// By whom.
    pub by: ChangedBy,
}

/// How a property of the vendor's stands that could carry our keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyState {
    /// There is none of that name.
    Missing,
    /// It is there, but the vendor does not keep its values unique.
    NotUnique,
    /// It can carry keys.
    Ready,
}

/// A property of the vendor's objects in which a write's key makes a repeat harmless.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyProperty {
    /// The vendor's object type.
    pub object: &'static str,
    /// The property's name.
    pub name: String,
    /// The settings of the connection name it.
    pub configured: bool,
    /// How it stands.
    pub state: KeyState,
}

/// Writes.
#[async_trait]
pub trait Target: Send + Sync {
    /// The vendor's object type for what a slot of that kind holds; `None` if it has no such thing.
    fn object_of(&self, kind: SlotKind) -> Option<ObjectType>;

    /// What carries owner and task of an inquiry: the person, or a lead or deal that is made for each inquiry.
    fn carrier(&self) -> SlotKind;

    /// What it can do, one line for each kind that it supports.
    fn capabilities(&self) -> Vec<Capability>;

    /// Sends writes of one kind, at most `max_batch`, and answers one outcome for each, in order. An answer of the
    /// vendor that does not mention a write leaves it as an unknown outcome.
    async fn send(&self, writes: &[Write]) -> Vec<Result<Written, SendFailure>>;

    /// Looks by strong reads whether the write happened. It can not have happened before `since`, by our clock.
    async fn verify(&self, write: &Write, since: Timestamp) -> Result<Verdict, Fault>;

    /// After a restore, when the keys of later writes are forgotten: what this installation has made for the purpose of
    /// `write` since then, whichever key it bears (for a task: every marked one about the same object). By strong reads
    /// only. Empty for kinds that `verify` knows by what they wrote.
    async fn ours_since(&self, write: &Write, since: Timestamp) -> Result<Vec<ExternalId>, Fault>;

    /// The properties that carry our keys, or could; empty if the vendor has no place for keys, or needs none. `create`
    /// makes those that are missing, and reads them back.
    async fn key_properties(&self, create: bool) -> Result<Vec<KeyProperty>, Fault>;

    /// Objects per call of [`Target::owner_history`]; 0 if the vendor keeps no history.
    fn history_batch(&self) -> usize;

    /// The owners that these objects had, in the order asked, each newest first; empty for one that is gone. Called in
    /// the refresh lane, because fresh writes go first.
    async fn owner_history(&self, objects: &[(SlotKind, ExternalId)]) -> Result<Vec<Vec<OwnerEntry>>, Fault>;

    /// The writing requests that `send` would make, for dry runs; reads that only compare are left out.
    fn describe(&self, writes: &[Write]) -> Result<Vec<Request>, Fault>;
}
