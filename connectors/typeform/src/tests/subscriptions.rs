//! Subscriptions: made once, repaired, strays deleted, others left alone.

use std::sync::Arc;

use serde_json::{Value, json};
use usher_connector::{FaultClass, Subscribed, Subscription};

use super::form::{Form, connect};

const URL: &str = "https://usher.example/hooks/site-form";
const TAG: &str = "usher-0a1b2c3d-site-form";

fn wanted() -> Subscription {
    let wanted = vec![URL.to_owned(), "https://usher.example/hooks/other-form".to_owned()];
    Subscription { url: URL.to_owned(), marker: "usher-0a1b2c3d".to_owned(), wanted }
}

fn webhook(tag: &str, url: &str, enabled: bool) -> (String, Value) {
    (tag.to_owned(), json!({ "tag": tag, "url": url, "enabled": enabled, "verify_ssl": true }))
}

/// As a process that has just started.
async fn ensure(form: &Arc<Form>) -> Subscribed {
    connect(form, &["new", "old"]).subscriber.unwrap().ensure(&wanted()).await.unwrap()
}

fn tags(form: &Form) -> Vec<String> {
    form.webhooks.lock().unwrap().keys().cloned().collect()
}

#[tokio::test]
async fn fm_031_fifty_starts_of_two_racing_nodes_make_one_webhook() {
    let form = Arc::new(Form::new([]));
    for start in 0..50 {
        let (one, two) = tokio::join!(ensure(&form), ensure(&form));
        assert_eq!(one.created || two.created, start == 0);
    }
    assert_eq!(tags(&form), [TAG]);
    let made = form.webhooks.lock().unwrap()[TAG].clone();
    assert_eq!(made, json!({ "url": URL, "enabled": true, "verify_ssl": true, "tag": TAG }));
    assert!(form.secrets.lock().unwrap().iter().all(|secret| secret == "new"), "the first secret signs");
}

#[tokio::test]
async fn fm_031_strays_with_our_marker_go_and_what_others_made_stays() {
    let form = Arc::new(Form::new([]));
    let theirs = [
        webhook("usher-0a1b2c3d-other-form", "https://usher.example/hooks/other-form", true),
        webhook("usher-99999999-site-form", "https://elsewhere.example/hooks/site-form", true),
        webhook("zapier", "https://hooks.zapier.example/1", true),
        webhook("by-hand", URL, true),
    ];
    let strays = [
        webhook("usher-0a1b2c3d-old-name", "https://usher.example/hooks/old-name", true),
        webhook("usher-0a1b2c3d-twice", URL, true),
    ];
    form.webhooks.lock().unwrap().extend(theirs.iter().chain(&strays).cloned());
    assert_eq!(ensure(&form).await, Subscribed { created: true, repaired: false, strays: 2 });
    let mut left: Vec<String> = theirs.iter().map(|(tag, _)| tag.clone()).chain([TAG.to_owned()]).collect();
    left.sort();
    assert_eq!(tags(&form), left);
}

#[tokio::test]
async fn fm_032_a_webhook_that_was_switched_off_moved_or_deleted_is_put_back() {
    let form = Arc::new(Form::new([]));
    let subscriber = connect(&form, &["new"]).subscriber.unwrap();
    let mut done = vec![subscriber.ensure(&wanted()).await.unwrap()];
    let calls = form.calls("").len();
    done.push(subscriber.ensure(&wanted()).await.unwrap());
    assert_eq!(form.calls("").len(), calls + 1, "what is as it should be costs one read");
    for broken in [webhook(TAG, URL, false), webhook(TAG, "https://old.example/hooks/site-form", true)] {
        form.webhooks.lock().unwrap().extend([broken]);
        done.push(subscriber.ensure(&wanted()).await.unwrap());
    }
    form.webhooks.lock().unwrap().clear();
    done.push(subscriber.ensure(&wanted()).await.unwrap());
    let told: Vec<_> = done.iter().map(|done| (done.created, done.repaired)).collect();
    assert_eq!(told, [(true, false), (false, false), (false, true), (false, true), (true, false)]);
    assert_eq!(form.webhooks.lock().unwrap()[TAG], webhook(TAG, URL, true).1);
}

#[tokio::test]
async fn fm_032_a_token_that_may_not_keep_webhooks_is_told_what_it_lacks() {
    let form = Arc::new(Form::new([]));
    form.faults.lock().unwrap().insert(0, (403, "{\"code\":\"FORBIDDEN\"}"));
    let fault = connect(&form, &["new"]).subscriber.unwrap().ensure(&wanted()).await.unwrap_err();
    assert_eq!(fault.class(), FaultClass::Misconfigured);
    assert!(fault.to_string().contains("webhooks:write"), "{fault}");
    assert!(connect(&form, &[]).subscriber.is_some());
}
