//! Whether an unclear write happened, by reads that no index stands before.

use jiff::{SignedDuration, Timestamp};
use usher_connector::{CallLane, Fault, FaultClass, SendFailure, Verdict, Write, Written};
use usher_model::{EffectBody, ExternalId, ObjectRef, SlotOrigin};

use super::companies::{self, Company};
use super::persons::Who;
use super::{PipedriveTarget, created, found, inquiries, known, made, tasks};
use crate::api::{ACTIVITIES, ORGANIZATIONS, PERSONS};
use crate::fields::Definitions;
use crate::find;
use crate::wire::{self, Object};

/// How far the vendor's clock may be behind ours.
pub(super) const SKEW: SignedDuration = SignedDuration::from_mins(10);

pub(super) async fn verify(
    target: &PipedriveTarget,
    write: &Write,
    since: Timestamp,
) -> Result<Verdict, Fault> {
    match &write.body {
        EffectBody::EnsurePerson { .. } => person(target, write, since).await,
        EffectBody::EnsureCompany { .. } => {
            let company = Company::of(write).map_err(unplannable)?;
            let made = made_since(target, ORGANIZATIONS, since, |row| company.is(row)).await?;
            Ok(made.map_or(Verdict::Absent, |row| Verdict::Found(found(&row))))
        }
        EffectBody::EnsureInquiry { .. } => inquiries::verify(target, write, since).await,
        EffectBody::Associate { from, to } => {
            let (organization, objects) =
                (known(to).map_err(unplannable)?.1, known(from).map_err(unplannable)?.0);
            let field = companies::field(objects);
            let tied = |object: &Object| wire::refers(object, field).as_deref() == Some(organization);
            holds(target, from, tied).await
        }
        EffectBody::UpdateObject { target: object, owner, slot, .. } => {
            let change = owner.as_ref();
            let wanted = match change.map(|change| &change.to) {
                Some(Some(owner)) => Some(owner.to_string()),
                Some(None) => Some(target.me.id(&*target.http, CallLane::Verify).await?.to_string()),
                None => None,
            };
            let same = |row: &Object| wanted.is_none() || wire::refers(row, "owner_id") == wanted;
            let bound = change.and_then(|change| change.to.clone()).filter(|_| slot.is_some());
            let held = holds(target, object, same).await?;
            Ok(if held == Verdict::Absent {
                held
            } else {
                Verdict::Found(Written::whole(bound, SlotOrigin::Found))
            })
        }
        EffectBody::CreateTask { about, owner, .. } => task(target, write, about, owner).await,
        EffectBody::CloseTask { task, .. } => holds(target, task, |row| wire::flag(row, "done")).await,
        EffectBody::ReassignTask { task, to } => {
            holds(target, task, |row| wire::refers(row, "owner_id").as_deref() == Some(to.as_str())).await
        }
        EffectBody::ArchiveObject { target: object } => {
            let (objects, id) = known(object).map_err(unplannable)?;
            Ok(happened(find::living(&*target.http, objects, id, CallLane::Verify).await?.is_none()))
        }
    }
}

/// Only a person who carries the write's key counts as created: any other may be somebody else's, and only what is surely
/// ours may ever be archived by us.
async fn person(target: &PipedriveTarget, write: &Write, since: Timestamp) -> Result<Verdict, Fault> {
    let who = Who::of(write).map_err(unplannable)?;
    let definitions = match &target.custom.marker {
        Some(_) => Some(target.fields.of(PERSONS, std::iter::empty(), CallLane::Verify).await?),
        None => None,
    };
    let key = marker_key(target, definitions.as_deref());
    let marked = |row: &Object| {
        let value = key.and_then(|key| row.get("custom_fields")?.get(key)?.as_str());
        value == Some(write.key.as_str())
    };
    // Another program may have made the same person in the same moment: the marked one is ours, wherever it stands.
    let mut alike = None;
    let made = made_since(target, PERSONS, since, |row| {
        if alike.is_none() && who.is(row) {
            alike = Some(row.clone());
        }
        marked(row) || (key.is_none() && alike.is_some())
    })
    .await?;
    Ok(match (made, alike) {
        (Some(row), _) if marked(&row) => Verdict::Found(created(&row)),
        (Some(row), _) | (None, Some(row)) => Verdict::Found(found(&row)),
        (None, None) => Verdict::Absent,
    })
}

fn marker_key<'a>(target: &PipedriveTarget, definitions: Option<&'a Definitions>) -> Option<&'a str> {
    definitions?.key(target.custom.marker.as_deref()?)
}

/// The object that fits among those that were made or changed since the write was sent. That list is complete, so what it
/// lacks was not made.
async fn made_since(
    target: &PipedriveTarget,
    objects: &str,
    since: Timestamp,
    fits: impl FnMut(&Object) -> bool,
) -> Result<Option<Object>, Fault> {
    find::since(&*target.http, objects, since.checked_sub(SKEW).unwrap_or(since), fits).await
}

/// Looks for the marker among the activities of the first object that the task is about.
async fn task(
    target: &PipedriveTarget,
    write: &Write,
    about: &[ObjectRef],
    owner: &ExternalId,
) -> Result<Verdict, Fault> {
    let Some(parent) = about.first() else { return Ok(Verdict::Unsure) };
    if let Some(task) = tasks::of_parent(target, parent, &write.marker()).await?.pop() {
        made::is_owned(target, ACTIVITIES, &task, owner.as_str()).await?;
        return Ok(Verdict::Found(created(&task)));
    }
    // Whoever was merged or deleted away took the activities with them: an empty list proves nothing.
    let (objects, id) = known(parent).map_err(unplannable)?;
    let lives = find::living(&*target.http, objects, id, CallLane::Verify).await?.is_some();
    Ok(if lives { Verdict::Absent } else { Verdict::Unsure })
}

/// Whether the object is so. One that is gone is not: sending again will say so.
async fn holds(
    target: &PipedriveTarget,
    object: &ObjectRef,
    so: impl Fn(&Object) -> bool,
) -> Result<Verdict, Fault> {
    let (objects, id) = known(object).map_err(unplannable)?;
    let present = find::living(&*target.http, objects, id, CallLane::Verify).await?;
    Ok(happened(present.as_ref().is_some_and(so)))
}

fn happened(yes: bool) -> Verdict {
    if yes { Verdict::Found(Written::whole(None, SlotOrigin::Found)) } else { Verdict::Absent }
}

pub(super) fn unplannable(_: SendFailure) -> Fault {
    Fault::new(FaultClass::Defect, "a write that could never be sent is to be verified")
}
