//! Writes that meet humans, other programs and objects that are gone.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use usher_sandbox::{Actor, HubspotSim, Span, Submission};

use crate::installation::{Installation, object, text, until};

/// The owner of a contact, by what the CRM shows.
fn owner(crm: &HubspotSim, contact: u64) -> Value {
    crm.read("contacts", contact).unwrap()["properties"]["hubspot_owner_id"].clone()
}

/// The owners that somebody wrote on a contact, in order; 0 for nobody.
fn owners_written(crm: &HubspotSim, contact: u64, by: impl Fn(Actor) -> bool) -> Vec<u64> {
    let events = crm.events(0).into_iter();
    let changed = events.filter(|event| {
        event.object() == "contacts"
            && event.id == contact
            && by(event.actor)
            && event.old_owner != event.new_owner
    });
    changed.map(|event| event.new_owner).collect()
}

fn task_status(crm: &HubspotSim, contact: u64) -> Value {
    let tasks = crm.associated("contacts", contact, "tasks");
    crm.read("tasks", tasks[0]).unwrap()["properties"]["hs_task_status"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn fm_049_a_human_who_is_overwritten_inside_the_window_gets_the_contact_back_once() {
    gives_back(&Installation::new().await).await;
}

/// A human chooses while our write is on its way, is overwritten, and has the contact back.
pub(crate) async fn gives_back(installation: &Installation) {
    let crm = installation.sandbox.hubspot();
    let mut faults = installation.sandbox.faults();
    // A person chooses an owner while our write, compared a moment ago, is on its way.
    (faults.human_first, faults.times) = (1.0, Some(1));
    installation.sandbox.set_faults(faults);
    let daemon = installation.start().await;
    let contact = object(json!({ "email": "zoe@acme.example", "firstname": "Zoe" }));
    let contact = crm.create("contacts", &contact, "CRM_UI").unwrap();
    installation.drained(1).await;
    until("the human's choice is restored", async || {
        let human = owners_written(&crm, contact, |actor| actor == Actor::Human);
        human.len() == 1 && owner(&crm, contact) == json!(human[0].to_string())
    })
    .await;
    until("the task is closed", async || task_status(&crm, contact) == json!("COMPLETED")).await;
    installation.drained(1).await;
    let ours = owners_written(&crm, contact, |actor| matches!(actor, Actor::Api(_)));
    assert_eq!(ours.len(), 2, "our owner, and the human's again, once: {ours:?}");
    let shown = installation.run(&["leads", "show", "zoe@acme.example"]).await;
    let shown = text(&shown.stdout);
    assert!(shown.contains("a human had chosen owner") && shown.contains("restored"), "{shown}");
    assert!(installation.log().contains("overwritten"), "{}", installation.log());
    installation.assert_invariants().await;
    assert_eq!(daemon.stop(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn fm_049_a_young_read_saves_the_comparison_and_an_old_one_does_not() {
    for (within, compared) in [(3_600, 0), (1, 1)] {
        let settings = format!("write: {{ owner_read_within: {within}s }}");
        let installation = Installation::with("live", &settings).await;
        let crm = installation.sandbox.hubspot();
        let contact = json!({ "object": "contacts", "createdAt": "2024-01-01T00:00:00Z", "source": "CRM_UI", "properties": { "email": "ann@one.example" } });
        crm.seed(&contact.to_string()).unwrap();
        let daemon = installation.start().await;
        assert!(installation.run(&["pause"]).await.status.success());
        installation.submit("ann@one.example", "Ann One");
        until("the lead is decided", async || {
            installation.json(&["status"]).await["leads"]["decided"] == json!(1)
        })
        .await;
        let decided = Instant::now();
        until("the read is older than a second", async || decided.elapsed() > Duration::from_secs(1)).await;
        assert!(installation.run(&["pause", "--resume"]).await.status.success());
        installation.drained(1).await;
        let summary = crm.summary();
        assert_eq!(summary.owners_set, 1);
        let comparisons = summary.requests.get("hubspot owner comparison").copied().unwrap_or_default();
        assert_eq!(comparisons, compared, "a read is good for {within} s");
        assert_eq!(daemon.stop(), Some(0));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn fm_051_a_workflow_that_writes_the_owner_back_is_not_fought_for_ever() {
    let installation = Installation::with("live", "write: { same_inquiry_within: 0s }").await;
    let crm = installation.sandbox.hubspot();
    let contact = json!({ "object": "contacts", "createdAt": "2024-01-01T00:00:00Z", "source": "CRM_UI", "properties": { "email": "zoe@acme.example" } });
    let contact = crm.seed(&contact.to_string()).unwrap()[0];
    let mut faults = installation.sandbox.faults();
    faults.peer_automation = 1.0;
    installation.sandbox.set_faults(faults);
    let daemon = installation.start().await;
    for lead in 1..=6 {
        installation.submit("zoe@acme.example", "Zoe Acme");
        installation.drained(lead).await;
    }
    let ours = owners_written(&crm, contact, |actor| matches!(actor, Actor::Api(_)));
    assert_eq!(ours.len(), 3, "the budget of an hour: {ours:?}");
    let failed = installation.json(&["failed", "list", "--reason-contains", "3 times within an hour"]).await;
    // Not every lead wants another owner: a workflow may have put back the very rep whose turn it is.
    let failures = failed.as_array().unwrap().len();
    assert!(failures > 0, "{failed}");
    assert_eq!(installation.json(&["status"]).await["leads"]["closed:failed"], json!(failures));
    assert_eq!(daemon.stop(), Some(0));
}

const EVERY_VERSION: &str = "version: 1
enroll: { on: every_time }
lead:
  email:     { from: properties.email, clean: email }
  last_name: { from: properties.lastname }
  message:   { from: properties.message }
  owner:     { from: properties.hubspot_owner_id }
";

#[tokio::test(flavor = "multi_thread")]
async fn fm_050_our_own_write_opens_no_lead_even_where_every_version_may() {
    let installation = Installation::with("live", "write: { same_inquiry_within: 0s }").await;
    installation.write("contacts.yaml", EVERY_VERSION);
    installation.edit(
        "usher.yaml",
        "    connector: hubspot\n",
        "    connector: hubspot\n    mapping: contacts.yaml\n",
    );
    let crm = installation.sandbox.hubspot();
    let daemon = installation.start().await;
    let contact =
        object(json!({ "email": "zoe@acme.example", "lastname": "Acme", "message": "an offer, please" }));
    let contact = crm.create("contacts", &contact, "FORM").unwrap();
    installation.drained(1).await;
    // Our owner write has made a version, and so does an edit by somebody that the mapping does not read.
    let known =
        async || installation.json(&["status"]).await["ignored"]["known"].as_u64().unwrap_or_default();
    until("our echo was seen", async || known().await == 1).await;
    crm.update("contacts", contact, &object(json!({ "phone": "123" })), Actor::Human).unwrap();
    until("the edit was seen", async || known().await == 2).await;
    assert_eq!(installation.json(&["status"]).await["records"]["opened"], json!(1));
    // A new message is a new inquiry.
    crm.update("contacts", contact, &object(json!({ "message": "another one" })), Actor::Form).unwrap();
    let status = installation.drained(2).await;
    assert_eq!(status["records"]["opened"], json!(2), "{status}");
    assert_eq!(daemon.stop(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn fm_052_an_inquiry_outlives_the_deletion_of_its_old_contact() {
    let installation = Installation::with("live", "write: { same_inquiry_within: 0s }").await;
    let crm = installation.sandbox.hubspot();
    let daemon = installation.start().await;
    installation.submit("zoe@acme.example", "Zoe Acme");
    installation.drained(1).await;
    let first = crm.ownership()[0].id;
    crm.archive("contacts", first).unwrap();
    installation.submit("zoe@acme.example", "Zoe Acme");
    installation.drained(2).await;
    let owned = crm.ownership();
    assert_eq!((owned.len(), owned[0].id == first), (1, false), "the person was created again, once");
    assert_ne!(owned[0].owner, 0);
    assert_eq!(crm.associated("contacts", owned[0].id, "tasks").len(), 1);
    assert_eq!(installation.json(&["failed", "list"]).await, json!([]));
    assert_eq!(daemon.stop(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn fm_052_a_lead_ends_with_the_contact_that_it_came_from() {
    let installation = Installation::new().await;
    let crm = installation.sandbox.hubspot();
    let daemon = installation.start().await;
    assert!(installation.run(&["pause"]).await.status.success());
    let contact = object(json!({ "email": "spam@acme.example", "firstname": "Spam" }));
    let contact = crm.create("contacts", &contact, "CRM_UI").unwrap();
    until("the lead is decided", async || {
        installation.json(&["status"]).await["leads"]["decided"] == json!(1)
    })
    .await;
    crm.archive("contacts", contact).unwrap();
    assert!(installation.run(&["pause", "--resume"]).await.status.success());
    let status = installation.drained(1).await;
    assert_eq!(status["leads"]["closed:suppressed"], json!(1), "{status}");
    assert_eq!((crm.count("contacts"), crm.summary().tasks_created), (0, 0), "nobody asked for it back");
    let leads = installation.json(&["leads", "list"]).await;
    assert!(leads[0]["detail"].as_str().unwrap().contains("deleted at the CRM"), "{leads}");
    assert_eq!(daemon.stop(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn fm_042_a_write_that_lands_late_inside_the_settle_window_is_not_repeated() {
    let installation = Installation::with("live", "write: { settle: 8s }").await;
    let mut faults = installation.sandbox.faults();
    (faults.late_commit, faults.late_commit_ms, faults.times) = (1.0, Span(1_500, 4_000), Some(4));
    faults.only_paths = vec!["batch/create".to_owned(), "contacts/batch/update".to_owned()];
    installation.sandbox.set_faults(faults);
    let daemon = installation.start().await;
    for n in 0..3 {
        installation.submit(&format!("p{n}@acme{n}.example"), &format!("Person{n} Example"));
    }
    installation.drained(3).await;
    let verdict = installation.sandbox.hubspot().summary();
    assert_eq!((verdict.tasks_created, verdict.duplicate_tasks, verdict.duplicate_persons), (3, 0, 0));
    assert!(verdict.faults["late_commit"] >= 2, "{:?}", verdict.faults);
    installation.assert_invariants().await;
    assert_eq!(daemon.stop(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn fm_043_a_pair_that_is_half_done_shows_it_and_goes_on_at_the_failed_half() {
    let installation = Installation::new().await;
    let crm = installation.sandbox.hubspot();
    let mut faults = installation.sandbox.faults();
    (faults.partial_row, faults.times) = (1.0, Some(1));
    faults.partial_category = "VALIDATION_ERROR".to_owned();
    faults.only_paths = vec!["tasks".to_owned()];
    installation.sandbox.set_faults(faults);
    let contact = json!({ "object": "contacts", "createdAt": "2024-01-01T00:00:00Z", "source": "CRM_UI", "properties": { "email": "zoe@acme.example" } });
    let contact = crm.seed(&contact.to_string()).unwrap()[0];
    let daemon = installation.start().await;
    installation.submit("zoe@acme.example", "Zoe Acme");
    installation.drained(1).await;
    let lead = installation.json(&["leads", "show", "zoe@acme.example"]).await;
    let states: Vec<(&Value, &Value)> =
        lead["writes"].as_array().unwrap().iter().map(|write| (&write["kind"], &write["state"])).collect();
    let half = [(&json!("update_object"), &json!("done")), (&json!("create_task"), &json!("rejected"))];
    assert_eq!(states, half, "{lead}");
    assert_eq!(lead["lead"]["close_reason"], json!("failed"));
    assert!(installation.run(&["failed", "retry", "--kind", "rejected"]).await.status.success());
    until("the task is there", async || crm.summary().tasks_created == 1).await;
    installation.drained(1).await;
    assert_eq!(installation.json(&["status"]).await["leads"]["closed:written"], json!(1));
    let ours = owners_written(&crm, contact, |actor| matches!(actor, Actor::Api(_)));
    assert_eq!(ours.len(), 1, "the owner is not written again");
    assert_eq!(daemon.stop(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn fm_054_a_company_that_the_crm_makes_by_itself_stays_the_only_one() {
    let installation = Installation::new().await;
    let mut faults = installation.sandbox.faults();
    (faults.auto_company, faults.aftermath_ms) = (1.0, Span(0, 1_000));
    installation.sandbox.set_faults(faults);
    let crm = installation.sandbox.hubspot();
    let daemon = installation.start().await;
    for n in 0..4 {
        installation.submit(&format!("p{n}@acme.example"), &format!("Person{n} Example"));
    }
    installation.drained(4).await;
    until("the CRM has made the company", async || crm.summary().pending == 0).await;
    assert_eq!(crm.count("companies"), 1);
    installation.assert_invariants().await;
    assert_eq!(daemon.stop(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn fm_055_a_value_that_the_account_does_not_take_costs_only_itself() {
    let installation = Installation::new().await;
    let crm = installation.sandbox.hubspot();
    let options = json!([{ "label": "Germany", "value": "DE" }, { "label": "France", "value": "fr" }]);
    let country = json!({ "properties_of": "contacts", "name": "country", "type": "enumeration",
                          "fieldType": "select", "options": options });
    crm.seed(&country.to_string()).unwrap();
    let daemon = installation.start().await;
    let people = [("Germany", json!("DE")), ("FRANCE", json!("fr")), ("Norway", Value::Null)];
    for (n, (country, _)) in people.iter().enumerate() {
        let answers = object(json!({ "name": "Ana Example", "email": format!("p{n}@acme{n}.example"),
                                     "company": "Acme", "country": country, "need": "SEO" }));
        let submission = Submission { form: "demo".to_owned(), answers, ..Submission::default() };
        installation.sandbox.typeform().submit(&submission).unwrap();
    }
    installation.drained(3).await;
    assert_eq!(installation.json(&["failed", "list"]).await, json!([]), "nothing was refused");
    let events = crm.events(0).into_iter().filter(|event| event.object() == "contacts");
    let contacts: std::collections::BTreeSet<u64> = events.map(|event| event.id).collect();
    let mut seen: Vec<(Value, Value)> = Vec::new();
    for contact in contacts {
        let properties = crm.read("contacts", contact).unwrap()["properties"].clone();
        seen.push((properties["email"].clone(), properties["country"].clone()));
    }
    for (n, (given, kept)) in people.iter().enumerate() {
        let row = (json!(format!("p{n}@acme{n}.example")), kept.clone());
        assert!(seen.contains(&row), "{given} becomes {kept}: {seen:?}");
    }
    let shown = installation.run(&["leads", "show", "p2@acme2.example"]).await;
    let shown = text(&shown.stdout);
    assert!(shown.contains("left out: country (not one of HubSpot's options)"), "{shown}");
    assert_eq!(daemon.stop(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn fm_057_turns_stay_even_though_the_daemon_is_killed() {
    let installation = Installation::with("live", "write: { settle: 6s }").await;
    installation.start().await.kill();
    for n in 0..40 {
        installation.submit(&format!("p{n}@acme{n}.example"), &format!("Person{n} Example"));
    }
    for tasks in [1, 15] {
        let daemon = installation.start().await;
        until("some tasks are written", async || {
            installation.sandbox.hubspot().summary().tasks_created >= tasks
        })
        .await;
        daemon.kill();
    }
    let daemon = installation.start().await;
    installation.drained(40).await;
    let owned = installation.sandbox.hubspot().ownership();
    let of = |owner: u64| owned.iter().filter(|contact| contact.owner == owner).count();
    assert_eq!((of(101), of(102)), (20, 20), "no turn lost, none taken twice");
    assert_eq!(daemon.stop(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_capability_table_says_what_each_write_relies_on() {
    let installation = Installation::with("live", "write: { settle: 90s }").await;
    let rows = installation.json(&["status", "--capabilities"]).await;
    let row =
        |write: &str| rows.as_array().unwrap().iter().find(|row| row["write"] == write).unwrap().clone();
    assert_eq!(
        row("create_task"),
        json!({
            "connection": "hubspot-main", "write": "create_task", "object": "tasks", "max_batch": 100, "keyed": false,
            "verified_by": "marker among the parent's objects", "settle_seconds": 90.0,
        })
    );
    assert_eq!(row("ensure_company")["verified_by"], json!("marker among the parent's objects"));
    let shown = installation.run(&["status", "--capabilities"]).await;
    assert!(text(&shown.stdout).contains("create_task"), "{}", text(&shown.stdout));
}

#[tokio::test(flavor = "multi_thread")]
async fn fm_040_with_a_key_property_a_lost_answer_makes_no_second_task_and_undo_knows_what_is_ours() {
    let installation = Installation::with("live", "write: { settle: 6s }").await;
    let crm = installation.sandbox.hubspot();
    let properties = installation.json(&["properties"]).await;
    assert_eq!((&properties[1]["object"], &properties[1]["state"]), (&json!("tasks"), &json!("missing")));
    let keyed = "    limits: off\n    contacts: { unique_property: usher_key }\n    tasks: { unique_property: usher_key }\n    pull: { objects";
    installation.edit("usher.yaml", "    limits: off\n    pull: { objects", keyed);
    let said = installation.refused(&["check", "--online"]).await;
    assert!(said.contains("usher properties --create"), "{said}");
    let properties = installation.json(&["properties", "--create"]).await;
    let states: Vec<&Value> = properties.as_array().unwrap().iter().map(|each| &each["state"]).collect();
    assert_eq!(states, [&json!("ready"), &json!("ready")]);
    assert!(installation.run(&["check", "--online"]).await.status.success());
    let rows = installation.json(&["status", "--capabilities"]).await;
    let keyed = rows.as_array().unwrap().iter().filter(|row| row["keyed"] == json!(true)).count();
    assert_eq!(keyed, 3, "person, association and task: {rows}");

    let mut faults = installation.sandbox.faults();
    (faults.lost_response, faults.times) = (1.0, Some(6));
    faults.only_paths = vec!["batch/create".to_owned()];
    installation.sandbox.set_faults(faults);
    let daemon = installation.start().await;
    for n in 0..3 {
        installation.submit(&format!("p{n}@acme{n}.example"), &format!("Person{n} Example"));
    }
    installation.drained(3).await;
    let verdict = crm.summary();
    assert_eq!((verdict.tasks_created, verdict.duplicate_tasks, verdict.duplicate_persons), (3, 0, 0));
    assert!(verdict.faults["lost_response"] > 1, "{:?}", verdict.faults);
    installation.assert_invariants().await;
    // Though the answers to their creation were lost, the keys prove whose the persons are.
    let plan = installation.json(&["undo", "--since", "1h", "--archive"]).await;
    assert_eq!(plan.to_string().matches("is archived").count(), 3, "{plan}");
    assert_eq!(daemon.stop(), Some(0));
}
