//! What a connector brings to the suite: a world in which its vendor can be acted upon from behind the counter.
//!
//! The suite names no vendor. It asks a [`World`] to add, change and remove objects, to answer who owns what, and to
//! have a bad day; everything that a connector can do besides is found through its own contract. A role that a world
//! lacks is a role that the connector lacks: the suite compares the two.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use usher_connector::{Connector, Parts, Write};
use usher_model::{EffectKind, ExternalId, ObjectType, SlotKind};

/// In every value that names a person, every token and every secret of a rig: no log may hold it.
pub const CANARY: &str = "canary";

/// A connector with everything that it needs to be tested.
pub struct Rig {
    /// The connector.
    pub connector: Box<dyn Connector>,
    /// A connection's own keys in usher.yaml.
    pub settings: &'static str,
    /// Wrong keys, each with a word that its problem must have. All of them are tried together.
    pub wrong: &'static [(&'static str, &'static str)],
    /// Secrets by the variable that `settings` names.
    pub secrets: Vec<(&'static str, String)>,
    /// Where the vendor listens and the token for it; none for a connector that makes no calls.
    pub vendor: Option<(String, String)>,
    /// The folder in which relative paths start.
    pub folder: PathBuf,
    /// The vendor from behind the counter.
    pub world: Arc<dyn World>,
}

/// When objects come to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// One second after the other, from this instant on.
    From(Timestamp),
    /// All at this instant.
    At(Timestamp),
}

/// An answer that the vendor would give.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// HTTP status.
    pub status: u16,
    /// The JSON body.
    pub body: String,
    /// Only to calls whose path contains this, where others are open all the same.
    pub only: Option<&'static str>,
}

/// The vendor from behind the counter.
pub trait World: Send + Sync {
    /// The vendor's present.
    fn now(&self) -> Timestamp;

    /// Lets time pass there.
    fn advance(&self, by: Duration);

    /// Ends every bad day. What earlier checks added may be forgotten.
    fn calm(&self);

    /// What the vendor says to a token without this scope; none if it was made to say so itself.
    fn forbid(&self, scope: &str) -> Option<Said>;

    /// Bodies with which the vendor says that there is nothing, where they say no more than that: `[]` where lists are bare
    /// arrays. The suite does not send these as malformed answers; every other body that is no page it does.
    fn empty_answers(&self) -> &'static [&'static str] {
        &[]
    }

    /// For the source role.
    fn source(&self) -> Option<&dyn SourceWorld> {
        None
    }

    /// For the inbound role.
    fn inbound(&self) -> Option<&dyn InboundWorld> {
        None
    }

    /// For the directory role.
    fn directory(&self) -> Option<&dyn DirectoryWorld> {
        None
    }

    /// For the target role.
    fn target(&self) -> Option<&dyn TargetWorld> {
        None
    }

    /// For the activity role.
    fn activity(&self) -> Option<&dyn ActivityWorld> {
        None
    }
}

/// Objects that a source reads.
pub trait SourceWorld: Send + Sync {
    /// The most rows that one step brings.
    fn page(&self) -> usize;

    /// Adds objects and names them as their records will be named.
    fn add(&self, object: &ObjectType, count: usize, when: When) -> Vec<ExternalId>;

    /// Lowers the number of rows behind which the vendor refuses to page; false if it has no such cap.
    fn cap(&self, rows: usize) -> bool;

    /// Takes an object away.
    fn remove(&self, object: &ObjectType, id: &ExternalId);
}

/// A webhook call as the vendor made it.
#[derive(Debug, Clone)]
pub struct Call {
    /// Method, URL and headers.
    pub parts: Parts,
    /// The body.
    pub body: Vec<u8>,
    /// What its items are about, as their records will be named; empty if only the content names them.
    pub about: Vec<ExternalId>,
}

/// Webhooks.
#[async_trait]
pub trait InboundWorld: Send + Sync {
    /// Something happens at the vendor, and this is the call that it makes.
    async fn call(&self) -> anyhow::Result<Call>;

    /// The headers without which a call proves nothing.
    fn proofs(&self) -> &'static [&'static str];

    /// Whether the proof covers the time of the call.
    fn signs_time(&self) -> bool;

    /// Whether the proof covers the body; a password proves only who calls.
    fn signs_body(&self) -> bool {
        true
    }

    /// A body with one item that can not be understood, and how many good ones are beside it.
    fn with_one_bad(&self) -> (Vec<u8>, usize);
}

/// Owners, companies and persons.
pub trait DirectoryWorld: Send + Sync {
    /// Every owner and whether it is active.
    fn owners(&self) -> Vec<(ExternalId, bool)>;

    /// Adds companies, more than fit on a page.
    fn add_companies(&self) -> Vec<ExternalId>;

    /// Adds a person whom no search shows yet.
    fn add_person_unseen(&self, email: &str) -> ExternalId;
}

/// What a target writes to.
pub trait TargetWorld: Send + Sync {
    /// Owners who can own, at least two.
    fn owners(&self) -> Vec<ExternalId>;

    /// An owner who has left.
    fn left(&self) -> ExternalId;

    /// Makes an object without an owner, behind the API.
    fn make(&self, kind: SlotKind) -> ExternalId;

    /// Somebody enters a lead or deal for a person in the vendor's pages; nothing where there is no such thing.
    fn enter(&self, _kind: SlotKind, _person: &ExternalId) -> Option<ExternalId> {
        None
    }

    /// Takes an object away.
    fn remove(&self, kind: SlotKind, id: &ExternalId);

    /// A person in the vendor's pages gives the object to an owner.
    fn give(&self, kind: SlotKind, id: &ExternalId, owner: &ExternalId);

    /// How many times what the write wants stands at the vendor: objects for a write that creates, else 0 or 1.
    fn applied(&self, write: &Write) -> usize;

    /// Everything that the API ever changed.
    fn changes(&self) -> usize;

    /// The next row of a batch that can fail in part is refused for itself; false if rows of this kind never are.
    fn refuse_a_row(&self, _kind: EffectKind) -> bool {
        false
    }

    /// The next row of a batch is done but missing from the answer; false if rows of this kind never are.
    fn omit_a_row(&self, _kind: EffectKind) -> bool {
        false
    }

    /// One bad row refuses the whole batch, where there are batches.
    fn refuse_whole(&self) {}

    /// Owners that are written are dropped without a word.
    fn drop_owners(&self);
}

/// What people do.
pub trait ActivityWorld: Send + Sync {
    /// The most rows that one step brings.
    fn page(&self) -> usize;

    /// People touch so many persons, one touch each, as this stream tells of; the persons. None for a stream that tells of
    /// no touches.
    fn touch(&self, stream: &ObjectType, count: usize, when: When) -> Vec<ExternalId>;

    /// Everything that looks like a touch and is none happens to a person each: planned and not done, come from the other
    /// side, entered by the token's own user.
    fn no_touches(&self) -> Vec<ExternalId>;

    /// A person does a task.
    fn finish(&self, task: &ExternalId);

    /// A person wins a deal that is worth something.
    fn win(&self) -> ExternalId;
}
