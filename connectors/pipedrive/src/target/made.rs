//! What was made with its owner: whether it came out so; and what was not, for what it is about is gone.

use serde_json::json;
use usher_connector::{CallLane, Fault, FaultClass, SendFailure, Write};
use usher_model::{ObjectRef, SlotKind};

use super::{PipedriveTarget, known, number};
use crate::api;
use crate::find;
use crate::wire::{self, Object};

/// Which of the objects that a refused write is about is gone: Pipedrive's documents leave open what it says then, so each is
/// read. What is no refusal stays as it is.
pub(super) async fn lost(target: &PipedriveTarget, item: &Write, failed: SendFailure) -> SendFailure {
    let refused = match &failed {
        SendFailure::Fault(fault) => fault.class() == FaultClass::Rejected,
        other => matches!(other, SendFailure::Gone),
    };
    let ends = item.body.refs().filter(|_| refused);
    for end in ends {
        let Ok((objects, id)) = known(end) else { continue };
        match (find::living(&*target.http, objects, id, CallLane::Write).await, end) {
            (Ok(Some(_)), _) | (_, ObjectRef::Slot { .. }) => {}
            (Ok(None), ObjectRef::Id { kind: SlotKind::Company, id }) => {
                let message = format!("organization {id}, which the write is about, is gone from Pipedrive");
                let fault = Fault::new(FaultClass::Rejected, message);
                return fault.advise("restore it in Pipedrive, then retry").into();
            }
            (Ok(None), ObjectRef::Id { kind, id }) => {
                return SendFailure::Lost { kind: *kind, id: id.clone() };
            }
            // Nothing was made: the next try tells.
            (Err(fault), _) => return fault.into(),
        }
    }
    failed
}

/// Sees to it that what was made has its owner: one that came out without is given it, once. One that is still without
/// must not end as refused: trying the write again would make a second one.
pub(super) async fn with_owner(
    target: &PipedriveTarget,
    objects: &str,
    made: &Object,
    owner: &str,
) -> Result<(), Fault> {
    let id = wire::id(made).unwrap_or_default();
    if has_owner(made, owner) || set_owner(target, objects, &id, owner).await {
        return Ok(());
    }
    let one = one_of(objects);
    let message = format!("Pipedrive created {one} {id}, but it does not show the owner that was asked for");
    Err(Fault::new(FaultClass::Defect, message).advise(format!(
        "assign the {one} in Pipedrive and check that no automation changes it; then `usher failed retry` finds it \
         and makes no second one"
    )))
}

/// True if it has it now.
async fn set_owner(target: &PipedriveTarget, objects: &str, id: &str, owner: &str) -> bool {
    let Ok(owner_id) = number(owner) else { return false };
    let Ok(request) = api::change(objects, id, &json!({ "owner_id": owner_id })) else { return false };
    target.write(request).await.is_ok_and(|after| has_owner(&after, owner))
}

pub(super) fn has_owner(object: &Object, owner: &str) -> bool {
    wire::refers(object, "owner_id").as_deref() == Some(owner)
}

fn one_of(objects: &str) -> &str {
    if objects == api::ACTIVITIES { "activity" } else { objects.trim_end_matches('s') }
}
