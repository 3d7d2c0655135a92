//! HubSpot's webhooks: signed batches of at most 100 events, retried, doubled, out of order.
//!
//! API-FACTS HubSpot: Webhooks, and "Webhook signatures at a glance". Deliveries do not count against limits.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::Sha256;
use tokio::sync::{Semaphore, mpsc};

use super::kinds::KINDS;
use super::record::Source;
use crate::clock::Millis;
use crate::world::World;

/// One subscription of the app.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Subscription {
    /// `contact.creation`, `contact.propertyChange`, `contact.deletion`, `contact.merge` and so on.
    pub subscription_type: String,
    /// The property of a `propertyChange`.
    #[serde(default)]
    pub property_name: Option<String>,
}

impl Subscription {
    /// Creation, end and merging of contacts, and changes of their owner.
    #[must_use]
    pub fn usual() -> Vec<Self> {
        Self::usual_of("contacts")
    }

    /// The same of contacts, companies or deals; of others HubSpot's names are different.
    #[must_use]
    pub fn usual_of(objects: &str) -> Vec<Self> {
        let object = super::kinds::find(objects).map_or("contact", |kind| KINDS[kind].singular);
        let on = |what: &str, property: Option<&str>| Self {
            subscription_type: format!("{object}.{what}"),
            property_name: property.map(str::to_owned),
        };
        vec![
            on("creation", None),
            on("deletion", None),
            on("merge", None),
            on("propertyChange", Some("hubspot_owner_id")),
        ]
    }

    pub(crate) fn matches(&self, event: &HookEvent) -> bool {
        let property = match &event.what {
            What::Property { name, .. } => Some(name),
            _ => None,
        };
        self.subscription_type == event.subscription_type() && self.property_name.as_ref() == property
    }
}

/// Where webhooks go and how they are signed.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct WebhookTarget {
    /// The URL that is called.
    pub url: String,
    /// The URL that is signed, if a proxy changes it on the way; the called one otherwise.
    #[serde(default)]
    pub signed_url: Option<String>,
    /// The app's client secret.
    pub client_secret: String,
    /// What is sent.
    #[serde(default = "Subscription::usual")]
    pub subscriptions: Vec<Subscription>,
    /// Calls at once.
    #[serde(default = "ten")]
    pub max_concurrent_requests: usize,
    /// Factor on the waits between retries; 1 is the vendor's pace (24 hours in all).
    #[serde(default = "one")]
    pub time_scale: f64,
}

fn ten() -> usize {
    10
}

fn one() -> f64 {
    1.0
}

/// What happened, as far as webhooks tell.
#[derive(Debug, Clone)]
pub(crate) enum What {
    Creation,
    Deletion,
    Property { name: String, value: String },
    Merge { primary: u64, others: Vec<u64> },
}

/// An event on its way out.
#[derive(Debug, Clone)]
pub(crate) struct HookEvent {
    pub(crate) kind: usize,
    pub(crate) id: u64,
    pub(crate) what: What,
    pub(crate) at: Millis,
    pub(crate) source: Source,
}

impl HookEvent {
    fn subscription_type(&self) -> String {
        let suffix = match self.what {
            What::Creation => "creation",
            What::Deletion => "deletion",
            What::Property { .. } => "propertyChange",
            What::Merge { .. } => "merge",
        };
        format!("{}.{suffix}", KINDS[self.kind].singular)
    }

    fn json(&self, event_id: u64, subscription: usize) -> Value {
        let source = match self.source {
            Source::Import => "IMPORT",
            other => other.name(),
        };
        let mut body = json!({
            // Not unique by itself, as the vendor says.
            "eventId": event_id & 0xffff_ffff,
            "subscriptionId": 5_000_000 + subscription,
            "portalId": PORTAL,
            "appId": APP,
            "occurredAt": self.at,
            "subscriptionType": self.subscription_type(),
            "attemptNumber": 0,
            "objectId": self.id,
            "changeSource": source,
            "sourceId": "userId:7",
        });
        match &self.what {
            What::Creation => body["changeFlag"] = json!("CREATED"),
            What::Deletion => body["changeFlag"] = json!("DELETED"),
            What::Property { name, value } => {
                body["propertyName"] = json!(name);
                body["propertyValue"] = json!(value);
            }
            What::Merge { primary, others } => {
                body["primaryObjectId"] = json!(primary);
                body["mergedObjectIds"] = json!(others);
                body["newObjectId"] = json!(self.id);
            }
        }
        body
    }
}

const PORTAL: u64 = 62_515;
const APP: u64 = 54_321;
const MAX_EVENTS: usize = 100;
/// 5 s (API-FACTS HubSpot: Webhooks).
const TIMEOUT: Duration = Duration::from_secs(5);
/// Up to 10 retries over 24 hours; the steps are ours, jitter comes on top.
const RETRY_MINUTES: [u64; 10] = [1, 3, 10, 30, 60, 120, 180, 240, 360, 436];

