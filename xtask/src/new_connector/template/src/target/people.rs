//! People: found by their unique address or created, and owner and name of one changed.

use serde_json::{Map, Value, json};
use usher_connector::{CallLane, Fault, FaultClass, Request, SendFailure, Write, Written};
use usher_model::{EffectBody, IdentityKind, SlotOrigin};

use super::{PEOPLE, Sent, SkeletonTarget, dropped, external, id_of, is_owner, number};
use crate::api;
use crate::directory::by_email;
use crate::wire::Person;

/// Fields of the lead that Skeleton has under the same name.
const FIELDS: [&str; 3] = ["first_name", "last_name", "phone"];

pub(super) async fn ensure(target: &SkeletonTarget, item: &Write) -> Sent {
    if let Some(person) = by_email(&*target.http, &email(item)?, CallLane::Write).await? {
        return Ok(Written::whole(Some(external(person.id)), SlotOrigin::Found));
    }
    match target.write::<Person>(creation(item)?).await {
        Ok(person) => {
            let owned = item.owner.is_some() && is_owner(person.owner, item.owner.as_ref());
            Ok(Written { owned, ..Written::whole(Some(external(person.id)), SlotOrigin::Created) })
        }
        // The next try is without the owner, so that at least the person is there.
        Err(SendFailure::OwnerRejected { .. }) => {
            Err(Fault::new(FaultClass::Transient, "Skeleton refuses the person's owner").into())
        }
        Err(failure) => Err(failure),
    }
}

/// The address by which the person is found again.
pub(super) fn email(item: &Write) -> Result<String, SendFailure> {
    let EffectBody::EnsurePerson { keys, .. } = &item.body else { return Err(super::not_offered()) };
    let email = keys.iter().find(|key| key.kind == IdentityKind::Email).map(|key| key.value.to_lowercase());
    email.ok_or_else(|| {
        Fault::new(FaultClass::Rejected, "Skeleton can not hold a person without an e-mail address")
            .advise("map `email`")
            .into()
    })
}

pub(super) fn creation(item: &Write) -> Result<Request, SendFailure> {
    let EffectBody::EnsurePerson { fields, .. } = &item.body else { return Err(super::not_offered()) };
    let mut body = Map::from_iter([("email".to_owned(), json!(email(item)?))]);
    for name in FIELDS {
        body.extend(fields.get(name).map(|value| (name.to_owned(), value.clone())));
    }
    if let Some(owner) = &item.owner {
        body.insert("owner".to_owned(), json!(number(owner.as_str())?));
    }
    Ok(api::create(PEOPLE, &Value::Object(body))?)
}

/// Compares the owner right before the write, which must leave while the comparison is young.
pub(super) async fn update(target: &SkeletonTarget, item: &Write) -> Sent {
    let EffectBody::UpdateObject { target: object, owner, slot, .. } = &item.body else {
        return Err(super::not_offered());
    };
    if let Some(change) = owner {
        let request = api::one(PEOPLE, id_of(object)?, CallLane::Write);
        let present = target.read::<Person>(request).await?.ok_or(SendFailure::Gone)?.owner.map(external);
        if !change.allows(present.as_ref()) {
            return Err(SendFailure::HumanWon { owner: present });
        }
    }
    let after: Person = target.write(change(item)?).await?;
    let Some(change) = owner else { return Ok(Written::whole(None, SlotOrigin::Found)) };
    if !is_owner(after.owner, change.to.as_ref()) {
        return Err(dropped("person"));
    }
    // The owner slot, if any, holds the owner.
    Ok(Written::whole(change.to.clone().filter(|_| slot.is_some()), SlotOrigin::Found))
}

pub(super) fn change(item: &Write) -> Result<Request, SendFailure> {
    let EffectBody::UpdateObject { target: object, owner, fields, .. } = &item.body else {
        return Err(super::not_offered());
    };
    if let Some(name) = fields.keys().find(|name| !FIELDS.contains(&name.as_str())) {
        let message = format!("the field `{name}` can not be changed at Skeleton");
        return Err(Fault::new(FaultClass::Rejected, message)
            .advise("leave it out of what is written")
            .into());
    }
    let mut body: Map<String, Value> = fields.clone().into_iter().collect();
    let mut before = None;
    if let Some(change) = owner {
        let to = change.to.as_ref().map(|owner| number(owner.as_str())).transpose()?;
        body.insert("owner".to_owned(), json!(to));
        before = Some(item.owner_read.until);
    }
    Ok(api::change(PEOPLE, id_of(object)?, &Value::Object(body))?.before(before))
}
