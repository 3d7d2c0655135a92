//! The switches, and what the oracle says of them.

use std::time::Duration;

use serde_json::json;
use usher_sandbox::{Actor, Faults, Options, Span};

use crate::api::{ANA, Api, BEN, map};

fn switch(faults: Faults) -> Faults {
    Faults { times: Some(1), ..faults }
}

#[tokio::test]
async fn fm_039_a_lost_response_was_committed() {
    let api = Api::start().await;
    api.sandbox.set_faults(switch(Faults { lost_response: 1.0, ..Faults::default() }));
    let body = json!({"properties": {"email": "lost@x.example"}});
    let lost = api.try_call("POST", "/crm/v3/objects/contacts", Some(&body)).await;
    assert!(lost.is_err_and(|error| error.status().is_none()));
    assert_eq!(api.sandbox.hubspot().count("contacts"), 1);
    let again = api.call("POST", "/crm/v3/objects/contacts", Some(&body)).await;
    assert_eq!(again.status, 409);
    let summary = api.sandbox.hubspot().summary();
    assert_eq!(summary.faults["lost_response"], 1);
    assert_eq!(summary.duplicate_persons, 0);
    assert_eq!(api.sandbox.hubspot().fired()[0].fault, "lost_response");
}

#[tokio::test]
async fn fm_042_a_late_write_lands_after_the_client_looked() {
    let api = Api::start().await;
    api.sandbox.set_faults(switch(Faults {
        late_commit: 1.0,
        late_commit_ms: Span(3_600_000, 3_600_000),
        ..Faults::default()
    }));
    let body = json!({"properties": {"email": "late@x.example"}});
    assert!(api.try_call("POST", "/crm/v3/objects/contacts", Some(&body)).await.is_err());
    let path = "/crm/v3/objects/contacts/late@x.example?idProperty=email";
    assert_eq!(api.get(path).await.status, 404);
    assert_eq!(api.sandbox.hubspot().summary().pending, 1);
    api.sandbox.advance(Duration::from_secs(3_601));
    assert_eq!(api.get(path).await.status, 200);
    let events = api.sandbox.hubspot().events(0);
    assert_eq!((events.len(), events[0].actor), (1, Actor::Api(0)));
}

#[tokio::test]
async fn fm_017_broken_answers_are_broken() {
    let api = Api::start().await;
    for email in ["1@x.example", "2@x.example"] {
        api.contact(json!({ "email": email })).await;
    }
    let list = "/crm/v3/objects/contacts";
    api.sandbox.set_faults(switch(Faults { html: 1.0, ..Faults::default() }));
    let html = api.get(list).await;
    assert_eq!(html.status, 200);
    assert!(html.body.as_str().unwrap().starts_with("<!DOCTYPE html>"));
    api.sandbox.set_faults(switch(Faults { truncated: 1.0, ..Faults::default() }));
    let cut = api.get(list).await;
    assert!(cut.status == 200 && cut.body.as_str().unwrap().starts_with("{\"results\""));
    api.sandbox.set_faults(switch(Faults { server_error: 1.0, ..Faults::default() }));
    assert!([502, 503].contains(&api.get(list).await.status));
    api.sandbox.set_faults(switch(Faults { server_error_after_commit: 1.0, ..Faults::default() }));
    let timeout = api.post(list, json!({"properties": {"email": "504@x.example"}})).await;
    assert_eq!((timeout.status, api.sandbox.hubspot().count("contacts")), (504, 3));
    assert_eq!(api.get(list).await.status, 200);
}

#[tokio::test]
async fn each_kind_of_429_has_its_body() {
    let api = Api::start().await;
    let list = "/crm/v3/objects/contacts";
    api.sandbox.set_faults(switch(Faults { throttle_burst: 1.0, ..Faults::default() }));
    let burst = api.get(list).await;
    assert_eq!((burst.status, &burst.body["policyName"]), (429, &json!("TEN_SECONDLY_ROLLING")));
    assert_eq!(burst.body["message"], "You have reached your ten_secondly_rolling limit.");
    assert_eq!(burst.body["errorType"], "RATE_LIMIT");
    api.sandbox.set_faults(switch(Faults { throttle_daily: 1.0, ..Faults::default() }));
    assert_eq!(api.get(list).await.body["policyName"], "DAILY");
    api.sandbox.set_faults(switch(Faults { throttle_search: 1.0, ..Faults::default() }));
    assert_eq!(api.get(list).await.status, 200);
    let search = api.search(json!({})).await;
    assert_eq!(
        (search.status, &search.body["message"]),
        (429, &json!("You have reached your secondly limit."))
    );
}

