//! Every operation that the Pipedrive simulator serves, against the official OpenAPI documents: its price, its status,
//! every field of its answer.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::PathBuf;

use serde_json::{Value, json};
use usher_sandbox::pipedrive::operations;
use usher_sandbox::{Faults, Options, PipedriveLimits, PipedrivePlan, Span};

use crate::pipedrive::{ANA, Pipe};
use crate::pipedrive_oauth::{consent, exchange};
use crate::pipedrive_schema::Document;

/// Fields that are there only on request or with a setting of the account that is not simulated.
const ONLY_SOMETIMES: [&str; 13] = [
    "postal_address",
    "notes",
    "im",
    "birthday",
    "job_title",
    "source_lead_id",
    "attendees",
    // field definitions
    "subfields",
    "ui_visibility",
    "important_fields",
    "required_fields",
    "options_deleted",
    "is_subfield",
];

struct Documents {
    v1: Document,
    v2: Document,
}

impl Documents {
    /// None, said loudly, where the documents are not beside the checkout.
    fn load() -> Option<Self> {
        let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/contracts/pipedrive");
        if !folder.is_dir() {
            // Past the test runner's capture, so that a skipped proof does not look like one.
            let skipped = format!(
                "SKIPPED: Pipedrive's documents are not beside the checkout ({})\n",
                folder.display()
            );
            std::io::stderr().write_all(skipped.as_bytes()).unwrap();
            return None;
        }
        let read = |name: &str| Document::new(std::fs::read_to_string(folder.join(name)).unwrap());
        Some(Self { v1: read("openapi-v1.yaml"), v2: read("openapi-v2.yaml") })
    }

    fn of(&mut self, version: &str) -> &mut Document {
        if version == "v1" { &mut self.v1 } else { &mut self.v2 }
    }
}

/// Where the v1 document disagrees with itself: its schemas have the page's position in `additional_data`, its example of
/// getPersonFields in `additional_data.pagination`, as the vendor answers (API-FACTS). The schema of the one is used for
/// the other; `next_start` is of the older answers too.
fn older(mut body: Value) -> Value {
    if let Some(Value::Object(mut pagination)) = body["additional_data"].get("pagination").cloned() {
        pagination.remove("next_start");
        body["additional_data"] = pagination.into();
    }
    body
}

