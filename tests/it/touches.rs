//! What people do at the CRM, from the vendor's pages to what usher tells.

use serde_json::{Value, json};
use usher_sandbox::Actor;

use crate::installation::{object, text, until};
use crate::pipedrive::installation;

#[tokio::test(flavor = "multi_thread")]
async fn who_touched_a_lead_first_and_how_it_ended_is_told() {
    let installation = installation("6s").await;
    installation.edit("usher.yaml", "    timeout: 3s\n", "    timeout: 3s\n    watch: { every: 1s }\n");
    // The watch is in a hurry that no day's budget allows.
    installation.edit("usher.yaml", "limits: { share: 100% }", "limits: off");
    let crm = installation.sandbox.pipedrive();
    crm.set_limits(None);
    let daemon = installation.start().await;
    installation.submit("ana@acme.example", "Ana Cruz");
    installation.drained(1).await;
    let shown = async || installation.json(&["leads", "show", "ana@acme.example"]).await["touches"].clone();
    assert_eq!(shown().await, json!({ "first_touch": null, "events": [] }), "our own writes are no touches");
    let said = text(&installation.run(&["leads", "show", "ana@acme.example"]).await.stdout);
    assert!(said.contains("not touched yet"), "{said}");

    let task = crm.ids("activities")[0];
    let owner = crm.read("activities", task).unwrap()["owner_id"].as_u64().unwrap();
    let person = crm.ids("persons")[0];
    crm.mark_done(task, true).unwrap();
    until("the touch is known", async || shown().await["first_touch"]["how"] == "task_done").await;
    let first = shown().await["first_touch"].clone();
    assert_eq!(first["by"], json!(owner.to_string()));
    assert!(first["after_ms"].as_u64().is_some_and(|ms| ms < 180_000), "{first}");

    // Somebody else takes over, writes a note, and sells.
    let other = if owner == 101 { 102 } else { 101 };
    crm.assign_as_human("persons", person, other).unwrap();
    let none = object(json!({}));
    let note = object(json!({ "content": "Wants SEO", "person_id": person, "owner_id": other }));
    crm.create("notes", &note, &none, Actor::Human).unwrap();
    let deal = object(json!({ "title": "SEO", "person_id": person, "owner_id": other }));
    let deal = crm.create("deals", &deal, &none, Actor::Human).unwrap();
    let won = object(json!({ "status": "won", "value": 4_800 }));
    crm.update("deals", deal, &won, Actor::Human).unwrap();
    let mut events = Value::Null;
    until("all of it is known", async || {
        events = shown().await["events"].clone();
        events.as_array().unwrap().len() == 4
    })
    .await;
    let all = events.as_array().unwrap();
    let of =
        |what: &str| -> &Value { &all.iter().find(|event| event["what"]["what"] == what).unwrap()["what"] };
    let (from, to) = (json!(owner.to_string()), json!(other.to_string()));
    assert_eq!(of("owner_change"), &json!({ "what": "owner_change", "from": from, "to": to }));
    let outcome = of("outcome");
    assert_eq!((&outcome["outcome"], &outcome["value"]), (&json!("won"), &json!("4800")), "{outcome}");
    assert_eq!(shown().await["first_touch"], first, "what came later changes nothing about the first");
    let change = all.iter().find(|event| event["what"]["what"] == "owner_change").unwrap();
    assert_eq!(
        (&change["hand"], &change["about"]),
        (&json!("human"), &json!([["persons", person.to_string()]]))
    );

    let said = text(&installation.run(&["leads", "show", "ana@acme.example"]).await.stdout);
    assert!(said.contains("first touched after ") && said.contains("task done by"), "{said}");
    assert!(
        said.contains("Ana Example → Ben Example") || said.contains("Ben Example → Ana Example"),
        "{said}"
    );
    assert!(said.contains("won 4800 EUR"), "{said}");
    let status = installation.json(&["status"]).await;
    assert_eq!(
        (&status["first_touch"]["touched"], &status["first_touch"]["untouched"]),
        (&json!(1), &json!(0))
    );
    assert!(text(&installation.run(&["status"]).await.stdout).contains("0 of 1 not touched yet"));
    assert_eq!(daemon.stop(), Some(0));
}
