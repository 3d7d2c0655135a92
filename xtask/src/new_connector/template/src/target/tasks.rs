//! Tasks: made with a marker line in their text, found again by it, handed over and closed.

use jiff::Timestamp;
use serde_json::json;
use usher_connector::window::Stalled;
use usher_connector::{CallLane, Fault, FaultClass, MARKER, Request, SendFailure, Write, Written};
use usher_model::{EffectBody, ExternalId, ObjectRef, SlotOrigin};

use super::{Sent, SkeletonTarget, TASKS, dropped, external, id_of, is_owner, number};
use crate::api;
use crate::wire::Task;

/// Pages of one person's tasks that are read before the list counts as endless.
const MOST_PAGES: usize = 40;

pub(super) async fn create(target: &SkeletonTarget, item: &Write) -> Sent {
    let EffectBody::CreateTask { owner, .. } = &item.body else { return Err(super::not_offered()) };
    let task: Task = target.write(creation(item)?).await?;
    if is_owner(task.owner, Some(owner)) {
        return Ok(Written::whole(Some(external(task.id)), SlotOrigin::Created));
    }
    // The task is there, so it must not end as refused: trying the write again would make a second one.
    let message = format!("Skeleton created task {} without the owner that was asked for", task.id);
    Err(Fault::new(FaultClass::Defect, message)
        .advise("assign the task in Skeleton; then `usher failed retry` finds it and makes no second one")
        .into())
}

pub(super) fn creation(item: &Write) -> Result<Request, SendFailure> {
    let EffectBody::CreateTask { subject, body, due, owner, about, .. } = &item.body else {
        return Err(super::not_offered());
    };
    let task = json!({
        "person": number(id_of(parent(about)?)?)?,
        "subject": subject,
        "body": format!("{body}\n\n{}", item.marker()),
        "due": due.to_string(),
        "owner": number(owner.as_str())?,
    });
    Ok(api::create(TASKS, &task)?)
}

pub(super) async fn reassign(target: &SkeletonTarget, item: &Write, to: &ExternalId) -> Sent {
    let after: Task = target.write(change(item)?).await?;
    if is_owner(after.owner, Some(to)) {
        Ok(Written::whole(None, SlotOrigin::Found))
    } else {
        Err(dropped("task"))
    }
}

/// Closes the task; where only an untouched one may be, nobody must have done it yet.
pub(super) async fn close(
    target: &SkeletonTarget,
    item: &Write,
    task: &ObjectRef,
    only_untouched: bool,
) -> Sent {
    if only_untouched {
        let request = api::one(TASKS, id_of(task)?, CallLane::Write);
        if target.read::<Task>(request).await?.ok_or(SendFailure::Gone)?.done {
            return Err(SendFailure::Touched);
        }
    }
    target.write::<Task>(change(item)?).await?;
    Ok(Written::whole(None, SlotOrigin::Found))
}

/// The change of a task that is there.
pub(super) fn change(item: &Write) -> Result<Request, SendFailure> {
    let (task, body) = match &item.body {
        EffectBody::CloseTask { task, .. } => (task, json!({ "done": true })),
        EffectBody::ReassignTask { task, to } => (task, json!({ "owner": number(to.as_str())? })),
        _ => return Err(super::not_offered()),
    };
    Ok(api::change(TASKS, id_of(task)?, &body)?)
}

/// Tasks of ours about the same person that were made since then, whichever write they belong to.
pub(super) async fn ours_since(
    target: &SkeletonTarget,
    write: &Write,
    since: Timestamp,
) -> Result<Vec<ExternalId>, Fault> {
    let EffectBody::CreateTask { about, .. } = &write.body else { return Ok(Vec::new()) };
    let tasks = marked(target, parent(about)?, MARKER).await?;
    Ok(tasks.into_iter().filter(|task| task.created_at >= since).map(|task| external(task.id)).collect())
}

/// The person's tasks whose text has that marker.
pub(super) async fn marked(
    target: &SkeletonTarget,
    parent: &ObjectRef,
    marker: &str,
) -> Result<Vec<Task>, Fault> {
    let (mut found, mut after) = (Vec::new(), 0);
    for _ in 0..MOST_PAGES {
        let list = api::list(TASKS, CallLane::Verify).query("person", id_of(parent)?);
        let page = api::page(&*target.http, api::behind(list, Some(&after.to_string()))).await?;
        let tasks: Vec<Task> = page.read()?;
        let last = tasks.iter().map(|task| task.id).max().unwrap_or(after);
        found.extend(tasks.into_iter().filter(|task| task.body.contains(marker)));
        if !page.more {
            return Ok(found);
        }
        if last <= after {
            break;
        }
        after = last;
    }
    Err(Stalled.into())
}

/// Whom the task is about first.
pub(super) fn parent(about: &[ObjectRef]) -> Result<&ObjectRef, Fault> {
    about.first().ok_or_else(|| Fault::new(FaultClass::Defect, "a task is about nobody"))
}
