//! The switches on the Pipedrive account.

use std::time::Duration;

use serde_json::json;
use usher_sandbox::{Actor, Faults, Span};

use crate::pipedrive::{ANA, BEN, Pipe};

#[tokio::test]
async fn fm_039_a_lost_answer_was_committed() {
    let pipe = Pipe::start().await;
    let body = json!({"name": "Lea", "emails": [{"value": "lost@acme.example"}]});
    pipe.once(Faults { lost_response: 1.0, ..Faults::default() });
    let lost = pipe.try_call("POST", "v2/persons", Some(&body)).await;
    assert!(lost.is_err_and(|error| error.status().is_none()));
    assert_eq!(pipe.sim().count("persons"), 1);
    // Nothing stops a client that tries again: the person is there twice.
    pipe.post("v2/persons", body).await.data();
    let summary = pipe.sim().summary();
    assert_eq!((summary.faults["lost_response"], summary.duplicate_persons), (1, 1));
}

#[tokio::test]
async fn fm_042_a_late_write_lands_after_the_client_looked() {
    let pipe = Pipe::start().await;
    let late_commit_ms = Span(3_600_000, 3_600_000);
    pipe.once(Faults { late_commit: 1.0, late_commit_ms, ..Faults::default() });
    let body = json!({"name": "Lea"});
    assert!(pipe.try_call("POST", "v2/persons", Some(&body)).await.is_err());
    assert!(pipe.get("v2/persons").await.ids().is_empty());
    assert_eq!(pipe.sim().summary().pending, 1);
    pipe.sandbox.advance(Duration::from_secs(3_601));
    assert_eq!(pipe.get("v2/persons").await.ids().len(), 1);
    assert_eq!(pipe.sim().events(0)[0].actor, Actor::Api(0));
}

#[tokio::test]
async fn fm_017_broken_answers_are_broken() {
    let pipe = Pipe::start().await;
    pipe.person("lea@acme.example").await;
    for (faults, status, text) in [
        (Faults { html: 1.0, ..Faults::default() }, 200, "<!DOCTYPE html>"),
        (Faults { truncated: 1.0, ..Faults::default() }, 200, "{\"success\""),
        (Faults { blocked: 1.0, ..Faults::default() }, 403, "<!DOCTYPE html>"),
    ] {
        pipe.once(faults);
        let answer = pipe.get("v2/persons").await;
        assert!(
            answer.status == status && answer.body.as_str().unwrap().starts_with(text),
            "{}",
            answer.body
        );
    }
    pipe.once(Faults { server_error: 1.0, ..Faults::default() });
    assert!([502, 503].contains(&pipe.get("v2/persons").await.status));
    pipe.once(Faults { server_error_after_commit: 1.0, ..Faults::default() });
    assert_eq!(pipe.post("v2/persons", json!({"name": "Max"})).await.status, 504);
    assert_eq!(pipe.get("v2/persons").await.ids().len(), 2);
    pipe.once(Faults { unpaid: 1.0, ..Faults::default() });
    assert_eq!(pipe.get("v2/persons").await.status, 402);
    let daily = Faults { throttle_daily: 1.0, only_paths: vec!["persons".to_owned()], ..Faults::default() };
    pipe.once(daily);
    assert_eq!(pipe.get("v2/deals").await.status, 200);
    pipe.get("v2/persons").await.refused(429, "Daily");
    pipe.once(Faults { throttle_burst: 1.0, ..Faults::default() });
    pipe.get("v2/persons").await.refused(429, "Rate limit");
    pipe.once(Faults { throttle_search: 1.0, ..Faults::default() });
    assert_eq!(pipe.get("v2/persons").await.status, 200);
    pipe.get("v2/persons/search?term=lea").await.refused(429, "Rate limit");
}

#[tokio::test]
async fn pages_come_out_of_order_and_repeat_rows() {
    let pipe = Pipe::start().await;
    for n in 0..60 {
        pipe.person(&format!("p{n}@acme.example")).await;
    }
    pipe.once(Faults { shuffled: 1.0, ..Faults::default() });
    let shuffled = pipe.get("v2/persons").await.ids();
    let plain = pipe.get("v2/persons").await.ids();
    assert!(shuffled != plain && shuffled.len() > plain.len());
    assert!(plain.iter().all(|id| shuffled.contains(id)));
}

