//! The Pipedrive simulator as a rig: source, inbound and directory; the counter's side of writes is beside it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value, json};
use usher_connector::Connector;
use usher_model::{ExternalId, ObjectType};
use usher_sandbox::{Actor, Faults, Options, PipedriveSim, PipedriveUser, Sandbox, Span, lead_uuid};

use super::catcher::Catcher;
use super::hub::start;
use super::{instant, number};
use crate::conformance::{
    ActivityWorld, CANARY, Call, DirectoryWorld, InboundWorld, Rig, Said, SourceWorld, TargetWorld, When,
    World,
};

const TOKEN: &str = "canary-api-token";
const PASSWORD: &str = "canary-hook-password";
/// Key of a custom field of deals and leads.
const BUDGET: &str = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";
/// Rows of a page.
pub(super) const PAGE: usize = 500;
/// The token's own user, users who are there, and one who left.
pub(super) const ME: u64 = 1;
pub(super) const USERS: [u64; 2] = [11, 12];
pub(super) const LEFT: u64 = 13;
/// Where deals begin, which is not where the vendor lets them begin by itself.
pub(super) const STAGE: u64 = 2;

/// A connector for the Pipedrive simulator.
pub async fn pipedrive(connector: impl Connector + 'static) -> Rig {
    pipedrive_of(connector, "persons").await
}

async fn pipedrive_of(connector: impl Connector + 'static, carrier: &'static str) -> Rig {
    let options = Options {
        pipedrive_token: TOKEN.to_owned(),
        pipedrive_limits: None,
        faults: calm(),
        ..Options::default()
    };
    let world = Arc::new(Drive::new(start(options).await, carrier));
    Rig {
        connector: Box::new(connector),
        settings: "connector: pipedrive\n\
                   auth: { token: { env: TOKEN } }\n\
                   pull: { objects: [persons], every: 30s, start: now }\n\
                   inbound: { secret: { env: HOOK_SECRET } }\n",
        wrong: &[
            ("tasks: { type: To do }", "To do"),
            ("inbound: { secret: hunter2 }", "a secret must not stand"),
            ("persons: { marker: 0123456789012345678901234567890123456789 }", "named as people see it"),
            ("pull: { objects: [leads], start: then, overlap: 2d, depth: 3 }", "leads"),
            ("connexion: x", "connexion"),
            ("# and in `pull`:", "then"),
            ("# and in `pull`:", "overlap"),
            ("# and in `pull`:", "depth"),
        ],
        secrets: vec![("HOOK_SECRET", PASSWORD.to_owned())],
        vendor: Some((world.sandbox.pipedrive_url.clone(), TOKEN.to_owned())),
        folder: std::env::temp_dir(),
        world,
    }
}

/// The same, with keys in a custom field of persons.
pub async fn pipedrive_marked(connector: impl Connector + 'static) -> Rig {
    let mut rig = pipedrive(connector).await;
    rig.settings = "connector: pipedrive\n\
                    auth: { token: { env: TOKEN } }\n\
                    persons: { marker: Usher key }\n\
                    inbound: { secret: { env: HOOK_SECRET } }\n";
    rig.wrong =
        &[("persons: { marker: \"\", mark: x }", "named as people see it"), ("connexion: x", "connexion")];
    rig
}

/// The same, where each inquiry becomes a lead, which is also what is pulled.
pub async fn pipedrive_leads(connector: impl Connector + 'static) -> Rig {
    let mut rig = pipedrive_of(connector, "leads").await;
    rig.settings = "connector: pipedrive\n\
                    auth: { token: { env: TOKEN } }\n\
                    object: leads\n\
                    inbound: { secret: { env: HOOK_SECRET } }\n";
    rig.wrong =
        &[("object: leads\ndeals: { stage: 2 }", "`object` is another"), ("connexion: x", "connexion")];
    rig
}

/// The same with deals, which bear keys in a custom field.
pub async fn pipedrive_deals(connector: impl Connector + 'static) -> Rig {
    let mut rig = pipedrive_of(connector, "deals").await;
    rig.settings = "connector: pipedrive\n\
                    auth: { token: { env: TOKEN } }\n\
                    object: deals\n\
                    deals: { pipeline: 1, stage: 2, marker: Usher key }\n\
                    inbound: { secret: { env: HOOK_SECRET } }\n";
    rig.wrong =
        &[("object: deals\ndeals: { stage: Lead in }", "by their numbers"), ("connexion: x", "connexion")];
    rig
}

