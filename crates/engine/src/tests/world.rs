//! For this crate's tests: an engine on a clock that the test owns, with a CRM that does what the test says.

#![allow(clippy::unwrap_used)]

use std::collections::VecDeque;
use std::path::Path;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use serde_json::value::RawValue;
use serde_json::{Value, json};
use tokio::sync::Notify;
use usher_connector::{
    AccountBatch, CallLane, Capability, Connection, CrmAccount, CrmPerson, Cursor, Directory, Fault,
    FaultClass, Gauge, KeyProperty, LimitStanding, OwnerEntry, Request, SendFailure, Target, Verdict,
    VerifyBy, Write, Written,
};
use usher_document::{Diagnostics, SourceFile};
use usher_mapping::Mapping;
use usher_model::{
    Clock, ConnectionName, CrmOwner, EffectBody, EffectKind, ExternalId, IdentityKey, InstallKey, Lane, Mode,
    ObjectRef, ObjectType, OwnedObject, Record, RecordId, Slot, SlotKind, SlotOrigin,
};
use usher_routing::Policy;
use usher_store::{LeadFilter, LeadStory, NewRecord, OpenOptions, SqliteStore, Store, Vanished, ViewAsk};

use crate::settings::{AlsoOwned, WriteSettings};
use crate::{Connected, Engine, Setup};

const ROUTING: &str = "version: 1\nreps:\n  ana: { email: ana@agency.example }\nrules:\n  - name: All\n    when: 'true'\n    assign: { rep: ana }\nfallback: { rep: ana }\n";

/// A clock that stands still until it is moved.
#[derive(Debug, Default)]
pub(crate) struct Still(AtomicI64);

impl Still {
    pub(crate) fn advance(&self, seconds: i64) {
        self.0.fetch_add(seconds, Ordering::Relaxed);
    }
}

impl Clock for Still {
    fn now(&self) -> Timestamp {
        Timestamp::from_second(1_790_000_000).unwrap()
            + SignedDuration::from_secs(self.0.load(Ordering::Relaxed))
    }
}

/// What the CRM does with a call; without a word it does what it is asked for.
#[derive(Debug, Clone)]
pub(crate) enum Act {
    /// Answers only once told to.
    Hang(Arc<Notify>),
    /// Fails every write with this class.
    Fail(FaultClass),
    /// Does what it is asked for, and nobody hears of it.
    Lose,
}

/// A CRM that knows nobody and notes every call.
#[derive(Debug, Default)]
pub(crate) struct Crm {
    /// What it does with the next calls, then for ever.
    pub(crate) next: Mutex<VecDeque<Act>>,
    pub(crate) always: Mutex<Option<Act>>,
    /// The subjects of tasks and the kinds of other writes, call by call.
    pub(crate) calls: Mutex<Vec<(EffectKind, Vec<String>)>>,
    /// How many persons each call asked for; the next call hangs until told otherwise.
    pub(crate) asked: Mutex<Vec<usize>>,
    pub(crate) silent: Mutex<Option<Arc<Notify>>>,
    /// What carries owners; the person unless set.
    pub(crate) carrier: Mutex<Option<SlotKind>>,
    /// The next write of this kind finds its object gone.
    pub(crate) lost: Mutex<Option<EffectKind>>,
    /// It does not offer writes of this kind.
    pub(crate) lacks: Mutex<Option<EffectKind>>,
    /// It says which object is gone: the one of this kind.
    pub(crate) names: Mutex<Option<SlotKind>>,
    /// A human has chosen the owner of each object of this kind.
    pub(crate) won: Mutex<Option<SlotKind>>,
    /// What somebody has entered by hand for everybody, and when.
    pub(crate) entered: Mutex<Option<(ExternalId, Timestamp)>>,
    /// It makes persons with the owner that a write names.
    pub(crate) owned: Mutex<bool>,
    /// What it did, in order.
    pub(crate) did: Mutex<Vec<Write>>,
    /// Since when it was asked to look for what it may have done.
    pub(crate) since: Mutex<Vec<Timestamp>>,
    /// The ids of the persons that it made.
    pub(crate) persons: Mutex<Vec<String>>,
    /// Everybody's open deal.
    pub(crate) open_deal: Mutex<Option<OwnedObject>>,
    /// It does not tell of open deals, for such a reason.
    pub(crate) hides_deals: Mutex<Option<FaultClass>>,
    /// The settings have those made that it lacks.
    pub(crate) lacks_companies: Mutex<bool>,
    /// Its companies.
    pub(crate) companies: Mutex<Vec<CrmAccount>>,
    /// Since when it has listed all of them.
    pub(crate) whole_since: Mutex<Option<Timestamp>>,
    /// Whom it takes everybody for.
    pub(crate) everybody: Mutex<Option<CrmPerson>>,
    /// It does not say who a person is.
    pub(crate) mute: Mutex<bool>,
    /// Calls that its limit allows now; `None` without a limit.
    pub(crate) room: Mutex<Option<u32>>,
    /// Calls that wait for it, beside those that it has been sent.
    pub(crate) waiting: Mutex<usize>,
    /// What its lists of activity show, and what the history of an object tells.
    pub(crate) diary: super::watch::Diary,
    /// How long its limit says to wait without room; two milliseconds unless set.
    pub(crate) pause: Mutex<Duration>,
}

