//! Deciding: what the serial decider reads and the one transaction that it writes.

use std::collections::BTreeMap;

use async_trait::async_trait;
use jiff::Timestamp;
use usher_model::{
    Account, AccountId, Balance, CloseReason, ConnectionName, Decision, Draft, Effect, EpisodeId, ExternalId,
    Fields, IdentityKey, IgnoreReason, Lead, LeadId, LeadState, Mode, ObjectType, PersonId, RecordId,
    RecordState, RepKey, Slot, SlotKind, SlotOrigin, Turn, WaitReason,
};

use crate::error::StoreError;
use crate::nodes::Fence;

/// A waiting lead whose time has come.
#[derive(Debug, Clone)]
pub struct WaitingLead {
    /// The lead.
    pub lead: Lead,
    /// Why it waits.
    pub wait: WaitReason,
    /// Reps that must not get it, with the reason.
    pub excluded: Vec<(RepKey, String)>,
    /// The owner that the CRM showed when the lead was opened.
    pub crm_owner: Option<ExternalId>,
}

/// What is ready to be decided, in the order of the queue.
#[derive(Debug, Clone, Default)]
pub struct Ready {
    /// Mapped records: live lane first, then oldest.
    pub drafts: Vec<Draft>,
    /// Waiting leads that are due, oldest first.
    pub waiting: Vec<WaitingLead>,
    /// Records whose draft can not be read, and why: they are to be failed, alone.
    pub unreadable: Vec<(RecordId, String)>,
    /// Waiting leads that can not be read, likewise.
    pub unreadable_leads: Vec<(LeadId, String)>,
}

/// Names a vendor object.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkKey {
    /// The connection.
    pub connection: ConnectionName,
    /// The vendor's object type.
    pub object: ObjectType,
    /// The vendor's id.
    pub external_id: ExternalId,
}

/// What a vendor object is to us.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkRow {
    /// The object.
    pub key: LinkKey,
    /// The person.
    pub person: PersonId,
    /// It has opened its lead (or we made it, and it never shall).
    pub enrolled: bool,
    /// We created the object ourselves.
    pub ours: bool,
    /// A digest of what its mapping last read of it, where that matters.
    pub seen: Option<String>,
}

/// A person with the keys that are known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownPerson {
    /// The person.
    pub id: PersonId,
    /// All of the person's keys.
    pub keys: Vec<IdentityKey>,
    /// The names that the person's leads gave, for weak keys.
    pub names: Vec<String>,
    /// A write that would create or find the person at the CRM is planned, on its way or unclear.
    pub being_written: bool,
}

/// The latest lead of a person.
#[derive(Debug, Clone)]
pub struct OpenLead {
    /// The lead.
    pub lead: Lead,
    /// The rep or owner of its last decision, where it has one.
    pub owner: Option<ExternalId>,
}

/// What the decider wants to see for its ready leads.
#[derive(Debug, Clone, Default)]
pub struct ViewAsk {
    /// Identity keys of the drafts.
    pub keys: Vec<IdentityKey>,
    /// Vendor objects of the drafts.
    pub links: Vec<LinkKey>,
    /// Persons of the waiting leads.
    pub persons: Vec<PersonId>,
    /// Accounts of drafts and waiting leads.
    pub accounts: Vec<AccountId>,
    /// The kind of what stands for inquiries, and the waiting leads that may have one already.
    pub inquiries: Option<(SlotKind, Vec<LeadId>)>,
    /// Domains of companies that we may have made.
    pub domains: Vec<String>,
    /// Whose ledger.
    pub mode: Option<Mode>,
    /// A lead that is done still counts as the same inquiry if it was opened after this instant.
    pub open_since: Option<Timestamp>,
}

/// What the decider sees.
#[derive(Debug, Clone, Default)]
pub struct DecisionView {
    /// Persons with any of the keys, or behind any of the links.
    pub persons: Vec<KnownPerson>,
    /// Known objects.
    pub links: Vec<LinkRow>,
    /// The latest lead of each such person that is not done, or was opened since `open_since` and was neither suppressed
    /// nor merged. A failed one counts: a retry may still write it.
    pub open_leads: Vec<OpenLead>,
    /// Bound slots of these persons and inquiries.
    pub slots: Vec<(Slot, ExternalId)>,
    /// Of the domains, those whose company was deleted at the CRM since.
    pub gone_companies: Vec<String>,
    /// The accounts asked for.
    pub accounts: Vec<Account>,
    /// Every balance of the mode, by pool and rep.
    pub balances: BTreeMap<String, BTreeMap<RepKey, Balance>>,
}