/// No bad days, but an index that shows nothing while a check runs: what it lacks must be found otherwise.
fn calm() -> Faults {
    Faults { search_lag_ms: Span(3_600_000, 3_600_000), ..Faults::default() }
}

/// The account from behind the counter.
pub(super) struct Drive {
    sandbox: Sandbox,
    pub(super) sim: PipedriveSim,
    /// The objects that carry owners and are pulled.
    carrier: &'static str,
    number: AtomicU64,
}

impl Drive {
    fn new(sandbox: Sandbox, carrier: &'static str) -> Self {
        let sim = sandbox.pipedrive();
        for id in USERS.into_iter().chain([LEFT]) {
            sim.put_user(PipedriveUser {
                id,
                name: format!("Rep {id}"),
                email: format!("Rep{id}@agency.example"),
                active: id != LEFT,
                deleted: false,
                timezone: "Europe/Berlin".to_owned(),
                role_id: 1,
                admin: false,
            });
        }
        for (of, name, key) in
            [("persons", "Usher key", ""), ("deals", "Usher key", ""), ("deals", "Budget", BUDGET)]
        {
            let field = json!({ "field_of": of, "field": { "name": name, "type": "varchar", "key": key } });
            let _ = sim.seed(&field.to_string());
        }
        Self { sandbox, sim, carrier, number: AtomicU64::new(1) }
    }

    /// A number that no object of this account has had.
    pub(super) fn number(&self) -> u64 {
        self.number.fetch_add(1, Ordering::Relaxed)
    }

    pub(super) fn set(&self, change: impl FnOnce(&mut Faults)) {
        let mut faults = self.sandbox.faults();
        change(&mut faults);
        self.sandbox.set_faults(faults);
    }

    /// Creates a record as a person does in the vendor's pages.
    pub(super) fn create(&self, object: &str, fields: &Value) -> ExternalId {
        let empty = Map::new();
        let made = self.sim.create(object, fields.as_object().unwrap_or(&empty), &empty, Actor::Human);
        id_of(object, made.unwrap_or_default())
    }

    /// Somebody whom no record of the account has had.
    pub(super) fn somebody(&self) -> Value {
        let email = format!("{CANARY}.{}@acme.example", self.number());
        json!({"name": format!("Ana {CANARY}son"), "emails": [{"value": email, "primary": true, "label": "work"}]})
    }

    /// A line that makes a record at its time.
    pub(super) fn line(object: &str, index: usize, when: When, fields: &Value) -> Value {
        let at = match when {
            When::At(at) => at,
            When::From(from) => {
                let second = SignedDuration::from_secs(i64::try_from(index).unwrap_or_default());
                from.checked_add(second).unwrap_or(from)
            }
        };
        let at = at.to_string();
        json!({"object": object, "add_time": at, "update_time": at, "fields": fields})
    }

    pub(super) fn seed(&self, lines: impl Iterator<Item = Value>) -> Vec<u64> {
        let lines: String = lines.map(|line| format!("{line}\n")).collect();
        self.sim.seed(&lines).unwrap_or_default()
    }
}

/// What the vendor calls a record that the simulator knows by a number.
fn id_of(object: &str, number: u64) -> ExternalId {
    ExternalId::new(if object == "leads" { lead_uuid(number) } else { number.to_string() })
}

/// A lead or deal about a person.
pub(super) fn inquiry(person: u64) -> Value {
    json!({"title": format!("Ana {CANARY}son"), "person_id": person})
}

impl World for Drive {
    fn now(&self) -> Timestamp {
        instant(self.sandbox.now())
    }

    fn advance(&self, by: Duration) {
        self.sandbox.advance(by);
    }

    fn calm(&self) {
        self.sandbox.set_faults(calm());
    }

