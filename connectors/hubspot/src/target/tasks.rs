//! Tasks: created with their associations, owner and marker line in one call, and read back.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use usher_connector::{CallLane, Fault, FaultClass, Http, SendFailure, Write, Written};
use usher_model::{EffectBody, ExternalId, ObjectRef, SlotOrigin};

use super::batch::{self, Batch, Clue, Name, Outcome, Row};
use super::keys::Keys;
use super::{Outcomes, close, defect, failure, known, marker, mixed, plan, update};
use crate::api::{self, TASKS};
use crate::wire::ErrorBody;

/// From a task to another object, by HubSpot's ids of association types.
const TO_OBJECT: &[(&str, u32)] =
    &[("contacts", 204), ("companies", 192), ("deals", 216), ("tickets", 230), ("leads", 647)];

pub(super) async fn send(http: &dyn Http, keys: &Keys, writes: &[Write], outcomes: &mut Outcomes) {
    // Tasks whose answer does not show the owner that was asked for.
    let mut doubtful = Tasks::new();
    for batch in plan::all(keys, writes, outcomes) {
        for (write, outcome) in batch::send(http, batch).await {
            let outcome = match outcome {
                Outcome::Done(row) => match &row.id {
                    Some(id) => {
                        if row.owner() != writes.get(write).and_then(owner).map(ExternalId::as_str) {
                            doubtful.insert(write, id.clone());
                        }
                        Ok(Written::whole(Some(ExternalId::new(id.as_str())), SlotOrigin::Created))
                    }
                    None => Err(failure(Outcome::Unmentioned)),
                },
                Outcome::Refused(error) => refused(http, keys, writes.get(write), error).await,
                other => Err(failure(other)),
            };
            outcomes.set(write, outcome);
        }
    }
    if !doubtful.is_empty() {
        settle_owners(http, writes, doubtful, outcomes).await;
    }
}

/// A task with this key is there already: an earlier try made it. Else its contact may be gone, or something is wrong with
/// the task itself.
async fn refused(
    http: &dyn Http,
    keys: &Keys,
    item: Option<&Write>,
    error: ErrorBody,
) -> Result<Written, SendFailure> {
    let Some(item) = item else { return Err(failure(Outcome::Refused(error))) };
    if error.is_conflict()
        && let Some(id) = keys.find(http, TASKS, item, CallLane::Write).await?
    {
        return Ok(Written::whole(Some(ExternalId::new(id)), SlotOrigin::Created));
    }
    let failed = failure(Outcome::Refused(error));
    let for_good = matches!(&failed, SendFailure::Fault(fault) if fault.class() == FaultClass::Rejected);
    if for_good && !is_about_somebody(http, item).await? {
        return Err(SendFailure::Gone);
    }
    Err(failed)
}

/// Whether the first object that the task is about is there.
async fn is_about_somebody(http: &dyn Http, item: &Write) -> Result<bool, SendFailure> {
    let EffectBody::CreateTask { about, .. } = &item.body else { return Ok(true) };
    let Some(parent) = about.first() else { return Ok(true) };
    let (object, id) = known(parent)?;
    Ok(update::owners(http, object, &[id.as_str()], CallLane::Write).await?.contains_key(id.as_str()))
}

/// Tasks that were created, by the position of their write.
type Tasks = BTreeMap<usize, String>;

/// Looks at the tasks themselves, since HubSpot drops what it does not accept from an answer that says "created", and
/// sets a missing owner once. A task that is still without it must not end as refused: trying that write again would
/// create a second task. Parked, a retry is verified first and finds the task by its marker.
async fn settle_owners(http: &dyn Http, writes: &[Write], doubtful: Tasks, outcomes: &mut Outcomes) {
    let ids: Vec<&str> = doubtful.values().map(String::as_str).collect();
    let Ok(owners) = update::owners(http, TASKS, &ids, CallLane::Verify).await else {
        // The tasks exist, which is what counts; their ids must not be lost for a read that failed.
        return;
    };
    let mut wrong = doubtful;
    wrong.retain(|write, id| !has_owner(writes, *write, owners.get(id)));
    // Only where there is none: another owner is somebody's choice.
    let bare: Tasks = wrong
        .iter()
        .filter(|(_, id)| owners.get(*id).is_some_and(Option::is_none))
        .map(|(write, id)| (*write, id.clone()))
        .collect();
    for write in set_owners(http, writes, &bare).await {
        wrong.remove(&write);
    }
    for (write, id) in wrong {
        outcomes.set(write, Err(ownerless(&id).into()));
    }
}

/// Sets the owners of these tasks in one more call, and says which have them now.
async fn set_owners(http: &dyn Http, writes: &[Write], bare: &Tasks) -> Vec<usize> {
    let row = |(write, id): (&usize, &String)| {
        let input =
            json!({ "id": id, "properties": { "hubspot_owner_id": writes.get(*write).and_then(owner)? } });
        Some(Row { write: *write, input, name: Name::Id(id.clone()) })
    };
    let rows: Vec<Row> = bare.iter().filter_map(row).collect();
    batch::send(http, Batch { path: api::batch(TASKS, "update"), rows, before: None }).await;
    // Whatever became of that call, the tasks themselves tell.
    let ids: Vec<&str> = bare.values().map(String::as_str).collect();
    let owners = update::owners(http, TASKS, &ids, CallLane::Verify).await.unwrap_or_default();
    bare.iter()
        .filter(|(write, id)| has_owner(writes, **write, owners.get(*id)))
        .map(|(write, _)| *write)
        .collect()
}

fn has_owner(writes: &[Write], write: usize, now: Option<&Option<ExternalId>>) -> bool {
    now.and_then(Option::as_ref) == writes.get(write).and_then(owner)
}

fn ownerless(id: &str) -> Fault {
    let message =
        format!("HubSpot created task {id}, but the task does not show the owner that was asked for");
    Fault::new(FaultClass::Defect, message).advise(
        "assign the task in HubSpot and check that the owner may hold tasks and that no workflow changes it; then \
         `usher failed retry` finds this task and makes no second one",
    )
}

fn owner(item: &Write) -> Option<&ExternalId> {
    match &item.body {
        EffectBody::CreateTask { owner, .. } => Some(owner),
        _ => None,
    }
}

pub(super) fn row(keys: &Keys, write: usize, item: &Write) -> Result<(String, Row, bool), SendFailure> {
    let EffectBody::CreateTask { subject, body, due, owner, about, .. } = &item.body else {
        return Err(mixed(&item.body));
    };
    let marker = marker(item);
    let associations = about.iter().map(association).collect::<Result<Vec<Value>, _>>()?;
    let trace = item.key.to_string();
    let mut input = json!({
        "properties": {
            "hs_timestamp": due.to_string(),
            "hs_task_subject": subject,
            "hs_task_body": format!("{}<br><br>{marker}", html(body)),
            "hs_task_status": close::UNTOUCHED,
            "hs_task_type": "TODO",
            "hubspot_owner_id": owner,
        },
        "associations": associations,
        "objectWriteTraceId": trace,
    });
    if let Some(properties) = input["properties"].as_object_mut() {
        keys.mark(TASKS, properties, item);
    }
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
