//! Inspection: what an operator can see. Read-only.

use std::collections::BTreeMap;

use async_trait::async_trait;
use jiff::Timestamp;
use usher_model::{
    CloseReason, ConnectionName, Decision, EffectKey, EffectKind, EffectState, EpisodeId, ExternalId, Lead,
    LeadId, LeadState, Mode, RecordId, RecordState,
};

use crate::codec::{effect_kind, id, instant};
use crate::error::StoreError;
use crate::fault::Fault;

/// Counts that must add up: `seen` is the sum of the record states, `opened` of the lead states.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts {
    /// Records by state.
    pub records: BTreeMap<String, u64>,
    /// Ignored records by reason.
    pub ignored: BTreeMap<String, u64>,
    /// Leads by state; closed ones as `closed:written` and so on.
    pub leads: BTreeMap<String, u64>,
    /// Leads by rep or owner of the last decision are not here: see reports. Effects by state.
    pub effects: BTreeMap<String, u64>,
    /// Webhook bodies not split yet.
    pub deliveries_waiting: u64,
    /// Objects hinted at and not fetched yet.
    pub hints_waiting: u64,
    /// When the oldest record that is not decided yet arrived.
    pub oldest_undecided: Option<Timestamp>,
    /// When the oldest effect that is not final was planned.
    pub oldest_unwritten: Option<Timestamp>,
}

/// A connection's standing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectionStatus {
    /// Its name.
    pub name: ConnectionName,
    /// When it was first connected.
    pub started_at: Timestamp,
    /// Since when it is held, and why.
    pub held: Option<(Timestamp, String)>,
    /// When each stream's cursor last moved.
    pub streams: BTreeMap<String, Timestamp>,
    /// Records seen.
    pub seen: u64,
}

/// Which leads to list.
#[derive(Debug, Clone, Default)]
pub struct LeadFilter {
    /// Only in this state.
    pub state: Option<LeadState>,
    /// Only with this e-mail address, in key form.
    pub email: Option<String>,
    /// Only of the person behind this vendor object, by id.
    pub external_id: Option<ExternalId>,
    /// At most so many, newest first.
    pub limit: u32,
}

/// A line of the list of leads.
#[derive(Debug, Clone)]
pub struct LeadSummary {
    /// The lead.
    pub lead: Lead,
    /// The path of its last decision.
    pub path: Option<String>,
    /// The last decision's sentence.
    pub why: Option<String>,
    /// The rep or owner of the last decision.
    pub owner: Option<String>,
}

/// A record in a lead's story.
#[derive(Debug, Clone)]
pub struct RecordSummary {
    /// Our id.
    pub id: RecordId,
    /// The connection.
    pub connection: ConnectionName,
    /// The vendor's id.
    pub external_id: ExternalId,
    /// Where it stands.
    pub state: RecordState,
    /// When it arrived.
    pub received_at: Timestamp,
}

/// A write in a lead's story.
#[derive(Debug, Clone)]
pub struct EffectRow {
    /// Its key.
    pub key: EffectKey,
    /// Its episode.
    pub episode: EpisodeId,
    /// Its kind.
    pub kind: EffectKind,
    /// Its state.
    pub state: EffectState,
    /// Attempts so far.
    pub attempts: u32,
    /// When it was planned.
    pub planned_at: Timestamp,
    /// When it became final.
    pub ended_at: Option<Timestamp>,
    /// What went wrong last, in words.
    pub problem: Option<String>,
    /// The vendor's id that it bound.
    pub external_id: Option<ExternalId>,
}

/// One try of a write. The only try of one that was done at once has no row.
#[derive(Debug, Clone)]
pub struct AttemptRow {
    /// The effect.
    pub key: EffectKey,
    /// Which attempt, from 1.
    pub number: u32,
    /// When it ended.
    pub at: Timestamp,
    /// The state it led to.
    pub outcome: EffectState,
    /// In words.
    pub detail: Option<String>,
}

/// Everything known of one lead.
#[derive(Debug, Clone)]
pub struct LeadStory {
    /// The lead.
    pub lead: Lead,
    /// The records behind it, oldest first.
    pub records: Vec<RecordSummary>,
    /// Its decisions, oldest first.
    pub decisions: Vec<Decision>,
    /// Its writes, in order.
    pub effects: Vec<EffectRow>,
    /// Every try, oldest first.
    pub attempts: Vec<AttemptRow>,
}

/// Which failures to list; every bound that is set must hold.
#[derive(Debug, Clone, Default)]
pub struct FailedFilter {
    /// Only this one, by its id as listed.
    pub id: Option<String>,
    /// Only at this connection.
    pub connection: Option<ConnectionName>,
    /// Only of this sort, as [`FailedKind::sort`] names it.
    pub sort: Option<String>,
    /// Only those whose problem holds this text, whatever its case.
    pub reason: Option<String>,
    /// Failed from then on.
    pub since: Option<Timestamp>,
    /// Failed before then.
    pub until: Option<Timestamp>,
    /// At most so many, newest first.
    pub limit: u32,
}

