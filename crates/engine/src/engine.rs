//! The engine: what every step needs, in one place.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, RwLock};

use jiff::Timestamp;
use usher_mapping::Mapping;
use usher_model::{Clock, ConnectionName, CrmOwner, InstallKey, Mode, ObjectType, SlotKind};
use usher_routing::{Policy, Roster};
use usher_store::Store;

use crate::breaker::Breakers;
use crate::connected::Connected;
use crate::error::EngineError;
use crate::health::Signs;
use crate::node::Node;
use crate::settings::{REFERRALS, WriteSettings};
use crate::slices::Slices;
use crate::standing::Memory;
use crate::step::decide::SLICE;
use crate::wake::Wake;

/// What an engine is made from.
#[derive(Debug)]
pub struct Setup {
    /// The storage.
    pub store: Arc<dyn Store>,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// The installation's key.
    pub install: InstallKey,
    /// Whether decisions reach the CRM.
    pub mode: Mode,
    /// The connected accounts.
    pub connections: Vec<Connected>,
    /// The CRM of record.
    pub crm: ConnectionName,
    /// How and what to write.
    pub write: WriteSettings,
    /// The routing policy.
    pub policy: Arc<Policy>,
    /// How leads that are entered by hand or by API are mapped.
    pub referrals: Arc<Mapping>,
}

/// What every step needs.
#[derive(Debug)]
pub struct Engine {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) install: InstallKey,
    pub(crate) mode: Mode,
    pub(crate) connections: BTreeMap<ConnectionName, Connected>,
    pub(crate) crm: ConnectionName,
    pub(crate) write: WriteSettings,
    pub(crate) policy: Arc<Policy>,
    pub(crate) referrals: Arc<Mapping>,
    roster: RwLock<Arc<Roster>>,
    pub(crate) node: Node,
    wake: Wake,
    pub(crate) memory: Memory,
    signs: Signs,
    stopping: AtomicBool,
    /// How many leads the next fold takes: fewer after one that could not be stored.
    pub(crate) slice: AtomicU32,
    pub(crate) breakers: Breakers,
    /// The slices of records being prepared.
    pub(crate) preparing: Slices,
    /// The CRM is well again, and there may be records that were put off until later.
    pub(crate) hastening: AtomicBool,
}

impl Engine {
    /// Builds the engine from what the store knows: owners as last read, nothing fetched yet.
    ///
    /// # Errors
    /// If the storage can not be read.
    pub async fn new(setup: Setup) -> Result<Self, EngineError> {
        let (owners, _) = setup.store.owners(&setup.crm).await?;
        let roster = Roster::new(&setup.policy, &owners);
        let (signs, resting) = (Signs::default(), setup.store.resting().await?);
        resting.iter().for_each(|endpoint| signs.rests(endpoint));
        Ok(Self {
            store: setup.store,
            clock: setup.clock,
            install: setup.install,
            mode: setup.mode,
            connections: setup.connections.into_iter().map(|each| (each.name.clone(), each)).collect(),
            crm: setup.crm,
            write: setup.write,
            policy: setup.policy,
            referrals: setup.referrals,
            roster: RwLock::new(Arc::new(roster)),
            node: Node::default(),
            wake: Wake::default(),
            memory: Memory::default(),
            signs,
            stopping: AtomicBool::new(false),
            slice: AtomicU32::new(SLICE),
            breakers: Breakers::resume(resting),
            preparing: Slices::default(),
            hastening: AtomicBool::new(false),
        })
    }

    /// To be called once, before any step: enters the mode, and takes over what a process that died had claimed and what
    /// it had spent of the vendors' limits. On a shared storage this node lives from here on, and leads if no other does.
    /// Returns how many leads going live has closed, because they were only observed.
    ///
    /// # Errors
    /// If the storage fails.
    pub async fn begin(&self) -> Result<u64, EngineError> {
        let now = self.now();
        self.store.take_over(now).await?;
        self.beat().await?;
        self.resume_quotas().await?;
        Ok(self.store.enter_mode(self.mode, now).await?)
    }

    /// Asks long steps to end at their next safe point.
    pub fn wind_down(&self) {
        self.stopping.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }

    /// The wake-ups between the steps.
    #[must_use]
    pub fn wake(&self) -> &Wake {
        &self.wake
    }

    /// What the steps note for the watchdog, and what it found.
    #[must_use]
    pub fn signs(&self) -> &Signs {
        &self.signs
    }

    /// The storage.
    #[must_use]
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// The mode.
    #[must_use]
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// The CRM of record.
    #[must_use]
    pub fn crm(&self) -> &ConnectionName {
        &self.crm
    }

    /// The connected accounts.
    pub fn connections(&self) -> impl Iterator<Item = &Connected> {
        self.connections.values()
    }

    /// The connected account of that name.
    ///
    /// # Errors
    /// If there is none; the message lists those that exist.
    pub fn connection(&self, name: &ConnectionName) -> Result<&Connected, EngineError> {
        self.connections.get(name).ok_or_else(|| {
            let known: Vec<&str> = self.connections.keys().map(ConnectionName::as_str).collect();
            let problem = format!("no connection has this name; usher.yaml has {}", known.join(", "));
            EngineError::Unsuitable { connection: name.clone(), problem }
        })
    }

    /// The present instant.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// What carries owner and task of an inquiry at the CRM.
    pub(crate) fn carrier(&self) -> SlotKind {
        let target = self.connections.get(&self.crm).and_then(|connected| connected.roles.target.as_ref());
        target.map_or(SlotKind::Person, |target| target.carrier())
    }

    /// The CRM's objects that carry owner and task, by its name for them.
    #[must_use]
    pub fn carriers(&self) -> ObjectType {
        let target = self.connections.get(&self.crm).and_then(|connected| connected.roles.target.as_ref());
        let object = target.and_then(|target| target.object_of(target.carrier()));
        object.unwrap_or_else(|| ObjectType::new("nothing"))
    }

    /// What an object of that connection is to us, if the connection is the CRM: a person, unless the CRM has it as a lead
    /// or deal.
    pub(crate) fn kind_at_crm(&self, connection: &ConnectionName, object: &ObjectType) -> Option<SlotKind> {
        let target = || self.connections.get(connection)?.roles.target.as_ref();
        let names =
            |kind: &SlotKind| target().and_then(|target| target.object_of(*kind)).as_ref() == Some(object);
        let inquiry = || [SlotKind::Lead, SlotKind::Deal].into_iter().find(names);
        (*connection == self.crm).then(|| inquiry().unwrap_or(SlotKind::Person))
    }

    pub(crate) fn mapping_of(&self, connection: &ConnectionName) -> Option<&Arc<Mapping>> {
        if connection.as_str() == REFERRALS {
            return Some(&self.referrals);
        }
        self.connections.get(connection).map(|each| &each.mapping)
    }

    pub(crate) fn roster(&self) -> Arc<Roster> {
        match self.roster.read() {
            Ok(roster) => Arc::clone(&roster),
            // A writer that panicked left the old value in place: it is still good.
            Err(poisoned) => Arc::clone(&poisoned.into_inner()),
        }
    }

    pub(crate) fn replace_owners(&self, owners: &[CrmOwner]) {
        let roster = Arc::new(Roster::new(&self.policy, owners));
        match self.roster.write() {
            Ok(mut slot) => *slot = roster,
            Err(poisoned) => *poisoned.into_inner() = roster,
        }
    }

    /// What is wrong with the roster as the CRM shows it, in sentences.
    #[must_use]
    pub fn roster_problems(&self) -> Vec<String> {
        self.roster().problems().to_vec()
    }
}
