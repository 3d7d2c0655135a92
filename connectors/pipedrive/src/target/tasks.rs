//! Tasks: activities with their participants and a marker line in the note, closed and handed over.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Value, json};
use usher_connector::{CallLane, Fault, FaultClass, MARKER, Request, SendFailure, Write, Written, as_html};
use usher_model::{EffectBody, ExternalId, ObjectRef, SlotKind, SlotOrigin};

use super::verify::unplannable;
use super::{PipedriveTarget, Sent, created, defect, known, made, number, read};
use crate::api::{self, ACTIVITIES};
use crate::find::{self, into_object};
use crate::wire::{self, Object};

pub(super) async fn create(target: &PipedriveTarget, item: &Write) -> Sent {
    let EffectBody::CreateTask { owner, .. } = &item.body else {
        return Err(defect("a write of another kind was taken for a task"));
    };
    let (made, note) = made::make(target, item, |item| request(target, item)).await?;
    made::with_owner(target, ACTIVITIES, &made, owner.as_str()).await?;
    Ok(Written { note, ..created(&made) })
}

/// Closes the task; where only an untouched one may be, nobody must have done it yet.
pub(super) async fn close(target: &PipedriveTarget, item: &Write) -> Sent {
    let EffectBody::CloseTask { task, only_untouched } = &item.body else {
        return Err(defect("a write of another kind was taken for the closing of a task"));
    };
    let present = read(target, task, CallLane::Write).await?;
    if *only_untouched && wire::flag(&present, "done") {
        return Err(SendFailure::Touched);
    }
    target.write(change(item)?).await.map(|_| Written::whole(None, SlotOrigin::Found))
}

pub(super) async fn reassign(target: &PipedriveTarget, item: &Write) -> Sent {
    let EffectBody::ReassignTask { to, .. } = &item.body else {
        return Err(defect("a write of another kind was taken for the handing over of a task"));
    };
    let after = target.write(change(item)?).await?;
    if made::has_owner(&after, to.as_str()) {
        return Ok(Written::whole(None, SlotOrigin::Found));
    }
    let message = "Pipedrive took the write and kept another owner of the activity";
    Err(Fault::new(FaultClass::Rejected, message).advise("look at the activity, then retry the write").into())
}

/// The change of a task that is there.
pub(super) fn change(item: &Write) -> Result<Request, SendFailure> {
    let (task, body) = match &item.body {
        EffectBody::CloseTask { task, .. } => (task, json!({ "done": true })),
        EffectBody::ReassignTask { task, to } => (task, json!({ "owner_id": number(to.as_str())? })),
        _ => return Err(defect("a write of another kind was taken for the change of a task")),
    };
    Ok(api::change(ACTIVITIES, known(task)?.1, &body)?)
}

pub(super) fn request(target: &PipedriveTarget, item: &Write) -> Result<Request, SendFailure> {
    let EffectBody::CreateTask { subject, body, due, owner, about, .. } = &item.body else {
        return Err(defect("a write of another kind was taken for a task"));
    };
    let due = due.to_zoned(TimeZone::UTC);
    let mut activity = json!({
        "subject": subject,
        "type": target.custom.task_type,
        "owner_id": number(owner.as_str())?,
        "due_date": due.strftime("%Y-%m-%d").to_string(),
        "due_time": due.strftime("%H:%M").to_string(),
        "note": format!("{}<br><br>{}", as_html(body), item.marker()),
    });
    let mut participants: Vec<Value> = Vec::new();
    for object in about {
        let (_, id) = known(object)?;
        match object {
            ObjectRef::Id { kind: SlotKind::Person, .. } => {
                participants.push(json!({ "person_id": number(id)?, "primary": participants.is_empty() }));
            }
            ObjectRef::Id { kind: SlotKind::Company, .. } => activity["org_id"] = json!(number(id)?),
            ObjectRef::Id { kind: SlotKind::Deal, .. } => activity["deal_id"] = json!(number(id)?),
            ObjectRef::Id { kind: SlotKind::Lead, .. } => activity["lead_id"] = json!(id),
            _ => return Err(defect("a task can not be about that kind of object")),
        }
    }
    if !participants.is_empty() {
        activity["participants"] = json!(participants);
    }
    Ok(api::create(ACTIVITIES, &activity)?)
}

/// Tasks of ours about the same object that were made since then, whichever write they belong to.
pub(super) async fn ours_since(
    target: &PipedriveTarget,
    write: &Write,
    since: Timestamp,
) -> Result<Vec<ExternalId>, Fault> {
    let EffectBody::CreateTask { about, .. } = &write.body else { return Ok(Vec::new()) };
    let Some(parent) = about.first() else { return Ok(Vec::new()) };
    // Of an unreadable age, it is better taken for ours of that time than made a second time.
    let young = |row: &Object| wire::time(row, "add_time").is_none_or(|made| made >= since);
    let rows = of_parent(target, parent, MARKER).await?;
    Ok(rows.iter().filter(|row| young(row)).filter_map(wire::id).map(ExternalId::new).collect())
}

/// The activities about that object whose note has that text.
pub(super) async fn of_parent(
    target: &PipedriveTarget,
    parent: &ObjectRef,
    text: &str,
) -> Result<Vec<Object>, Fault> {
    // By person, only those are listed whose primary participant it is, as it is of ours.
    let filter = match parent {
        ObjectRef::Id { kind: SlotKind::Company, .. } => "org_id",
        ObjectRef::Id { kind: SlotKind::Deal, .. } => "deal_id",
        ObjectRef::Id { kind: SlotKind::Lead, .. } => "lead_id",
        _ => "person_id",
    };
    let id = known(parent).map_err(unplannable)?.1;
    let request = api::list(ACTIVITIES, CallLane::Verify).query(filter, id);
    let rows = find::all(&*target.http, &request).await?.into_iter().filter_map(into_object);
    Ok(rows.filter(|row| wire::text(row, "note").is_some_and(|note| note.contains(text))).collect())
}
