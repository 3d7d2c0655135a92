//! A vendor that keeps contacts with times, forgets, shows late, deletes and merges.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use http::{HeaderMap, Method};
use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use serde_json::value::to_raw_value;
use usher_connector::{
    Batch, Check, Connection, Cursor, Fault, FaultClass, Fetched, Inbound, Item, Merge, Parts, Pull, Refusal,
    Source, SplitError, StreamSpec, Subscribed, Subscriber, Subscription,
};
use usher_document::{Diagnostics, SourceFile};
use usher_mapping::Mapping;
use usher_model::{Clock, ConnectionName, ExternalId, InstallKey, Lane, Mode, ObjectType, Record};
use usher_routing::Policy;
use usher_store::{SqliteStore, Store};

use crate::settings::WriteSettings;
use crate::{Connected, Engine, Setup};

const HOUR: SignedDuration = SignedDuration::from_hours(1);
const ROUTING: &str = "version: 1\nreps:\n  ana: { email: ana@agency.example }\npools:\n  all: { members: [ana], strategy: round_robin, if_nobody: { wait: 30m, then: { rep: ana } } }\nrules:\n  - { name: All, when: 'true', assign: { pool: all } }\nfallback: { rep: ana }\n";
const MAPPING: &str = "version: 1\nenroll: { on: created }\nlead:\n  email: { from: email, clean: email, required: true }\n  full_name: { from: name }\n";

/// The beginning of every test, within a second.
pub(super) fn start() -> Timestamp {
    "2026-11-22T10:00:00.4Z".parse().unwrap()
}

/// What is wrong at the vendor.
#[derive(Debug, Default)]
pub(super) struct Vendor {
    rows: Mutex<BTreeMap<u64, Row>>,
    pub(super) fault: Mutex<Option<FaultClass>>,
    pub(super) subscriptions: Mutex<Vec<Subscription>>,
    pub(super) horizon: Mutex<Option<SignedDuration>>,
    pub(super) pulls: Mutex<Vec<Lane>>,
}

#[derive(Debug, Clone)]
struct Row {
    at: Timestamp,
    hidden: bool,
    into: Option<u64>,
    gone: bool,
}

impl Vendor {
    /// A contact that came to be at that time; hidden from lists if `hidden`.
    pub(super) fn add(&self, id: u64, at: Timestamp, hidden: bool) {
        self.rows.lock().unwrap().insert(id, Row { at, hidden, into: None, gone: false });
    }

    pub(super) fn show_all(&self) {
        self.rows.lock().unwrap().values_mut().for_each(|row| row.hidden = false);
    }

    /// Deletes a contact without a trace.
    pub(super) fn delete(&self, id: u64) {
        self.rows.lock().unwrap().get_mut(&id).unwrap().gone = true;
    }

    /// Two contacts become a new one.
    pub(super) fn merge(&self, losers: [u64; 2], winner: u64, at: Timestamp) {
        self.add(winner, at, false);
        for id in losers {
            self.rows.lock().unwrap().get_mut(&id).unwrap().into = Some(winner);
        }
    }

    fn record(id: u64, row: &Row) -> Record {
        let payload = json!({ "email": format!("p{id}@acme.example"), "name": format!("Person {id}") });
        Record {
            connection: name(),
            object: object(),
            external_id: ExternalId::new(id.to_string()),
            revision: row.at.as_millisecond().to_string(),
            created_at: Some(row.at),
            modified_at: Some(row.at),
            imported: false,
            gone: false,
            payload: to_raw_value(&payload).unwrap(),
        }
    }
}

#[async_trait]
impl Source for Vendor {
    fn streams(&self) -> Vec<StreamSpec> {
        const LANES: &[Lane] = &[Lane::Live, Lane::Sweep, Lane::Backfill];
        vec![StreamSpec { object: object(), lanes: LANES, horizon: *self.horizon.lock().unwrap() }]
    }

