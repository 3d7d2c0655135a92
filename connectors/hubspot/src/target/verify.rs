//! Whether an unclear write happened, by strong reads only.

use std::collections::BTreeMap;

use jiff::Timestamp;
use usher_connector::{CallLane, Fault, FaultClass, Http, Verdict, Write, Written};
use usher_model::{EffectBody, ExternalId, ObjectRef, SlotOrigin};

use super::keys::Keys;
use super::{MARKER, done, marker, persons, update};
use crate::api::{self, BATCH, CONTACTS, TASKS};
use crate::directory::by_email;
use crate::source::{repeats, unread};
use crate::wire::{Associations, Object, Objects, instant};

/// Pages of one object's associations that are read before the list counts as endless.
const MOST_PAGES: usize = 200;

pub(super) async fn verify(http: &dyn Http, keys: &Keys, write: &Write) -> Result<Verdict, Fault> {
    match &write.body {
        EffectBody::EnsurePerson { .. } => person(http, keys, write).await,
        // Neither a domain nor a name is unique, and a search proves nothing.
        EffectBody::EnsureCompany { .. } => Ok(Verdict::Unsure),
        EffectBody::Associate { from, to } => {
            let ((from_type, from), (to_type, to)) = (known(from)?, known(to)?);
            let associated = associated(http, from_type, from.as_str(), to_type).await?;
            Ok(happened(write, associated.iter().any(|id| id == to.as_str())))
        }
        EffectBody::UpdateObject { target, .. } => {
            let properties = update::properties(write).map_err(|_| unplannable())?;
            let wanted: BTreeMap<String, String> =
                serde_json::from_value(properties).map_err(|_| unplannable())?;
            holds(http, write, target, &wanted).await
        }
        EffectBody::CreateTask { about, .. } => task(http, keys, write, about).await,
        EffectBody::CloseTask { task, .. } => {
            holds(http, write, task, &BTreeMap::from([("hs_task_status".to_owned(), "COMPLETED".to_owned())]))
                .await
        }
        EffectBody::ReassignTask { task, to } => {
            holds(http, write, task, &BTreeMap::from([("hubspot_owner_id".to_owned(), to.to_string())])).await
        }
        EffectBody::ArchiveObject { target } => {
            let (object, id) = known(target)?;
            Ok(happened(write, read(http, object, &[id.as_str()], &[]).await?.is_empty()))
        }
    }
}

/// Only a contact that carries the write's key counts as created: any other may be somebody else's, and only what is surely
/// ours may ever be archived by us.
async fn person(http: &dyn Http, keys: &Keys, write: &Write) -> Result<Verdict, Fault> {
    if let Some(id) = keys.find(http, CONTACTS, write, CallLane::Verify).await? {
        return Ok(Verdict::Found(persons::ours(id)));
    }
    let emails = persons::emails(write);
    if emails.is_empty() {
        return Ok(Verdict::Unsure);
    }
    let known = by_email(http, emails.iter().map(String::as_str), CallLane::Verify).await?;
    Ok(match emails.iter().find_map(|email| known.get(email)) {
        Some(person) => Verdict::Found(Written::whole(Some(person.external_id.clone()), SlotOrigin::Found)),
        None => Verdict::Absent,
    })
}

/// Whether the object has these values. One that is gone has them not: sending again will say so.
async fn holds(
    http: &dyn Http,
    write: &Write,
    target: &ObjectRef,
    wanted: &BTreeMap<String, String>,
) -> Result<Verdict, Fault> {
    let (object, id) = known(target)?;
    let names: Vec<&str> = wanted.keys().map(String::as_str).collect();
    let rows = read(http, object, &[id.as_str()], &names).await?;
    let row = rows.iter().find(|row| row.id == id.as_str());
    let holds = |row: &Object| wanted.iter().all(|(name, value)| row.get(name).unwrap_or_default() == value);
    Ok(happened(write, row.is_some_and(holds)))
}

/// Looks for the task by its key, which no second task can have; without keys, for the marker among the tasks of the first
/// object that the task is about.
async fn task(http: &dyn Http, keys: &Keys, write: &Write, about: &[ObjectRef]) -> Result<Verdict, Fault> {
    if keys.of(TASKS).is_some() {
        let found = keys.find(http, TASKS, write, CallLane::Verify).await?;
        let written = |id| Verdict::Found(Written::whole(Some(ExternalId::new(id)), SlotOrigin::Created));
        return Ok(found.map_or(Verdict::Absent, written));
    }
    let Some(parent) = about.first() else {
        return Ok(Verdict::Unsure);
    };
    let (object, id) = known(parent)?;
    let marker = marker(write);
    let fits = |row: &Object| row.get("hs_task_body").is_some_and(|body| body.contains(&marker));
    if let Some(task) = tasks(http, (object, id), true, fits).await?.pop() {
        let written = Written::whole(Some(ExternalId::new(task.id)), SlotOrigin::Created);
        return Ok(Verdict::Found(written));
    }
    // A contact that was merged or archived away took its tasks with it: its empty list proves nothing.
    let parents = read(http, object, &[id.as_str()], &[]).await?;
    let lives = parents.iter().any(|row| row.id == id.as_str());
    Ok(if lives { Verdict::Absent } else { Verdict::Unsure })
}

