//! The Typeform simulator as a rig: source and inbound.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use serde_json::{Map, json};
use usher_connector::Connector;
use usher_model::{ExternalId, ObjectType};
use usher_sandbox::{Faults, Field, FormSpec, Options, Sandbox, Submission, TypeformSim};

use super::catcher::Catcher;
use super::{hub, instant};
use crate::conformance::{CANARY, Call, InboundWorld, Rig, Said, SourceWorld, When, World};

const TOKEN: &str = "tfp_canary_token";
const SECRET: &str = "canary-webhook-secret";
const FORM: &str = "siteform";
/// Responses of a page.
const PAGE: usize = 1_000;

/// A connector for the Typeform simulator.
pub async fn typeform(connector: impl Connector + 'static) -> Rig {
    let options =
        Options { typeform_token: TOKEN.to_owned(), typeform_per_second: None, ..Options::default() };
    let world = Arc::new(Forms::new(hub::start(options).await));
    Rig {
        connector: Box::new(connector),
        settings: "connector: typeform\n\
                   form: siteform\n\
                   auth: { token: { env: TOKEN } }\n\
                   inbound: { secret: { env: HOOK_SECRET } }\n",
        wrong: &[
            ("form: https://acme.typeform.com/to/abc", "form"),
            ("responses: partial", "partial"),
            ("inbound: { secret: hunter2, extra: 1 }", "a secret must not stand"),
            ("# and in `inbound`:", "extra"),
            ("forms: x", "forms"),
        ],
        secrets: vec![("HOOK_SECRET", SECRET.to_owned())],
        vendor: Some((world.sandbox.typeform_url.clone(), TOKEN.to_owned())),
        folder: std::env::temp_dir(),
        world,
    }
}

/// The forms from behind the counter.
struct Forms {
    sandbox: Sandbox,
    sim: TypeformSim,
    number: AtomicU64,
}

impl Forms {
    fn new(sandbox: Sandbox) -> Self {
        let sim = sandbox.typeform();
        let field = |reference: &str, kind: &str, title: &str| Field {
            id: String::new(),
            reference: reference.to_owned(),
            field_type: kind.to_owned(),
            title: title.to_owned(),
        };
        let fields = vec![field("email", "email", "Your e-mail?"), field("name", "short_text", "Your name?")];
        sim.define(FormSpec { id: FORM.to_owned(), title: "Site".to_owned(), fields });
        Self { sandbox, sim, number: AtomicU64::new(1) }
    }

    fn submit(&self, at: Option<i64>) -> ExternalId {
        let number = self.number.fetch_add(1, Ordering::Relaxed);
        let answers =
            json!({"email": format!("{CANARY}.{number}@acme.example"), "name": format!("Ana {CANARY}son")});
        let submission = Submission {
            form: FORM.to_owned(),
            answers: answers.as_object().cloned().unwrap_or_default(),
            hidden: Map::from_iter([("utm_source".to_owned(), json!("ads"))]),
            token: Some(format!("{number:032x}")),
            submitted_at: at,
            crm_source: None,
        };
        ExternalId::new(self.sim.submit(&submission).unwrap_or_default())
    }
}

impl World for Forms {
    fn now(&self) -> Timestamp {
        instant(self.sandbox.now())
    }

    fn advance(&self, by: Duration) {
        self.sandbox.advance(by);
    }

    fn calm(&self) {
        self.sandbox.set_faults(Faults::default());
        // A page has a thousand responses: whoever reads history would read those of all earlier checks again.
        self.sim.forget(FORM);
    }

    fn forbid(&self, _scope: &str) -> Option<Said> {
        let body = r#"{"code":"FORBIDDEN","description":"The token does not have the required scope"}"#;
        Some(Said { status: 403, body: body.to_owned(), only: None })
    }

    fn source(&self) -> Option<&dyn SourceWorld> {
        Some(self)
    }

    fn inbound(&self) -> Option<&dyn InboundWorld> {
        Some(self)
    }
}

impl SourceWorld for Forms {
    fn page(&self) -> usize {
        PAGE
    }

    fn add(&self, _object: &ObjectType, count: usize, when: When) -> Vec<ExternalId> {
        let at = |index: usize| match when {
            When::At(at) => at.as_millisecond(),
            When::From(from) => from.as_millisecond() + i64::try_from(index).unwrap_or_default() * 1_000,
        };
        (0..count).map(|index| self.submit(Some(at(index)))).collect()
    }

    fn cap(&self, _rows: usize) -> bool {
        false
    }

    fn remove(&self, _object: &ObjectType, _id: &ExternalId) {}
}

#[async_trait]
impl InboundWorld for Forms {
    async fn call(&self) -> anyhow::Result<Call> {
        let catcher = Catcher::listen().await?;
        let hook = format!("{}/forms/{FORM}/webhooks/test", self.sandbox.typeform_url);
        let body = json!({"url": catcher.url, "enabled": true, "secret": SECRET}).to_string();
        let client = reqwest::Client::builder().no_proxy().build()?;
        client.put(&hook).bearer_auth(TOKEN).body(body).send().await?.error_for_status()?;
        let id = self.submit(None);
        let (parts, body) = catcher.catch().await?;
        client.delete(&hook).bearer_auth(TOKEN).send().await?.error_for_status()?;
        Ok(Call { parts, body, about: vec![id] })
    }

    fn proofs(&self) -> &'static [&'static str] {
        &["typeform-signature"]
    }

    fn signs_time(&self) -> bool {
        false
    }

    fn with_one_bad(&self) -> (Vec<u8>, usize) {
        (
            json!({"event_type": "form_response", "form_response": {"form_id": FORM}})
                .to_string()
                .into_bytes(),
            0,
        )
    }
}