impl Crm {
    /// Counts a call, if its limit allows one.
    fn take_room(&self) -> bool {
        match self.room.lock().unwrap().as_mut() {
            None => true,
            Some(0) => false,
            Some(room) => {
                *room -= 1;
                true
            }
        }
    }

    /// What it did of that kind.
    pub(crate) fn did(&self, of: EffectKind) -> Vec<Write> {
        self.did.lock().unwrap().iter().filter(|write| write.body.kind() == of).cloned().collect()
    }

    pub(crate) fn sizes(&self, of: EffectKind) -> Vec<usize> {
        let calls = self.calls.lock().unwrap();
        calls.iter().filter(|(kind, _)| *kind == of).map(|(_, writes)| writes.len()).collect()
    }
}

impl Gauge for Crm {
    fn wait(&self, _lane: CallLane) -> Duration {
        let room = *self.room.lock().unwrap();
        if room == Some(0) {
            self.pause.lock().unwrap().max(Duration::from_millis(2))
        } else {
            Duration::ZERO
        }
    }

    fn waiting(&self, _lane: CallLane) -> usize {
        *self.waiting.lock().unwrap()
    }

    fn standing(&self) -> Vec<LimitStanding> {
        Vec::new()
    }

    fn resume(&self, _standing: Vec<LimitStanding>) {}
}

#[async_trait]
impl Directory for Crm {
    async fn owners(&self) -> Result<Vec<CrmOwner>, Fault> {
        let email = "ana@agency.example".to_owned();
        Ok(vec![CrmOwner { id: "7".into(), email, name: "Ana".to_owned(), active: true, availability: None }])
    }

    async fn accounts(&self, _cursor: Option<&Cursor>, _now: Timestamp) -> Result<AccountBatch, Fault> {
        let accounts = self.companies.lock().unwrap().clone();
        let whole_since = *self.whole_since.lock().unwrap();
        Ok(AccountBatch {
            accounts,
            next: Cursor { version: 1, state: json!(null) },
            done: true,
            whole_since,
        })
    }

    async fn people(&self, keys: &[IdentityKey]) -> Result<Vec<Option<CrmPerson>>, Fault> {
        self.asked.lock().unwrap().push(keys.len());
        let silent = self.silent.lock().unwrap().take();
        if let Some(until) = silent {
            until.notified().await;
        }
        if *self.mute.lock().unwrap() {
            return Err(Fault::new(FaultClass::Transient, "out of order"));
        }
        Ok(vec![self.everybody.lock().unwrap().clone(); keys.len()])
    }

    async fn open_deals(&self, persons: &[ExternalId]) -> Result<Vec<Option<OwnedObject>>, Fault> {
        match *self.hides_deals.lock().unwrap() {
            Some(class) => Err(Fault::new(class, "the token lacks a scope")),
            None => Ok(vec![self.open_deal.lock().unwrap().clone(); persons.len()]),
        }
    }

    fn people_limit(&self) -> usize {
        100
    }
}

#[async_trait]
impl Target for Crm {
    fn object_of(&self, kind: SlotKind) -> Option<ObjectType> {
        use SlotKind::{Company, Deal, Lead, Person};
        let names = [(Person, "contacts"), (Company, "companies"), (Lead, "leads"), (Deal, "deals")];
        names.into_iter().find(|(each, _)| *each == kind).map(|(_, name)| ObjectType::new(name))
    }

    fn carrier(&self) -> SlotKind {
        self.carrier.lock().unwrap().unwrap_or(SlotKind::Person)
    }

