//! Leads of v1, and what else v1 alone has: users, labels, activity types, fields.

use std::time::Duration;

use serde_json::{Value, json};
use usher_sandbox::{PipedriveUser, lead_number};

use crate::pipedrive::{ANA, BEN, GONE, Pipe, user};

#[tokio::test]
async fn a_lead_is_created_with_its_source_and_belongs_to_somebody() {
    let pipe = Pipe::start().await;
    let person = pipe.person("lea@acme.example").await;
    let budget = pipe.field("deals", "Budget", "monetary", &[]);
    let tags = pipe.field("deals", "Tags", "set", &["a", "b"]);
    let options = pipe.get("v2/dealFields?limit=500").await;
    let field =
        options.data().as_array().unwrap().iter().find(|field| field["field_code"] == tags.as_str()).unwrap();
    let (a, b) = (field["options"][0]["id"].clone(), field["options"][1]["id"].clone());
    let made = pipe
        .post(
            "v1/leads",
            json!({"title": "SEO", "person_id": person, "owner_id": ANA, "origin_id": "typeform:1", "channel_id": "web",
                "value": {"amount": 20_000, "currency": "EUR"}, &budget: {"value": 5, "currency": "EUR"},
                &tags: [a, b]}),
        )
        .await;
    assert_eq!(made.status, 201);
    let lead = made.data();
    assert_eq!(
        (&lead["origin"], &lead["source_name"], &lead["origin_id"]),
        (&json!("API"), &json!("API"), &json!("typeform:1"))
    );
    assert_eq!(
        (&lead["is_archived"], &lead["owner_id"], &lead["creator_id"]),
        (&json!(false), &json!(ANA), &json!(1))
    );
    assert_eq!(lead["add_time"].as_str().unwrap().len(), 24, "milliseconds");
    assert_eq!((&lead[&budget], &lead[format!("{budget}_currency")]), (&json!(5), &json!("EUR")));
    assert_eq!(lead[&tags].as_str().unwrap(), format!("{a},{b}"));
    assert_eq!(lead["id"].as_str().unwrap().len(), 36);
    let path = format!("v1/leads/{}", lead["id"].as_str().unwrap());
    for (body, part) in [
        (json!({"person_id": person}), "title: is required"),
        (json!({"title": "A"}), "person_id or organization_id must be given"),
        (json!({"title": "A", "person_id": person, "origin": "Web"}), "origin: is not allowed"),
        (json!({"title": "A", "person_id": person, "is_archived": true}), "is_archived: is not allowed"),
        (json!({"title": "A", "person_id": person, "value": {"amount": 5}}), "needs amount and currency"),
        (json!({"title": "A", "person_id": person, "visible_to": 3}), "visible_to"),
        (json!({"title": "A", "person_id": person, "label_ids": ["hot"]}), "label ids"),
        (json!({"title": "A", "person_id": person, &"f".repeat(40): 1}), "is not allowed"),
        (json!({"title": "A", "person_id": person, "owner_id": GONE}), "owner_id"),
    ] {
        pipe.post("v1/leads", body).await.refused(400, part);
    }
    pipe.patch(&path, json!({"person_id": null})).await.refused(400, "must be given");
    pipe.patch(&path, json!({"origin_id": "x"})).await.refused(400, "origin_id: is not allowed");
    assert_eq!(pipe.patch(&path, json!({"owner_id": BEN, "value": null})).await.data()["owner_id"], BEN);
    assert_eq!(pipe.sim().count("leads"), 1);
}

#[tokio::test]
async fn archived_leads_are_listed_apart_and_take_no_change() {
    let pipe = Pipe::start().await;
    let person = pipe.person("lea@acme.example").await;
    let lead = pipe.lead(person).await;
    let path = format!("v1/leads/{lead}");
    assert!(pipe.sim().archive("leads", lead_number(&lead).unwrap(), true).unwrap());
    let list = |reply: &Value| reply["data"].as_array().unwrap().len();
    assert_eq!(list(&pipe.get("v1/leads").await.body), 0);
    assert_eq!(list(&pipe.get("v1/leads/archived").await.body), 1);
    assert_eq!(pipe.get(&path).await.data()["is_archived"], true);
    pipe.patch(&path, json!({"owner_id": ANA})).await.refused(400, "archived");
    pipe.patch(&path, json!({"is_archived": false})).await.refused(400, "archived");
    assert_eq!(pipe.delete(&path).await.data(), &json!({"id": lead}));
    let gone = pipe.get(&path).await;
    gone.refused(404, "requested lead not found");
    assert_eq!(gone.body["error_info"], "Object was not found.");
    pipe.delete("v1/leads/not-a-lead").await.refused(404, "lead not found");
}

