//! The whole program with Pipedrive as CRM: what a form lead comes to there, on good days and bad ones.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use usher_sandbox::{Actor, Faults, PipedriveSim, PipedriveUser, Span};

use crate::installation::{Installation, object as object_of, text, until};

/// The usual installation with another CRM, which keeps its real limits.
pub(crate) async fn installation(settle: &str) -> Installation {
    let installation = Installation::with(
        "live",
        &format!("write: {{ settle: {settle}, treat_as_unowned: [admin@agency.example] }}"),
    )
    .await;
    let crm = installation.sandbox.pipedrive();
    for (id, first) in [(101, "Ana"), (102, "Ben"), (103, "Carla")] {
        crm.put_user(PipedriveUser {
            id,
            name: format!("{first} Example"),
            email: format!("{}@agency.example", first.to_lowercase()),
            active: true,
            deleted: false,
            timezone: "Europe/Berlin".to_owned(),
            role_id: 1,
            admin: false,
        });
    }
    for (name, kind) in [("Usher key", "varchar"), ("Need", "varchar")] {
        let field = json!({ "field_of": "persons", "field": { "name": name, "type": kind } });
        crm.seed(&field.to_string()).unwrap();
    }
    let address = format!("    base_url: {}\n", installation.sandbox.hubspot_url);
    let there = format!("    base_url: {}\n", installation.sandbox.pipedrive_url);
    installation.edit("usher.yaml", &address, &there);
    installation.edit("usher.yaml", "hubspot-main", "pipedrive-main");
    installation.edit(
        "usher.yaml",
        "    connector: hubspot\n",
        "    connector: pipedrive\n    persons: { marker: Usher key, fields: { service_line: Need } }\n",
    );
    installation.edit(
        "usher.yaml",
        "    limits: off\n    pull: { objects: [contacts], every: 1s }",
        "    limits: { share: 100% }\n    pull: { objects: [persons], every: 2s }",
    );
    let public = format!("http: {{ public_url: \"http://127.0.0.1:{}\",", installation.port);
    installation.edit("usher.yaml", "http: {", &public);
    installation.write("crm.token", "pipedrive-sandbox");
    installation
}

fn persons_with(crm: &PipedriveSim, email: &str) -> Vec<u64> {
    let all = crm.ownership("persons").into_iter();
    all.filter(|person| person.email.as_deref() == Some(email)).map(|person| person.id).collect()
}

fn activities(crm: &PipedriveSim, person: u64) -> Vec<Value> {
    let all = crm.ids("activities").into_iter().filter_map(|id| crm.read("activities", id));
    all.filter(|activity| activity["person_id"] == person).collect()
}

/// The same, where such objects carry owner and task; what carries them is pulled.
pub(crate) async fn carried(by: &str) -> Installation {
    let installation = installation("6s").await;
    installation.edit(
        "usher.yaml",
        "    connector: pipedrive\n",
        &format!("    connector: pipedrive\n    {by}\n"),
    );
    installation.edit("usher.yaml", "pull: { objects: [persons], every: 2s }", "pull: { every: 2s }");
    installation
}

/// What programs made of leads or deals, and what people did.
fn made(crm: &PipedriveSim, object: &str, by_program: bool) -> Vec<Value> {
    let all = crm.ids(object).into_iter().filter_map(|id| crm.read(object, id));
    all.filter(|row| (row["origin"] == "API") == by_program).collect()
}