#[tokio::test]
async fn people_and_workflows_come_between() {
    let pipe = Pipe::start().await;
    let person = pipe.person("lea@acme.example").await;
    let path = format!("v2/persons/{person}");
    let now = Span(0, 0);
    let owner = |faults: Faults, id: u64| {
        pipe.once(Faults { aftermath_ms: now, ..faults });
        let (path, pipe) = (path.clone(), &pipe);
        async move {
            pipe.patch(&path, json!({"owner_id": id})).await.data();
            pipe.get(&path).await.data()["owner_id"].as_u64().unwrap()
        }
    };
    assert_eq!(owner(Faults { drop_owner: 1.0, ..Faults::default() }, ANA).await, 1);
    assert_eq!(owner(Faults { peer_automation: 1.0, ..Faults::default() }, ANA).await, 1);
    assert_ne!(owner(Faults { human_edit: 1.0, ..Faults::default() }, ANA).await, ANA);
    assert_eq!(owner(Faults { human_first: 1.0, ..Faults::default() }, BEN).await, BEN);
    let actors: Vec<Actor> = pipe.sim().events(0).iter().map(|event| event.actor).collect();
    let api = Actor::Api(0);
    assert_eq!(actors, [api, api, Actor::Workflow, api, Actor::Human, Actor::Human, api]);
    pipe.once(Faults { archive: 1.0, aftermath_ms: now, ..Faults::default() });
    pipe.patch(&path, json!({"name": "Lea L"})).await.data();
    assert!(pipe.get("v2/persons").await.ids().is_empty());
    let keep = pipe.person("keep@acme.example").await;
    pipe.once(Faults { merge: 1.0, aftermath_ms: now, ..Faults::default() });
    let gone = pipe.person("gone@acme.example").await;
    assert_eq!(pipe.get("v2/persons").await.ids(), [keep]);
    assert_eq!(pipe.sim().read("persons", gone).unwrap()["id"], keep);
}

#[tokio::test]
async fn other_processes_do_the_same_over_http() {
    let pipe = Pipe::start().await;
    let control = format!("{}/_sandbox/pipedrive", pipe.sandbox.hubspot_url);
    let call = |method: &str, path: &str, body: String| {
        let request = pipe.client.request(method.parse().unwrap(), format!("{control}/{path}")).body(body);
        async move {
            let answer = request.send().await.unwrap();
            assert_eq!(answer.status(), 200);
            answer.json::<serde_json::Value>().await.unwrap()
        }
    };
    let lines = [
        json!({"user": {"id": 20, "name": "Cleo", "email": "cleo@agency.example"}}),
        json!({"field_of": "persons", "field": {"name": "Usher", "type": "varchar", "key": "a".repeat(40)}}),
        json!({"object": "persons", "id": 7, "fields": {"name": "Lea", "owner_id": 20}, "custom_fields": {"a".repeat(40): "x"}}),
        json!({"object": "leads", "fields": {"title": "SEO", "person_id": 7}}),
    ];
    let text: Vec<String> = lines.iter().map(ToString::to_string).collect();
    assert_eq!(call("POST", "seed", text.join("\n")).await["records"], 2);
    assert_eq!(pipe.get("v2/persons/7").await.data()["custom_fields"]["a".repeat(40)], "x");
    assert_eq!(
        call("PATCH", "objects/persons/7", json!({"fields": {"owner_id": ANA}}).to_string()).await["changed"],
        true
    );
    let events = call("GET", "oracle?after=2", String::new()).await;
    assert_eq!(
        (&events["events"][0]["object"], &events["events"][0]["new_owner"]),
        (&json!("persons"), &json!("11"))
    );
    assert_eq!(events["next"], 3);
    let lead = pipe.get("v1/leads").await.data()[0]["id"].as_str().unwrap().to_owned();
    assert_eq!(call("DELETE", &format!("objects/leads/{lead}"), String::new()).await["deleted"], true);
    let all = call("GET", "oracle", String::new()).await;
    assert_eq!(all["events"][3]["id"], lead.as_str());
    assert_eq!(call("GET", "summary", String::new()).await["objects"]["persons"]["live"], 1);
    let error = pipe.sim().seed("{\"object\":\"persons\",\"fields\":{\"nmae\":1}}").unwrap_err();
    assert!(error.to_string().contains("line 1"), "{error}");
}

#[tokio::test]
async fn on_a_rough_day_the_oracle_still_adds_up() {
    let pipe = Pipe::start().await;
    pipe.sandbox.set_faults(Faults {
        slow_ms: Span(0, 1),
        late_commit_ms: Span(0, 5),
        aftermath_ms: Span(0, 5),
        only_paths: vec!["persons".to_owned()],
        ..Faults::rough()
    });
    let mut confirmed = 0;
    for n in 0..300 {
        let body =
            json!({"name": "Lea", "owner_id": ANA, "emails": [{"value": format!("p{n}@acme.example")}]});
        let made = pipe.try_call("POST", "v2/persons", Some(&body)).await;
        confirmed += usize::from(made.is_ok_and(|made| made.body["data"]["id"].is_u64()));
    }
    pipe.sandbox.set_faults(Faults::default());
    pipe.sandbox.advance(Duration::from_secs(10));
    let summary = pipe.sim().summary();
    let persons = &summary.objects["persons"];
    assert_eq!(persons.created_by_api, persons.live + persons.archived + persons.merged);
    // Some were written although nobody heard of it, and some were not written at all.
    assert!(confirmed < persons.created_by_api && persons.created_by_api < 300, "{confirmed} {persons:?}");
    assert_eq!(
        pipe.sim().events(0).iter().filter(|event| event.actor == Actor::Api(0)).count(),
        persons.created_by_api
    );
    for fault in ["server_error", "lost_response", "late_commit", "throttle_burst", "truncated", "html"] {
        assert!(summary.faults.contains_key(fault), "{fault}");
    }
}
