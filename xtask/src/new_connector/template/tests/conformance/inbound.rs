//! Webhooks as Skeleton makes them.

use async_trait::async_trait;
use http::{HeaderMap, Method};
use serde_json::json;
use usher_connector::signature::hmac_sha256;
use usher_connector::{Parts, Secret};
use usher_model::ExternalId;
use usher_testkit::conformance::{CANARY, Call, InboundWorld};

use crate::vendor::Vendor;

pub(crate) const SECRET: &str = "canary-hook-secret";

#[async_trait]
impl InboundWorld for Vendor {
    async fn call(&self) -> anyhow::Result<Call> {
        let mut state = self.state();
        let now = state.now;
        let person =
            state.stamped(json!({ "email": format!("{CANARY}.hook@acme.example"), "owner": null }), now);
        let id = person["id"].to_string();
        state.people.push(person.clone());
        let body = json!({ "people": [person] }).to_string().into_bytes();
        let (delivery, stamp) = (format!("d-{id}"), now.as_second().to_string());
        let signed = [delivery.as_bytes(), b".", stamp.as_bytes(), b".", &body];
        let signature = hmac_sha256(&Secret::new(SECRET), &signed).map(|byte| format!("{byte:02x}")).concat();
        let mut headers = HeaderMap::new();
        headers.insert("skeleton-delivery", delivery.parse()?);
        headers.insert("skeleton-timestamp", stamp.parse()?);
        headers.insert("skeleton-signature", signature.parse()?);
        let url = "https://usher.example/hooks/under-test".to_owned();
        let parts = Parts { method: Method::POST, url, query: Vec::new(), headers };
        Ok(Call { parts, body, about: vec![ExternalId::new(id)] })
    }

    fn proofs(&self) -> &'static [&'static str] {
        &["skeleton-delivery", "skeleton-timestamp", "skeleton-signature"]
    }

    fn signs_time(&self) -> bool {
        true
    }

    fn with_one_bad(&self) -> (Vec<u8>, usize) {
        let person = json!({ "id": 1, "email": null, "owner": null, "company": null,
            "created_at": "2026-11-23T10:00:00Z", "updated_at": "2026-11-23T10:00:00Z" });
        (json!({ "people": [person, { "id": "seven" }, person] }).to_string().into_bytes(), 2)
    }
}
