//! Undo: dry run first, then previous owners, closed tasks, credited turns.

use serde_json::{Value, json};
use usher_sandbox::{Actor, HubspotSim};

use crate::installation::{Installation, object, text, until};

fn shown(crm: &HubspotSim, kind: &str, id: u64, property: &str) -> Value {
    crm.read(kind, id).unwrap()["properties"][property].clone()
}

/// Contacts that were there before, by their e-mail addresses.
fn known(crm: &HubspotSim, names: &[&str]) -> Vec<u64> {
    let line = |name: &&str| json!({ "object": "contacts", "createdAt": "2024-01-01T00:00:00Z", "source": "CRM_UI", "properties": { "email": format!("{name}@{name}.example") } });
    names.iter().map(|name| crm.seed(&line(name).to_string()).unwrap()[0]).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn undo_restores_owners_closes_untouched_tasks_and_credits_turns() {
    takes_back(&Installation::new().await).await;
}

/// Three leads are taken back: one untouched, one begun by a rep, one given to somebody else by a human.
pub(crate) async fn takes_back(installation: &Installation) {
    let crm = installation.sandbox.hubspot();
    let contacts = known(&crm, &["ann", "bob", "cy"]);
    let daemon = installation.start().await;
    for name in ["ann", "bob", "cy"] {
        installation.submit(&format!("{name}@{name}.example"), &format!("{name} Example"));
    }
    installation.drained(3).await;
    let tasks: Vec<u64> = contacts.iter().map(|id| crm.associated("contacts", *id, "tasks")[0]).collect();
    // A rep has begun with Bob; a human has given Cy to Carla.
    let begun = object(json!({ "hs_task_status": "IN_PROGRESS" }));
    crm.update("tasks", tasks[1], &begun, Actor::Human).unwrap();
    crm.assign_as_human("contacts", contacts[2], 103).unwrap();

    let plan = installation.json(&["undo", "--since", "1h", "--rule", "Everyone"]).await;
    assert_eq!((&plan["applied"], plan["leads"].as_array().unwrap().len()), (&json!(false), 3), "{plan}");
    let dry = installation.run(&["undo", "--since", "1h"]).await;
    assert!(text(&dry.stdout).contains("back to nobody"), "{}", text(&dry.stdout));
    assert!(text(&dry.stderr).contains("--yes"), "{}", text(&dry.stderr));
    assert_ne!(
        shown(&crm, "contacts", contacts[0], "hubspot_owner_id"),
        Value::Null,
        "a dry run writes nothing"
    );
    let said = installation.refused(&["undo", "--since", "1h", "--rule", "No such rule"]).await;
    assert!(said.contains("nothing fits"), "{said}");

    let done = installation.json(&["undo", "--since", "1h", "--reason", "wrong pool", "--yes"]).await;
    assert_eq!(done["applied"], json!(true), "{done}");
    until("it is written", async || {
        shown(&crm, "tasks", tasks[2], "hs_task_status") == json!("COMPLETED")
            && shown(&crm, "contacts", contacts[1], "hubspot_owner_id") != json!("102")
    })
    .await;
    let status = installation.drained(3).await;
    assert_eq!(status["leads"], json!({ "closed:suppressed": 3, "decided": 0, "waiting": 0 }), "{status}");
    let owners: Vec<Value> =
        contacts.iter().map(|id| shown(&crm, "contacts", *id, "hubspot_owner_id")).collect();
    let nobody = |owner: &Value| owner.as_str().unwrap_or_default().is_empty();
    assert!(nobody(&owners[0]) && nobody(&owners[1]), "{owners:?}");
    assert_eq!(owners[2], json!("103"), "a human's choice stands");
    let statuses: Vec<Value> = tasks.iter().map(|id| shown(&crm, "tasks", *id, "hs_task_status")).collect();
    assert_eq!(statuses, [json!("COMPLETED"), json!("IN_PROGRESS"), json!("COMPLETED")]);
    let leads = installation.json(&["leads", "list"]).await;
    assert!(leads[0]["detail"].as_str().unwrap().contains("wrong pool"), "{leads}");
    let again = installation.refused(&["undo", "--since", "1h", "--yes"]).await;
    assert!(again.contains("nothing fits"), "what is taken back is not taken back twice: {again}");
    installation.assert_invariants().await;

    // The turns came back: the next two leads go to the reps in turn, as if the three had never been.
    for name in ["dee", "eve"] {
        installation.submit(&format!("{name}@{name}.example"), &format!("{name} Example"));
    }
    installation.drained(5).await;
    let leads = installation.json(&["leads", "list", "--limit", "2"]).await;
    let mut reps: Vec<&str> =
        leads.as_array().unwrap().iter().filter_map(|lead| lead["owner"].as_str()).collect();
    reps.sort_unstable();
    assert_eq!(reps, ["ana", "ben"]);
    assert_eq!(daemon.stop(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn undo_archives_what_usher_created_only_if_asked() {
    let installation = Installation::new().await;
    let crm = installation.sandbox.hubspot();
    let daemon = installation.start().await;
    installation.submit("new@new.example", "New Example");
    installation.drained(1).await;
    let lead = installation.json(&["leads", "list"]).await[0]["id"].as_str().unwrap().to_owned();
    let plan = installation.json(&["undo", "--lead", &lead]).await;
    assert!(plan["leads"][0]["left"].to_string().contains("--archive"), "{plan}");
    let plan = installation.json(&["undo", "--lead", &lead, "--archive"]).await;
    assert!(plan["leads"][0]["steps"].to_string().contains("is archived"), "{plan}");
    assert_eq!(crm.count("contacts"), 1);
    installation.json(&["undo", "--lead", &lead, "--archive", "--yes"]).await;
    until("the contact is archived", async || crm.count("contacts") == 0).await;
    installation.drained(1).await;
    assert_eq!(installation.json(&["failed", "list"]).await, json!([]));
    assert_eq!(daemon.stop(), Some(0));
}
