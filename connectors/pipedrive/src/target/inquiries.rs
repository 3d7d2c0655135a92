//! Leads and deals that stand for inquiries, made with owner and ties in one call, and found again among those of the
//! person.
//!
//! A lead carries our key as `origin_id`, which nobody can change afterwards (v1 document, addLead and updateLead). A deal
//! has no such place (v2 document, addDeal): there a custom field of the account's carries it, where one is named.

use jiff::Timestamp;
use serde_json::{Value, json};
use usher_connector::{CallLane, Fault, Request, SendFailure, Verdict, Write, Written};
use usher_model::{EffectBody, ExternalId, ObjectRef, SlotKind};

use super::verify::{SKEW, unplannable};
use super::{PipedriveTarget, Sent, companies, created, defect, found, known, made, number, objects_of};
use crate::api::{self, DEALS, LEADS};
use crate::fields::Definitions;
use crate::find::{self, into_object};
use crate::wire::{self, Object};

/// What carries owner and task, and how it begins.
#[derive(Debug, Clone)]
pub(crate) struct Carrier {
    /// A person, or the kind of object that is made for each inquiry.
    pub(crate) kind: SlotKind,
    /// Where a deal begins: the numbers of the pipeline and of its stage; Pipedrive's default where not set.
    pub(crate) pipeline: Option<u64>,
    pub(crate) stage: Option<u64>,
    /// The custom field of deals that carries our keys, by name.
    pub(crate) marker: Option<String>,
}

impl Default for Carrier {
    fn default() -> Self {
        Self { kind: SlotKind::Person, pipeline: None, stage: None, marker: None }
    }
}

pub(super) async fn send(target: &PipedriveTarget, item: &Write) -> Sent {
    let wanted = Wanted::of(item)?;
    if let Some(row) = entered(target, &wanted).await? {
        return Ok(found(&row));
    }
    let key = marker_key(target, wanted.objects, CallLane::Write).await?;
    let left_out = target.carrier.marker.as_ref().filter(|_| wanted.objects == DEALS && key.is_none());
    let made = made::make(target, item, |item| body(target, item, key.as_deref())).await;
    // A value that a field does not take any more, if nothing else.
    if made.as_ref().is_err_and(made::is_refusal) {
        target.fields.forget(wanted.objects);
    }
    let (made, without) = made?;
    made::with_owner(target, wanted.objects, &made, wanted.owner).await?;
    let left_out = left_out.map(|name| format!("left out: {name} (Pipedrive has no such field)"));
    let note = [without, left_out].into_iter().flatten().reduce(|all, note| format!("{all}; {note}"));
    Ok(Written { note, owned: true, ..created(&made) })
}

/// The youngest open lead or deal of the person's that somebody has entered by hand since then: which way one came to be
/// is Pipedrive's word, and nobody can change it (v2 document, `origin`).
async fn entered(target: &PipedriveTarget, wanted: &Wanted<'_>) -> Result<Option<Object>, Fault> {
    let Some(since) = wanted.entered_since else { return Ok(None) };
    let answer = target.http.send(api::youngest_of_person(wanted.objects, wanted.person)).await?;
    let by_hand = |row: &Object| wire::text(row, "origin") == Some("ManuallyCreated");
    let young = |row: &Object| wire::time(row, "add_time").is_some_and(|made| made >= since);
    let rows = wire::page(&answer)?.rows.into_iter().filter_map(into_object);
    Ok(rows
        .filter(|row| find::lives(row) && by_hand(row) && young(row))
        .max_by_key(|row| wire::time(row, "add_time")))
}

/// As a dry run shows it: with what is known without asking.
pub(super) fn request(target: &PipedriveTarget, item: &Write) -> Result<Request, SendFailure> {
    let objects = Wanted::of(item)?.objects;
    let known = target.fields.cached(objects).map(|(_, known)| known);
    body(target, item, known.as_deref().and_then(|known| key_in(target, objects, known)))
}

fn body(target: &PipedriveTarget, item: &Write, key: Option<&str>) -> Result<Request, SendFailure> {
    let wanted = Wanted::of(item)?;
    let mut body = json!({
        "title": wanted.title,
        "person_id": number(wanted.person)?,
        "owner_id": number(wanted.owner)?,
    });
    if let Some(company) = wanted.company {
        body[companies::field(wanted.objects)] = json!(number(company)?);
    }
    if wanted.objects == LEADS {
        body["origin_id"] = json!(item.key);
    }
    // Planned before the settings changed, a deal begins where Pipedrive lets it.
    if wanted.objects == DEALS && target.carrier.kind == SlotKind::Deal {
        let start = [("pipeline_id", target.carrier.pipeline), ("stage_id", target.carrier.stage)];
        for (field, id) in start.into_iter().filter_map(|(field, id)| Some((field, id?))) {
            body[field] = json!(id);
        }
    }
    if let Some(key) = key {
        body["custom_fields"] = json!({ key: item.key });
    }
    Ok(api::create(wanted.objects, &body)?)
}

