//! Batches: how each version reports rows that fail.

use serde_json::{Value, json};

use crate::api::{ANA, Api, ids};

fn with(ids: &[&str], properties: &Value) -> Value {
    let inputs: Vec<Value> = ids.iter().map(|id| json!({"id": id, "properties": properties})).collect();
    json!({ "inputs": inputs })
}

#[tokio::test]
async fn unknown_ids_are_a_207_before_2026_09_and_a_200_with_errors_since() {
    let api = Api::start().await;
    let id = api.contact(json!({"email": "a@x.example"})).await;
    for (path, status) in
        [("/crm/v3/objects", 207), ("/crm/objects/2026-03", 207), ("/crm/objects/2026-09", 200)]
    {
        let read = api
            .post(
                &format!("{path}/contacts/batch/read"),
                json!({"inputs": [{"id": id}, {"id": "9"}], "properties": ["email"]}),
            )
            .await;
        assert_eq!(read.status, status, "{path}");
        assert_eq!(read.body["numErrors"], 1);
        assert_eq!(read.body["errors"][0]["context"]["ids"], json!(["9"]));
        assert_eq!(ids(&read.body["results"]), std::slice::from_ref(&id));
        let update = with(&[&id, "9"], &json!({"jobtitle": "CTO"}));
        let update = api.post(&format!("{path}/contacts/batch/update"), update).await;
        assert_eq!(
            (update.status, &update.body["errors"][0]["category"]),
            (status, &json!("OBJECT_NOT_FOUND"))
        );
    }
    let whole = api
        .post(
            "/crm/v3/objects/contacts/batch/read",
            json!({"inputs": [{"id": "A@x.example"}], "idProperty": "email"}),
        )
        .await;
    assert_eq!((whole.status, ids(&whole.body["results"])), (200, vec![id]));
    assert!(whole.body.get("numErrors").is_none());
}

#[tokio::test]
async fn a_bad_value_fails_its_row_and_an_unknown_property_the_batch() {
    let api = Api::start().await;
    let (a, b) = (
        api.contact(json!({"email": "a@x.example"})).await,
        api.contact(json!({"email": "b@x.example"})).await,
    );
    let inputs = json!({"inputs": [
        {"id": a, "properties": {"hubspot_owner_id": "999"}},
        {"id": b, "properties": {"hubspot_owner_id": ANA.to_string()}}]});
    let update = api.post("/crm/objects/2026-09/contacts/batch/update", inputs).await;
    assert_eq!(update.status, 200);
    assert_eq!(update.body["errors"][0]["context"]["ids"], json!([a]));
    assert_eq!(update.body["errors"][0]["category"], "VALIDATION_ERROR");
    assert_eq!(ids(&update.body["results"]), std::slice::from_ref(&b));
    let unknown = with(&[&a, &b], &json!({"nope": "1"}));
    assert_eq!(api.post("/crm/objects/2026-09/contacts/batch/update", unknown).await.status, 400);
    let twice = with(&[&a, &a], &json!({"jobtitle": "x"}));
    assert_eq!(api.post("/crm/objects/2026-09/contacts/batch/update", twice).await.status, 400);
    let many: Vec<String> = (0..101).map(|n| n.to_string()).collect();
    let many = with(&many.iter().map(String::as_str).collect::<Vec<_>>(), &json!({}));
    assert_eq!(api.post("/crm/objects/2026-09/contacts/batch/update", many).await.status, 400);
    let mail = json!({"inputs": [{"id": "a@x.example", "idProperty": "email", "properties": {}}]});
    let refused = api.post("/crm/objects/2026-09/contacts/batch/update", mail).await;
    assert_eq!(refused.body["message"], "Unable to perform update/upsert by non-unique 0-1 property email");
}

#[tokio::test]
async fn batch_create_is_all_or_nothing_unless_every_input_is_traced() {
    let api = Api::start().await;
    api.contact(json!({"email": "taken@x.example"})).await;
    let path = "/crm/v3/objects/contacts/batch/create";
    let rows = |trace: bool| {
        let row = |email: &str| {
            let mut row = json!({"properties": {"email": email}});
            if trace {
                row["objectWriteTraceId"] = json!(format!("t-{email}"));
            }
            row
        };
        json!({"inputs": [row("new@x.example"), row("taken@x.example")]})
    };
    let refused = api.post(path, rows(false)).await;
    assert_eq!((refused.status, &refused.body["category"]), (409, &json!("CONFLICT")));
    assert_eq!(api.sandbox.hubspot().count("contacts"), 1);
    let partial = api.post(path, rows(true)).await;
    assert_eq!(partial.status, 207);
    assert_eq!(partial.body["errors"][0]["context"]["objectWriteTraceId"], json!(["t-taken@x.example"]));
    assert_eq!(partial.body["results"][0]["objectWriteTraceId"], "t-new@x.example");
    assert_eq!(api.sandbox.hubspot().count("contacts"), 2);
    let twins = json!({"inputs": [{"properties": {"email": "t@x.example"}}, {"properties": {"email": "T@x.example"}}]});
    assert_eq!(api.post(path, twins).await.status, 400);
    let whole = api
        .post(
            "/crm/objects/2026-09/contacts/batch/create",
            json!({"inputs": [{"properties": {"email": "w@x.example"}}]}),
        )
        .await;
    assert_eq!(whole.status, 201);
}

#[tokio::test]
async fn upsert_by_email_writes_all_or_nothing() {
    let api = Api::start().await;
    let id = api.contact(json!({"email": "old@x.example"})).await;
    let path = "/crm/objects/2026-09/contacts/batch/upsert";
    let row = |email: &str, properties: Value| json!({"id": email, "idProperty": "email", "properties": properties});
    let bad = json!({"inputs": [row("new@x.example", json!({})), row("old@x.example", json!({"hubspot_owner_id": "9"}))]});
    assert_eq!(api.post(path, bad).await.status, 400);
    assert_eq!(api.sandbox.hubspot().count("contacts"), 1);
    let good =
        json!({"inputs": [row("new@x.example", json!({})), row("old@x.example", json!({"firstname": "O"}))]});
    let good = api.post(path, good).await;
    assert_eq!(good.status, 200);
    assert_eq!(
        (&good.body["results"][0]["new"], &good.body["results"][1]["new"]),
        (&json!(true), &json!(false))
    );
    assert_eq!(good.body["results"][1]["id"], json!(id));
    let nameless = json!({"inputs": [{"id": "z@x.example", "properties": {}}]});
    assert_eq!(api.post(path, nameless).await.status, 400);
}

#[tokio::test]
async fn batch_archive_empties_the_list() {
    let api = Api::start().await;
    let id = api.contact(json!({"email": "a@x.example"})).await;
    let gone = api
        .post("/crm/v3/objects/contacts/batch/archive", json!({"inputs": [{"id": id}, {"id": "9"}]}))
        .await;
    assert_eq!(gone.status, 204);
    assert_eq!(api.sandbox.hubspot().count("contacts"), 0);
}