/// The base64 signature of version 3: method, URI, body, timestamp.
#[must_use]
pub fn sign_v3(secret: &str, method: &str, uri: &str, body: &[u8], timestamp: Millis) -> String {
    let mut mac = match Hmac::<Sha256>::new_from_slice(secret.as_bytes()) {
        Ok(mac) => mac,
        Err(_) => return String::new(),
    };
    mac.update(method.as_bytes());
    mac.update(uri.as_bytes());
    mac.update(body);
    mac.update(timestamp.to_string().as_bytes());
    base64::engine::general_purpose::STANDARD.encode(mac.finalize().into_bytes())
}

/// Takes events from the account and sends them until the world ends.
pub(crate) async fn run(
    world: Arc<World>,
    target: WebhookTarget,
    mut events: mpsc::UnboundedReceiver<HookEvent>,
) {
    let slots = Arc::new(Semaphore::new(target.max_concurrent_requests.max(1)));
    let target = Arc::new(target);
    loop {
        let mut first = Vec::new();
        tokio::select! {
            () = world.ended() => return,
            count = events.recv_many(&mut first, MAX_EVENTS) => if count == 0 { return },
        }
        let (batches, delay) = arrange(&world, &target, first);
        for batch in batches {
            let (world, target, slots) = (Arc::clone(&world), Arc::clone(&target), Arc::clone(&slots));
            tokio::spawn(async move {
                if !delay.is_zero() {
                    tokio::time::sleep(delay).await;
                }
                deliver(&world, &target, &slots, batch).await;
            });
        }
    }
}

/// Drops, doubles and shuffles, as the switches say.
fn arrange(world: &World, target: &WebhookTarget, events: Vec<HookEvent>) -> (Vec<Vec<Value>>, Duration) {
    let mut hub = world.hub();
    let now = world.clock.now();
    let faults = hub.faults.clone();
    let (mut batch, mut held) = (Vec::new(), Vec::new());
    for event in events {
        let Some(subscription) = target.subscriptions.iter().position(|wanted| wanted.matches(&event)) else {
            continue;
        };
        if hub.fires(faults.webhook_drop, "webhook_drop", now, 0) {
            continue;
        }
        let number = hub.next();
        let body = event.json(number, subscription);
        if hub.fires(faults.webhook_reorder, "webhook_reorder", now, 0) {
            held.push(body);
        } else {
            batch.push(body);
        }
    }
    if !held.is_empty() {
        batch.reverse();
        batch.extend(held);
    }
    let mut batches: Vec<Vec<Value>> = batch.chunks(MAX_EVENTS).map(<[Value]>::to_vec).collect();
    if !batches.is_empty() && hub.fires(faults.webhook_duplicate, "webhook_duplicate", now, 0) {
        batches.push(batches[0].clone());
    }
    (batches, Duration::from_millis(hub.dice.span(faults.webhook_delay_ms)))
}

async fn deliver(world: &World, target: &WebhookTarget, slots: &Semaphore, mut batch: Vec<Value>) {
    for attempt in 0..=RETRY_MINUTES.len() {
        for event in &mut batch {
            event["attemptNumber"] = json!(attempt);
        }
        {
            let Ok(_slot) = slots.acquire().await else { return };
            if send(world, target, &batch).await {
                return;
            }
        }
        let Some(minutes) = RETRY_MINUTES.get(attempt) else { break };
        #[allow(clippy::cast_precision_loss)]
        let wait = Duration::from_secs_f64((*minutes as f64 * 60.0 * target.time_scale).max(0.001));
        tokio::select! {
            () = world.ended() => return,
            () = tokio::time::sleep(wait) => {}
        }
    }
    world.hub().oracle.fire(world.clock.now(), "webhook_given_up", 0);
}

async fn send(world: &World, target: &WebhookTarget, batch: &[Value]) -> bool {
    let body = Value::from(batch.to_vec()).to_string();
    let timestamp = world.clock.now();
    let uri = target.signed_url.as_deref().unwrap_or(&target.url);
    let signature = sign_v3(&target.client_secret, "POST", uri, body.as_bytes(), timestamp);
    let sent = world
        .client
        .post(&target.url)
        .timeout(TIMEOUT)
        .header("content-type", "application/json")
        .header("user-agent", "HubSpot Connect 2.0 (http://dev.hubspot.com/)")
        .header("x-hubspot-signature-version", "v3")
        .header("x-hubspot-signature-v3", signature)
        .header("x-hubspot-request-timestamp", timestamp.to_string())
        .body(body)
        .send()
        .await;
    let accepted = sent.is_ok_and(|answer| answer.status().is_success());
    world.hub().oracle.request(if accepted { "hubspot webhook accepted" } else { "hubspot webhook refused" });
    accepted
}

#[cfg(test)]
mod tests {
    use super::sign_v3;

    /// Computed apart with Python's hmac over `POST` + URI + body + timestamp.
    #[test]
    fn signature_matches_a_foreign_computation() {
        let signature =
            sign_v3("secret", "POST", "https://example.com/hook?x=1", b"[{\"a\":1}]", 1_700_000_000_000);
        assert_eq!(signature, "qtwe6wQ3iCEQGZHHfo7oDlamBYkdqieMida9w/yoaTw=");
    }
}
