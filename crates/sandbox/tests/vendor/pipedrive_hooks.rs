//! Pipedrive's webhooks: bodies, Basic auth, retries, ban, deletion, drops and doubles.

use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::{Value, json};
use usher_sandbox::{Faults, Span, lead_number};

use crate::api::{Received, Receiver};
use crate::pipedrive::{ANA, BEN, Pipe};

async fn subscribe(pipe: &Pipe, receiver: &Receiver, action: &str, object: &str) -> u64 {
    let body = json!({"subscription_url": receiver.url, "event_action": action, "event_object": object, "name": "usher",
        "http_auth_user": "usher", "http_auth_password": "secret", "version": "2.0"});
    let made = pipe.post("v1/webhooks", body).await;
    assert_eq!((made.status, &made.body["status"]), (201, &json!("ok")));
    made.data()["id"].as_u64().unwrap()
}

fn event(received: &Received) -> Value {
    serde_json::from_slice(&received.body).unwrap()
}

/// Waits until so many deliveries were refused.
async fn refused(pipe: &Pipe, times: u64) {
    let wait = async {
        while pipe.sim().summary().requests.get("pipedrive webhook refused").copied().unwrap_or(0) < times {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), wait).await.expect("deliveries are refused");
}

#[tokio::test]
async fn events_tell_what_is_and_what_was() {
    let pipe = Pipe::start().await;
    let mut receiver = Receiver::start().await;
    let key = pipe.field("persons", "Kind", "enum", &["agency"]);
    let fields = pipe.get("v2/personFields?limit=500").await;
    let option =
        fields.data().as_array().unwrap().iter().find(|field| field["field_code"] == key.as_str()).unwrap();
    let option = option["options"][0]["id"].clone();
    let hook = subscribe(&pipe, &receiver, "*", "person").await;
    let made = pipe
        .post("v2/persons", json!({"name": "Lea", "owner_id": ANA, "custom_fields": {&key: option}}))
        .await;
    let id = made.data()["id"].as_u64().unwrap();
    let received = receiver.next().await;
    assert_eq!(received.headers["authorization"], "Basic dXNoZXI6c2VjcmV0");
    let created = event(&received);
    let meta = &created["meta"];
    assert_eq!(
        (&meta["action"], &meta["entity"], &meta["entity_id"]),
        (&json!("create"), &json!("person"), &json!(id.to_string()))
    );
    assert_eq!(
        (&meta["version"], &meta["attempt"], &meta["webhook_id"]),
        (&json!("2.0"), &json!(1), &json!(hook.to_string()))
    );
    assert_eq!((&meta["user_id"], &meta["change_source"]), (&json!("1"), &json!("api")));
    assert_eq!((&created["previous"], &created["data"]["id"]), (&Value::Null, &json!(id)));
    assert_eq!(created["data"]["visible_to"], "3");
    assert_eq!(created["data"]["custom_fields"][&key], json!({"id": option, "type": "enum"}));

    pipe.sim().assign_as_human("persons", id, BEN).unwrap();
    let changed = event(&receiver.next().await);
    assert_eq!(
        (&changed["meta"]["action"], &changed["meta"]["change_source"]),
        (&json!("change"), &json!("app"))
    );
    assert_eq!(
        (&changed["previous"], &changed["data"]["owner_id"]),
        (&json!({"owner_id": ANA}), &json!(BEN))
    );

    let other = pipe.person("other@acme.example").await;
    assert_eq!(event(&receiver.next().await)["meta"]["action"], "create");
    pipe.sim().merge("persons", id, other).unwrap();
    let mut both = [event(&receiver.next().await), event(&receiver.next().await)];
    both.sort_by_key(|event| event["meta"]["action"].to_string());
    assert_eq!(both[0]["meta"]["entity_id"], id.to_string());
    let gone = &both[1];
    assert_eq!(
        (&gone["meta"]["entity_id"], &gone["meta"]["merged_to_id"]),
        (&json!(other.to_string()), &json!(id.to_string()))
    );
    assert!(gone["data"].is_null() && gone["previous"]["name"].is_string());
}

#[tokio::test]
async fn a_webhook_gets_what_it_asked_for_and_nothing_after_its_end() {
    let pipe = Pipe::start().await;
    let mut receiver = Receiver::start().await;
    let hook = subscribe(&pipe, &receiver, "change", "lead").await;
    let person = pipe.person("lea@acme.example").await;
    let lead = pipe.lead(person).await;
    pipe.patch(&format!("v1/leads/{lead}"), json!({"owner_id": ANA})).await.data();
    let changed = event(&receiver.next().await);
    assert_eq!((&changed["meta"]["entity"], &changed["meta"]["entity_id"]), (&json!("lead"), &json!(lead)));
    assert_eq!(changed["previous"], json!({"owner_id": 1}));
    assert_eq!(pipe.get("v1/webhooks").await.data()[0]["last_http_status"], 200);
    assert_eq!(
        pipe.delete(&format!("v1/webhooks/{hook}")).await.body,
        json!({"status": "ok", "success": true})
    );
    assert_eq!(pipe.delete(&format!("v1/webhooks/{hook}")).await.body["errors"]["id"][0], "not found");
    pipe.sim().assign_as_human("leads", lead_number(&lead).unwrap(), BEN).unwrap();
    let again = subscribe(&pipe, &receiver, "*", "*").await;
    pipe.sim().delete("leads", lead_number(&lead).unwrap()).unwrap();
    let deleted = event(&receiver.next().await);
    assert_eq!(
        (&deleted["meta"]["action"], &deleted["meta"]["webhook_id"]),
        (&json!("delete"), &json!(again.to_string()))
    );
}

