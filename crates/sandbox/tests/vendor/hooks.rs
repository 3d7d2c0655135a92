//! HubSpot's webhooks: signature, batches, retries, doubles, drops.

use std::sync::atomic::Ordering;

use serde_json::{Value, json};
use usher_sandbox::hubspot::sign_v3;
use usher_sandbox::{Faults, Subscription, WebhookTarget};

use crate::api::{ANA, Api, Received, Receiver};

fn target(receiver: &Receiver) -> WebhookTarget {
    WebhookTarget {
        url: receiver.url.clone(),
        signed_url: None,
        client_secret: "app secret".to_owned(),
        subscriptions: Subscription::usual(),
        max_concurrent_requests: 10,
        time_scale: 0.000_01,
    }
}

fn events(received: &Received) -> Vec<Value> {
    serde_json::from_slice(&received.body).unwrap()
}

#[tokio::test]
async fn events_are_signed_and_tell_who_changed_what() {
    let api = Api::start().await;
    let mut receiver = Receiver::start().await;
    api.sandbox.hubspot().set_webhook(Some(target(&receiver)));
    let id = api.contact(json!({"email": "hook@x.example", "hubspot_owner_id": ANA.to_string()})).await;
    let received = receiver.next().await;
    let timestamp = received.headers["x-hubspot-request-timestamp"].to_str().unwrap();
    let expected = sign_v3("app secret", "POST", &receiver.url, &received.body, timestamp.parse().unwrap());
    assert_eq!(received.headers["x-hubspot-signature-v3"], expected);
    let mut all = events(&received);
    while all.len() < 2 {
        all.extend(events(&receiver.next().await));
    }
    assert_eq!(all[0]["subscriptionType"], "contact.creation");
    assert_eq!(all[0]["objectId"].to_string(), id);
    assert_eq!(all[0]["changeSource"], "INTEGRATION");
    assert_eq!(all[1]["subscriptionType"], "contact.propertyChange");
    assert_eq!(
        (&all[1]["propertyName"], &all[1]["propertyValue"]),
        (&json!("hubspot_owner_id"), &json!("11"))
    );
}

#[tokio::test]
async fn refused_events_come_again_with_a_higher_attempt() {
    let api = Api::start().await;
    let mut receiver = Receiver::start().await;
    receiver.status.store(404, Ordering::SeqCst);
    api.sandbox.hubspot().set_webhook(Some(target(&receiver)));
    api.contact(json!({"email": "again@x.example"})).await;
    assert_eq!(events(&receiver.next().await)[0]["attemptNumber"], 0);
    receiver.status.store(200, Ordering::SeqCst);
    let second = loop {
        let received = events(&receiver.next().await);
        if received[0]["attemptNumber"] != 0 {
            break received;
        }
    };
    assert!(second[0]["attemptNumber"].as_u64().unwrap() >= 1);
}

#[tokio::test]
async fn a_batch_has_at_most_a_hundred_events_and_may_come_twice() {
    let api = Api::start().await;
    let mut receiver = Receiver::start().await;
    api.sandbox.set_faults(Faults { webhook_duplicate: 1.0, webhook_reorder: 0.3, ..Faults::default() });
    api.sandbox.hubspot().set_webhook(Some(target(&receiver)));
    let lines: String = (0..250)
        .map(|n| {
            json!({"object": "contacts", "properties": {"email": format!("b{n}@x.example")}}).to_string()
                + "\n"
        })
        .collect();
    api.sandbox.hubspot().seed(&lines).unwrap();
    let (mut objects, mut total) = (std::collections::HashSet::new(), 0);
    while objects.len() < 250 || total < 350 {
        let batch = events(&receiver.next().await);
        assert!(batch.len() <= 100);
        total += batch.len();
        objects.extend(batch.iter().map(|event| event["objectId"].as_u64().unwrap()));
    }
    let summary = api.sandbox.hubspot().summary();
    assert!(summary.faults["webhook_duplicate"] >= 3 && summary.faults["webhook_reorder"] > 10);
}

#[tokio::test]
async fn fm_037_dropped_events_never_come() {
    let api = Api::start().await;
    let mut receiver = Receiver::start().await;
    api.sandbox.set_faults(Faults { webhook_drop: 1.0, times: Some(1), ..Faults::default() });
    api.sandbox.hubspot().set_webhook(Some(target(&receiver)));
    api.contact(json!({"email": "dropped@x.example"})).await;
    while api.sandbox.hubspot().fired().is_empty() {
        tokio::task::yield_now().await;
    }
    let id = api.contact(json!({"email": "sent@x.example"})).await;
    assert_eq!(events(&receiver.next().await)[0]["objectId"].to_string(), id);
}