#[tokio::test]
async fn somebody_else_can_be_first() {
    let api = Api::start().await;
    api.sandbox.set_faults(switch(Faults { conflict: 1.0, ..Faults::default() }));
    let body = json!({"properties": {"email": "race@x.example", "hubspot_owner_id": ANA.to_string()}});
    let lost = api.post("/crm/v3/objects/contacts", body).await;
    assert_eq!(lost.status, 409);
    let read = api.get("/crm/v3/objects/contacts/race@x.example?idProperty=email&properties=hs_object_source,hubspot_owner_id").await;
    assert_eq!(read.body["properties"]["hs_object_source"], "FORM");
    assert!(read.body["properties"]["hubspot_owner_id"].is_null());
}

#[tokio::test]
async fn fm_044_rows_fail_or_go_missing_in_a_batch() {
    let api = Api::start().await;
    let id = api.contact(json!({"email": "row@x.example"})).await;
    let update = json!({"inputs": [{"id": id, "properties": {"jobtitle": "CTO"}}]});
    let path = "/crm/v3/objects/contacts/batch/update";
    api.sandbox.set_faults(switch(Faults { partial_row: 1.0, ..Faults::default() }));
    let failed = api.post(path, update.clone()).await;
    assert_eq!((failed.status, &failed.body["errors"][0]["category"]), (207, &json!("INTERNAL_ERROR")));
    assert!(
        api.sandbox.hubspot().read("contacts", id.parse().unwrap()).unwrap()["properties"]
            .get("jobtitle")
            .is_none()
    );
    api.sandbox.set_faults(switch(Faults { missing_row: 1.0, ..Faults::default() }));
    let missing = api.post(path, update).await;
    assert_eq!((missing.status, &missing.body["results"]), (200, &json!([])));
    assert_eq!(
        api.sandbox.hubspot().read("contacts", id.parse().unwrap()).unwrap()["properties"]["jobtitle"],
        "CTO"
    );
}

#[tokio::test]
async fn people_and_workflows_change_what_was_written_and_the_oracle_knows_who() {
    let api = Api::start().await;
    let own = |id: &str| format!("/crm/v3/objects/contacts/{id}");
    let ana = json!({"properties": {"hubspot_owner_id": ANA.to_string()}});
    let mut stories = Vec::new();
    for faults in [
        Faults { human_edit: 1.0, ..Faults::default() },
        Faults { peer_automation: 1.0, ..Faults::default() },
        Faults { drop_owner: 1.0, ..Faults::default() },
        Faults { archive: 1.0, ..Faults::default() },
        Faults::default(),
    ] {
        let id = api.contact(json!({"email": format!("p{}@x.example", stories.len())})).await;
        api.sandbox.set_faults(switch(Faults { aftermath_ms: Span(5_000, 5_000), ..faults }));
        assert_eq!(api.patch(&own(&id), ana.clone()).await.status, 200);
        api.sandbox.set_faults(Faults::default());
        stories.push(id);
    }
    api.sandbox.advance(Duration::from_secs(6));
    let all = api.sandbox.hubspot().ownership();
    let of = |at: usize| all.iter().find(|owned| owned.id.to_string() == stories[at]);
    assert_eq!(
        of(0).map(|o| (o.owner, o.api_owner, o.changed_later_by)),
        Some((BEN, Some(ANA), Some(Actor::Human)))
    );
    assert_eq!(of(1).map(|o| (o.owner, o.changed_later_by)), Some((0, Some(Actor::Workflow))));
    assert_eq!(of(2).map(|o| (o.owner, o.api_owner)), Some((0, None)));
    assert_eq!(of(3), None);
    assert_eq!(of(4).map(|o| (o.owner, o.changed_later_by)), Some((ANA, None)));
    let summary = api.sandbox.hubspot().summary();
    assert_eq!((summary.owners_set, summary.owners_changed_later, summary.owners_lost), (3, 2, 0));
}

#[tokio::test]
async fn fm_054_hubspot_makes_a_company_by_itself_and_once() {
    let api = Api::start().await;
    api.sandbox.set_faults(Faults { auto_company: 1.0, aftermath_ms: Span(0, 0), ..Faults::default() });
    for email in ["a@acme.example", "b@acme.example", "c@gmail.com"] {
        api.contact(json!({ "email": email })).await;
    }
    api.sandbox.advance(Duration::from_secs(1));
    assert_eq!(api.sandbox.hubspot().count("companies"), 1);
    assert_eq!(api.sandbox.hubspot().associated("contacts", 102, "companies"), [101]);
}