    async fn pull(&self, ask: &Pull) -> Result<Batch, Fault> {
        self.pulls.lock().unwrap().push(ask.lane);
        if let Some(class) = *self.fault.lock().unwrap() {
            return Err(Fault::new(class, "the token lacks a scope: contacts.read").advise("add it"));
        }
        let read =
            |cursor: &Cursor| cursor.state.as_i64().and_then(|ms| Timestamp::from_millisecond(ms).ok());
        let from = ask.cursor.as_ref().and_then(read).unwrap_or(ask.start);
        let forgets = self.horizon.lock().unwrap().map(|horizon| ask.now - horizon);
        let (from, to) = match ask.lane {
            Lane::Live => (forgets.map_or(from, |edge| edge.max(from)), ask.now),
            Lane::Sweep => (forgets.map_or(from, |edge| edge.max(from)), ask.now - HOUR),
            Lane::Backfill => (Timestamp::MIN, ask.now),
        };
        let rows = self.rows.lock().unwrap();
        let shown =
            |row: &Row| !row.hidden && !row.gone && row.into.is_none() && (from..=to).contains(&row.at);
        let merged = rows.iter().filter_map(|(id, row)| {
            let winner = ExternalId::new(row.into?.to_string());
            Some(Merge { loser: ExternalId::new(id.to_string()), winner })
        });
        Ok(Batch {
            records: rows
                .iter()
                .filter(|(_, row)| shown(row))
                .map(|(id, row)| Self::record(*id, row))
                .collect(),
            problems: Vec::new(),
            merged: merged.collect(),
            next: Cursor { version: 1, state: json!(to.max(from).as_millisecond()) },
            done: true,
        })
    }

    async fn fetch(&self, _: &ObjectType, ids: &[ExternalId]) -> Result<Vec<(ExternalId, Fetched)>, Fault> {
        let rows = self.rows.lock().unwrap();
        let one = |id: &ExternalId| {
            let number: u64 = id.as_str().parse().unwrap();
            match rows.get(&number) {
                Some(Row { into: Some(winner), .. }) => Fetched::Merged(Self::record(*winner, &rows[winner])),
                Some(row) if !row.gone => Fetched::Found(Self::record(number, row)),
                _ => Fetched::Gone,
            }
        };
        Ok(ids.iter().map(|id| (id.clone(), one(id))).collect())
    }

    fn fetch_limit(&self) -> usize {
        2
    }
}

impl Inbound for Vendor {
    fn check(&self, parts: &Parts, _: &[u8], _: Timestamp) -> Check {
        match parts.header("signature") {
            Some(_) => Check::Store,
            None => Check::Refuse(Refusal { status: 401, reason: "the signature is missing".to_owned() }),
        }
    }

    fn event(&self, parts: &Parts) -> Option<String> {
        parts.header("signature").map(str::to_owned)
    }

    fn split(&self, body: &[u8], _: Timestamp) -> Vec<Result<Item, SplitError>> {
        let id = ExternalId::new(std::str::from_utf8(body).unwrap());
        vec![Ok(Item::Hint { object: object(), id })]
    }
}

#[async_trait]
impl Subscriber for Vendor {
    async fn ensure(&self, wanted: &Subscription) -> Result<Subscribed, Fault> {
        if let Some(class) = *self.fault.lock().unwrap() {
            return Err(Fault::new(class, "the token may not keep webhooks"));
        }
        self.subscriptions.lock().unwrap().push(wanted.clone());
        Ok(Subscribed::default())
    }
}

/// A call that is genuine if it has a signature.
pub(super) fn call(signature: Option<&str>) -> Parts {
    let mut headers = HeaderMap::new();
    if let Some(signature) = signature {
        headers.insert("signature", signature.parse().unwrap());
    }
    Parts {
        method: Method::POST,
        url: "https://usher.example/hooks/crm".to_owned(),
        query: Vec::new(),
        headers,
    }
}

