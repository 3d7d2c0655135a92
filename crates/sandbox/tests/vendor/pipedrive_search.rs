//! Pipedrive's search: terms, groups of fields, one field, the lag of its index.

use std::time::Duration;

use serde_json::{Value, json};
use usher_sandbox::{Faults, Options, Span};

use crate::pipedrive::{ANA, Pipe};

fn items(body: &Value) -> Vec<Value> {
    body["data"]["items"].as_array().unwrap().iter().map(|row| row["item"]["id"].clone()).collect()
}

#[tokio::test]
async fn persons_are_found_by_email_phone_and_custom_field() {
    let pipe = Pipe::start().await;
    let key = pipe.field("persons", "Usher", "varchar", &[]);
    let hidden = pipe.field("persons", "Kind", "enum", &["agency"]);
    let org =
        pipe.post("v2/organizations", json!({"name": "Acme GmbH", "website": "https://acme.example"})).await;
    let org = org.data()["id"].clone();
    let lea = pipe
        .post(
            "v2/persons",
            json!({"name": "Lea Laroche", "org_id": org, "owner_id": ANA, "emails": [{"value": "Lea@Acme.example"}],
                "phones": [{"value": "+49 30 1234567"}], "custom_fields": {&key: "usher:Ab1"}}),
        )
        .await;
    let lea = lea.data()["id"].clone();
    let found = vec![lea.clone()];
    let nobody = Vec::<Value>::new();
    for (query, expected) in [
        ("term=lea@acme.example&fields=email&exact_match=true", &found),
        ("term=LEA@ACME.EXAMPLE&fields=email&exact_match=true", &found),
        ("term=acme.example&fields=email&exact_match=true", &nobody),
        ("term=acme.example&fields=email", &found),
        ("term=lea@acme.example&fields=phone&exact_match=true", &nobody),
        ("term=%2B49 30 1234567&fields=phone&exact_match=true", &found),
        // Not normalised: another way to write the number is another text.
        ("term=%2B49301234567&fields=phone&exact_match=true", &nobody),
        ("term=usher:ab1&fields=custom_fields&exact_match=true", &found),
        ("term=laroche", &found),
        ("term=laroche&organization_id=99", &nobody),
    ] {
        assert_eq!(&items(&pipe.get(&format!("v2/persons/search?{query}")).await.body), expected, "{query}");
    }
    let item = pipe.get("v2/persons/search?term=laroche").await.body["data"]["items"][0].clone();
    assert_eq!(item["item"]["emails"], json!(["Lea@Acme.example"]));
    assert_eq!(item["item"]["organization"]["name"], "Acme GmbH");
    assert_eq!(item["item"]["owner"], json!({"id": ANA}));
    assert!(item["result_score"].is_number());
    assert_eq!(
        items(&pipe.get("v2/organizations/search?term=acme gmbh&fields=name&exact_match=true").await.body),
        [org]
    );
    // API-FACTS: an organization's website is not searchable.
    assert!(items(&pipe.get("v2/organizations/search?term=acme.example").await.body).is_empty());

    pipe.get("v2/persons/search?term=l").await.refused(400, "at least 2");
    assert_eq!(pipe.get("v2/persons/search?term=l&exact_match=true").await.status, 200);
    pipe.get("v2/persons/search").await.refused(400, "term");
    pipe.get("v2/persons/search?term=lea&fields=website").await.refused(400, "fields");
    pipe.get("v2/organizations/search?term=lea&fields=email").await.refused(400, "fields");
    pipe.get("v2/persons/search?term=lea&exact_match=perhaps").await.refused(400, "exact_match");

    let in_field =
        |field: &str, term: &str| format!("v2/itemSearch/field?entity_type=person&field={field}&term={term}");
    let hit = pipe.get(&in_field(&key, "usher:Ab1")).await;
    assert_eq!(hit.data()[0]["item"]["id"], lea);
    assert!(
        pipe.get(&in_field(&key, "usher:ab1")).await.data().as_array().unwrap().is_empty(),
        "case-sensitive"
    );
    let beginning = in_field(&key, "usher") + "&match=beginning";
    assert_eq!(pipe.get(&beginning).await.data().as_array().unwrap().len(), 1);
    pipe.get(&in_field(&hidden, "agency")).await.refused(400, "not searchable");
    pipe.get("v2/itemSearch/field?entity_type=activity&field=subject&term=call")
        .await
        .refused(400, "entity_type");
    pipe.sandbox.set_faults(Faults { flat_field_search: true, ..Faults::default() });
    assert_eq!(pipe.get(&in_field(&key, "usher:Ab1")).await.data()[0]["id"], lea);
}

