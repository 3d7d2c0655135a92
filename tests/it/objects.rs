//! Leads and deals that carry owner and task.

use serde_json::{Value, json};
use usher_sandbox::{Actor, Change, Faults, HubspotSim, Submission};

use crate::installation::{Installation, object, text, until};

const DEALS: &str = "object: deals\n    deals: { pipeline: default, stage: appointmentscheduled }";
const LEADS: &str = "object: leads";

/// An installation whose inquiries become such objects.
async fn carried(by: &str) -> Installation {
    writing(by, "settle: 6s").await
}

/// The same with further settings of `write`.
async fn writing(by: &str, write: &str) -> Installation {
    let installation = Installation::with("live", &format!("write: {{ {write} }}")).await;
    let settings = format!("    connector: hubspot\n    {by}\n");
    installation.edit("usher.yaml", "    connector: hubspot\n", &settings);
    let company =
        json!({ "object": "companies", "properties": { "name": "Acme", "domain": "acme1.example" } });
    installation.sandbox.hubspot().seed(&company.to_string()).unwrap();
    installation
}

/// What our token made of an object type.
fn made(crm: &HubspotSim, object: &str) -> Vec<u64> {
    let by_us = crm.events(0).into_iter().filter(|event| {
        event.object() == object && event.change == Change::Create && matches!(event.actor, Actor::Api(_))
    });
    by_us.map(|event| event.id).collect()
}