    fn capabilities(&self) -> Vec<Capability> {
        let can = |kind| Capability {
            kind,
            object: "contacts",
            max_batch: 100,
            keyed: false,
            verify: VerifyBy::UniqueKey,
        };
        let kinds = [
            EffectKind::EnsurePerson,
            EffectKind::EnsureCompany,
            EffectKind::Associate,
            EffectKind::EnsureInquiry,
            EffectKind::UpdateObject,
            EffectKind::CreateTask,
            EffectKind::CloseTask,
            EffectKind::ArchiveObject,
        ];
        let lacks = *self.lacks.lock().unwrap();
        kinds.into_iter().filter(|kind| Some(*kind) != lacks).map(can).collect()
    }

    async fn send(&self, writes: &[Write]) -> Vec<Result<Written, SendFailure>> {
        while !self.take_room() {
            tokio::task::yield_now().await;
        }
        let shown = writes.iter().map(|write| match &write.body {
            EffectBody::CreateTask { subject, .. } => subject.clone(),
            other => other.kind().as_str().to_owned(),
        });
        self.calls.lock().unwrap().push((writes[0].body.kind(), shown.collect()));
        if self.lost.lock().unwrap().take_if(|kind| *kind == writes[0].body.kind()).is_some() {
            let names = *self.names.lock().unwrap();
            let lost = |write: &Write| {
                let mut ends = write.body.refs();
                ends.find_map(|end| match end {
                    ObjectRef::Id { kind, id } if Some(*kind) == names => Some((*kind, id.clone())),
                    _ => None,
                })
            };
            let failure = |(kind, id)| SendFailure::Lost { kind, id };
            return writes.iter().map(|write| Err(lost(write).map_or(SendFailure::Gone, failure))).collect();
        }
        let act = self.next.lock().unwrap().pop_front();
        match act.or_else(|| self.always.lock().unwrap().clone()) {
            Some(Act::Hang(until)) => until.notified().await,
            Some(Act::Fail(class)) => {
                return writes.iter().map(|_| Err(Fault::new(class, "out of order").into())).collect();
            }
            Some(Act::Lose) => {
                self.did.lock().unwrap().extend_from_slice(writes);
                let lost = || Fault::new(FaultClass::OutcomeUnknown, "the line is dead");
                return writes.iter().map(|_| Err(lost().into())).collect();
            }
            None => {}
        }
        let entered = self.entered.lock().unwrap().clone();
        let there = |write: &Write| match &write.body {
            EffectBody::EnsureInquiry { entered_since: Some(since), .. } => {
                entered.clone().filter(|(_, at)| at >= since).map(|(id, _)| id)
            }
            _ => None,
        };
        let won = *self.won.lock().unwrap();
        let is_won = |write: &Write| match &write.body {
            EffectBody::UpdateObject { target: ObjectRef::Id { kind, .. }, .. } => Some(*kind) == won,
            _ => false,
        };
        self.did
            .lock()
            .unwrap()
            .extend(writes.iter().filter(|write| !is_won(write) && there(write).is_none()).cloned());
        let persons = writes.iter().filter(|write| write.body.kind() == EffectKind::EnsurePerson);
        self.persons.lock().unwrap().extend(persons.map(|write| write.key.as_str().to_owned()));
        let takes_owners = *self.owned.lock().unwrap();
        // What stands for an inquiry is always made with its owner.
        let is_inquiry = |write: &Write| write.body.kind() == EffectKind::EnsureInquiry;
        let done = |write: &Write| {
            let made = Written::whole(Some(write.key.as_str().into()), SlotOrigin::Created);
            match there(write) {
                Some(id) => Ok(Written::whole(Some(id), SlotOrigin::Found)),
                None if is_won(write) => Err(SendFailure::HumanWon { owner: Some("8".into()) }),
                None => Ok(Written {
                    owned: write.owner.is_some() && (takes_owners || is_inquiry(write)),
                    ..made
                }),
            }
        };
        writes.iter().map(done).collect()
    }

    async fn verify(&self, write: &Write, since: Timestamp) -> Result<Verdict, Fault> {
        self.since.lock().unwrap().push(since);
        let did = self.did.lock().unwrap().iter().any(|done| done.key == write.key);
        let id = || Some(write.key.as_str().into());
        Ok(if did { Verdict::Found(Written::whole(id(), SlotOrigin::Created)) } else { Verdict::Absent })
    }

    async fn ours_since(&self, _write: &Write, _since: Timestamp) -> Result<Vec<ExternalId>, Fault> {
        Ok(Vec::new())
    }

    async fn key_properties(&self, _create: bool) -> Result<Vec<KeyProperty>, Fault> {
        Ok(Vec::new())
    }

