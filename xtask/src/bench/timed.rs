//! A store that notes how long each call of the real one takes.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use usher_model::{
    Account, AccountKey, CloseReason, ConnectionName, CrmOwner, EffectKey, EffectKind, EffectState,
    ExternalId, LeadId, LeadState, Mode, ObjectType, RecordId, Slot, TokenRow, TokenTrouble,
};
use usher_store::{
    AccountRow, Alert, Backup, ClaimedEffect, Comparison, ConnectionRow, ConnectionStatus, Counts, Cutoffs,
    DecidedOwner, Deciding, DecisionCommit, DecisionView, Delivering, Delivery, Direction, DirectoryStore,
    Discrepancy, DueEffects, EffectOutcome, FailedFilter, FailedItem, Fence, FetchCommit, Followed,
    Following, Hint, HookTally, Inspection, Intake, KnownObject, LeadEvents, LeadFilter, LeadStory,
    LeadSummary, LinkKey, Merged, NewDelivery, NewRecord, NodeStatus, Nodes, Operation, Owned, OwnerCheck,
    OwnerChecked, OwnerWrite, Ownership, Preparation, Prepared, Pruned, PullCommit, Quotas, Ready, Recount,
    Responses, RestingEndpoint, SeenObject, Split, Standing, Store, StoreError, Stored, StoredRecord, Tokens,
    Trouble, UndoFilter, UndoLead, Undoing, Upkeep, Vanished, ViewAsk, Vitals, WatchCommit, Watching,
};

type Answer<T> = Result<T, StoreError>;

/// Wall time by call.
#[derive(Debug)]
pub(super) struct Timed {
    inner: Arc<dyn Store>,
    times: Mutex<BTreeMap<&'static str, (u64, Duration)>>,
}

impl Timed {
    pub(super) fn new(inner: Arc<dyn Store>) -> Self {
        Self { inner, times: Mutex::default() }
    }

    /// Calls and seconds since the last time that this was asked.
    pub(super) fn take(&self) -> BTreeMap<&'static str, (u64, f64)> {
        let times = std::mem::take(&mut *self.times.lock().unwrap_or_else(PoisonError::into_inner));
        times.into_iter().map(|(name, (calls, time))| (name, (calls, time.as_secs_f64()))).collect()
    }

    fn note(&self, name: &'static str, time: Duration) {
        let mut times = self.times.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = times.entry(name).or_default();
        *entry = (entry.0 + 1, entry.1 + time);
    }
}

macro_rules! timed {
    ($trait:ident { $(fn $name:ident($($arg:ident: $ty:ty),*) -> $out:ty;)* }) => {
        #[async_trait]
        impl $trait for Timed {
            $(async fn $name(&self, $($arg: $ty),*) -> Answer<$out> {
                let started = Instant::now();
                let answer = self.inner.$name($($arg),*).await;
                self.note(stringify!($name), started.elapsed());
                answer
            })*
        }
    };
}

timed! { Intake {
    fn connect(name: &ConnectionName, now: Timestamp) -> ConnectionRow;
    fn store_delivery(delivery: NewDelivery) -> ();
    fn deliveries_to_split(limit: u32) -> Vec<Delivery>;
    fn commit_splits(splits: Vec<Split>, now: Timestamp) -> Stored;
    fn store_records(records: Vec<NewRecord>) -> Vec<RecordId>;
    fn hints(connection: &ConnectionName, limit: u32) -> Vec<Hint>;
    fn commit_fetch(commit: FetchCommit) -> Stored;
    fn cursor(connection: &ConnectionName, stream: &str) -> Option<Value>;
    fn commit_pull(commit: PullCommit) -> Stored;
} }

timed! { Following {
    fn follow_merges(merged: Merged, now: Timestamp) -> Followed;
    fn survivors(asked: &[LinkKey]) -> Vec<(LinkKey, ExternalId)>;
    fn vanish(gone: Vanished, now: Timestamp) -> u64;
    fn objects_of_open_leads(connection: &ConnectionName, object: &ObjectType, after: Option<&ExternalId>, limit: u32) -> Vec<ExternalId>;
} }

timed! { Preparation {
    fn claim_records(limit: u32, now: Timestamp, lease_until: Timestamp) -> Vec<StoredRecord>;
    fn accounts_by_keys(connection: &ConnectionName, keys: &[AccountKey], per_key: u32) -> Vec<(Account, Vec<AccountKey>)>;
    fn commit_prepared(prepared: Vec<Prepared>, now: Timestamp) -> ();
    fn hasten_records(limit: u32, now: Timestamp) -> u64;
} }

timed! { Deciding {
    fn ready(limit: u32, now: Timestamp) -> Ready;
    fn decision_view(ask: &ViewAsk) -> DecisionView;
    fn opened_since(since: Timestamp) -> BTreeMap<ConnectionName, u64>;
    fn commit_decisions(commit: DecisionCommit, now: Timestamp) -> ();
} }

timed! { Quotas {
    fn quotas() -> Vec<(ConnectionName, Value)>;
    fn put_quota(connection: &ConnectionName, value: Value, now: Timestamp) -> ();
    fn resting() -> Vec<RestingEndpoint>;
    fn rest(endpoint: RestingEndpoint) -> ();
    fn well(connection: &ConnectionName, direction: Direction) -> ();
} }

timed! { Delivering {
    fn due_effects(connection: &ConnectionName, limit: u32, now: Timestamp) -> Vec<DueEffects>;
    fn claim_effects(connection: &ConnectionName, kind: EffectKind, limit: u32, now: Timestamp, lease_until: Timestamp) -> Vec<ClaimedEffect>;
    fn claim_unknown(connection: &ConnectionName, limit: u32, now: Timestamp, lease_until: Timestamp) -> Vec<ClaimedEffect>;
    fn awaited(slots: &[Slot]) -> bool;
    fn finish_effects(outcomes: Vec<EffectOutcome>, now: Timestamp) -> ();
    fn recover_effects(now: Timestamp) -> u64;
} }