/// The open activities about that lead or deal.
fn about(crm: &PipedriveSim, field: &str, id: &Value) -> Vec<Value> {
    let all = crm.ids("activities").into_iter().filter_map(|id| crm.read("activities", id));
    all.filter(|activity| activity[field] == *id).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_form_lead_becomes_a_lead_with_owner_and_activity_and_so_does_what_people_enter() {
    for (object, by) in [("leads", "object: leads"), ("deals", "object: deals")] {
        let field = format!("{}_id", object.trim_end_matches('s'));
        let installation = carried(by).await;
        let checked = installation.run(&["check", "--online"]).await;
        assert!(checked.status.success(), "{}", text(&checked.stderr));
        let said = text(&checked.stderr);
        assert!(said.contains(&format!("carried by {object}")), "{said}");
        let crm = installation.sandbox.pipedrive();
        let daemon = installation.start().await;
        until("the webhook is made", async || crm.webhooks().len() == 1).await;
        installation.submit("ana@acme.example", "Ana Cruz");
        installation.drained(1).await;
        let persons = persons_with(&crm, "ana@acme.example");
        let ours = made(&crm, object, true);
        assert_eq!((persons.len(), ours.len()), (1, 1));
        assert_eq!(ours[0]["person_id"], json!(persons[0]));
        let owner = ours[0]["owner_id"].as_u64().unwrap();
        assert!([101, 102].contains(&owner), "{ours:?}");
        let tasks = about(&crm, &field, &ours[0]["id"]);
        assert_eq!(tasks.len(), 1, "{object}");
        assert_eq!((&tasks[0]["owner_id"], &tasks[0]["person_id"]), (&json!(owner), &json!(persons[0])));

        // Somebody enters a person and an inquiry at Pipedrive.
        let person = json!({ "name": "Zoe Late", "emails": [{ "value": "zoe@late.example", "primary": true, "label": "work" }] });
        let none = object_of(json!({}));
        let person = crm.create("persons", &object_of(person), &none, Actor::Human).unwrap();
        let entered = object_of(json!({ "title": "SEO for Late", "person_id": person }));
        let entered = crm.create(object, &entered, &none, Actor::Human).unwrap();
        installation.drained(2).await;
        let shown = crm.read(object, entered).unwrap();
        let owner = shown["owner_id"].as_u64().unwrap();
        assert!([101, 102].contains(&owner), "{shown}");
        let tasks = about(&crm, &field, &shown["id"]);
        assert_eq!((tasks.len(), &tasks[0]["owner_id"]), (1, &json!(owner)));
        assert_eq!(
            (made(&crm, object, true).len(), made(&crm, object, false).len()),
            (1, 1),
            "none was made for it"
        );
        assert_eq!(persons_with(&crm, "zoe@late.example"), [person]);

        // Our own writes and reads come back by webhook and poll, and open nothing.
        crm.delete(object, entered).unwrap();
        until("the deletion has come", async || {
            let status = installation.json(&["status"]).await;
            status["records"]["ignored"].as_u64().is_some_and(|ignored| ignored >= 2)
        })
        .await;
        let status = installation.json(&["status"]).await;
        assert_eq!(
            (&status["leads"]["closed:written"], &status["records"]["opened"]),
            (&json!(2), &json!(2)),
            "{status}"
        );
        let summary = crm.summary();
        assert_eq!((summary.duplicate_persons, summary.duplicate_tasks), (0, 0));
        assert_eq!(daemon.stop(), Some(0));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_entered_by_hand_and_comes_by_a_form_at_once_gets_one_lead_or_deal() {
    for (object, by) in [("leads", "object: leads"), ("deals", "object: deals")] {
        let field = format!("{}_id", object.trim_end_matches('s'));
        let installation = carried(by).await;
        // So that no poll shows what is entered.
        installation.edit("usher.yaml", "pull: { every: 2s }", "pull: { objects: [persons], every: 2s }");
        let crm = installation.sandbox.pipedrive();
        let none = object_of(json!({}));
        let create =
            |of: &str, fields: Value| crm.create(of, &object_of(fields), &none, Actor::Human).unwrap();
        let daemon = installation.start().await;
        for n in 0..4_u64 {
            let email = format!("p{n}@acme{n}.example");
            if n % 2 == 0 {
                let emails = json!([{ "value": email, "primary": true, "label": "work" }]);
                let person = create("persons", json!({ "name": "Ann Example", "emails": emails }));
                if object == "deals" {
                    create(object, json!({ "title": "Lost", "person_id": person, "status": "lost" }));
                }
                // One of them has chosen the owner.
                let owner = if n == 0 { 103 } else { 1 };
                create(object, json!({ "title": "Ann called", "person_id": person, "owner_id": owner }));
            }
            installation.submit(&email, "Ann Example");
        }
        installation.drained(4).await;
        assert_eq!(made(&crm, object, true).len(), 2, "{object}");
        let called: Vec<Value> =
            made(&crm, object, false).into_iter().filter(|row| row["title"] == "Ann called").collect();
        assert_eq!(called.len(), 2);
        for row in called {
            let tasks = about(&crm, &field, &row["id"]);
            assert_eq!(tasks.len(), 1, "{object}: {row}");
            assert_eq!(tasks[0]["owner_id"], row["owner_id"]);
            assert_ne!(row["owner_id"], 1, "it was given to a rep");
        }
        let status = installation.json(&["status"]).await;
        assert_eq!(status["leads"]["closed:written"], json!(4), "{status}");
        assert_eq!(daemon.stop(), Some(0));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn fm_040_lost_answers_make_no_lead_or_deal_twice() {
    for (object, by) in [("leads", "object: leads"), ("deals", "object: deals")] {
        let installation = carried(by).await;
        let crm = installation.sandbox.pipedrive();
        let daemon = installation.start().await;
        installation.sandbox.set_faults(Faults {
            search_lag_ms: Span(3_600_000, 3_600_000),
            lost_response: 0.5,
            server_error: 0.1,
            times: Some(20),
            only_paths: vec![format!("/{object}"), "/activities".to_owned()],
            ..Faults::default()
        });
        let people = ["ana", "ben", "cem", "dora", "eva"];
        for person in people {
            installation.submit(&format!("{person}@acme.example"), &format!("{person} Example"));
        }
        installation.drained(people.len() as u64).await;
        let made = made(&crm, object, true);
        let persons: std::collections::BTreeSet<u64> =
            made.iter().filter_map(|row| row["person_id"].as_u64()).collect();
        assert_eq!((made.len(), persons.len()), (people.len(), people.len()), "{made:?}");
        let summary = crm.summary();
        assert_eq!((summary.duplicate_persons, summary.duplicate_tasks), (0, 0));
        assert!(summary.faults.get("lost_response").copied().unwrap_or_default() > 0, "{:?}", summary.faults);
        let status = installation.json(&["status"]).await;
        assert_eq!(status["leads"]["closed:written"], json!(people.len()), "{status}");
        assert_eq!(daemon.stop(), Some(0));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_form_lead_becomes_a_person_with_owner_and_activity() {
    let installation = installation("6s").await;
    let checked = installation.run(&["check", "--online"]).await;
    assert!(checked.status.success(), "{}", text(&checked.stderr));
    let crm = installation.sandbox.pipedrive();
    let daemon = installation.start().await;
    until("the webhook is made", async || crm.webhooks().len() == 1).await;
    installation.submit("ana@acme.example", "Ana Cruz");
    installation.drained(1).await;
    let persons = persons_with(&crm, "ana@acme.example");
    assert_eq!(persons.len(), 1);
    let person = crm.read("persons", persons[0]).unwrap();
    let owner = person["owner_id"].as_u64().unwrap();
    assert!([101, 102].contains(&owner), "{person}");
    assert_eq!(person["name"], "Ana Cruz");
    let custom: Vec<&str> =
        person["custom_fields"].as_object().unwrap().values().filter_map(Value::as_str).collect();
    assert_eq!(custom.len(), 2, "our key and the field of the lead: {person}");
    let tasks = activities(&crm, persons[0]);
    assert_eq!(tasks.len(), 1);
    assert_eq!(
        (&tasks[0]["owner_id"], &tasks[0]["type"], &tasks[0]["done"]),
        (&json!(owner), &json!("task"), &json!(false))
    );

    // Somebody whom a person enters at Pipedrive comes by webhook; whoever asks again keeps the owner that a human chose.
    let entered = object_of(
        json!({ "name": "Zoe Late", "emails": [{ "value": "zoe@late.example", "primary": true, "label": "work" }] }),
    );
    let entered = crm.create("persons", &entered, &object_of(json!({})), Actor::Human).unwrap();
    installation.drained(2).await;
    until("the person has a task", async || activities(&crm, entered).len() == 1).await;
    crm.assign_as_human("persons", persons[0], 103).unwrap();
    installation.submit("ana@acme.example", "Ana Cruz");
    installation.drained(2).await;
    assert_eq!(crm.read("persons", persons[0]).unwrap()["owner_id"], 103);

    let summary = crm.summary();
    assert_eq!((summary.duplicate_persons, summary.duplicate_tasks), (0, 0));
    let refused = ["pipedrive 429", "pipedrive 403 page"]
        .map(|what| summary.requests.get(what).copied().unwrap_or_default());
    assert_eq!(refused, [0, 0], "{:?}", summary.requests);
    assert!(!installation.log().contains("@acme"), "no personal data in the log");
    assert_eq!(daemon.stop(), Some(0));
}

/// Waits until usher has let Pipedrive be for so long that everything that follows a lead has been done.
async fn quiet(crm: &PipedriveSim) -> u64 {
    let mut last = (crm.tokens_spent(), Instant::now());
    until("usher lets Pipedrive be", async || {
        if crm.tokens_spent() != last.0 {
            last = (crm.tokens_spent(), Instant::now());
        }
        last.1.elapsed() > Duration::from_secs(5)
    })
    .await;
    last.0
}

/// What a lead of a new person costs where nothing else happens.
async fn tokens_of_a_lead(installation: &Installation) -> u64 {
    installation.edit("usher.yaml", "every: 2s", "every: 12h");
    let crm = installation.sandbox.pipedrive();
    let daemon = installation.start().await;
    until("the webhook is made", async || crm.webhooks().len() == 1).await;
    // The first lead also pays for what is read once: definitions of fields, the token's user.
    installation.submit("ben@acme.example", "Ben Example");
    installation.drained(1).await;
    let before = quiet(&crm).await;
    installation.submit("ana@acme.example", "Ana Cruz");
    installation.drained(2).await;
    let spent = quiet(&crm).await - before;
    assert_eq!(daemon.stop(), Some(0));
    spent
}

#[tokio::test(flavor = "multi_thread")]
async fn fm_063_a_lead_costs_the_tokens_that_the_readme_names() {
    let persons = tokens_of_a_lead(&installation("6s").await).await;
    let leads = tokens_of_a_lead(&carried("object: leads").await).await;
    let deals = tokens_of_a_lead(&carried("object: deals").await).await;
    assert_eq!((persons, leads, deals), (71, 83, 77));
}

#[tokio::test(flavor = "multi_thread")]
async fn fm_039_lost_answers_and_a_lagging_index_make_nothing_twice() {
    let installation = installation("6s").await;
    let crm = installation.sandbox.pipedrive();
    let daemon = installation.start().await;
    // No search shows anything new, and of the first writes each is done without an answer.
    installation.sandbox.set_faults(Faults {
        search_lag_ms: Span(3_600_000, 3_600_000),
        lost_response: 0.5,
        server_error: 0.1,
        throttle_burst: 0.1,
        times: Some(25),
        only_paths: vec!["/api/v2/".to_owned()],
        ..Faults::default()
    });
    let people = ["ana", "ben", "cem", "dora", "eva", "finn"];
    for person in people {
        installation.submit(&format!("{person}@acme.example"), &format!("{person} Example"));
    }
    installation.drained(people.len() as u64).await;
    for person in people {
        let found = persons_with(&crm, &format!("{person}@acme.example"));
        assert_eq!(found.len(), 1, "{person}");
        assert_eq!(activities(&crm, found[0]).len(), 1, "{person}");
    }
    let summary = crm.summary();
    assert_eq!((summary.duplicate_persons, summary.duplicate_tasks), (0, 0));
    assert!(summary.faults.get("lost_response").copied().unwrap_or_default() > 0, "{:?}", summary.faults);
    let status = installation.json(&["status"]).await;
    assert_eq!(status["leads"]["closed:written"], json!(people.len()), "{status}");
    assert_eq!(daemon.stop(), Some(0));
}