/// How a record ends.
#[derive(Debug, Clone)]
pub struct RecordEnd {
    /// The record; it must still be `mapped`.
    pub record: RecordId,
    /// Opened, updated, ignored or failed.
    pub state: RecordState,
    /// For ignored ones.
    pub reason: Option<IgnoreReason>,
    /// The lead that it opened or updated.
    pub lead: Option<LeadId>,
    /// In words, where there is more to say.
    pub detail: Option<String>,
}

/// A lead to insert.
#[derive(Debug, Clone)]
pub struct NewLead {
    /// The lead in its first stored state.
    pub lead: Lead,
    /// The owner that the CRM showed.
    pub crm_owner: Option<ExternalId>,
}

/// Gives a person a key. One weak key (a shared phone, an info@ inbox) may belong to several persons; a pair that is
/// known already is no error.
#[derive(Debug, Clone)]
pub struct IdentityBinding {
    /// The key.
    pub key: IdentityKey,
    /// The person.
    pub person: PersonId,
}

/// Binds a vendor object to a person.
#[derive(Debug, Clone)]
pub struct LinkBinding {
    /// The object.
    pub key: LinkKey,
    /// The person.
    pub person: PersonId,
    /// It has opened its lead.
    pub enrolled: bool,
    /// A digest of what its mapping read of it; `None` leaves the stored one.
    pub seen: Option<String>,
}

/// An effect to insert.
#[derive(Debug, Clone)]
pub struct NewEffect {
    /// The effect. If its key exists already, the row stays as it is: the intent is the same.
    pub effect: Effect,
    /// Its place in the episode, from 0.
    pub ordinal: u32,
    /// Not to be sent before.
    pub due_at: Timestamp,
    /// Recorded but never to be sent (observe mode).
    pub observed: bool,
}

/// What one pool's balance gains.
#[derive(Debug, Clone, PartialEq)]
pub struct BalanceDelta {
    /// The pool.
    pub pool: String,
    /// The rep.
    pub rep: RepKey,
    /// What is added.
    pub add: Balance,
}

/// Everything that one fold over the ready leads decided.
#[derive(Debug, Clone, Default)]
pub struct DecisionCommit {
    /// The leadership under which the decider folded; none for what an operator plans by a command.
    pub fence: Option<Fence>,
    /// How the records end.
    pub records: Vec<RecordEnd>,
    /// New persons.
    pub persons: Vec<PersonId>,
    /// New identity keys.
    pub identity: Vec<IdentityBinding>,
    /// New or newly enrolled objects.
    pub links: Vec<LinkBinding>,
    /// Slots known from the start (the person's object at the CRM).
    pub slots: Vec<(Slot, ExternalId, SlotOrigin)>,
    /// Opened leads.
    pub opened: Vec<NewLead>,
    /// Open leads completed by a later record.
    pub completed: Vec<(LeadId, Fields)>,
    /// Waiting leads that move on: new state, why it waits, how it ended.
    pub moved: Vec<(LeadId, LeadState, Option<CloseReason>, Option<String>)>,
    /// Why leads wait, for those that do.
    pub waits: Vec<(LeadId, WaitReason)>,
    /// Decisions.
    pub decisions: Vec<Decision>,
    /// Ledger lines.
    pub turns: Vec<Turn>,
    /// What the cached balances gain by those lines.
    pub balances: Vec<BalanceDelta>,
    /// New writes.
    pub effects: Vec<NewEffect>,
    /// Leads that are taken back, and why: what is unsent of them is cancelled, and they end as suppressed. Stale if a write
    /// of theirs is on its way.
    pub suppressed: Vec<(LeadId, String)>,
    /// Episodes that supersede: unsent effects of the lead's earlier episodes are cancelled.
    pub supersedes: Vec<(LeadId, EpisodeId)>,
    /// The owner that the incumbent routing chose, seen on later versions of an observed lead's object.
    pub incumbents: Vec<(LeadId, ExternalId, Timestamp)>,
}

/// Deciding.
#[async_trait]
pub trait Deciding: Send + Sync {
    /// What is ready. Records of held connections are left out; leads that wait in another mode too.
    async fn ready(&self, limit: u32, now: Timestamp) -> Result<Ready, StoreError>;

    /// What is known about the ready leads.
    async fn decision_view(&self, ask: &ViewAsk) -> Result<DecisionView, StoreError>;

    /// How many leads each connection opened since then, or since it was last released, for the flood guard.
    async fn opened_since(&self, since: Timestamp) -> Result<BTreeMap<ConnectionName, u64>, StoreError>;

    /// Writes a fold in one transaction. [`StoreError::Stale`] if a record is not `mapped` any more, a waiting lead
    /// moved, or an object was linked to someone else meanwhile; [`StoreError::Fenced`] if another node leads by now.
    /// Nothing is stored then.
    async fn commit_decisions(&self, commit: DecisionCommit, now: Timestamp) -> Result<(), StoreError>;
}