fn shown(crm: &HubspotSim, object: &str, id: u64, property: &str) -> Value {
    crm.read(object, id).unwrap()["properties"][property].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_form_answer_becomes_a_contact_and_a_deal_or_lead_with_its_owner_and_a_task_about_both() {
    for (object, by) in [("deals", DEALS), ("leads", LEADS)] {
        let installation = carried(by).await;
        let crm = installation.sandbox.hubspot();
        let daemon = installation.start().await;
        installation.submit("ann@acme1.example", "Ann Example");
        installation.drained(1).await;
        let (contact, inquiry, task) =
            (made(&crm, "contacts")[0], made(&crm, object)[0], made(&crm, "tasks")[0]);
        assert_eq!(made(&crm, object).len(), 1);
        let owner = shown(&crm, object, inquiry, "hubspot_owner_id");
        assert!(owner == json!("101") || owner == json!("102"), "{owner}");
        assert_eq!(shown(&crm, "tasks", task, "hubspot_owner_id"), owner);
        assert_eq!(shown(&crm, "contacts", contact, "hubspot_owner_id"), Value::Null);
        assert_eq!(crm.associated(object, inquiry, "contacts"), [contact]);
        assert_eq!(crm.associated(object, inquiry, "companies").len(), 1);
        assert_eq!(crm.associated("tasks", task, object), [inquiry]);
        assert_eq!(crm.associated("tasks", task, "contacts"), [contact]);
        let can = installation.json(&["status", "--capabilities"]).await;
        let rows = can.as_array().unwrap().iter();
        let mut rows = rows.filter(|row| row["write"] == "ensure_inquiry");
        assert_eq!(rows.next().unwrap()["object"], object);
        installation.assert_invariants().await;
        assert_eq!(daemon.stop(), Some(0));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deal_or_lead_that_people_enter_is_routed_and_gets_no_other_one() {
    for (object, by, name) in [("deals", DEALS, "dealname"), ("leads", LEADS, "hs_lead_name")] {
        let installation = carried(by).await;
        let pulled = format!("objects: [{object}]");
        installation.edit("usher.yaml", "objects: [contacts]", &pulled);
        let crm = installation.sandbox.hubspot();
        let seed = |line: Value| crm.seed(&line.to_string()).unwrap()[0];
        let daemon = installation.start().await;
        let contact = seed(json!({ "object": "contacts", "source": "CRM_UI",
            "properties": { "email": "zoe@late.example", "firstname": "Zoe" } }));
        let entered =
            seed(json!({ "object": object, "source": "CRM_UI", "properties": { name: "SEO for Late" },
            "associations": [{ "to": "contacts", "id": contact }] }));
        installation.drained(1).await;
        let owner = shown(&crm, object, entered, "hubspot_owner_id");
        assert!(owner == json!("101") || owner == json!("102"), "{owner}");
        let tasks = made(&crm, "tasks");
        assert_eq!(tasks.len(), 1);
        assert_eq!(crm.associated("tasks", tasks[0], object), [entered]);
        assert_eq!(crm.associated("tasks", tasks[0], "contacts"), [contact]);
        // Ours comes back by the poll, too, and opens nothing.
        installation.submit("ann@acme1.example", "Ann Example");
        installation.drained(2).await;
        let ours = made(&crm, object);
        assert_eq!(ours.len(), 1, "none was made for what was there");
        until("our own was read", async || {
            let status = installation.json(&["status"]).await;
            status["records"]["ignored"].as_u64().is_some_and(|ignored| ignored >= 1)
        })
        .await;
        let status = installation.json(&["status"]).await;
        assert_eq!(status["records"]["opened"], json!(2), "{status}");
        installation.assert_invariants().await;
        assert_eq!(daemon.stop(), Some(0));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_entered_by_hand_and_comes_by_a_form_at_once_gets_one_deal_or_lead() {
    for (object, by, name) in [("deals", DEALS, "dealname"), ("leads", LEADS, "hs_lead_name")] {
        let installation = carried(by).await;
        let crm = installation.sandbox.hubspot();
        let seed = |line: Value| crm.seed(&line.to_string()).unwrap()[0];
        let enter = |contact: u64, properties: Value| {
            seed(json!({ "object": object, "source": "CRM_UI", "properties": properties,
                "associations": [{ "to": "contacts", "id": contact }] }))
        };
        let daemon = installation.start().await;
        let mut entered = Vec::new();
        for n in 0..6_u64 {
            let email = format!("p{n}@acme{n}.example");
            if n % 2 == 0 {
                let contact = seed(json!({ "object": "contacts", "source": "CRM_UI",
                    "properties": { "email": email, "firstname": "Ann" } }));
                if object == "deals" {
                    enter(contact, json!({ name: "Long won", "dealstage": "closedwon" }));
                }
                // One of them has chosen the owner.
                let owner = if n == 0 { json!("103") } else { Value::Null };
                entered.push((
                    contact,
                    enter(contact, json!({ name: "Ann called", "hubspot_owner_id": owner })),
                ));
            }
            installation.submit(&email, "Ann Example");
        }
        installation.drained(6).await;
        assert_eq!((made(&crm, object).len(), made(&crm, "tasks").len()), (3, 6), "{object}");
        for (contact, inquiry) in entered {
            let tasks = crm.associated(object, inquiry, "tasks");
            assert_eq!((tasks.len(), crm.associated("contacts", contact, "tasks").len()), (1, 1), "{object}");
            let owner = shown(&crm, object, inquiry, "hubspot_owner_id");
            assert_ne!(owner, Value::Null);
            assert_eq!(shown(&crm, "tasks", tasks[0], "hubspot_owner_id"), owner);
        }
        installation.assert_invariants().await;
        assert_eq!(daemon.stop(), Some(0));
    }
}

/// Three inquiries over a daemon that dies at the point, and over another that finds what it left.
async fn die_at(point: &str, passage: u32) {
    let installation = carried(DEALS).await;
    let crm = installation.sandbox.hubspot();
    if point.starts_with("verify.") {
        let faults = Faults { lost_response: 1.0, times: Some(2), ..Faults::default() };
        installation
            .sandbox
            .set_faults(Faults { only_paths: vec!["deals/batch/create".to_owned()], ..faults });
    }
    let mut dying = installation.spawn(&[("USHER_CRASH_AT", &format!("{point}:{passage}"))]);
    until("the database is made", async || dying.has_ended() || installation.is_connected().await).await;
    for n in 0..3 {
        installation.submit(&format!("p{n}@acme{n}.example"), &format!("Person{n} Example"));
    }
    until(&format!("{point} is reached"), async || dying.has_ended()).await;
    let daemon = installation.start().await;
    installation.drained(3).await;
    installation.assert_invariants().await;
    assert_eq!((made(&crm, "deals").len(), made(&crm, "tasks").len()), (3, 3), "after {point}:{passage}");
    assert_eq!(daemon.stop(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn fm_043_a_crash_around_the_making_of_a_deal_makes_no_second_one() {
    // The second batch that is sent makes a deal: the first one makes its person.
    for point in ["deliver.after_claim", "deliver.before_send", "deliver.after_send", "deliver.after_finish"]
    {
        die_at(point, 2).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn fm_079_a_crash_while_an_unclear_deal_is_looked_up_makes_no_second_one() {
    for point in ["verify.after_claim", "verify.before_finish", "verify.after_finish"] {
        die_at(point, 1).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn fm_039_deals_whose_answers_are_lost_or_late_are_made_once() {
    let installation = carried(DEALS).await;
    let crm = installation.sandbox.hubspot();
    let faults = Faults { lost_response: 0.5, times: Some(8), ..Faults::default() };
    let only_paths = vec!["deals/batch/create".to_owned(), "tasks/batch/create".to_owned()];
    installation.sandbox.set_faults(Faults { only_paths, ..faults });
    let daemon = installation.start().await;
    for n in 0..12 {
        installation.submit(&format!("p{n}@acme{n}.example"), &format!("Person{n} Example"));
        installation.drained(n + 1).await;
    }
    assert!(crm.fired().iter().any(|fired| fired.fault == "lost_response"), "no answer was lost");
    assert_eq!((made(&crm, "deals").len(), made(&crm, "tasks").len()), (12, 12));
    installation.assert_invariants().await;
    assert_eq!(daemon.stop(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn fm_049_a_human_who_chose_a_deals_owner_keeps_it() {
    let installation = carried(DEALS).await;
    let crm = installation.sandbox.hubspot();
    let daemon = installation.start().await;
    for name in ["ann", "bob"] {
        installation.submit(&format!("{name}@{name}.example"), name);
    }
    installation.drained(2).await;
    let deals = made(&crm, "deals");
    crm.assign_as_human("deals", deals[0], 103).unwrap();
    let undone = installation.json(&["undo", "--since", "1h", "--yes"]).await;
    assert_eq!(undone["applied"], json!(true), "{undone}");
    until("our own is taken back", async || {
        shown(&crm, "deals", deals[1], "hubspot_owner_id") == Value::Null
    })
    .await;
    installation.drained(2).await;
    assert_eq!(shown(&crm, "deals", deals[0], "hubspot_owner_id"), json!("103"));
    assert_eq!(daemon.stop(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deal_without_a_stage_is_no_setting() {
    let installation = carried("object: deals").await;
    let said = installation.refused(&["check"]).await;
    assert!(said.contains("pipeline and stage") && said.contains("deals: { pipeline:"), "{said}");
    installation.edit("usher.yaml", "object: deals", DEALS);
    let checked = installation.run(&["check", "--online"]).await;
    assert!(checked.status.success(), "{}", text(&checked.stderr));
    let said = text(&checked.stderr);
    assert!(said.contains("crm.objects.deals.write") && said.contains("carried by deals"), "{said}");
    // Told once, for whichever reason.
    installation.edit("usher.yaml", "write: {", "write: { also_set_owner: [open_deal],");
    let said = text(&installation.run(&["check"]).await.stderr);
    assert_eq!(said.matches("crm.objects.deals.write").count(), 1, "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn fm_049_contact_and_company_get_the_deals_owner_too_and_a_humans_company_stays_theirs() {
    let installation = writing(DEALS, "settle: 6s, also_set_owner: [person, company]").await;
    let crm = installation.sandbox.hubspot();
    let company = |domain: &str| {
        let line = json!({ "object": "companies", "properties": { "name": domain, "domain": domain } });
        crm.seed(&line.to_string()).unwrap()[0]
    };
    let (free, taken) = (company("free.example"), company("taken.example"));
    let daemon = installation.start().await;
    // Known to the daemon as owned by nobody, until it reads the companies again.
    crm.assign_as_human("companies", taken, 103).unwrap();
    for (name, domain) in [("Ann", "free.example"), ("Bob", "taken.example")] {
        let answers = object(json!({ "name": name, "email": format!("{name}@{domain}"), "need": "SEO" }));
        let submission = Submission { form: "demo".to_owned(), answers, ..Submission::default() };
        installation.sandbox.typeform().submit(&submission).unwrap();
    }
    installation.drained(2).await;
    for deal in made(&crm, "deals") {
        let owner = shown(&crm, "deals", deal, "hubspot_owner_id");
        let contact = crm.associated("deals", deal, "contacts")[0];
        assert_eq!(shown(&crm, "contacts", contact, "hubspot_owner_id"), owner);
        let expected = match crm.associated("deals", deal, "companies")[..] {
            [company] if company == free => owner,
            [company] if company == taken => json!("103"),
            ref other => panic!("{other:?}"),
        };
        let company = crm.associated("deals", deal, "companies")[0];
        assert_eq!(shown(&crm, "companies", company, "hubspot_owner_id"), expected);
    }
    assert_eq!(installation.json(&["status"]).await["leads"]["closed:written"], json!(2));
    installation.assert_invariants().await;
    assert_eq!(daemon.stop(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_one_open_deal_of_a_contact_gets_the_owner_too_and_a_closed_one_does_not() {
    let installation = writing("object: contacts", "settle: 6s, also_set_owner: [open_deal]").await;
    let checked = text(&installation.run(&["check"]).await.stderr);
    assert_eq!(checked.matches("crm.objects.deals.write").count(), 1, "{checked}");
    let crm = installation.sandbox.hubspot();
    let seed = |line: Value| crm.seed(&line.to_string()).unwrap()[0];
    let old = "2024-01-01T00:00:00Z";
    let contact = seed(json!({ "object": "contacts", "createdAt": old, "source": "CRM_UI",
        "properties": { "email": "ann@acme1.example" } }));
    let deal = |stage: &str| {
        seed(json!({ "object": "deals", "createdAt": old, "source": "CRM_UI",
            "properties": { "dealname": "Ann", "pipeline": "default", "dealstage": stage },
            "associations": [{ "to": "contacts", "id": contact }] }))
    };
    let (open, closed) = (deal("qualifiedtobuy"), deal("closedwon"));
    let daemon = installation.start().await;
    installation.submit("ann@acme1.example", "Ann Example");
    installation.drained(1).await;
    let owner = shown(&crm, "contacts", contact, "hubspot_owner_id");
    assert_ne!(owner, Value::Null);
    assert_eq!(shown(&crm, "deals", open, "hubspot_owner_id"), owner);
    assert_eq!(shown(&crm, "deals", closed, "hubspot_owner_id"), Value::Null);
    assert!(made(&crm, "deals").is_empty());
    assert_eq!(daemon.stop(), Some(0));
}
