//! Owner of a person, lead or deal, and name of a person, in one call, only where the owner is still the one that the decision saw.

use serde_json::{Map, Value, json};
use usher_connector::{CallLane, Fault, FaultClass, Request, SendFailure, Write, Written};
use usher_model::{EffectBody, OwnerChange, SlotOrigin};

use super::{PipedriveTarget, Sent, defect, known, number, persons, read};
use crate::api;
use crate::wire::{self, Object};

/// Looks at the object right before the write, whatever the host has read before: the look costs one token, and the moment
/// between the two is as short as it can be.
pub(super) async fn send(target: &PipedriveTarget, item: &Write) -> Sent {
    let EffectBody::UpdateObject { target: object, owner, slot, .. } = &item.body else {
        return Err(defect("a write of another kind was taken for a change"));
    };
    if let Some(change) = owner {
        let me = target.me.id(&*target.http, CallLane::Write).await?;
        let present = read(target, object, CallLane::Write).await?;
        compare(&present, change, me)?;
    }
    let after = target.write(request(target, item)?).await?;
    if let Some(change) = owner {
        let wanted = wanted(target, change)?;
        if after.get("owner_id") != Some(&json!(wanted)) {
            return Err(dropped().into());
        }
    }
    // The owner slot, if any, holds the owner.
    let bound = owner.as_ref().and_then(|change| change.to.clone()).filter(|_| slot.is_some());
    Ok(Written::whole(bound, SlotOrigin::Found))
}

/// Fails where the owner is neither the expected nor the wanted one. What the token's user owns is owned by nobody.
fn compare(present: &Object, change: &OwnerChange, me: u64) -> Result<(), SendFailure> {
    let now = wire::owner(present)?;
    let nobody = now.as_ref().is_none_or(|now| now.as_str() == me.to_string());
    let is_expected_of_nobody = nobody && (change.expected.is_none() || change.to.is_none());
    if is_expected_of_nobody || change.allows(now.as_ref()) {
        return Ok(());
    }
    Err(SendFailure::HumanWon { owner: now })
}

/// The number of the owner to write; to give an object to nobody is to give it to the token's user.
fn wanted(target: &PipedriveTarget, change: &OwnerChange) -> Result<Option<u64>, SendFailure> {
    match &change.to {
        Some(owner) => number(owner.as_str()).map(Some),
        None => Ok(target.me.known()),
    }
}

pub(super) fn request(target: &PipedriveTarget, item: &Write) -> Result<Request, SendFailure> {
    let EffectBody::UpdateObject { target: object, owner, fields, .. } = &item.body else {
        return Err(defect("a write of another kind was taken for a change"));
    };
    let (objects, id) = known(object)?;
    let mut body = Map::new();
    let text = |field: &str| fields.get(field).and_then(Value::as_str);
    if let Some(homeless) =
        fields.keys().find(|field| !["first_name", "last_name", "full_name"].contains(&field.as_str()))
    {
        let message = format!("the field `{homeless}` can not be changed at Pipedrive in this version");
        return Err(Fault::new(FaultClass::Rejected, message)
            .advise("leave it out of what is written")
            .into());
    }
    if let Some(name) = persons::name(text) {
        body.insert("name".to_owned(), json!(name));
    }
    let mut before = None;
    if let Some(change) = owner {
        body.insert("owner_id".to_owned(), json!(wanted(target, change)?));
        before = Some(item.owner_read.until);
    }
    Ok(api::change(objects, id, &Value::Object(body))?.before(before))
}

fn dropped() -> Fault {
    Fault::new(FaultClass::Rejected, "Pipedrive took the write and kept another owner").advise(
        "check that the owner may own such objects and that no automation changes it, then retry the write",
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn fm_049_an_owner_who_is_not_shown_is_nobodys_guess() {
        let change = OwnerChange { to: Some("11".into()), ..OwnerChange::default() };
        let told = |person: Value| compare(person.as_object().unwrap(), &change, 7);
        assert!(told(json!({ "id": 1, "owner_id": null })).is_ok());
        assert!(told(json!({ "id": 1, "owner_id": 7 })).is_ok(), "what the token's user owns is nobody's");
        assert!(matches!(told(json!({ "id": 1, "owner_id": 12 })), Err(SendFailure::HumanWon { .. })));
        let Err(SendFailure::Fault(fault)) = told(json!({ "id": 1 })) else { panic!("it was overwritten") };
        assert_eq!(fault.class(), FaultClass::Transient);
    }
}