    fn history_batch(&self) -> usize {
        0
    }

    async fn owner_history(
        &self,
        _objects: &[(SlotKind, ExternalId)],
    ) -> Result<Vec<Vec<OwnerEntry>>, Fault> {
        Ok(Vec::new())
    }

    fn describe(&self, _writes: &[Write]) -> Result<Vec<Request>, Fault> {
        Ok(Vec::new())
    }
}

/// An engine with its clock, its CRM and its store.
pub(crate) struct World {
    pub(crate) engine: Arc<Engine>,
    pub(crate) clock: Arc<Still>,
    pub(crate) crm: Arc<Crm>,
    store: Arc<dyn Store>,
}

impl World {
    pub(crate) async fn new() -> Self {
        let store: Arc<dyn Store> = Arc::new(SqliteStore::in_memory().await.unwrap());
        Self::over(store, Arc::default(), Arc::default()).await
    }

    /// With a database in a file of that folder, for what somebody does to it.
    pub(crate) async fn in_file(folder: &Path) -> Self {
        let path = folder.join("usher.db");
        let store = SqliteStore::open(path.to_str().unwrap(), OpenOptions::daemon()).await.unwrap();
        Self::over(Arc::new(store), Arc::default(), Arc::default()).await
    }

    /// With leads or deals that carry owners.
    pub(crate) async fn carried_by(kind: SlotKind) -> Self {
        let crm = Arc::new(Crm { carrier: Mutex::new(Some(kind)), ..Crm::default() });
        let store: Arc<dyn Store> = Arc::new(SqliteStore::in_memory().await.unwrap());
        Self::over(store, Arc::default(), crm).await
    }

    /// The same as another process finds it.
    pub(crate) async fn restarted(self) -> Self {
        Self::over(self.store, self.clock, self.crm).await
    }

    async fn over(store: Arc<dyn Store>, clock: Arc<Still>, crm: Arc<Crm>) -> Self {
        Self::also(store, clock, crm, Vec::new()).await
    }

    /// With further objects that get the owner.
    pub(crate) async fn also_owned(carrier: SlotKind, crm: Crm, also: &[AlsoOwned]) -> Self {
        let crm = Arc::new(Crm { carrier: Mutex::new(Some(carrier)), ..crm });
        let store: Arc<dyn Store> = Arc::new(SqliteStore::in_memory().await.unwrap());
        Self::also(store, Arc::default(), crm, also.to_vec()).await
    }

    async fn also(
        store: Arc<dyn Store>,
        clock: Arc<Still>,
        crm: Arc<Crm>,
        also_set_owner: Vec<AlsoOwned>,
    ) -> Self {
        let referrals = Arc::new(referrals());
        let connected = Connected {
            name: ConnectionName::new("crm"),
            connector: "crm",
            roles: Connection {
                directory: Some(crm.clone()),
                target: Some(crm.clone()),
                activity: Some(crm.clone()),
                ..Connection::default()
            },
            mapping: Arc::new(of_crm()),
            every: Duration::from_secs(30),
            sweep_every: Duration::from_secs(600),
            watch_every: Some(Duration::from_secs(600)),
            timeout: Duration::from_secs(30),
            gauge: crm.clone(),
            started_at: clock.now(),
        };
        let engine = Engine::new(Setup {
            store: Arc::clone(&store),
            clock: clock.clone(),
            install: InstallKey::new([7; 32]),
            mode: Mode::Live,
            connections: vec![connected],
            crm: ConnectionName::new("crm"),
            write: WriteSettings {
                max_leads_per_hour: None,
                also_set_owner,
                create_company: *crm.lacks_companies.lock().unwrap(),
                ..WriteSettings::default()
            },
            policy: Arc::new(policy()),
            referrals,
        });
        let engine = Arc::new(engine.await.unwrap());
        engine.begin().await.unwrap();
        engine.refresh().await.unwrap();
        Self { engine, clock, crm, store }
    }

    /// Somebody of that name gets in touch.
    pub(crate) async fn inquire(&self, name: &str) {
        let lead = json!({ "full_name": name, "email": format!("{name}@{name}.example") });
        let payload = RawValue::from_string(lead.to_string()).unwrap();
        self.engine.add_lead(payload, None).await.unwrap().unwrap();
    }

    /// Such an object of the CRM's is read, about somebody of that name.
    pub(crate) async fn read(&self, object: &str, id: &str, name: &str) {
        self.read_as(object, id, &json!({ "full_name": name, "email": format!("{name}@{name}.example") }))
            .await;
    }

