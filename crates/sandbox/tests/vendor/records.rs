//! Single records: create, read, change, archive, merge, history, tasks, associations, owners, properties.

use serde_json::json;

use crate::api::{ANA, Api, BEN, GONE, ids, map};

#[tokio::test]
async fn a_second_contact_with_the_email_is_a_409_with_the_id() {
    let api = Api::start().await;
    let id = api.contact(json!({"email": "Ana@Acme.example"})).await;
    let again =
        api.post("/crm/v3/objects/contacts", json!({"properties": {"email": " ana@acme.EXAMPLE"}})).await;
    assert_eq!(again.status, 409);
    assert_eq!(again.body["message"], format!("Contact already exists. Existing ID: {id}"));
    assert_eq!(again.body["category"], "CONFLICT");
    assert_eq!(again.body["status"], "error");
    assert!(again.body["correlationId"].as_str().unwrap().len() > 30);
}

#[tokio::test]
async fn unknown_read_only_and_bad_values_are_refused_by_name() {
    let api = Api::start().await;
    for (properties, code) in [
        (json!({"email": "a@b.example", "nope": "1"}), "PROPERTY_DOESNT_EXIST"),
        (json!({"email": "a@b.example", "createdate": "1"}), "READ_ONLY_VALUE"),
        (json!({"email": "not an address"}), "INVALID_EMAIL"),
        (json!({"email": "a@b.example", "hubspot_owner_id": "999"}), "INVALID_OWNER_ID"),
        (json!({"email": "a@b.example", "hubspot_owner_id": GONE.to_string()}), "INVALID_OWNER_ID"),
        (json!({"email": "a@b.example", "hs_lead_status": "open"}), "INVALID_OPTION"),
        (json!({"email": "a@b.example", "hs_lead_status": " NEW"}), "LEADING_TRAILING_WHITESPACE"),
    ] {
        let refused = api.post("/crm/objects/2026-09/contacts", json!({ "properties": properties })).await;
        assert_eq!(refused.status, 400, "{properties}");
        assert_eq!(refused.body["category"], "VALIDATION_ERROR");
        assert_eq!(refused.body["errors"][0]["code"], code);
        assert!(refused.body["message"].as_str().unwrap().starts_with("Property values were not valid: [{"));
    }
    assert_eq!(api.sandbox.hubspot().count("contacts"), 0);
    let nothing = api.post("/crm/objects/2026-09/contacts", json!({"properties": {"phone": "1"}})).await;
    assert_eq!(nothing.status, 400);
}

#[tokio::test]
async fn a_record_is_read_and_changed_by_id_and_by_email_and_gone_when_archived() {
    let api = Api::start().await;
    let id = api.contact(json!({"email": "lea@acme.example", "firstname": "Lea"})).await;
    let read =
        api.get(&format!("/crm/objects/2026-03/contacts/{id}?properties=firstname,jobtitle,nope")).await;
    assert_eq!(read.body["properties"]["firstname"], "Lea");
    assert!(read.body["properties"]["jobtitle"].is_null());
    assert!(read.body["properties"].get("jobtitle").is_some());
    assert!(read.body["properties"].get("nope").is_none());
    assert_eq!(read.body["properties"]["hs_object_id"], json!(id));
    assert_eq!(read.body["archived"], false);

    let path = "/crm/v3/objects/contacts/lea%40acme.example?idProperty=email";
    let changed = api.patch(path, json!({"properties": {"hubspot_owner_id": ANA.to_string()}})).await;
    assert_eq!((changed.status, &changed.body["id"]), (200, &json!(id)));
    let read = api
        .get("/crm/v3/objects/contacts/lea@acme.example?idProperty=email&properties=hubspot_owner_assigneddate,hs_object_source")
        .await;
    assert!(read.body["properties"]["hubspot_owner_assigneddate"].as_str().unwrap().ends_with('Z'));
    assert_eq!(read.body["properties"]["hs_object_source"], "INTEGRATION");

    let gone = api.call("DELETE", &format!("/crm/v3/objects/contacts/{id}"), None).await;
    assert_eq!(gone.status, 204);
    let read = api.get(&format!("/crm/v3/objects/contacts/{id}")).await;
    assert_eq!((read.status, &read.body["category"]), (404, &json!("OBJECT_NOT_FOUND")));
    assert_eq!(api.get(&format!("/crm/v3/objects/contacts/{id}?archived=true")).await.body["archived"], true);
    let binned = api.get("/crm/v3/objects/contacts?archived=true").await;
    assert_eq!(ids(&binned.body["results"]), [id]);
    // The address is free again.
    api.contact(json!({"email": "lea@acme.example"})).await;
}