#[tokio::test]
async fn duplicate_tasks_and_persons_are_counted() {
    let api = Api::start().await;
    let (a, b) = (
        api.contact(json!({"email": "a@x.example"})).await,
        api.contact(json!({"email": "b@x.example"})).await,
    );
    for contact in [&a, &a, &b] {
        assert_eq!(api.task(contact, "Call <b>now</b>\nusher:same").await.status, 201);
    }
    api.task(&a, "usher:other").await;
    api.sandbox.hubspot().create("contacts", &map(&json!({"email": " A@x.example"})), "IMPORT").unwrap();
    let summary = api.sandbox.hubspot().summary();
    assert_eq!((summary.tasks_created, summary.duplicate_tasks), (4, 1));
    assert_eq!(summary.duplicate_task_list[0].ids.len(), 2);
    assert_eq!((summary.duplicate_persons, summary.tasks_without_contact), (1, 0));
    assert_eq!(summary.objects["contacts"].created_by_api, 2);
    assert_eq!(summary.objects["contacts"].created_by_others, 1);
}

#[tokio::test]
async fn the_same_seed_gives_the_same_run() {
    let run = async || {
        let faults = Faults { conflict: 0.3, lost_response: 0.2, ..Faults::default() };
        let options = Options { limits: None, seed: 42, faults, ..Options::default() };
        let api = Api::with(options).await;
        for n in 0..40 {
            let body = json!({"properties": {"email": format!("{n}@x.example")}});
            let _ = api.try_call("POST", "/crm/v3/objects/contacts", Some(&body)).await;
        }
        api.sandbox
            .hubspot()
            .fired()
            .into_iter()
            .map(|fired| (fired.fault, fired.correlation))
            .collect::<Vec<_>>()
    };
    let first = run().await;
    assert!(first.len() > 5);
    assert_eq!(first, run().await);
}

#[tokio::test]
async fn switches_can_be_aimed_at_paths() {
    let api = Api::start().await;
    api.sandbox.set_faults(Faults {
        server_error: 1.0,
        only_paths: vec!["/tasks".to_owned()],
        ..Faults::default()
    });
    let id = api.contact(json!({"email": "aim@x.example"})).await;
    assert!(api.task(&id, "usher").await.status >= 502);
}

#[tokio::test]
async fn locks_and_moves_have_their_own_statuses_and_do_nothing() {
    let api = Api::start().await;
    let body = json!({"properties": {"email": "locked@x.example"}});
    for (faults, status) in [
        (Faults { locked: 1.0, ..Faults::default() }, 423),
        (Faults { moving: 1.0, ..Faults::default() }, 477),
    ] {
        api.sandbox.set_faults(switch(faults));
        let answer = api.call("POST", "/crm/v3/objects/contacts", Some(&body)).await;
        assert_eq!(answer.status, status);
        assert_eq!(answer.headers.contains_key("retry-after"), status == 477);
        assert_eq!(api.sandbox.hubspot().count("contacts"), 0);
    }
}

#[tokio::test]
async fn fm_015_a_shuffled_page_holds_the_same_rows_and_some_twice() {
    let api = Api::start().await;
    for n in 0..120 {
        let contact = map(&json!({"email": format!("c{n}@x.example")}));
        api.sandbox.hubspot().create("contacts", &contact, "CRM_UI").unwrap();
    }
    let search = json!({"limit": 100, "sorts": [{"propertyName": "hs_object_id", "direction": "ASCENDING"}]});
    let ids = async || {
        let answer = api.call("POST", "/crm/v3/objects/contacts/search", Some(&search)).await;
        assert_eq!(answer.body["paging"]["next"]["after"], "100");
        let rows = answer.body["results"].as_array().unwrap().clone();
        rows.iter().map(|row| row["id"].as_str().unwrap().parse::<u64>().unwrap()).collect::<Vec<_>>()
    };
    let tidy = ids().await;
    assert!(tidy.is_sorted());
    api.sandbox.set_faults(Faults { shuffled: 1.0, ..Faults::default() });
    let mut untidy = ids().await;
    assert!(!untidy.is_sorted() && untidy.len() > 100);
    untidy.sort_unstable();
    untidy.dedup();
    assert_eq!(untidy, tidy);
}