    /// The CRM tells that such an object of its is gone.
    pub(crate) async fn read_gone(&self, object: &str, id: &str) {
        self.read_as(object, id, &Value::Null).await;
    }

    /// Such an object of the CRM's is read, with that payload; null if it is gone.
    pub(crate) async fn read_as(&self, object: &str, id: &str, payload: &Value) {
        let now = self.clock.now();
        let record = Record {
            connection: ConnectionName::new("crm"),
            object: object.into(),
            external_id: id.into(),
            revision: now.to_string(),
            created_at: Some(now),
            modified_at: Some(now),
            imported: false,
            gone: payload.is_null(),
            payload: RawValue::from_string(payload.to_string()).unwrap(),
        };
        let id = RecordId::new(now);
        let record = NewRecord { id, record, lane: Lane::Live, received_at: now, problem: None };
        self.store.store_records(vec![record]).await.unwrap();
    }

    /// Prepares and decides whatever is there.
    pub(crate) async fn decide(&self) {
        while self.engine.prepare().await.unwrap() + self.engine.decide().await.unwrap() > 0 {}
    }

    /// Sends what is due.
    pub(crate) async fn deliver(&self) -> usize {
        self.engine.deliver(self.engine.crm()).await.unwrap().sent
    }

    /// Leads that are written.
    pub(crate) async fn written(&self) -> u64 {
        self.store.counts().await.unwrap().leads.get("closed:written").copied().unwrap_or_default()
    }

    /// Somebody deletes the only lead's contact, and the CRM tells.
    pub(crate) async fn lose_contact(&self) {
        let story = self.story().await;
        let contact = story.effects.iter().find(|effect| effect.kind == EffectKind::EnsurePerson);
        let contact = contact.and_then(|effect| effect.external_id.clone()).unwrap();
        let gone = Vanished {
            connection: self.engine.crm().clone(),
            object: ObjectType::new("contacts"),
            kind: Some(SlotKind::Person),
            ids: vec![contact],
        };
        self.store.vanish(gone, self.clock.now()).await.unwrap();
    }

    /// What a person's slot holds.
    pub(crate) async fn bound(&self, slot: &Slot) -> Option<ExternalId> {
        let ask = ViewAsk { persons: vec![slot.of.parse().unwrap()], ..ViewAsk::default() };
        let slots = self.store.decision_view(&ask).await.unwrap().slots;
        slots.into_iter().find(|(known, _)| known == slot).map(|(_, id)| id)
    }

    /// The only lead's story.
    pub(crate) async fn story(&self) -> LeadStory {
        let filter = LeadFilter { limit: 1, ..LeadFilter::default() };
        let lead = self.store.leads(&filter).await.unwrap()[0].lead.id;
        self.store.lead_story(lead).await.unwrap().unwrap()
    }
}

fn policy() -> Policy {
    Policy::load(&SourceFile::new("routing.yaml", ROUTING), &Diagnostics::default()).unwrap()
}

/// What the CRM's objects say.
fn of_crm() -> Mapping {
    let names = ["full_name", "owner", "crm_person"].map(|name| format!("  {name}: {{ from: {name} }}\n"));
    let text = format!(
        "version: 1\nenroll: {{ on: every_time }}\nlead:\n  email: {{ from: email, clean: email }}\n{}",
        names.concat()
    );
    Mapping::load(&SourceFile::new("crm.yaml", text), &Diagnostics::default()).unwrap()
}

fn referrals() -> Mapping {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../mappings/referrals.yaml");
    let text = std::fs::read_to_string(path).unwrap();
    Mapping::load(&SourceFile::new("referrals.yaml", text), &Diagnostics::default()).unwrap()
}

/// Lets the CRM's limit grow by one call every few milliseconds, as long as the future runs.
pub(crate) async fn within_limits<T>(crm: &Crm, work: impl Future<Output = T>) -> T {
    *crm.room.lock().unwrap() = Some(0);
    let every = Duration::from_millis(5);
    let mut tick = tokio::time::interval_at(tokio::time::Instant::now() + every, every);
    tokio::pin!(work);
    loop {
        tokio::select! {
            done = &mut work => return done,
            _ = tick.tick() => *crm.room.lock().unwrap() = Some(1),
        }
    }
}

/// Waits until it holds.
pub(crate) async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let patience = tokio::time::timeout(Duration::from_secs(60), async {
        while !holds().await {
            tokio::task::yield_now().await;
        }
    });
    patience.await.unwrap_or_else(|_| panic!("gave up waiting until {what}"));
}