#[tokio::test]
async fn fm_009_leads_page_by_offset_and_rows_move_below_it() {
    let pipe = Pipe::start().await;
    let person = pipe.person("lea@acme.example").await;
    let mut leads = Vec::new();
    for _ in 0..5 {
        pipe.sandbox.advance(Duration::from_millis(5));
        leads.push(pipe.lead(person).await);
    }
    let ids = |reply: &Value| -> Vec<String> {
        reply["data"].as_array().unwrap().iter().map(|row| row["id"].as_str().unwrap().to_owned()).collect()
    };
    let first = pipe.get("v1/leads?limit=2").await;
    assert_eq!(ids(&first.body), leads[..2]);
    assert_eq!(
        first.body["additional_data"]["pagination"],
        json!({"start": 0, "limit": 2, "more_items_in_collection": true, "next_start": 2})
    );
    // A lead that is deleted between two pages lets another one slip through.
    pipe.delete(&format!("v1/leads/{}", leads[0])).await.data();
    let second = pipe.get("v1/leads?limit=2&start=2").await;
    assert_eq!(ids(&second.body), leads[3..5]);
    let last = &second.body["additional_data"]["pagination"];
    assert!(last["more_items_in_collection"] == false && last.get("next_start").is_none());

    pipe.sandbox.advance(Duration::from_secs(10));
    pipe.patch(&format!("v1/leads/{}", leads[2]), json!({"owner_id": BEN})).await.data();
    let newest = pipe.get("v1/leads?sort=update_time DESC&limit=1").await;
    assert_eq!(ids(&newest.body), leads[2..3]);
    let since = newest.data()[0]["update_time"].as_str().unwrap()[..19].to_owned() + "Z";
    assert_eq!(ids(&pipe.get(&format!("v1/leads?updated_since={since}")).await.body), leads[2..3]);
    assert_eq!(ids(&pipe.get(&format!("v1/leads?owner_id={BEN}")).await.body), leads[2..3]);
    assert_eq!(ids(&pipe.get(&format!("v1/leads?owner_id={BEN}&filter_id=1")).await.body).len(), 4);
    assert_eq!(ids(&pipe.get(&format!("v1/leads?person_id={person}")).await.body).len(), 4);
    pipe.get("v1/leads?sort=colour ASC").await.refused(400, "sort");
    pipe.get("v1/leads?sort=title UP").await.refused(400, "sort");
    pipe.get("v1/leads?updated_since=2026-11-02T10:00:00.123Z").await.refused(400, "not a valid datetime");
}

#[tokio::test]
async fn two_leads_of_one_source_are_counted() {
    let pipe = Pipe::start().await;
    let person = pipe.person("lea@acme.example").await;
    for origin in ["a", "a", "b"] {
        pipe.post("v1/leads", json!({"title": "SEO", "person_id": person, "origin_id": origin})).await.data();
    }
    assert_eq!(pipe.sim().summary().duplicate_leads, 1);
}

#[tokio::test]
async fn users_come_all_at_once_also_those_who_left() {
    let pipe = Pipe::start().await;
    pipe.sim().put_user(PipedriveUser { deleted: true, ..user(14, "left@agency.example", false) });
    let users = pipe.get("v1/users?limit=1").await;
    assert_eq!(users.ids(), [1, ANA, BEN, GONE, 14]);
    let rows = users.data().as_array().unwrap();
    assert_eq!((&rows[0]["is_you"], &rows[1]["is_you"]), (&json!(true), &json!(false)));
    assert_eq!((&rows[3]["active_flag"], &rows[3]["is_deleted"]), (&json!(false), &json!(false)));
    assert_eq!((&rows[4]["active_flag"], &rows[4]["is_deleted"]), (&json!(false), &json!(true)));
    assert!(["-05:00", "-04:00"].contains(&rows[1]["timezone_offset"].as_str().unwrap()));
    assert_eq!(pipe.get("v1/users/me").await.data()["company_domain"], "sandbox-agency");
    pipe.get("v1/users/99").await.refused(404, "User not found");
    let types = pipe.get("v1/activityTypes").await;
    assert_eq!(types.data()[0]["key_string"], "call");
    assert_eq!(pipe.get("v1/leadLabels").await.data().as_array().unwrap().len(), 3);
}

#[tokio::test]
async fn custom_fields_are_made_and_found_by_their_key() {
    let pipe = Pipe::start().await;
    let made = pipe.post("v2/personFields", json!({"field_name": "Usher", "field_type": "varchar"})).await;
    let key = made.data()["field_code"].as_str().unwrap().to_owned();
    assert!(key.len() == 40 && key.bytes().all(|byte| byte.is_ascii_hexdigit()));
    pipe.post("v2/personFields", json!({"field_name": "B", "field_type": "url"}))
        .await
        .refused(400, "field_type");
    pipe.post("v1/personFields", json!({"name": "B", "field_type": "enum"})).await.refused(400, "options");
    let v1 = pipe.get("v1/personFields?limit=500").await;
    let field = v1.data().as_array().unwrap().iter().find(|field| field["key"] == key.as_str()).unwrap();
    assert_eq!((&field["name"], &field["edit_flag"]), (&json!("Usher"), &json!(true)));
    assert_eq!(pipe.get(&format!("v1/personFields/{}", field["id"])).await.data()["key"], key.as_str());
    let first = pipe.get("v2/personFields?limit=2").await;
    assert!(first.data().as_array().unwrap().len() == 2 && first.cursor().is_some());
    // Leads have the deals' fields.
    let deal = pipe.field("deals", "Score", "double", &[]);
    let lead = pipe.get("v1/leadFields?limit=500").await;
    assert!(lead.data().as_array().unwrap().iter().any(|field| field["key"] == deal.as_str()));
    let long = json!({"name": "A", "custom_fields": {&key: "x".repeat(256)}});
    pipe.post("v2/persons", long).await.refused(400, "255");
}
