//! The HubSpot simulator as a rig: source, inbound and directory; the counter's side of writes is beside it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value, json};
use usher_connector::Connector;
use usher_model::{ExternalId, ObjectType};
use usher_sandbox::{Faults, HubspotSim, Options, Owner, Sandbox, Span, WebhookTarget};

use super::catcher::Catcher;
use super::instant;
use crate::conformance::{
    CANARY, Call, DirectoryWorld, InboundWorld, Rig, Said, SourceWorld, TargetWorld, When, World,
};

const TOKEN: &str = "pat-canary-token";
const SECRET: &str = "canary-client-secret";
/// Rows of a search page.
const PAGE: usize = 200;
/// Owners who are there, and one who left.
pub(super) const OWNERS: [u64; 2] = [11, 12];
pub(super) const LEFT: u64 = 13;

/// A connector for the HubSpot simulator.
pub async fn hubspot(connector: impl Connector + 'static) -> Rig {
    let options = Options { hubspot_token: TOKEN.to_owned(), limits: None, ..Options::default() };
    let world = Arc::new(Hub::new(start(options).await));
    Rig {
        connector: Box::new(connector),
        settings: "connector: hubspot\n\
                   auth: { token: { env: TOKEN } }\n\
                   pull: { objects: [contacts], every: 30s, start: now }\n\
                   inbound: { secret: { env: HOOK_SECRET } }\n",
        wrong: &[
            ("availability: perhaps", "perhaps"),
            ("inbound: { secret: hunter2 }", "a secret must not stand"),
            ("pull: { objects: [leads], start: then, overlap: 2d, depth: 3 }", "leads"),
            ("connexion: x", "connexion"),
            ("# and in `pull`:", "then"),
            ("# and in `pull`:", "overlap"),
            ("# and in `pull`:", "depth"),
        ],
        secrets: vec![("HOOK_SECRET", SECRET.to_owned())],
        vendor: Some((world.sandbox.hubspot_url.clone(), TOKEN.to_owned())),
        folder: std::env::temp_dir(),
        world,
    }
}

/// The same, with keys in a unique property of contacts and tasks.
pub async fn hubspot_keyed(connector: impl Connector + 'static) -> Rig {
    const KEYED: &str = "connector: hubspot\n\
                         auth: { token: { env: TOKEN } }\n\
                         contacts: { unique_property: usher_key }\n\
                         companies: { unique_property: usher_key }\n\
                         tasks: { unique_property: usher_key }\n\
                         inbound: { secret: { env: HOOK_SECRET } }\n";
    let mut rig = hubspot(connector).await;
    rig.settings = KEYED;
    rig.wrong = &[("tasks: { unique_property: Usher key }", "Usher key"), ("connexion: x", "connexion")];
    rig
}

/// The same, where each inquiry becomes a deal.
pub async fn hubspot_deals(connector: impl Connector + 'static) -> Rig {
    let mut rig = hubspot(connector).await;
    rig.settings = "connector: hubspot\n\
                    auth: { token: { env: TOKEN } }\n\
                    object: deals\n\
                    deals: { pipeline: default, stage: appointmentscheduled }\n\
                    inbound: { secret: { env: HOOK_SECRET } }\n";
    rig.wrong = &[("object: deals", "pipeline and stage"), ("connexion: x", "connexion")];
    rig
}

/// The same, where each inquiry becomes a lead, with keys in a unique property.
pub async fn hubspot_leads(connector: impl Connector + 'static) -> Rig {
    let mut rig = hubspot(connector).await;
    rig.settings = "connector: hubspot\n\
                    auth: { token: { env: TOKEN } }\n\
                    object: leads\n\
                    leads: { unique_property: usher_key }\n\
                    inbound: { secret: { env: HOOK_SECRET } }\n";
    rig.wrong = &[
        ("object: leads\nleads: { unique_property: Usher key }", "Usher key"),
        ("connexion: x", "connexion"),
    ];
    rig
}

/// Simulators on free ports.
pub(super) async fn start(options: Options) -> Sandbox {
    match Sandbox::start(options).await {
        Ok(sandbox) => sandbox,
        Err(error) => unreachable!("free ports on loopback can be opened: {error}"),
    }
}

/// The account from behind the counter.
pub(super) struct Hub {
    sandbox: Sandbox,
    pub(super) sim: HubspotSim,
    number: AtomicU64,
}

