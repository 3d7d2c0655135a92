//! Search: operators, limits, paging, lag, ties.

use std::time::Duration;

use serde_json::{Value, json};
use usher_sandbox::{Faults, Span};

use crate::api::{Api, ids};

fn seed(count: usize) -> String {
    (0..count)
        .map(|n| {
            let at = 1_700_000_000_000_i64 + i64::try_from(n / 3).unwrap() * 10;
            json!({"object": "contacts", "createdAt": at, "updatedAt": at, "source": "FORM",
                "properties": {"email": format!("p{n}@x.example"), "firstname": format!("Name {n}"),
                    "jobtitle": (n % 2 == 0).then_some("CTO"), "hs_lead_status": "NEW"}})
            .to_string()
                + "\n"
        })
        .collect()
}

fn one(property: &str, operator: &str, value: Value) -> Value {
    let key = if value.is_array() { "values" } else { "value" };
    let mut filter = json!({"propertyName": property, "operator": operator});
    if !value.is_null() {
        filter[key] = value;
    }
    json!({"filterGroups": [{"filters": [filter]}], "limit": 200})
}

#[tokio::test]
async fn every_operator_selects_what_it_should() {
    let api = Api::start().await;
    api.sandbox.hubspot().seed(&seed(12)).unwrap();
    let base = 1_700_000_000_000_i64;
    for (filter, expected) in [
        (one("email", "EQ", json!("P3@X.example")), 1),
        (one("email", "NEQ", json!("p3@x.example")), 11),
        (one("jobtitle", "HAS_PROPERTY", Value::Null), 6),
        (one("jobtitle", "NOT_HAS_PROPERTY", Value::Null), 6),
        (one("jobtitle", "EQ", json!("cto")), 6),
        // Enumerations are case-sensitive.
        (one("hs_lead_status", "EQ", json!("new")), 0),
        (one("hs_lead_status", "EQ", json!("NEW")), 12),
        // IN needs lower case: "CTO" finds nothing although the value is exactly that.
        (one("jobtitle", "IN", json!(["CTO"])), 0),
        (one("jobtitle", "IN", json!(["cto", "ceo"])), 6),
        (one("firstname", "NOT_IN", json!(["name 1", "name 2"])), 10),
        (one("firstname", "CONTAINS_TOKEN", json!("11")), 1),
        (one("firstname", "NOT_CONTAINS_TOKEN", json!("name")), 0),
        (one("email", "CONTAINS_TOKEN", json!("*@x.example")), 12),
        (one("lastmodifieddate", "GT", json!((base).to_string())), 9),
        (one("lastmodifieddate", "GTE", json!((base).to_string())), 12),
        (one("lastmodifieddate", "LT", json!((base + 10).to_string())), 3),
        (one("lastmodifieddate", "LTE", json!((base + 10).to_string())), 6),
        (one("lastmodifieddate", "EQ", json!((base + 10).to_string())), 3),
        (one("createdate", "NEQ", json!((base + 10).to_string())), 9),
        (one("hs_object_id", "GT", json!("106")), 6),
    ] {
        let found = api.search(filter.clone()).await;
        assert_eq!(found.status, 200, "{filter} {}", found.body);
        assert_eq!(found.body["total"], expected, "{filter}");
        assert_eq!(found.body["results"].as_array().unwrap().len(), expected, "{filter}");
    }
    let between = json!({"filterGroups": [{"filters": [{"propertyName": "lastmodifieddate", "operator": "BETWEEN",
        "value": base.to_string(), "highValue": (base + 10).to_string()}]}]});
    assert_eq!(api.search(between).await.body["total"], 6);
    assert_eq!(api.search(json!({"query": "name 7"})).await.body["total"], 1);
    let groups = json!({"filterGroups": [
        {"filters": [{"propertyName": "email", "operator": "EQ", "value": "p1@x.example"}]},
        {"filters": [{"propertyName": "email", "operator": "EQ", "value": "p2@x.example"},
            {"propertyName": "jobtitle", "operator": "HAS_PROPERTY"}]},
        {"filters": [{"propertyName": "email", "operator": "EQ", "value": "p5@x.example"},
            {"propertyName": "jobtitle", "operator": "HAS_PROPERTY"}]}]});
    assert_eq!(api.search(groups).await.body["total"], 2);
}

#[tokio::test]
async fn requests_beyond_the_limits_are_400() {
    let api = Api::start().await;
    let filter = json!({"propertyName": "email", "operator": "HAS_PROPERTY"});
    let group = |count: usize| json!({"filters": vec![filter.clone(); count]});
    for body in [
        json!({"limit": 201}),
        json!({"after": "ten"}),
        json!({"after": "9900", "limit": 101}),
        json!({"sorts": ["email", "firstname"]}),
        json!({"filterGroups": vec![group(1); 6]}),
        json!({"filterGroups": [group(7)]}),
        json!({"filterGroups": [group(6), group(6), group(6), group(1)]}),
        json!({"query": "x".repeat(3_000)}),
        one("email", "LIKE", json!("x")),
        one("nope", "EQ", json!("x")),
        one("lastmodifieddate", "GT", json!("2026-01-01T00:00:00Z")),
        one("email", "IN", json!("x")),
    ] {
        let refused = api.search(body.clone()).await;
        assert_eq!((refused.status, &refused.body["status"]), (400, &json!("error")), "{body}");
    }
    assert_eq!(api.search(json!({"after": "9900", "limit": 100})).await.status, 200);
}