#[tokio::test]
async fn the_list_pages_by_cursor_through_everything() {
    let api = Api::start().await;
    let lines: String = (0..250)
        .map(|n| format!("{{\"object\":\"contacts\",\"properties\":{{\"email\":\"p{n}@x.example\"}}}}\n"))
        .collect();
    api.sandbox.hubspot().seed(&lines).unwrap();
    let (mut seen, mut after) = (Vec::new(), String::new());
    loop {
        let page = api.get(&format!("/crm/objects/2026-09/contacts?limit=100&after={after}")).await;
        seen.extend(ids(&page.body["results"]));
        match page.body["paging"]["next"]["after"].as_str() {
            Some(next) => next.clone_into(&mut after),
            None => break,
        }
    }
    assert_eq!(seen.len(), 250);
    assert_eq!(api.get("/crm/objects/2026-09/contacts?limit=101").await.status, 400);
}

#[tokio::test]
async fn a_merge_makes_a_new_record_and_both_old_ids_lead_to_it() {
    let api = Api::start().await;
    let first = api.contact(json!({"email": "a@x.example", "firstname": "A"})).await;
    let second = api.contact(json!({"email": "b@x.example", "lastname": "B"})).await;
    let task = api.task(&second, "usher:1").await.body["id"].as_str().unwrap().to_owned();
    let merged = api
        .post("/crm/v3/objects/contacts/merge", json!({"primaryObjectId": first, "objectIdToMerge": second}))
        .await;
    let id = merged.body["id"].as_str().unwrap().to_owned();
    assert!(id != first && id != second);
    for old in [&first, &second] {
        let read = api
            .get(&format!("/crm/v3/objects/contacts/{old}?properties=email,lastname,hs_merged_object_ids"))
            .await;
        assert_eq!(read.body["id"], json!(id));
        assert_eq!(read.body["properties"]["email"], "a@x.example");
        assert_eq!(read.body["properties"]["lastname"], "B");
        assert_eq!(read.body["properties"]["hs_merged_object_ids"], format!("{first};{second}"));
    }
    // The merged-away address still names the person, and blocks a create (FM-056).
    let by_old = api.get("/crm/v3/objects/contacts/b@x.example?idProperty=email").await;
    assert_eq!(by_old.body["id"], json!(id));
    let again = api.post("/crm/v3/objects/contacts", json!({"properties": {"email": "b@x.example"}})).await;
    assert_eq!(again.status, 409);
    let tasks = api.get(&format!("/crm/v4/objects/contacts/{id}/associations/tasks")).await;
    assert_eq!(tasks.body["results"][0]["toObjectId"].to_string(), task);
    assert_eq!(api.sandbox.hubspot().count("contacts"), 1);
}

#[tokio::test]
async fn history_names_value_time_and_source_newest_first() {
    let api = Api::start().await;
    let id = api.contact(json!({"email": "h@x.example", "hubspot_owner_id": ANA.to_string()})).await;
    api.sandbox.hubspot().assign_as_human("contacts", id.parse().unwrap(), BEN).unwrap();
    let read =
        api.get(&format!("/crm/v3/objects/contacts/{id}?propertiesWithHistory=hubspot_owner_id")).await;
    let past = &read.body["propertiesWithHistory"]["hubspot_owner_id"];
    assert_eq!((&past[0]["value"], &past[0]["sourceType"]), (&json!("12"), &json!("CRM_UI")));
    assert_eq!((&past[1]["value"], &past[1]["sourceType"]), (&json!("11"), &json!("INTEGRATION")));
    assert!(past[2].is_null());
}

#[tokio::test]
async fn lifecycle_moves_only_forward() {
    let api = Api::start().await;
    let id = api.contact(json!({"email": "l@x.example", "lifecyclestage": "customer"})).await;
    let path = format!("/crm/v3/objects/contacts/{id}?properties=lifecyclestage");
    assert_eq!(api.patch(&path, json!({"properties": {"lifecyclestage": "lead"}})).await.status, 200);
    assert_eq!(api.get(&path).await.body["properties"]["lifecyclestage"], "customer");
}

