//! The connector on the real host against the simulator: its limits, its money, its races. Apart from the conformance
//! suite, which captures the log of its whole process.
#![allow(clippy::unwrap_used)]

mod inquiries;
mod intake;
mod limits;
mod pulls;
mod scopes;
mod writes;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde_json::{Map, Value, json};
use usher_connector::{
    Auth, Configured, Connection, Connector as _, Host, OwnerRead, Pull, Secret, Target, Write, Written,
};
use usher_document::{Cursor, Diagnostics, SourceFile, parse};
use usher_host::{
    Allowance, BaseUrl, Credential, HttpSettings, LimiterSettings, LocalFiles, Share, VendorHttp, VendorSpec,
};
use usher_model::{
    EffectBody, EffectKey, ExternalId, IdentityKey, IdentityKind, Lane, ObjectRef, OwnerChange, Slot,
    SlotKind, SystemClock,
};
use usher_pipedrive::Pipedrive;
use usher_sandbox::{
    Actor, Faults, Options, PipedriveLimits, PipedriveSim, PipedriveToken, PipedriveUser, Sandbox, Span,
};

const SETTINGS: &str = "connector: pipedrive\n\
                        inbound: { secret: { env: HOOK } }\n\
                        persons: { marker: Usher key, fields: { message: First message, source: Lead source } }\n";

/// A connection to a simulated account.
struct Door {
    sandbox: Sandbox,
    http: Arc<VendorHttp>,
    connection: Connection,
}

impl Door {
    async fn open(limits: Option<PipedriveLimits>) -> Self {
        Self::with(SETTINGS, limits).await
    }

    async fn with(settings: &'static str, limits: Option<PipedriveLimits>) -> Self {
        // What is searched for shows at once unless a test says otherwise.
        let faults = Faults { search_lag_ms: Span(0, 0), ..Faults::default() };
        let options = Options { pipedrive_limits: limits, faults, ..Options::default() };
        let sandbox = Sandbox::start(options).await.unwrap();
        let sim = sandbox.pipedrive();
        for (id, active) in [(11, true), (12, true), (13, false)] {
            sim.put_user(PipedriveUser {
                id,
                name: format!("Rep {id}"),
                email: format!("Rep{id}@agency.example"),
                active,
                deleted: false,
                timezone: "Europe/Berlin".to_owned(),
                role_id: 1,
                admin: false,
            });
        }
        for field in [
            json!({ "name": "Usher key", "type": "varchar" }),
            json!({ "name": "First message", "type": "text" }),
            json!({ "name": "Lead source", "type": "enum", "options": ["Web form", "Fair"] }),
        ] {
            sim.seed(&json!({ "field_of": "persons", "field": field }).to_string()).unwrap();
        }
        sim.seed(
            &json!({ "field_of": "deals", "field": { "name": "Usher key", "type": "varchar" } }).to_string(),
        )
        .unwrap();
        let (http, connection) = connect_with(&sandbox, settings);
        Self { sandbox, http, connection }
    }

    fn sim(&self) -> PipedriveSim {
        self.sandbox.pipedrive()
    }

    fn set(&self, change: impl FnOnce(&mut Faults)) {
        let mut faults = self.sandbox.faults();
        change(&mut faults);
        self.sandbox.set_faults(faults);
    }

    fn target(&self) -> &dyn Target {
        &**self.connection.target.as_ref().unwrap()
    }

    fn now(&self) -> Timestamp {
        Timestamp::from_millisecond(self.sandbox.now()).unwrap()
    }

    fn person(&self, fields: &Value) -> u64 {
        self.make("persons", fields)
    }

    fn pull(&self, lane: Lane, cursor: Option<usher_connector::Cursor>, start: Timestamp) -> Pull {
        self.pull_of("persons", lane, cursor, start)
    }

    fn pull_of(
        &self,
        object: &str,
        lane: Lane,
        cursor: Option<usher_connector::Cursor>,
        start: Timestamp,
    ) -> Pull {
        Pull { object: object.into(), lane, cursor, now: self.now(), start }
    }

    /// As a human makes it.
    fn make(&self, object: &str, fields: &Value) -> u64 {
        self.sim().create(object, fields.as_object().unwrap(), &Map::new(), Actor::Human).unwrap()
    }

