//! Whether an unclear write happened, by strong reads only.

use std::collections::BTreeMap;

use jiff::Timestamp;
use usher_connector::{CallLane, Fault, FaultClass, Http, MARKER, Request, Verdict, Write, Written};
use usher_model::{EffectBody, ExternalId, ObjectRef, SlotKind, SlotOrigin};

use super::keys::Keys;
use super::made::{is_owned, parent};
use super::{companies, done, inquiries, object_name, persons, update};
use crate::api::{self, BATCH, CONTACTS, HISTORY_BATCH, TASKS};
use crate::directory::by_email;
use crate::source::{repeats, unread};
use crate::wire::{Associations, Object, Objects, instant};

/// Pages of one object's associations that are read before the list counts as endless.
const MOST_PAGES: usize = 200;

pub(super) async fn verify(http: &dyn Http, keys: &Keys, write: &Write) -> Result<Verdict, Fault> {
    match &write.body {
        EffectBody::EnsurePerson { .. } => person(http, keys, write).await,
        EffectBody::EnsureCompany { .. } => companies::verify(http, keys, write).await,
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
        EffectBody::CreateTask { .. } => made(http, keys, write, &Marked::TASK).await,
        EffectBody::EnsureInquiry { slot, .. } => match Marked::inquiry(slot.kind) {
            Some(marked) => made(http, keys, write, &marked).await,
            None => Err(unplannable()),
        },
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

/// Where the marker stands in what we make.
struct Marked {
    object: &'static str,
    property: &'static str,
    /// People change the text: what it was counts too.
    past: bool,
}

impl Marked {
    const TASK: Self = Self { object: TASKS, property: "hs_task_body", past: false };

    fn inquiry(kind: SlotKind) -> Option<Self> {
        let (object, property) = (object_name(kind)?, inquiries::name_of(kind)?);
        Some(Self { object, property, past: true })
    }

    fn marker(&self, write: &Write) -> String {
        if self.past { inquiries::marker(write) } else { write.marker() }
    }

    fn is_in(&self, row: &Object, marker: &str) -> bool {
        row.texts(self.property).any(|text| text.contains(marker))
    }

    fn read(&self, ids: &[&str]) -> Result<Request, Fault> {
        match self.past {
            true => api::read_history(self.object, ids, self.property, CallLane::Verify),
            false => {
                let properties = [self.property, "hs_createdate"];
                api::read(self.object, ids.iter().copied(), None, &properties, CallLane::Verify)
            }
        }
    }

    fn batch(&self) -> usize {
        if self.past { HISTORY_BATCH } else { BATCH }
    }
}

/// Looks for the object, and at its owner: what it was made without no later write makes up for.
async fn made(http: &dyn Http, keys: &Keys, write: &Write, marked: &Marked) -> Result<Verdict, Fault> {
    let verdict = find(http, keys, write, marked).await?;
    if let Verdict::Found(Written { id: Some(id), .. }) = &verdict {
        is_owned(http, marked.object, write, id.as_str()).await?;
    }
    Ok(verdict)
}

/// Looks for the object by its key, which no second one can have; without keys, for the marker among those of the object
/// that it is about.
async fn find(http: &dyn Http, keys: &Keys, write: &Write, marked: &Marked) -> Result<Verdict, Fault> {
    let written = |id: String| Verdict::Found(Written::whole(Some(ExternalId::new(id)), SlotOrigin::Created));
    if keys.of(marked.object).is_some() {
        let found = keys.find(http, marked.object, write, CallLane::Verify).await?;
        return Ok(found.map_or(Verdict::Absent, written));
    }
    let Some(parent) = parent(write) else {
        return Ok(Verdict::Unsure);
    };
    let (object, id) = known(parent)?;
    let marker = marked.marker(write);
    let fits = |row: &Object| marked.is_in(row, &marker);
    if let Some(found) = listed(http, (object, id), marked, true, fits).await?.pop() {
        return Ok(written(found.id));
    }
    // A contact that was merged or archived away took its ties with it: its empty list proves nothing.
    let parents = read(http, object, &[id.as_str()], &[]).await?;
    let lives = parents.iter().any(|row| row.id == id.as_str());
    Ok(if lives { Verdict::Absent } else { Verdict::Unsure })
}

/// Tasks, leads or deals of ours about the same object that were made since then, whichever write they belong to.
pub(super) async fn ours_since(
    http: &dyn Http,
    write: &Write,
    since: Timestamp,
) -> Result<Vec<ExternalId>, Fault> {
    let marked = match &write.body {
        EffectBody::CreateTask { .. } => Some(Marked::TASK),
        EffectBody::EnsureInquiry { slot, .. } => Marked::inquiry(slot.kind),
        _ => None,
    };
    let (Some(marked), Some(parent)) = (marked, parent(write)) else {
        return Ok(Vec::new());
    };
    // Of an unreadable age, it is better taken for ours of that time than made a second time.
    let made_at = |row: &Object| instant(row.get("hs_createdate").or(row.created_at.as_deref())?);
    let young = |row: &Object| made_at(row).is_none_or(|made| made >= since);
    let ours = |row: &Object| marked.is_in(row, MARKER) && young(row);
    let rows = listed(http, known(parent)?, &marked, false, ours).await?;
    Ok(rows.into_iter().map(|row| ExternalId::new(row.id)).collect())
}

/// The objects tied to a parent that fit, or only the first of them. Fails if one could not be read that might have
/// fitted.
async fn listed(
    http: &dyn Http,
    (parent, id): (&str, &ExternalId),
    marked: &Marked,
    only_first: bool,
    fits: impl Fn(&Object) -> bool,
) -> Result<Vec<Object>, Fault> {
    let mut all = associated(http, parent, id.as_str(), marked.object).await?;
    // The newest first: it is the likeliest.
    all.sort_by(|a, b| (b.len(), b).cmp(&(a.len(), a)));
    let (mut found, mut unread) = (Vec::new(), false);
    for ids in all.chunks(marked.batch()) {
        let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
        let answer: Objects = http.send(marked.read(&ids)?).await?.json()?;
        // One that is gone is named so; one that is merely left out could be ours.
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
        let message =
            format!("not all {} of the record could be read, so absence is not proven", marked.object);
        return Err(Fault::new(FaultClass::Transient, message));
    }
    Ok(found)
}

pub(super) async fn read(
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

pub(super) async fn associated(
    http: &dyn Http,
    from: &str,
    id: &str,
    to: &str,
) -> Result<Vec<String>, Fault> {
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