/// Windows, keysets and offsets give the same rows as the plain truth, in both directions.
#[tokio::test]
async fn fm_001_paging_is_exact_up_to_the_cap_and_ends_there() {
    let api = Api::start().await;
    api.sandbox.hubspot().seed(&seed(700)).unwrap();
    api.sandbox.set_faults(Faults { search_cap: Some(500), ..Faults::default() });
    for direction in ["ASCENDING", "DESCENDING"] {
        let (mut seen, mut after) = (Vec::new(), json!(null));
        let refused = loop {
            let page = api
                .search(json!({"filters": [{"propertyName": "lastmodifieddate", "operator": "GTE", "value": "0"}],
                    "sorts": [{"propertyName": "lastmodifieddate", "direction": direction}], "limit": 100, "after": after}))
                .await;
            if page.status != 200 {
                break page;
            }
            assert_eq!(page.body["total"], 700);
            seen.extend(ids(&page.body["results"]));
            after = page.body["paging"]["next"]["after"].clone();
            assert!(after.is_string(), "the cap must come before the last page");
        };
        assert_eq!((refused.status, seen.len()), (400, 500));
        let mut distinct = seen.clone();
        distinct.sort();
        distinct.dedup();
        assert_eq!(distinct.len(), 500);
    }
    // The rest by a keyset of two disjoint groups: later stamps, or this stamp and a higher id.
    let stamp = 1_700_000_000_000_i64 + 1_660;
    let body = json!({"filterGroups": [
        {"filters": [{"propertyName": "lastmodifieddate", "operator": "GT", "value": stamp.to_string()}]},
        {"filters": [{"propertyName": "lastmodifieddate", "operator": "EQ", "value": stamp.to_string()},
            {"propertyName": "hs_object_id", "operator": "GT", "value": "600"}]}],
        "sorts": ["lastmodifieddate"], "limit": 200});
    let page = api.search(body).await;
    // Rows 498, 499 and 500 (ids 599 to 601) carry the stamp, 199 rows a later one.
    assert_eq!(page.body["total"], 200);
    assert_eq!(ids(&page.body["results"])[0], "601");
}

#[tokio::test]
async fn fm_004_changes_reach_search_after_the_lag_but_reads_at_once() {
    let api = Api::start().await;
    api.sandbox.set_faults(Faults { index_lag_ms: Span(60_000, 60_000), ..Faults::default() });
    let id = api.contact(json!({"email": "lag@x.example", "firstname": "Old"})).await;
    let by_mail = one("email", "EQ", json!("lag@x.example"));
    assert_eq!(api.search(by_mail.clone()).await.body["total"], 0);
    assert_eq!(api.get(&format!("/crm/v3/objects/contacts/{id}")).await.status, 200);
    api.sandbox.advance(Duration::from_secs(61));
    assert_eq!(api.search(by_mail).await.body["total"], 1);

    api.patch(&format!("/crm/v3/objects/contacts/{id}"), json!({"properties": {"firstname": "New"}})).await;
    assert_eq!(api.search(one("firstname", "EQ", json!("new"))).await.body["total"], 0);
    let stale = api.search(one("firstname", "EQ", json!("old"))).await;
    assert_eq!(stale.body["results"][0]["properties"]["firstname"], "Old");
    api.sandbox.advance(Duration::from_secs(61));
    assert_eq!(api.search(one("firstname", "EQ", json!("new"))).await.body["total"], 1);

    api.call("DELETE", &format!("/crm/v3/objects/contacts/{id}"), None).await;
    assert_eq!(api.search(json!({})).await.body["total"], 0);
}

#[tokio::test]
async fn fm_002_ties_share_a_stamp_and_come_in_storage_order() {
    let api = Api::start().await;
    api.sandbox.set_faults(Faults { ties_ms: 86_400_000, ..Faults::default() });
    for n in 0..10 {
        api.contact(json!({"email": format!("t{n}@x.example")})).await;
    }
    let found = api.search(json!({"sorts": ["lastmodifieddate"], "limit": 100})).await;
    let stamps: Vec<&Value> =
        found.body["results"].as_array().unwrap().iter().map(|row| &row["updatedAt"]).collect();
    assert!(stamps.windows(2).all(|pair| pair[0] == pair[1]));
    let order = ids(&found.body["results"]);
    let mut sorted = order.clone();
    sorted.sort();
    assert_ne!(order, sorted);
}

#[tokio::test]
async fn activities_are_found_by_their_contact() {
    let api = Api::start().await;
    let contact = api.contact(json!({"email": "act@x.example"})).await;
    api.task(&contact, "usher:1").await;
    let body = json!({"filters": [{"propertyName": "associations.contact", "operator": "EQ", "value": contact}],
        "properties": ["hs_task_body"]});
    let found = api.post("/crm/objects/2026-09/tasks/search", body).await;
    assert_eq!(found.body["results"][0]["properties"]["hs_task_body"], "usher:1");
}