/// Tasks of ours about the same object that were made since then, whichever write they belong to.
pub(super) async fn ours_since(
    http: &dyn Http,
    write: &Write,
    since: Timestamp,
) -> Result<Vec<ExternalId>, Fault> {
    let EffectBody::CreateTask { about, .. } = &write.body else {
        return Ok(Vec::new());
    };
    let Some(parent) = about.first() else {
        return Ok(Vec::new());
    };
    // Of an unreadable age, it is better taken for ours of that time than made a second time.
    let young = |row: &Object| row.get("hs_createdate").and_then(instant).is_none_or(|made| made >= since);
    let marked = |row: &Object| row.get("hs_task_body").is_some_and(|body| body.contains(MARKER));
    let rows = tasks(http, known(parent)?, false, |row| marked(row) && young(row)).await?;
    Ok(rows.into_iter().map(|row| ExternalId::new(row.id)).collect())
}

/// The object's tasks that fit, or only the first of them. Fails if one could not be read that might have fitted.
async fn tasks(
    http: &dyn Http,
    (object, id): (&str, &ExternalId),
    only_first: bool,
    fits: impl Fn(&Object) -> bool,
) -> Result<Vec<Object>, Fault> {
    let mut tasks = associated(http, object, id.as_str(), TASKS).await?;
    // The newest first: it is the likeliest.
    tasks.sort_by(|a, b| (b.len(), b).cmp(&(a.len(), a)));
    let (mut found, mut unread) = (Vec::new(), false);
    for ids in tasks.chunks(BATCH) {
        let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
        let properties = ["hs_task_body", "hs_createdate"];
        let request = api::read(TASKS, ids.iter().copied(), None, &properties, CallLane::Verify)?;
        let answer: Objects = http.send(request).await?.json()?;
        // A task that is gone is named so; one that is merely left out could be ours.
        let gone: Vec<String> =
            answer.errors.iter().filter(|e| e.is_not_found()).flat_map(|e| e.context("ids")).collect();
        let told = |id: &&str| {
            answer.results.iter().any(|row| row.id == **id) || gone.iter().any(|have| have == *id)
        };
        unread |= !ids.iter().all(told);
        found.extend(answer.results.into_iter().filter(|row| !row.archived && fits(row)));
        if only_first && !found.is_empty() {
            found.truncate(1);
            return Ok(found);
        }
    }
    if unread && (found.is_empty() || !only_first) {
        let message = "not every task of the contact could be read, so absence is not proven";
        return Err(Fault::new(FaultClass::Transient, message));
    }
    Ok(found)
}

async fn read(
    http: &dyn Http,
    object: &str,
    ids: &[&str],
    properties: &[&str],
) -> Result<Vec<Object>, Fault> {
    let request = api::read(object, ids.iter().copied(), None, properties, CallLane::Verify)?;
    let answer: Objects = http.send(request).await?.json()?;
    match answer.errors.iter().find(|error| !error.is_not_found()) {
        Some(error) => Err(unread(error)),
        None => Ok(answer.results.into_iter().filter(|row| !row.archived).collect()),
    }
}

async fn associated(http: &dyn Http, from: &str, id: &str, to: &str) -> Result<Vec<String>, Fault> {
    let mut found = Vec::new();
    let mut after: Option<String> = None;
    for _ in 0..MOST_PAGES {
        let request = api::read_associations(from, id, to, after.as_deref())?;
        let answer: Associations = http.send(request).await?.json()?;
        let serious = answer.errors.iter().find(|error| !error.is_not_found() && !error.is_no_association());
        if let Some(error) = serious {
            return Err(unread(error));
        }
        let mut next = None;
        for row in answer.results {
            found.extend(row.to.into_iter().map(|end| end.id));
            next = row.paging.and_then(|paging| paging.next).map(|next| next.after).or(next);
        }
        if next.is_none() {
            return Ok(found);
        }
        if next == after {
            break;
        }
        after = next;
    }
    Err(repeats())
}

fn happened(write: &Write, yes: bool) -> Verdict {
    if yes { Verdict::Found(done(Some(write))) } else { Verdict::Absent }
}

fn known(object: &ObjectRef) -> Result<(&'static str, &ExternalId), Fault> {
    super::known(object).map_err(|_| unplannable())
}

fn unplannable() -> Fault {
    Fault::new(FaultClass::Defect, "a write that could never be sent is to be verified")
}
