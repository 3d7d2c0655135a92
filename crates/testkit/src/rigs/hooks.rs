//! A sender of Standard Webhooks as a rig: inbound only, no calls.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderValue, Method};
use jiff::Timestamp;
use serde_json::json;
use usher_connector::{Connector, Parts};
use usher_model::ExternalId;

use crate::conformance::{CANARY, Call, InboundWorld, Rig, Said, World};

/// The key itself; its base64 is what a sender shows.
const KEY: &str = "canary-signing-key-of-32-letters";

/// A connector that takes calls of any sender.
#[must_use]
pub fn hooks(connector: impl Connector + 'static) -> Rig {
    Rig {
        connector: Box::new(connector),
        settings: "connector: webhook\ninbound: { standard: { secret: { env: HOOK_SECRET } } }\nid: data.id\n",
        wrong: &[
            (
                "inbound: { shared_secret: { header: \"a b\", secret: hunter2 }, why: x }",
                "a secret must not stand",
            ),
            ("accepts: [xml]", "xml"),
            ("id: data..id", "id"),
            ("revison: x", "revison"),
            ("# and in `inbound`:", "why"),
        ],
        secrets: vec![("HOOK_SECRET", format!("whsec_{}", STANDARD.encode(KEY)))],
        vendor: None,
        folder: std::env::temp_dir(),
        world: Arc::new(Sender { number: AtomicU64::new(1) }),
    }
}

/// Somebody who calls.
struct Sender {
    number: AtomicU64,
}

impl World for Sender {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    fn advance(&self, _by: Duration) {}

    fn calm(&self) {}

    fn forbid(&self, _scope: &str) -> Option<Said> {
        None
    }

    fn inbound(&self) -> Option<&dyn InboundWorld> {
        Some(self)
    }
}

#[async_trait]
impl InboundWorld for Sender {
    async fn call(&self) -> anyhow::Result<Call> {
        let number = self.number.fetch_add(1, Ordering::Relaxed);
        let id = format!("sub-{number}");
        let body =
            json!({"data": {"id": id, "email": format!("{CANARY}.{number}@acme.example")}}).to_string();
        let (message, stamp) = (format!("msg_{number}"), Timestamp::now().as_second().to_string());
        // The same HMAC as the form simulator's, over id, time and body.
        let signed = usher_sandbox::typeform::sign(KEY, format!("{message}.{stamp}.{body}").as_bytes());
        let signature = format!("v1,{}", signed.strip_prefix("sha256=").unwrap_or_default());
        let mut headers = HeaderMap::new();
        headers.insert("content-type", HeaderValue::from_static("application/json"));
        for (name, value) in
            [("webhook-id", message), ("webhook-timestamp", stamp), ("webhook-signature", signature)]
        {
            headers.insert(name, HeaderValue::from_str(&value)?);
        }
        let url = "https://usher.example/hooks/under-test".to_owned();
        let parts = Parts { method: Method::POST, url, query: Vec::new(), headers };
        Ok(Call { parts, body: body.into_bytes(), about: vec![ExternalId::new(id)] })
    }

    fn proofs(&self) -> &'static [&'static str] {
        &["webhook-id", "webhook-timestamp", "webhook-signature"]
    }

    fn signs_time(&self) -> bool {
        true
    }

    fn with_one_bad(&self) -> (Vec<u8>, usize) {
        (br#"[{"data":{"id":"1"}},{"data":{}},{"data":{"id":2}}]"#.to_vec(), 2)
    }
}