#[tokio::test]
async fn a_task_needs_a_due_time_and_existing_ends() {
    let api = Api::start().await;
    let contact = api.contact(json!({"email": "t@x.example"})).await;
    let refused = api.post("/crm/v3/objects/tasks", json!({"properties": {"hs_task_subject": "Call"}})).await;
    assert_eq!(refused.status, 400);
    assert_eq!(refused.body["message"], "Error creating TASK. Some required properties were not set.");
    assert_eq!(refused.body["context"], json!({"properties": ["hs_timestamp"]}));
    assert_eq!(api.task("424242", "x").await.status, 400);
    assert_eq!(api.sandbox.hubspot().count("tasks"), 0);
    let made = api.task(&contact, "Call\nusher:k").await;
    assert_eq!(made.status, 201, "{}", made.body);
    let linked = api
        .post(
            "/crm/associations/2026-09/contacts/tasks/batch/read",
            json!({"inputs": [{"id": contact}, {"id": "5"}]}),
        )
        .await;
    assert_eq!(linked.status, 200);
    assert_eq!(
        linked.body["results"][0]["to"][0]["toObjectId"].to_string(),
        made.body["id"].as_str().unwrap()
    );
    assert_eq!(linked.body["results"][0]["to"][0]["associationTypes"][0]["typeId"], 203);
    assert_eq!(linked.body["errors"][0]["subCategory"], "crm.associations.NO_ASSOCIATIONS_FOUND");
    let legacy =
        api.post("/crm/v4/associations/contacts/tasks/batch/read", json!({"inputs": [{"id": "5"}]})).await;
    assert_eq!((legacy.status, legacy.body["numErrors"].as_u64()), (207, Some(1)));
}

#[tokio::test]
async fn companies_are_associated_by_default_and_by_label() {
    let api = Api::start().await;
    let contact = api.contact(json!({"email": "c@x.example"})).await;
    let company = api.post("/crm/v3/objects/companies", json!({"properties": {"domain": "x.example"}})).await;
    let company = company.body["id"].as_str().unwrap().to_owned();
    let path = format!("/crm/objects/2026-09/contacts/{contact}/associations/default/companies/{company}");
    assert_eq!(api.call("PUT", &path, None).await.status, 200);
    let path = format!("/crm/objects/2026-09/contacts/{contact}/associations/companies/{company}");
    let body = json!([{"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": 1}]);
    assert_eq!(api.call("PUT", &path, Some(&body)).await.status, 201);
    let read = api
        .get(&format!(
            "/crm/v3/objects/contacts/{contact}?associations=companies&properties=associatedcompanyid"
        ))
        .await;
    assert_eq!(read.body["properties"]["associatedcompanyid"], json!(company));
    assert_eq!(read.body["associations"]["companies"]["results"].as_array().unwrap().len(), 2);
    let pair = json!({"inputs": [{"from": {"id": contact}, "to": [{"id": company}]}]});
    assert_eq!(
        api.post("/crm/associations/2026-09/contacts/companies/batch/archive", pair).await.status,
        204
    );
    let pair = json!({"inputs": [{"from": {"id": contact}, "to": {"id": company}},
        {"from": {"id": contact}, "to": {"id": "77"}}]});
    let made = api.post("/crm/associations/2026-09/contacts/companies/batch/associate/default", pair).await;
    assert_eq!(made.status, 200);
    assert_eq!((made.body["results"].as_array().unwrap().len(), &made.body["numErrors"]), (1, &json!(1)));
    // The row of a default association names its ends as inputs do; that of a labelled one does not.
    let ends = json!([{"id": contact}, {"id": company}]);
    assert_eq!(json!([made.body["results"][0]["from"], made.body["results"][0]["to"]]), ends);
    // Two companies may share a domain: there is no conflict.
    let twin = api.post("/crm/v3/objects/companies", json!({"properties": {"domain": "x.example"}})).await;
    assert_eq!(twin.status, 201);
}