/// Custom fields of leads stand among the others, which the schema does not say but the description of getLeads does.
fn is_custom(fault: &str) -> bool {
    let Some((name, "invented")) = fault.split_once(" is ") else { return false };
    let key = name.rsplit('.').next().unwrap_or_default();
    let key = key.strip_suffix("_currency").unwrap_or(key);
    key.len() == 40 && key.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Whether the simulator asks OAuth tokens for other scopes than the document does.
fn scopes_differ(operation: &Value, method: &str, template: &str) -> Option<String> {
    let asked = operation["security"].as_array().into_iter().flatten().find_map(|way| way.get("oauth2"));
    let asked: BTreeSet<&str> =
        asked.and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
    let path = shape(template);
    let ours = operations().find(|of| of.method == method && of.path == path)?;
    let ours: BTreeSet<&str> = ours.scopes.iter().copied().collect();
    (ours != asked).then(|| format!("asks for {ours:?}, not {asked:?}"))
}

fn shape(template: &str) -> String {
    template.replace("{field_code}", "{}").replace("{id}", "{}")
}

/// Calls, compares, and remembers what was called.
struct Checker {
    documents: Documents,
    pipe: Pipe,
    called: BTreeSet<String>,
    faults: Vec<String>,
}

impl Checker {
    /// Calls an operation: `template` is its path in the document, `path` the one to call.
    async fn call(&mut self, method: &str, template: &str, path: &str, body: Option<Value>) -> Value {
        let (version, documented) = template.split_at(2);
        let document = self.documents.of(version);
        let Some(operation) = document.operation(method, documented) else {
            panic!("the {version} document has no {method} {documented}")
        };
        let before = self.pipe.sim().tokens_spent();
        let reply = self.pipe.call(method, path, body).await;
        let cost = self.pipe.sim().tokens_spent() - before;
        // Of the notes, schema and example agree.
        let body = if template == "v1/notes" { reply.body.clone() } else { older(reply.body.clone()) };
        let mut found = document.faults(&operation, reply.status, &body);
        found.retain(|fault| !(template.starts_with("v1/leads") && is_custom(fault)));
        found.extend(scopes_differ(&operation, method, template));
        if operation["x-token-cost"] != cost {
            found.push(format!("costs {cost}, not {}", operation["x-token-cost"]));
        }
        if reply.status < 300 && !matches!(template, "v1/webhooks/{id}" | "v2/itemSearch/field") {
            let absent = document.absent(&operation, reply.status, &reply.body);
            let absent = absent.into_iter().filter(|name| !ONLY_SOMETIMES.contains(&name.as_str()));
            found.extend(absent.map(|name| format!("{name} is absent")));
        }
        self.faults.extend(found.into_iter().map(|fault| format!("{method} {path}: {fault}")));
        self.called.insert(format!("{method} {template}"));
        reply.body
    }

    async fn get(&mut self, template: &str) -> Value {
        self.call("GET", template, template, None).await
    }

    /// Create, read, list, change, delete, with all there is to fill in and with next to nothing.
    async fn entity(&mut self, name: &str, bodies: [Value; 2]) {
        let (all, one) = (format!("v2/{name}"), format!("v2/{name}/{{id}}"));
        for body in bodies {
            let made = self.call("POST", &all, &all, Some(body.clone())).await;
            let id = made["data"]["id"].as_u64().unwrap_or_else(|| panic!("{made}"));
            let path = format!("v2/{name}/{id}");
            self.call("GET", &one, &path, None).await;
            self.call("PATCH", &one, &path, Some(json!({"owner_id": ANA}))).await;
        }
        self.call("GET", &all, &format!("{all}?limit=1&sort_by=update_time"), None).await;
        let full = self.get(&all).await;
        let last = full["data"].as_array().unwrap().last().unwrap()["id"].clone();
        self.call("DELETE", &one, &format!("v2/{name}/{last}"), None).await;
    }

    async fn fields(&mut self, object: &str) {
        let all = format!("{object}Fields");
        let v2 = self.get(&format!("v2/{all}")).await;
        let code = v2["data"][0]["field_code"].as_str().unwrap().to_owned();
        self.call("GET", &format!("v2/{all}/{{field_code}}"), &format!("v2/{all}/{code}"), None).await;
        let body = json!({"field_name": "Kind", "field_type": "enum", "options": [{"label": "a"}]});
        self.call("POST", &format!("v2/{all}"), &format!("v2/{all}"), Some(body)).await;
        let body = json!({"name": "Source", "field_type": "varchar"});
        self.call("POST", &format!("v1/{all}"), &format!("v1/{all}"), Some(body)).await;
        let v1 = self.get(&format!("v1/{all}")).await;
        let id = v1["data"][0]["id"].clone();
        self.call("GET", &format!("v1/{all}/{{id}}"), &format!("v1/{all}/{id}"), None).await;
    }
}

async fn checker(documents: Documents) -> Checker {
    let limits = PipedriveLimits { plan: PipedrivePlan::Ultimate, seats: 50, ..PipedriveLimits::default() };
    let faults = Faults { search_lag_ms: Span(0, 0), ..Faults::default() };
    let pipe = Pipe::with(Options { pipedrive_limits: Some(limits), faults, ..Options::default() }).await;
    Checker { documents, pipe, called: BTreeSet::new(), faults: Vec::new() }
}

async fn v2(check: &mut Checker) {
    let budget = check.pipe.field("deals", "Budget", "monetary", &[]);
    let kind = check.pipe.field("persons", "Kind", "varchar", &[]);
    let address = json!({"value": "Hauptstr. 12, Berlin", "country": "Germany"});
    let full = json!({"name": "Acme", "owner_id": 1, "address": address, "website": "https://acme.example", "industry": 2,
        "annual_revenue": 5, "employee_count": 7, "linkedin": "https://linkedin.example/acme", "label_ids": [1]});
    check.entity("organizations", [full, json!({"name": "Bare"})]).await;
    let full = json!({"name": "Lea Laroche", "org_id": 1, "emails": [{"value": "lea@acme.example"}],
        "phones": [{"value": "+4930"}], "label_ids": [1], "custom_fields": {&kind: "usher:1"}});
    check.entity("persons", [full, json!({"name": "Lea"})]).await;
    let full = json!({"title": "D", "person_id": 1, "org_id": 1, "value": 20.5, "currency": "EUR", "status": "won",
        "probability": 50, "expected_close_date": "2026-12-01", "custom_fields": {&budget: {"value": 1, "currency": "EUR"}}});
    check.entity("deals", [full, json!({"title": "Bare", "person_id": 1})]).await;
    let full = json!({"subject": "Call", "type": "call", "deal_id": 1, "org_id": 1, "due_date": "2026-11-24",
        "due_time": "09:30", "duration": "00:15", "busy": true, "done": true, "note": "usher:1", "location": address,
        "participants": [{"person_id": 1, "primary": true}], "public_description": "x", "priority": 3,
        "attendees": [{"email": "lea@acme.example", "name": "Lea", "status": "accepted", "is_organizer": false}]});
    check.entity("activities", [full, json!({})]).await;
    check.call("GET", "v2/activities", "v2/activities?include_fields=attendees", None).await;
    check.pipe.sandbox.advance(std::time::Duration::from_secs(2));
    check.pipe.patch("v2/deals/1", json!({"is_archived": true})).await.data();
    check.get("v2/deals/archived").await;
    for path in ["v2/pipelines", "v2/stages"] {
        check.get(path).await;
    }
    check.pipe.post("v2/persons", json!({"name": "Bare"})).await.data();
    for object in ["person", "organization", "deal"] {
        check.fields(object).await;
    }
    let in_field = format!("v2/itemSearch/field?entity_type=person&field={kind}&term=usher:1");
    for (template, path) in [
        ("v2/persons/search", "v2/persons/search?term=lea"),
        ("v2/organizations/search", "v2/organizations/search?term=acme"),
        ("v2/persons/search", "v2/persons/search?term=bare"),
        ("v2/itemSearch/field", in_field.as_str()),
    ] {
        check.call("GET", template, path, None).await;
    }
}

async fn v1(check: &mut Checker) {
    let source = check.pipe.field("deals", "Where from", "varchar", &[]);
    let label = check.get("v1/leadLabels").await["data"][0]["id"].clone();
    let full = json!({"title": "SEO", "person_id": 1, "organization_id": 1, "owner_id": ANA, "label_ids": [label],
        "value": {"amount": 20_000, "currency": "EUR"}, "expected_close_date": "2026-12-01", "visible_to": "7",
        "was_seen": true, "origin_id": "typeform:1", "channel": 52, "channel_id": "web", &source: "fair"});
    for body in [full, json!({"title": "Bare", "person_id": 1})] {
        let made = check.call("POST", "v1/leads", "v1/leads", Some(body)).await;
        let path = format!("v1/leads/{}", made["data"]["id"].as_str().unwrap());
        check.call("GET", "v1/leads/{id}", &path, None).await;
        check.call("PATCH", "v1/leads/{id}", &path, Some(json!({"was_seen": true}))).await;
    }
    let list = check.get("v1/leads").await;
    for term in ["seo", "bare"] {
        check.call("GET", "v2/leads/search", &format!("v2/leads/search?term={term}"), None).await;
    }
    let ids: Vec<&str> =
        list["data"].as_array().unwrap().iter().map(|row| row["id"].as_str().unwrap()).collect();
    check.pipe.patch(&format!("v1/leads/{}", ids[0]), json!({"is_archived": true})).await.data();
    check.get("v1/leads/archived").await;
    check.call("DELETE", "v1/leads/{id}", &format!("v1/leads/{}", ids[1]), None).await;
    for method in ["GET", "PATCH", "DELETE"] {
        check.call(method, "v1/leads/{id}", &format!("v1/leads/{}", ids[1]), Some(json!({}))).await;
    }
    check.pipe.sandbox.advance(std::time::Duration::from_secs(2));
    let attached = json!({"content": "<b>Called</b>", "person_id": 1});
    check.call("POST", "v1/notes", "v1/notes", Some(attached)).await;
    check.get("v1/notes").await;
    for path in ["v1/leadSources", "v1/leadFields", "v1/users", "v1/users/me", "v1/activityTypes"] {
        check.get(path).await;
    }
    check.call("GET", "v1/users/{id}", "v1/users/11", None).await;
    for object in ["persons", "deals"] {
        let ids = check.pipe.sim().ids(object);
        let id = *ids.first().unwrap();
        for owner in [ANA, 1] {
            check.pipe.sim().assign_as_human(object, id, owner).unwrap();
        }
        let path = format!("v1/{object}/{id}/changelog");
        let shown = check.call("GET", &format!("v1/{object}/{{id}}/changelog"), &path, None).await;
        assert_eq!(shown["data"][0]["new_value"], "1", "the newest first");
    }
    check.call("GET", "v1/users/{id}", "v1/users/99", None).await;
    let hook = json!({"subscription_url": "https://usher.example/hook", "event_action": "*", "event_object": "lead",
        "name": "usher"});
    let made = check.call("POST", "v1/webhooks", "v1/webhooks", Some(hook)).await;
    check.call("POST", "v1/webhooks", "v1/webhooks", Some(json!({}))).await;
    check.get("v1/webhooks").await;
    for _ in 0..2 {
        check.call("DELETE", "v1/webhooks/{id}", &format!("v1/webhooks/{}", made["data"]["id"]), None).await;
    }
}

#[tokio::test]
async fn every_answer_and_every_price_is_the_documents() {
    let Some(documents) = Documents::load() else { return };
    let mut check = checker(documents).await;
    v2(&mut check).await;
    v1(&mut check).await;
    // The authorization server is another host at the vendor, so its paths are not below the API's.
    let code = consent(&check.pipe, &[]).await.1;
    let (status, granted) = exchange(&check.pipe, &code).await;
    let operation = check.documents.v1.operation("POST", "/oauth/token").unwrap();
    let found = check.documents.v1.faults(&operation, status, &granted);
    check.faults.extend(found.into_iter().map(|fault| format!("oauth/token: {fault}")));
    assert_eq!(granted.as_object().unwrap().len(), 6, "all that the document has");
    // v1 document: 401 where it is declared.
    check.pipe.token = "wrong".to_owned();
    for path in ["v1/users/me", "v1/webhooks"] {
        let reply = check.pipe.get(path).await;
        let operation = check.documents.v1.operation("GET", &path[2..]).unwrap();
        let found = check.documents.v1.faults(&operation, reply.status, &reply.body);
        check.faults.extend(found.into_iter().map(|fault| format!("401 of {path}: {fault}")));
    }
    assert!(check.faults.is_empty(), "{}", check.faults.join("\n"));
    let served: BTreeSet<String> = operations().map(|of| format!("{} {}", of.method, of.path)).collect();
    let called: BTreeSet<String> = check.called.iter().map(|name| shape(name)).collect();
    assert_eq!(called, served, "every operation that is served has been looked at");
}

#[test]
fn the_checker_sees_what_is_wrong() {
    let Some(mut documents) = Documents::load() else { return };
    let operation = documents.v2.operation("GET", "/persons/{id}").unwrap();
    let right =
        json!({"success": true, "data": {"id": 1, "name": "Lea", "emails": [], "custom_fields": {"x": 1}}});
    assert!(documents.v2.faults(&operation, 200, &right).is_empty());
    for (pointer, value, fault) in [
        ("id", json!("1"), ".data.id is no integer"),
        ("owner_id", Value::Null, ".data.owner_id is null"),
        ("email", json!("a@x.example"), ".data.email is invented"),
        ("emails", json!([{"address": "a@x.example"}]), ".data.emails[].address is invented"),
    ] {
        let mut wrong = right.clone();
        wrong["data"][pointer] = value;
        let found = documents.v2.faults(&operation, 200, &wrong);
        assert!(found.len() == 1 && found[0].starts_with(fault), "{found:?}");
    }
    assert_eq!(documents.v2.faults(&operation, 201, &right), ["status 201 is not declared"]);
    assert!(documents.v2.absent(&operation, 200, &right).contains(&"update_time".to_owned()));
    let fields = documents.v2.operation("GET", "/personFields/{field_code}").unwrap();
    let found = documents.v2.faults(&fields, 200, &json!({"success": true, "data": {"field_type": "url"}}));
    assert!(found.contains(&".data.field_code is missing".to_owned()), "{found:?}");
    assert!(found.iter().any(|fault| fault.contains("field_type is not among the values")), "{found:?}");
}