impl FailedFilter {
    /// The newest failures.
    #[must_use]
    pub fn newest(limit: u32) -> Self {
        Self { limit, ..Self::default() }
    }
}

/// What kind of thing failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FailedKind {
    /// A waiting lead that could not be decided.
    Lead(LeadId),
    /// A record that could not be processed.
    Record(RecordId),
    /// A write that was refused.
    Rejected(EffectKey, EffectKind),
    /// A write that stays unclear.
    Parked(EffectKey, EffectKind),
}

impl FailedKind {
    /// Every sort.
    pub const SORTS: [&str; 4] = ["record", "lead", "rejected", "parked"];

    /// The sort, as stored and shown.
    #[must_use]
    pub fn sort(&self) -> &'static str {
        match self {
            Self::Record(_) => "record",
            Self::Lead(_) => "lead",
            Self::Rejected(..) => "rejected",
            Self::Parked(..) => "parked",
        }
    }

    /// The id by which it is shown and retried.
    #[must_use]
    pub fn id(&self) -> String {
        match self {
            Self::Record(id) => id.to_string(),
            Self::Lead(id) => id.to_string(),
            Self::Rejected(key, _) | Self::Parked(key, _) => key.to_string(),
        }
    }
}

/// One line of the list of failures.
#[derive(Debug, Clone)]
pub struct FailedItem {
    /// What.
    pub kind: FailedKind,
    /// At which connection.
    pub connection: ConnectionName,
    /// The vendor's id of the object, or the lead of the write.
    pub about: String,
    /// When it failed.
    pub at: Timestamp,
    /// Why, and what to do.
    pub problem: String,
}

/// A failure as stored: sort, id, effect kind, connection, what it is about, when, why.
pub(crate) type FailedRow = (String, String, String, String, String, i64, Option<String>);

impl FailedItem {
    pub(crate) fn of((what, key, kind, connection, about, at, problem): FailedRow) -> Result<Self, Fault> {
        let kind = match what.as_str() {
            "record" => FailedKind::Record(id(&key)?),
            "lead" => FailedKind::Lead(id(&key)?),
            "rejected" => FailedKind::Rejected(EffectKey::new(key), effect_kind(&kind)?),
            _ => FailedKind::Parked(EffectKey::new(key), effect_kind(&kind)?),
        };
        let problem = problem.unwrap_or_else(|| "no reason was stored".to_owned());
        Ok(Self { kind, connection: connection.into(), about, at: instant(at)?, problem })
    }
}

/// Our owner beside the incumbent's, for one observed lead.
#[derive(Debug, Clone)]
pub struct Comparison {
    /// The lead.
    pub lead: LeadId,
    /// When it arrived.
    pub received_at: Timestamp,
    /// The path of our decision.
    pub path: String,
    /// The owner that we chose.
    pub ours: Option<ExternalId>,
    /// The owner that the incumbent chose.
    pub incumbent: Option<ExternalId>,
}

/// Whom the last decision about a person gave them to, and who they are at the CRM.
#[derive(Debug, Clone)]
pub struct DecidedOwner {
    /// The lead that was decided last.
    pub lead: LeadId,
    /// The person's id at the CRM.
    pub person: ExternalId,
    /// The owner's id at the CRM.
    pub owner: ExternalId,
}

/// Inspection.
#[async_trait]
pub trait Inspection: Send + Sync {
    /// The counts.
    async fn counts(&self) -> Result<Counts, StoreError>;

    /// The connections.
    async fn connections(&self) -> Result<Vec<ConnectionStatus>, StoreError>;

    /// Leads, newest first.
    async fn leads(&self, filter: &LeadFilter) -> Result<Vec<LeadSummary>, StoreError>;

    /// One lead's story.
    async fn lead_story(&self, lead: LeadId) -> Result<Option<LeadStory>, StoreError>;

    /// What failed, newest first.
    async fn failed(&self, filter: &FailedFilter) -> Result<Vec<FailedItem>, StoreError>;

    /// Our owners beside the incumbent's.
    async fn comparisons(&self, since: Timestamp) -> Result<Vec<Comparison>, StoreError>;

    /// Milliseconds from a lead's arrival to its task at the CRM, for tasks created since then.
    async fn task_latencies(&self, since: Timestamp) -> Result<Vec<u64>, StoreError>;

    /// The owner that the last live decision gave each person whom the CRM knows, for the invariant checker. A lead that
    /// was merged into another one decides nothing any more.
    async fn decided_owners(&self) -> Result<Vec<DecidedOwner>, StoreError>;

    /// The mode of the present or last run.
    async fn mode(&self) -> Result<Option<Mode>, StoreError>;

    /// Every lead with its close reason and effects' states, for the invariant checker: (lead, state, reason, states).
    async fn audit(
        &self,
    ) -> Result<Vec<(LeadId, LeadState, Option<CloseReason>, Vec<EffectState>)>, StoreError>;
}