    async fn send(&self, write: &Write) -> Result<Written, usher_connector::SendFailure> {
        self.target().send(std::slice::from_ref(write)).await.pop().unwrap()
    }

    /// How often the limiter's count of a limit stands at.
    fn used(&self, limit: &str) -> Option<u32> {
        self.http.limits().into_iter().find(|status| status.name == limit).unwrap().used
    }
}

fn connect(sandbox: &Sandbox) -> (Arc<VendorHttp>, Connection) {
    connect_with(sandbox, SETTINGS)
}

fn connect_with(sandbox: &Sandbox, settings: &'static str) -> (Arc<VendorHttp>, Connection) {
    connect_as(sandbox, settings, "hook password", api_token())
}

fn api_token() -> Credential {
    Credential::new(Pipedrive.manifest().auth, Some(&Secret::new("pipedrive-sandbox"))).unwrap()
}

fn configure(settings: &'static str) -> Arc<dyn Configured> {
    let file = SourceFile::new("usher.yaml", settings);
    let (node, log) = (parse(&file).unwrap(), Diagnostics::default());
    let mut map = Cursor::root(&file, &node, &log).map().unwrap();
    let _ = map.optional_at("connector");
    Pipedrive.configure(&mut map).unwrap()
}

fn connect_as(
    sandbox: &Sandbox,
    settings: &'static str,
    password: &str,
    credential: Credential,
) -> (Arc<VendorHttp>, Connection) {
    let configured = configure(settings);
    let spec = VendorSpec {
        connection: "pipedrive-main".into(),
        base_url: BaseUrl::parse(&sandbox.pipedrive_url, false).unwrap(),
        credential,
        protocol: configured.protocol().unwrap(),
    };
    let settings = HttpSettings {
        retries: 0,
        limits: LimiterSettings::all(Allowance::Share(Share::ALL)),
        ..HttpSettings::default()
    };
    let http = Arc::new(VendorHttp::new(spec, settings, Arc::new(SystemClock)).unwrap());
    let connection = configured.connect(Host {
        connection: "pipedrive-main".into(),
        http: http.clone(),
        files: Arc::new(LocalFiles::new(std::env::temp_dir())),
        secrets: BTreeMap::from([("inbound.secret", Secret::new(password))]),
    });
    (http, connection)
}

fn emails(email: &str) -> Value {
    json!([{ "value": email, "primary": true, "label": "work" }])
}

fn write(key: &str, body: EffectBody) -> Write {
    let until = Instant::now() + Duration::from_secs(60);
    Write { key: EffectKey::new(key), body, owner_read: OwnerRead { fresh: false, until }, owner: None }
}

fn slot(kind: SlotKind) -> Slot {
    Slot { connection: "pipedrive-main".into(), kind, of: "test".to_owned() }
}

fn ensure(key: &str, fields: &Value) -> Write {
    let email = fields["email"].as_str();
    let keys = email.map(|email| IdentityKey { kind: IdentityKind::Email, value: email.to_lowercase() });
    let fields = serde_json::from_value(fields.clone()).unwrap();
    write(
        key,
        EffectBody::EnsurePerson { slot: slot(SlotKind::Person), keys: keys.into_iter().collect(), fields },
    )
}

fn known(kind: SlotKind, id: u64) -> ObjectRef {
    ObjectRef::Id { kind, id: ExternalId::new(id.to_string()) }
}

fn give(person: u64, expected: Option<u64>, to: Option<u64>) -> Write {
    give_it(known(SlotKind::Person, person), expected, to)
}

fn give_it(target: ObjectRef, expected: Option<u64>, to: Option<u64>) -> Write {
    let id = |owner: Option<u64>| owner.map(|owner| ExternalId::new(owner.to_string()));
    let owner = OwnerChange { expected: id(expected), to: id(to), ..OwnerChange::default() };
    let body = EffectBody::UpdateObject {
        target,
        owner: Some(owner),
        fields: BTreeMap::new(),
        slot: None,
        after: None,
    };
    write("owner", body)
}

fn task(key: &str, about: ObjectRef, now: Timestamp) -> Write {
    let body = EffectBody::CreateTask {
        slot: slot(SlotKind::Task),
        subject: "Call".to_owned(),
        body: "SEO <b>now</b>\nplease".to_owned(),
        due: now,
        owner: "11".into(),
        about: vec![about],
        after: None,
    };
    write(key, body)
}