#[tokio::test]
async fn leads_are_found_by_title_marker_and_person_archived_ones_too() {
    let pipe = Pipe::start().await;
    let key = pipe.field("deals", "Usher", "text", &[]);
    let person = pipe.person("lea@acme.example").await;
    let lead =
        pipe.post("v1/leads", json!({"title": "SEO in DACH", "person_id": person, &key: "usher:1"})).await;
    let lead = lead.data()["id"].clone();
    for query in [
        "term=seo".to_owned(),
        "term=usher:1&fields=custom_fields&exact_match=true".to_owned(),
        format!("term=seo&fields=title&person_id={person}"),
    ] {
        let found = items(&pipe.get(&format!("v2/leads/search?{query}")).await.body);
        assert!(found.len() == 1 && found[0] == lead, "{query}");
    }
    assert!(items(&pipe.get("v2/leads/search?term=seo&person_id=99").await.body).is_empty());
    pipe.patch(&format!("v1/leads/{}", lead.as_str().unwrap()), json!({"is_archived": true})).await.data();
    let found = pipe.get("v2/leads/search?term=seo").await;
    let item = &found.body["data"]["items"][0]["item"];
    assert_eq!((&item["is_archived"], &item["emails"]), (&json!(true), &json!(["lea@acme.example"])));
}

#[tokio::test]
async fn fm_004_search_shows_what_was_until_its_index_has_caught_up() {
    let faults = Faults { search_lag_ms: Span(3_600_000, 3_600_000), ..Faults::default() };
    let pipe = Pipe::with(Options { pipedrive_limits: None, faults, ..Options::default() }).await;
    assert!(Faults::default().search_lag_ms.0 >= 1_000, "on unless switched off");
    let person = pipe.person("late@acme.example").await;
    let search = "v2/persons/search?term=late@acme.example&fields=email&exact_match=true";
    assert!(items(&pipe.get(search).await.body).is_empty());
    assert_eq!(pipe.get("v2/persons").await.ids(), [person], "the list knows at once");
    pipe.sandbox.advance(Duration::from_secs(3_601));
    assert_eq!(items(&pipe.get(search).await.body), [person]);
    pipe.sim().seed("{\"object\":\"persons\",\"fields\":{\"name\":\"Long known\"}}").unwrap();
    assert_eq!(items(&pipe.get("v2/persons/search?term=long known").await.body), [2]);
    // A record that is gone is still found for a while.
    pipe.delete(&format!("v2/persons/{person}")).await.data();
    assert_eq!(items(&pipe.get(search).await.body), [person]);
    pipe.sandbox.advance(Duration::from_secs(3_601));
    assert!(items(&pipe.get(search).await.body).is_empty());
}

#[tokio::test]
async fn results_come_in_pages() {
    let pipe = Pipe::start().await;
    for n in 0..5 {
        pipe.person(&format!("p{n}@acme.example")).await;
    }
    let (mut seen, mut next) = (Vec::new(), String::new());
    loop {
        let page = pipe.get(&format!("v2/persons/search?term=acme&limit=2&cursor={next}")).await;
        seen.extend(items(&page.body));
        match page.cursor() {
            Some(cursor) => next = cursor.to_owned(),
            None => break,
        }
    }
    assert_eq!(seen, [1, 2, 3, 4, 5]);
}