/// Looks among the person's leads or deals, also those that somebody has archived since: each list is complete, so what
/// both lack was not made. An empty list of a person who is gone proves nothing: what was theirs may be another's.
pub(super) async fn verify(
    target: &PipedriveTarget,
    item: &Write,
    since: Timestamp,
) -> Result<Verdict, Fault> {
    let wanted = Wanted::of(item).map_err(unplannable)?;
    let key = marker_key(target, wanted.objects, CallLane::Verify).await?;
    let marked = |row: &Object| marker(row, wanted.objects, key.as_deref()) == Some(item.key.as_str());
    let since = since.checked_sub(SKEW).unwrap_or(since);
    let alike = |row: &Object| {
        let unmarked = wanted.objects == DEALS && marker(row, DEALS, key.as_deref()).is_none();
        unmarked && wanted.is_alike(row, since)
    };
    for archived in [false, true] {
        let rows = of_person(target, wanted.objects, wanted.person, archived).await?;
        let ours = rows.iter().find(|row| marked(row)).map(|row| (row, created(row)));
        // Somebody else's program may have made it: it is surely there, and not surely ours.
        let there = ours.or_else(|| rows.iter().find(|row| alike(row)).map(|row| (row, found(row))));
        if let Some((row, written)) = there {
            made::is_owned(target, wanted.objects, row, wanted.owner).await?;
            return Ok(Verdict::Found(written));
        }
    }
    let lives = find::living(&*target.http, api::PERSONS, wanted.person, CallLane::Verify).await?.is_some();
    Ok(if lives { Verdict::Absent } else { Verdict::Unsure })
}

/// Leads or deals of the same person that were made since then and bear a key of ours, whichever. A deal that bears none
/// counts by its title, unless a human made it.
pub(super) async fn ours_since(
    target: &PipedriveTarget,
    item: &Write,
    since: Timestamp,
) -> Result<Vec<ExternalId>, Fault> {
    let wanted = Wanted::of(item).map_err(unplannable)?;
    let key = marker_key(target, wanted.objects, CallLane::Verify).await?;
    // Of an unreadable age, it is better taken for ours of that time than made a second time.
    let young = |row: &Object| wire::time(row, "add_time").is_none_or(|made| made >= since);
    let ours = |row: &Object| match marker(row, wanted.objects, key.as_deref()) {
        Some(marker) => is_key(marker) && young(row),
        None => wanted.objects == DEALS && wanted.is_alike(row, since),
    };
    let mut found = Vec::new();
    for archived in [false, true] {
        let rows = of_person(target, wanted.objects, wanted.person, archived).await?;
        found.extend(rows.iter().filter(|row| ours(row)).filter_map(wire::id).map(ExternalId::new));
    }
    Ok(found)
}

/// Whether a text has the form of our keys: other programs put theirs in the same place.
fn is_key(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Our key in an object, or another of ours.
fn marker<'a>(row: &'a Object, objects: &str, key: Option<&str>) -> Option<&'a str> {
    match objects {
        LEADS => wire::text(row, "origin_id"),
        _ => row.get("custom_fields")?.get(key?)?.as_str().filter(|text| !text.is_empty()),
    }
}

async fn marker_key(
    target: &PipedriveTarget,
    objects: &'static str,
    lane: CallLane,
) -> Result<Option<String>, Fault> {
    if objects != DEALS || target.carrier.marker.is_none() {
        return Ok(None);
    }
    let definitions = target.fields.of(DEALS, std::iter::empty(), lane).await?;
    Ok(key_in(target, objects, &definitions).map(str::to_owned))
}

fn key_in<'a>(target: &PipedriveTarget, objects: &str, known: &'a Definitions) -> Option<&'a str> {
    known.key(target.carrier.marker.as_deref().filter(|_| objects == DEALS)?)
}

/// Every lead or deal of a person.
async fn of_person(
    target: &PipedriveTarget,
    objects: &str,
    person: &str,
    archived: bool,
) -> Result<Vec<Object>, Fault> {
    let request = api::of_person(objects, person, archived);
    let rows = find::all(&*target.http, &request).await?;
    Ok(rows.into_iter().filter_map(into_object).collect())
}

/// What is to be made.
struct Wanted<'a> {
    objects: &'static str,
    title: &'a str,
    person: &'a str,
    company: Option<&'a str>,
    owner: &'a str,
    entered_since: Option<Timestamp>,
}

impl<'a> Wanted<'a> {
    fn of(item: &'a Write) -> Result<Self, SendFailure> {
        let EffectBody::EnsureInquiry { slot, title, person, company, owner, entered_since } = &item.body
        else {
            return Err(defect("a write of another kind was taken for a lead or deal"));
        };
        let objects = objects_of(slot.kind).filter(|_| slot.kind.is_inquiry());
        let id = |object: &'a ObjectRef| known(object).map(|(_, id)| id);
        Ok(Self {
            objects: objects.ok_or_else(|| defect("only a lead or deal stands for an inquiry"))?,
            title,
            person: id(person)?,
            company: company.as_ref().map(id).transpose()?,
            owner: owner.as_str(),
            entered_since: *entered_since,
        })
    }

    /// Whether that deal, of the same person, was not made by a human, since then, and has the same title. What a
    /// program's deal bears as origin the documents leave open; they name only what a human's does (v2, addDeal).
    fn is_alike(&self, row: &Object, since: Timestamp) -> bool {
        let by_hand = row.get("origin") == Some(&Value::from("ManuallyCreated"));
        let young = wire::time(row, "add_time").is_none_or(|made| made >= since);
        !by_hand && young && wire::text(row, "title").map(str::trim) == Some(self.title.trim())
    }
}