/// A clock that the test moves.
#[derive(Debug)]
pub(super) struct Hands(Mutex<Timestamp>);

impl Clock for Hands {
    fn now(&self) -> Timestamp {
        *self.0.lock().unwrap()
    }
}

pub(super) fn name() -> ConnectionName {
    "crm".into()
}

pub(super) fn object() -> ObjectType {
    "contacts".into()
}

/// An engine with one connection to the vendor, which is the CRM.
pub(super) struct World {
    pub(super) engine: Engine,
    pub(super) vendor: Arc<Vendor>,
    pub(super) store: Arc<dyn Store>,
    clock: Arc<Hands>,
}

impl World {
    pub(super) async fn new() -> Self {
        let (vendor, clock) = (Arc::new(Vendor::default()), Arc::new(Hands(Mutex::new(start()))));
        let store: Arc<dyn Store> = Arc::new(SqliteStore::in_memory().await.unwrap());
        store.connect(&name(), start()).await.unwrap();
        let engine = engine(&vendor, &store, &clock).await;
        Self { engine, vendor, store, clock }
    }

    /// The process starts anew on the same store.
    pub(super) async fn restart(&mut self) {
        self.engine = engine(&self.vendor, &self.store, &self.clock).await;
    }

    pub(super) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub(super) fn wait(&self, time: SignedDuration) {
        *self.clock.0.lock().unwrap() += time;
    }

    /// One poll, and everything that follows from it.
    pub(super) async fn poll(&self) {
        self.engine.pull(&name(), &object(), Lane::Live, 10).await.unwrap();
        self.settle().await;
    }

    pub(super) async fn settle(&self) {
        loop {
            let mut work = self.engine.split().await.unwrap();
            work += self.engine.fetch(&name()).await.unwrap();
            work += self.engine.prepare().await.unwrap();
            if work + self.engine.decide().await.unwrap() == 0 {
                return;
            }
        }
    }

    /// How many records stand in that state.
    pub(super) async fn records(&self, state: &str) -> u64 {
        self.store.counts().await.unwrap().records.get(state).copied().unwrap_or_default()
    }

    /// How many leads stand in that state.
    pub(super) async fn leads(&self, state: &str) -> u64 {
        self.store.counts().await.unwrap().leads.get(state).copied().unwrap_or_default()
    }
}

async fn engine(vendor: &Arc<Vendor>, store: &Arc<dyn Store>, clock: &Arc<Hands>) -> Engine {
    let diagnostics = Diagnostics::default();
    let mapping = Mapping::load(&SourceFile::new("mapping.yaml", MAPPING), &diagnostics);
    let policy = Policy::load(&SourceFile::new("routing.yaml", ROUTING), &diagnostics);
    let (Some(mapping), Some(policy)) = (mapping, policy) else { panic!("{:?}", diagnostics.into_sorted()) };
    let mapping = Arc::new(mapping);
    let roles = Connection {
        source: Some(Arc::clone(vendor) as Arc<_>),
        inbound: Some(Arc::clone(vendor) as Arc<_>),
        subscriber: Some(Arc::clone(vendor) as Arc<_>),
        ..Connection::default()
    };
    let connected = Connected {
        name: name(),
        connector: "vendor",
        roles,
        mapping: Arc::clone(&mapping),
        every: std::time::Duration::from_secs(30),
        sweep_every: std::time::Duration::from_secs(600),
        watch_every: None,
        timeout: std::time::Duration::from_secs(30),
        gauge: Arc::new(usher_host::NoHttp),
        started_at: start(),
    };
    let setup = Setup {
        store: Arc::clone(store),
        clock: Arc::clone(clock) as Arc<_>,
        install: InstallKey::new([7; 32]),
        mode: Mode::Live,
        connections: vec![connected],
        crm: name(),
        write: WriteSettings::default(),
        policy: Arc::new(policy),
        referrals: mapping,
    };
    Engine::new(setup).await.unwrap()
}
