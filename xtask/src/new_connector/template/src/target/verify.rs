//! Whether an unclear write happened, by strong reads.

use usher_connector::{CallLane, Fault, FaultClass, SendFailure, Verdict, Write, Written, bound};
use usher_model::{EffectBody, ExternalId, ObjectRef, SlotKind, SlotOrigin};

use super::{PEOPLE, SkeletonTarget, TASKS, external, id_of, is_owner, people, tasks};
use crate::api;
use crate::directory::by_email;
use crate::wire::{Person, Task};

pub(super) async fn verify(target: &SkeletonTarget, write: &Write) -> Result<Verdict, Fault> {
    match &write.body {
        EffectBody::EnsurePerson { .. } => {
            let email = people::email(write).map_err(unplannable)?;
            let person = by_email(&*target.http, &email, CallLane::Verify).await?;
            // Whether we made it or somebody else did can not be told; only what is surely ours may be archived by us.
            Ok(found(person.map(|person| external(person.id))))
        }
        EffectBody::Associate { from, to } => {
            let company = bound(to)?.1;
            Ok(holds(person(target, from).await?.as_ref(), |person| is_owner(person.company, Some(company))))
        }
        EffectBody::UpdateObject { target: object, owner, slot, .. } => {
            let to = owner.as_ref().map(|change| change.to.clone());
            let so = |person: &Person| to.as_ref().is_none_or(|to| is_owner(person.owner, to.as_ref()));
            let held = holds(person(target, object).await?.as_ref(), so);
            let owner = to.clone().flatten().filter(|_| slot.is_some());
            Ok(match held {
                Verdict::Found(_) => Verdict::Found(Written::whole(owner, SlotOrigin::Found)),
                other => other,
            })
        }
        EffectBody::CreateTask { about, .. } => {
            let task = tasks::marked(target, tasks::parent(about)?, &write.marker()).await?.pop();
            Ok(task.map_or(Verdict::Absent, |task| {
                Verdict::Found(Written::whole(Some(external(task.id)), SlotOrigin::Created))
            }))
        }
        EffectBody::CloseTask { task: object, .. } => {
            Ok(holds(task(target, object).await?.as_ref(), |task| task.done))
        }
        EffectBody::ReassignTask { task: object, to } => {
            Ok(holds(task(target, object).await?.as_ref(), |task| is_owner(task.owner, Some(to))))
        }
        EffectBody::ArchiveObject { target: object } => {
            let gone = match bound(object)?.0 {
                SlotKind::Task => task(target, object).await?.is_none(),
                _ => person(target, object).await?.is_none(),
            };
            Ok(if gone { done() } else { Verdict::Absent })
        }
        // Never sent.
        EffectBody::EnsureCompany { .. } | EffectBody::EnsureInquiry { .. } => Ok(Verdict::Absent),
    }
}

async fn person(target: &SkeletonTarget, object: &ObjectRef) -> Result<Option<Person>, Fault> {
    target.read(api::one(PEOPLE, id_of(object)?, CallLane::Verify)).await
}

async fn task(target: &SkeletonTarget, object: &ObjectRef) -> Result<Option<Task>, Fault> {
    target.read(api::one(TASKS, id_of(object)?, CallLane::Verify)).await
}

/// Whether the object is so. One that is gone is not: sending again will say so.
fn holds<T>(object: Option<&T>, so: impl Fn(&T) -> bool) -> Verdict {
    if object.is_some_and(so) { done() } else { Verdict::Absent }
}

fn done() -> Verdict {
    Verdict::Found(Written::whole(None, SlotOrigin::Found))
}

fn found(id: Option<ExternalId>) -> Verdict {
    id.map_or(Verdict::Absent, |id| Verdict::Found(Written::whole(Some(id), SlotOrigin::Found)))
}

fn unplannable(_: SendFailure) -> Fault {
    Fault::new(FaultClass::Defect, "a write that could never be sent is to be verified")
}
