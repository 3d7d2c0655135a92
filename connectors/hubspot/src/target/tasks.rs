//! Tasks: created with their associations, owner and marker line in one call, and read back.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use usher_connector::{CallLane, Fault, FaultClass, Http, SendFailure, Write, Written};
use usher_model::{EffectBody, ExternalId, ObjectRef, SlotOrigin};

use super::batch::{self, Clue, Name, Outcome, Row};
use super::{Outcomes, defect, failure, known, marker, mixed, plan, update};
use crate::api::{self, TASKS};

/// From a task to another object, by HubSpot's ids of association types.
const TO_OBJECT: &[(&str, u32)] =
    &[("contacts", 204), ("companies", 192), ("deals", 216), ("tickets", 230), ("leads", 647)];

pub(super) async fn send(http: &dyn Http, writes: &[Write], outcomes: &mut Outcomes) {
    // Tasks whose answer does not show the owner that was asked for.
    let mut doubtful: BTreeMap<usize, String> = BTreeMap::new();
    for batch in plan::all(writes, outcomes) {
        for (write, outcome) in batch::send(http, batch).await {
            let outcome = match outcome {
                Outcome::Done(row) => match row.id {
                    Some(id) => {
                        let shown = row.properties.get("hubspot_owner_id").and_then(Option::as_deref);
                        if shown != writes.get(write).and_then(owner).map(ExternalId::as_str) {
                            doubtful.insert(write, id.clone());
                        }
                        Ok(Written { id: Some(ExternalId::new(id)), origin: SlotOrigin::Created })
                    }
                    None => Err(failure(Outcome::Unmentioned)),
                },
                // Its contact is gone, or an association was refused for another reason.
                other => Err(failure(other)),
            };
            outcomes.set(write, outcome);
        }
    }
    if !doubtful.is_empty() {
        read_back(http, writes, doubtful, outcomes).await;
    }
}

/// Looks at the tasks themselves: HubSpot drops what it does not accept from an answer that says "created".
async fn read_back(
    http: &dyn Http,
    writes: &[Write],
    doubtful: BTreeMap<usize, String>,
    outcomes: &mut Outcomes,
) {
    let ids: Vec<&str> = doubtful.values().map(String::as_str).collect();
    let Ok(owners) = update::owners(http, TASKS, &ids, CallLane::Verify).await else {
        // The tasks exist, which is what counts; their ids must not be lost for a read that failed.
        return;
    };
    for (write, id) in &doubtful {
        let wanted = writes.get(*write).and_then(owner);
        if owners.get(id).and_then(Option::as_ref) != wanted {
            let message = format!("HubSpot created task {id} without the owner that was asked for");
            let fault = Fault::new(FaultClass::Rejected, message)
                .advise("assign the task in HubSpot; check that the owner may hold tasks and that no workflow clears it");
            outcomes.set(*write, Err(fault.into()));
        }
    }
}

fn owner(item: &Write) -> Option<&ExternalId> {
    match &item.body {
        EffectBody::CreateTask { owner, .. } => Some(owner),
        _ => None,
    }
}

pub(super) fn row(write: usize, item: &Write) -> Result<(String, Row, bool), SendFailure> {
    let EffectBody::CreateTask { subject, body, due, owner, about, .. } = &item.body else {
        return Err(mixed(&item.body));
    };
    let marker = marker(item);
    let associations = about.iter().map(association).collect::<Result<Vec<Value>, _>>()?;
    let trace = item.key.to_string();
    let input = json!({
        "properties": {
            "hs_timestamp": due.to_string(),
            "hs_task_subject": subject,
            "hs_task_body": format!("{}<br><br>{marker}", html(body)),
            "hs_task_status": "NOT_STARTED",
            "hs_task_type": "TODO",
            "hubspot_owner_id": owner,
        },
        "associations": associations,
        "objectWriteTraceId": trace,
    });
    let name = Name::Trace(trace, Some(Clue::Contains("hs_task_body", marker)));
    Ok((api::batch(TASKS, "create"), Row { write, input, name }, false))
}

fn association(object: &ObjectRef) -> Result<Value, SendFailure> {
    let (object, id) = known(object)?;
    let kind = TO_OBJECT.iter().find(|(name, _)| *name == object);
    let (_, kind) = kind.ok_or_else(|| defect(&format!("a task can not be about `{object}`")))?;
    Ok(json!({
        "to": { "id": id },
        "types": [{ "associationCategory": "HUBSPOT_DEFINED", "associationTypeId": kind }],
    }))
}

/// HubSpot shows a task's body as HTML; what a person typed into a form must stay text there.
fn html(text: &str) -> String {
    let mut html = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        match character {
            '&' => html.push_str("&amp;"),
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '\n' => html.push_str("<br>"),
            other => html.push(other),
        }
    }
    html
}
