//! What was made with its owner: whether it came out so.

use serde_json::json;
use usher_connector::{Fault, FaultClass};

use super::{PipedriveTarget, number};
use crate::api;
use crate::wire::{self, Object};

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