#[tokio::test]
async fn owners_page_and_those_who_left_are_listed_apart() {
    let api = Api::start().await;
    let first = api.get("/crm/owners/2026-09?limit=1").await;
    assert_eq!(first.body["results"][0]["id"], "11");
    assert_eq!(first.body["results"][0]["userId"], 5_011);
    let next = first.body["paging"]["next"]["after"].as_str().unwrap();
    let second = api.get(&format!("/crm/v3/owners/?limit=1&after={next}")).await;
    assert_eq!(ids(&second.body["results"]), ["12"]);
    assert!(second.body.get("paging").is_none());
    let gone = api.get("/crm/v3/owners?archived=true").await;
    assert_eq!(ids(&gone.body["results"]), ["13"]);
    assert!(gone.body["results"][0]["userId"].is_null());
    assert_eq!(gone.body["results"][0]["userIdIncludingInactive"], 5_013);
    assert_eq!(ids(&api.get("/crm/v3/owners?email=BEN@agency.example").await.body["results"]), ["12"]);
}

#[tokio::test]
async fn a_unique_property_is_defined_read_back_and_enforced() {
    let api = Api::start().await;
    let define = json!({"name": "usher_key", "label": "Usher key", "type": "string", "fieldType": "text",
        "groupName": "taskinformation", "hasUniqueValue": true});
    assert_eq!(api.post("/crm/properties/2026-09/tasks", define.clone()).await.status, 201);
    assert_eq!(api.post("/crm/properties/2026-09/tasks", define).await.status, 409);
    let read = api.get("/crm/v3/properties/tasks/usher_key").await;
    assert_eq!(read.body["hasUniqueValue"], true);
    assert_eq!(
        api.get("/crm/v3/properties/tasks/groups").await.body["results"][0]["name"],
        "taskinformation"
    );
    let task = json!({"properties": {"hs_timestamp": "1700000000000", "usher_key": "k1"}});
    assert_eq!(api.post("/crm/v3/objects/tasks", task.clone()).await.status, 201);
    let twice = api.post("/crm/v3/objects/tasks", task).await;
    assert_eq!((twice.status, &twice.body["errors"][0]["code"]), (400, &json!("CONFLICTING_UNIQUE_VALUE")));
    assert_eq!(api.get("/crm/v3/objects/tasks/K1?idProperty=usher_key").await.status, 200);
    let upsert = |key: &str| {
        json!({"inputs": [{"id": key, "idProperty": "usher_key",
        "properties": {"hs_timestamp": "1700000000000", "hs_task_subject": "x"}}]})
    };
    let old = api.post("/crm/objects/2026-09/tasks/batch/upsert", upsert("k1")).await;
    let new = api.post("/crm/objects/2026-09/tasks/batch/upsert", upsert("k2")).await;
    assert_eq!(
        (&old.body["results"][0]["new"], &new.body["results"][0]["new"]),
        (&json!(false), &json!(true))
    );
}

#[tokio::test]
async fn users_carry_availability() {
    let api = Api::start().await;
    let seed = r#"{"object":"users","properties":{"hs_email":"ana@agency.example","hs_availability_status":"away","hs_standard_time_zone":"europe_slash_berlin"}}"#;
    api.sandbox.hubspot().seed(seed).unwrap();
    let list = api.get("/crm/objects/2026-09/users?properties=hs_availability_status,hs_email").await;
    assert_eq!(list.body["results"][0]["properties"]["hs_availability_status"], "away");
}

#[tokio::test]
async fn paths_that_the_vendor_does_not_serve_are_refused() {
    let api = Api::start().await;
    assert_eq!(api.get("/crm/objects/2025-01/contacts").await.status, 404);
    assert_eq!(
        api.get("/crm/v3/objects/things").await.body["message"],
        "Unable to infer object type from: things"
    );
    assert_eq!(api.call("PUT", "/crm/v3/objects/contacts", None).await.status, 405);
    assert_eq!(api.get("/crm/v4/objects/contacts").await.status, 404);
    let made =
        api.sandbox.hubspot().create("contacts", &map(&json!({"email": "f@x.example"})), "FORM").unwrap();
    let read = api.get(&format!("/crm/v3/objects/0-1/{made}?properties=hs_object_source")).await;
    assert_eq!(read.body["properties"]["hs_object_source"], "FORM");
}