impl Hub {
    fn new(sandbox: Sandbox) -> Self {
        let sim = sandbox.hubspot();
        for id in OWNERS.into_iter().chain([LEFT]) {
            sim.put_owner(Owner {
                id,
                email: format!("Rep{id}@agency.example"),
                first_name: "Rep".to_owned(),
                last_name: id.to_string(),
                user_id: Some(5_000 + id),
                archived: id == LEFT,
                teams: Vec::new(),
                created_at: sandbox.now(),
                updated_at: sandbox.now(),
            });
        }
        for object in ["contacts", "companies", "leads", "tasks"] {
            let property = json!({ "properties_of": object, "name": "usher_key", "hasUniqueValue": true });
            let _ = sim.seed(&property.to_string());
        }
        Self { sandbox, sim, number: AtomicU64::new(1) }
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
    pub(super) fn create(&self, object: &str, properties: &Value) -> ExternalId {
        let empty = Map::new();
        let made = self.sim.create(object, properties.as_object().unwrap_or(&empty), "CRM_UI");
        ExternalId::new(made.unwrap_or_default().to_string())
    }

    pub(super) fn seed(&self, lines: &str) -> Vec<ExternalId> {
        let ids = self.sim.seed(lines).unwrap_or_default();
        ids.into_iter().map(|id| ExternalId::new(id.to_string())).collect()
    }
}

impl World for Hub {
    fn now(&self) -> Timestamp {
        instant(self.sandbox.now())
    }

    fn advance(&self, by: Duration) {
        self.sandbox.advance(by);
    }

    fn calm(&self) {
        self.sandbox.set_faults(Faults::default());
        self.sim.set_webhook(None);
    }

    fn forbid(&self, scope: &str) -> Option<Said> {
        self.set(|faults| faults.revoked_scopes.push(scope.to_owned()));
        None
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
}

impl SourceWorld for Hub {
    fn page(&self) -> usize {
        PAGE
    }

    fn add(&self, object: &ObjectType, count: usize, when: When) -> Vec<ExternalId> {
        let mut lines = String::new();
        for index in 0..count {
            let at = match when {
                When::At(at) => at,
                When::From(from) => {
                    let second = SignedDuration::from_secs(i64::try_from(index).unwrap_or_default());
                    from.checked_add(second).unwrap_or(from)
                }
            };
            let number = self.number();
            let line = json!({"object": object.as_str(), "createdAt": at.as_millisecond(), "updatedAt": at.as_millisecond(),
                "source": "FORM", "properties": {"email": format!("{CANARY}.{number}@acme.example"),
                    "firstname": "Ana", "lastname": format!("{CANARY}son")}});
            lines.push_str(&format!("{line}\n"));
        }
        self.seed(&lines)
    }

    fn cap(&self, rows: usize) -> bool {
        self.set(|faults| faults.search_cap = u64::try_from(rows).ok());
        true
    }

    fn remove(&self, object: &ObjectType, id: &ExternalId) {
        // What is gone already can not be archived again, which is what was asked for.
        let _ = self.sim.archive(object.as_str(), id.as_str().parse().unwrap_or_default());
    }
}

#[async_trait]
impl InboundWorld for Hub {
    async fn call(&self) -> anyhow::Result<Call> {
        let catcher = Catcher::listen().await?;
        let target = json!({"url": catcher.url, "clientSecret": SECRET});
        self.sim.set_webhook(Some(serde_json::from_value::<WebhookTarget>(target)?));
        let email = format!("{CANARY}.{}@acme.example", self.number());
        let id = self.create("contacts", &json!({"email": email, "lastname": format!("{CANARY}son")}));
        let (parts, body) = catcher.catch().await?;
        self.sim.set_webhook(None);
        Ok(Call { parts, body, about: vec![id] })
    }

    fn proofs(&self) -> &'static [&'static str] {
        &["x-hubspot-signature-v3", "x-hubspot-request-timestamp"]
    }

    fn signs_time(&self) -> bool {
        true
    }

    fn with_one_bad(&self) -> (Vec<u8>, usize) {
        let good = |id: u64| json!({"subscriptionType": "contact.creation", "objectId": id, "eventId": id});
        (json!([good(1), {"subscriptionType": 5}, good(2)]).to_string().into_bytes(), 2)
    }
}

impl DirectoryWorld for Hub {
    fn owners(&self) -> Vec<(ExternalId, bool)> {
        let all = OWNERS.into_iter().chain([LEFT]);
        all.map(|id| (ExternalId::new(id.to_string()), id != LEFT)).collect()
    }

    fn add_companies(&self) -> Vec<ExternalId> {
        let line =
            |index: u64| json!({"object": "companies", "properties": {"name": format!("Acme {index}")}});
        let lines: String = (0..250).map(|index| format!("{}\n", line(index))).collect();
        self.seed(&lines)
    }

    fn add_person_unseen(&self, email: &str) -> ExternalId {
        self.set(|faults| faults.index_lag_ms = Span(3_600_000, 3_600_000));
        self.create("contacts", &json!({"email": email}))
    }
}