#[tokio::test]
async fn wrong_webhooks_are_refused() {
    let pipe = Pipe::start().await;
    let right = json!({"subscription_url": "https://usher.example/hook", "event_action": "create", "event_object": "lead",
        "name": "usher"});
    for (name, value) in [
        ("subscription_url", json!("usher.example")),
        ("event_action", json!("added")),
        ("event_object", json!("contact")),
        ("version", json!("1.0")),
        ("name", json!("")),
    ] {
        let mut body = right.clone();
        body[name] = value;
        let refused = pipe.post("v1/webhooks", body).await;
        assert!(refused.status == 400 && refused.body["errors"][name].is_array(), "{name}: {}", refused.body);
    }
    for _ in 0..40 {
        assert_eq!(pipe.post("v1/webhooks", right.clone()).await.status, 201);
    }
    assert_eq!(pipe.post("v1/webhooks", right).await.status, 400);
}

#[tokio::test]
async fn refused_events_come_again_after_3_30_and_150_seconds() {
    let pipe = Pipe::start().await;
    let mut receiver = Receiver::start().await;
    receiver.status.store(500, Ordering::SeqCst);
    subscribe(&pipe, &receiver, "create", "person").await;
    pipe.person("again@acme.example").await;
    let first = event(&receiver.next().await);
    for (attempt, wait) in [(2, 3), (3, 30), (4, 150)] {
        refused(&pipe, attempt - 1).await;
        pipe.sandbox.advance(Duration::from_secs(wait - 1));
        assert_eq!(pipe.sim().summary().pending, 1, "too early for attempt {attempt}");
        pipe.sandbox.advance(Duration::from_secs(1));
        let again = event(&receiver.next().await);
        assert_eq!(
            (&again["meta"]["attempt"], &again["meta"]["id"]),
            (&json!(attempt), &first["meta"]["id"])
        );
    }
    refused(&pipe, 4).await;
    assert_eq!(pipe.sim().summary().pending, 0);
    assert_eq!(pipe.sim().summary().faults["webhook_given_up"], 1);
}

#[tokio::test]
async fn fm_032_ten_failed_first_attempts_ban_for_half_an_hour() {
    let pipe = Pipe::start().await;
    let mut receiver = Receiver::start().await;
    receiver.status.store(500, Ordering::SeqCst);
    subscribe(&pipe, &receiver, "create", "person").await;
    for n in 0..10 {
        pipe.person(&format!("p{n}@acme.example")).await;
        receiver.next().await;
        refused(&pipe, n + 1).await;
    }
    assert_eq!(pipe.sim().summary().faults["webhook_banned"], 1);
    receiver.status.store(200, Ordering::SeqCst);
    pipe.person("missed@acme.example").await;
    pipe.sandbox.advance(Duration::from_secs(1_700));
    // The one event, and the retries of the ten that came due meanwhile.
    assert_eq!(pipe.sim().summary().requests["pipedrive webhook missed in a ban"], 11);
    pipe.sandbox.advance(Duration::from_secs(101));
    pipe.person("after@acme.example").await;
    // None of it comes after all.
    assert_eq!(event(&receiver.next().await)["data"]["emails"][0]["value"], "after@acme.example");
}

#[tokio::test]
async fn fm_032_three_days_without_success_delete_the_webhook() {
    let pipe = Pipe::start().await;
    let mut receiver = Receiver::start().await;
    receiver.status.store(404, Ordering::SeqCst);
    subscribe(&pipe, &receiver, "create", "person").await;
    pipe.person("one@acme.example").await;
    receiver.next().await;
    refused(&pipe, 1).await;
    pipe.sandbox.advance(Duration::from_secs(2 * 86_400));
    assert_eq!(event(&receiver.next().await)["meta"]["attempt"], 2);
    refused(&pipe, 2).await;
    assert_eq!(pipe.sim().webhooks().len(), 1);
    pipe.sandbox.advance(Duration::from_secs(86_400));
    receiver.next().await;
    refused(&pipe, 3).await;
    assert!(pipe.sim().webhooks().is_empty());
    assert!(pipe.get("v1/webhooks").await.data().as_array().unwrap().is_empty());
}

#[tokio::test]
async fn fm_037_events_get_lost_doubled_and_overtaken() {
    let pipe = Pipe::start().await;
    let mut receiver = Receiver::start().await;
    subscribe(&pipe, &receiver, "create", "person").await;
    pipe.once(Faults { webhook_drop: 1.0, ..Faults::default() });
    pipe.person("dropped@acme.example").await;
    pipe.once(Faults { webhook_duplicate: 1.0, ..Faults::default() });
    pipe.person("twice@acme.example").await;
    let twice = [event(&receiver.next().await), event(&receiver.next().await)];
    assert_eq!(twice[0]["data"]["emails"][0]["value"], "twice@acme.example");
    assert_eq!(twice[0], twice[1]);
    pipe.once(Faults { webhook_reorder: 1.0, webhook_delay_ms: Span(0, 0), ..Faults::default() });
    pipe.person("early@acme.example").await;
    pipe.person("late@acme.example").await;
    let order = [event(&receiver.next().await), event(&receiver.next().await)];
    let order = order.map(|event| event["data"]["emails"][0]["value"].as_str().unwrap().to_owned());
    assert_eq!(order, ["late@acme.example", "early@acme.example"]);
}