    fn forbid(&self, scope: &str) -> Option<Said> {
        // The custom fields of leads are the deals', and their names are read once a lead has one.
        let only = (scope == "deals:read" && self.carrier == "leads").then_some("dealFields");
        if only.is_some() {
            let person = self.create("persons", &self.somebody());
            let lead = inquiry(number(&person));
            let custom = Map::from_iter([(BUDGET.to_owned(), json!("1000"))]);
            let fields = lead.as_object().cloned().unwrap_or_default();
            let _ = self.sim.create(self.carrier, &fields, &custom, Actor::Human);
        }
        // As public integrations report it; the vendor does not say which scope it wants.
        let body = r#"{"success":false,"error":"Scope and URL mismatch","errorCode":403}"#;
        Some(Said { status: 403, body: body.to_owned(), only })
    }

    fn source(&self) -> Option<&dyn SourceWorld> {
        Some(self)
    }

    fn inbound(&self) -> Option<&dyn InboundWorld> {
        Some(self)
    }

    fn directory(&self) -> Option<&dyn DirectoryWorld> {
        Some(self)
    }

    fn target(&self) -> Option<&dyn TargetWorld> {
        Some(self)
    }

    fn activity(&self) -> Option<&dyn ActivityWorld> {
        Some(self)
    }
}

impl SourceWorld for Drive {
    fn page(&self) -> usize {
        PAGE
    }

    fn add(&self, object: &ObjectType, count: usize, when: When) -> Vec<ExternalId> {
        let line = |object: &str, index: usize, fields: Value| Self::line(object, index, when, &fields);
        let persons = (0..count).map(|index| line("persons", index, self.somebody()));
        let mut ids = self.seed(persons);
        if object.as_str() != "persons" {
            let about = ids.into_iter().enumerate();
            ids = self.seed(about.map(|(index, person)| line(object.as_str(), index, inquiry(person))));
        }
        ids.into_iter().map(|id| id_of(object.as_str(), id)).collect()
    }

    fn cap(&self, _rows: usize) -> bool {
        false
    }

    fn remove(&self, object: &ObjectType, id: &ExternalId) {
        // What is gone already can not be deleted again, which is what was asked for.
        let _ = self.sim.delete(object.as_str(), number(id));
    }
}

#[async_trait]
impl InboundWorld for Drive {
    async fn call(&self) -> anyhow::Result<Call> {
        let catcher = Catcher::listen().await?;
        let entity = self.carrier.trim_end_matches('s');
        let hook = json!({"subscription_url": catcher.url, "event_action": "*", "event_object": entity, "name": "rig",
            "version": "2.0", "http_auth_user": "usher", "http_auth_password": PASSWORD});
        let api = format!("{}/v1/webhooks", self.sandbox.pipedrive_url);
        let client = reqwest::Client::builder().no_proxy().build()?;
        let made = client.post(&api).header("x-api-token", TOKEN).json(&hook).send().await?;
        let made: Value = made.error_for_status()?.json().await?;
        let mut id = self.create("persons", &self.somebody());
        if self.carrier != "persons" {
            id = self.create(self.carrier, &inquiry(number(&id)));
        }
        let (parts, body) = catcher.catch().await?;
        let hook = made["data"]["id"].as_u64().context("the webhook has no id")?;
        client.delete(format!("{api}/{hook}")).header("x-api-token", TOKEN).send().await?;
        Ok(Call { parts, body, about: vec![id] })
    }

    fn proofs(&self) -> &'static [&'static str] {
        &["authorization"]
    }

    fn signs_time(&self) -> bool {
        false
    }

    fn signs_body(&self) -> bool {
        false
    }

    fn with_one_bad(&self) -> (Vec<u8>, usize) {
        // A body is one event, so a bad one has no neighbours.
        (br#"{"meta":{"entity":"person"}}"#.to_vec(), 0)
    }
}

impl DirectoryWorld for Drive {
    fn owners(&self) -> Vec<(ExternalId, bool)> {
        let all = [ME].into_iter().chain(USERS).chain([LEFT]);
        all.map(|id| (ExternalId::new(id.to_string()), id != LEFT)).collect()
    }

    fn add_companies(&self) -> Vec<ExternalId> {
        let line =
            |index: u64| json!({"object": "organizations", "fields": {"name": format!("Acme {index}")}});
        let ids = self.seed((0..620).map(line));
        ids.into_iter().map(|id| ExternalId::new(id.to_string())).collect()
    }

    fn add_person_unseen(&self, email: &str) -> ExternalId {
        self.create(
            "persons",
            &json!({"name": "Unseen", "emails": [{"value": email, "primary": true, "label": "work"}]}),
        )
    }
}