timed! { Ownership {
    fn note_owner_writes(writes: Vec<OwnerWrite>) -> ();
    fn owner_writes_since(connection: &ConnectionName, objects: &[Owned], since: Timestamp) -> BTreeMap<Owned, u64>;
    fn claim_owner_checks(connection: &ConnectionName, limit: u32, now: Timestamp, lease_until: Timestamp) -> Vec<OwnerCheck>;
    fn finish_owner_checks(checked: Vec<OwnerChecked>, now: Timestamp) -> ();
} }

timed! { Undoing {
    fn undoable(filter: &UndoFilter) -> Vec<UndoLead>;
} }

timed! { DirectoryStore {
    fn put_owners(connection: &ConnectionName, owners: &[CrmOwner], now: Timestamp) -> ();
    fn owners(connection: &ConnectionName) -> (Vec<CrmOwner>, Option<Timestamp>);
    fn put_accounts(connection: &ConnectionName, stream: &str, cursor: &Value, accounts: Vec<AccountRow>, now: Timestamp) -> ();
    fn forget_accounts(connection: &ConnectionName, unseen_since: Timestamp) -> u64;
} }

timed! { Inspection {
    fn counts() -> Counts;
    fn connections() -> Vec<ConnectionStatus>;
    fn leads(filter: &LeadFilter) -> Vec<LeadSummary>;
    fn lead_story(lead: LeadId) -> Option<LeadStory>;
    fn failed(filter: &FailedFilter) -> Vec<FailedItem>;
    fn comparisons(since: Timestamp) -> Vec<Comparison>;
    fn task_latencies(since: Timestamp) -> Vec<u64>;
    fn decided_owners() -> Vec<DecidedOwner>;
    fn mode() -> Option<Mode>;
    fn audit() -> Vec<(LeadId, LeadState, Option<CloseReason>, Vec<EffectState>)>;
} }

#[async_trait]
impl Nodes for Timed {
    fn is_shared(&self) -> bool {
        self.inner.is_shared()
    }

    async fn beat(&self, ttl: Duration) -> Answer<Timestamp> {
        self.inner.beat(ttl).await
    }

    async fn lead(&self, ttl: Duration) -> Answer<Option<Fence>> {
        self.inner.lead(ttl).await
    }

    async fn leave(&self) -> Answer<()> {
        self.inner.leave().await
    }

    async fn nodes(&self) -> Answer<Vec<NodeStatus>> {
        self.inner.nodes().await
    }
}

timed! { Operation {
    fn set_paused(paused: bool, reason: &str, now: Timestamp) -> ();
    fn paused() -> Option<(Timestamp, String)>;
    fn hold(connection: &ConnectionName, reason: Option<&str>, now: Timestamp) -> ();
    fn retry_records(ids: &[RecordId], now: Timestamp) -> u64;
    fn retry_leads(ids: &[LeadId], now: Timestamp) -> u64;
    fn retry_effects(keys: &[EffectKey], resend: bool, now: Timestamp) -> u64;
    fn enter_mode(mode: Mode, now: Timestamp) -> u64;
    fn take_over(now: Timestamp) -> ();
    fn suppress(lead: LeadId, reason: &str, now: Timestamp) -> ();
    fn install_key(fresh: [u8; 32]) -> [u8; 32];
    fn close() -> ();
} }

timed! { Standing {
    fn set_trouble(connection: &ConnectionName, topic: &str, problem: Option<&str>, now: Timestamp) -> ();
    fn troubles() -> Vec<Trouble>;
    fn put_recount(recount: Recount) -> ();
    fn recounts() -> Vec<Recount>;
    fn cursor_moved_at(connection: &ConnectionName, stream: &str) -> Option<Timestamp>;
    fn add_hook_tallies(tallies: Vec<(ConnectionName, HookTally)>) -> ();
    fn hook_tallies() -> Vec<(ConnectionName, HookTally)>;
} }

timed! { Tokens {
    fn token(connection: &ConnectionName) -> Option<TokenRow>;
    fn tokens() -> Vec<TokenRow>;
    fn put_token(row: &TokenRow) -> bool;
    fn lease_token(connection: &ConnectionName, version: u64, holder: &str, now: Timestamp, until: Timestamp) -> bool;
    fn release_token(connection: &ConnectionName, holder: &str, trouble: Option<&TokenTrouble>) -> ();
    fn forget_tokens() -> u64;
} }

timed! { Upkeep {
    fn back_up(to: &Path, now: Timestamp) -> Backup;
    fn distrust(safe_at: Timestamp, now: Timestamp) -> u64;
    fn known_made(lead: LeadId, kind: EffectKind) -> Vec<ExternalId>;
    fn prune(keep: Cutoffs, so_far: Pruned) -> Pruned;
    fn tidy() -> u64;
    fn vitals(now: Timestamp, since: Timestamp) -> Vitals;
    fn prove_writable(now: Timestamp) -> ();
    fn discrepancies() -> Vec<Discrepancy>;
    fn shift(by: SignedDuration) -> ();
    fn alerts() -> Vec<Alert>;
    fn put_alerts(alerts: Vec<Alert>, forget: Timestamp) -> ();
} }

timed! { Watching {
    fn known_objects(connection: &ConnectionName, seen: &[SeenObject]) -> Vec<KnownObject>;
    fn commit_watch(commit: WatchCommit) -> u64;
    fn lead_events(lead: LeadId) -> LeadEvents;
    fn responses(since: Timestamp) -> Responses;
} }
