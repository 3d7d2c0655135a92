//! Authentication, scopes and rate limits.

use std::time::Duration;

use serde_json::json;
use usher_sandbox::{Faults, Limits, Options};

use crate::api::Api;

#[tokio::test]
async fn tokens_are_wrong_expired_or_lack_scopes() {
    let mut api = Api::start().await;
    let list = "/crm/v3/objects/contacts";
    let right = std::mem::replace(&mut api.token, "wrong".to_owned());
    let wrong = api.get(list).await;
    assert_eq!((wrong.status, &wrong.body["category"]), (401, &json!("INVALID_AUTHENTICATION")));
    let bare = api.client.get(format!("{}{list}", api.sandbox.hubspot_url)).send().await.unwrap();
    assert_eq!(bare.status(), 401);
    api.token = right;
    api.sandbox.set_faults(Faults { expired_token: true, ..Faults::default() });
    let expired = api.get(list).await;
    assert_eq!((expired.status, &expired.body["category"]), (401, &json!("EXPIRED_AUTHENTICATION")));
    api.sandbox.set_faults(Faults::default());

    let read_only = vec!["crm.objects.contacts.read".to_owned()];
    api.sandbox.hubspot().put_token("narrow", Some(read_only), false);
    api.token = "narrow".to_owned();
    assert_eq!(api.get(list).await.status, 200);
    let refused = api.post(list, json!({"properties": {"email": "a@x.example"}})).await;
    assert_eq!((refused.status, &refused.body["category"]), (403, &json!("MISSING_SCOPES")));
    assert_eq!(
        refused.body["errors"][0]["context"]["requiredGranularScopes"],
        json!(["crm.objects.contacts.write"])
    );
    assert_eq!(api.get("/crm/v3/owners").await.status, 403);
    assert_eq!(api.post("/crm/v3/objects/companies/search", json!({})).await.status, 403);
    api.sandbox.set_faults(Faults {
        revoked_scopes: vec!["crm.objects.contacts.read".to_owned()],
        ..Faults::default()
    });
    assert_eq!(api.get(list).await.status, 403);
}

#[tokio::test]
async fn fm_064_each_limit_answers_in_its_own_way() {
    let limits = Limits { per_ten_seconds: 3, per_day: 7, searches_per_second: 2 };
    let api = Api::with(Options { limits: Some(limits), ..Options::default() }).await;
    let list = "/crm/v3/objects/contacts";
    let first = api.get(list).await;
    assert_eq!(first.headers["x-hubspot-ratelimit-max"], "3");
    assert_eq!(first.headers["x-hubspot-ratelimit-remaining"], "2");
    assert_eq!(first.headers["x-hubspot-ratelimit-interval-milliseconds"], "10000");
    assert_eq!(first.headers["x-hubspot-ratelimit-daily-remaining"], "6");
    api.get(list).await;
    api.get(list).await;
    let burst = api.get(list).await;
    assert_eq!((burst.status, &burst.body["policyName"]), (429, &json!("TEN_SECONDLY_ROLLING")));
    assert_eq!(burst.headers["x-hubspot-ratelimit-remaining"], "0");
    for expected in [200, 200, 429] {
        let search = api.search(json!({})).await;
        assert_eq!(search.status, expected);
        assert!(!search.headers.contains_key("x-hubspot-ratelimit-max"));
    }
    api.sandbox.advance(Duration::from_secs(11));
    assert_eq!(api.get(list).await.status, 200);
    assert_eq!(api.search(json!({})).await.status, 200);
    let daily = api.get(list).await;
    assert_eq!((daily.status, &daily.body["policyName"]), (429, &json!("DAILY")));
    api.sandbox.advance(Duration::from_secs(86_400));
    assert_eq!(api.get(list).await.status, 200);
}
