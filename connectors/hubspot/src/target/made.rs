//! Objects that are made with owner, ties and marker in one call: what came of it, read back.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use usher_connector::{CallLane, Fault, FaultClass, Http, SendFailure, Write, Written};
use usher_model::{EffectBody, ExternalId, ObjectRef, SlotKind, SlotOrigin};

use super::batch::{self, Batch, Name, Outcome, Row};
use super::keys::Keys;
use super::{Outcomes, defect, failure, known, update};
use crate::api;
use crate::wire::ErrorBody;

/// Sends batches that make objects of that type.
pub(super) async fn send(
    http: &dyn Http,
    keys: &Keys,
    object: &'static str,
    writes: &[Write],
    batches: Vec<Batch>,
    outcomes: &mut Outcomes,
) {
    // Objects whose answer does not show the owner that was asked for.
    let mut doubtful = Made::new();
    for batch in batches {
        for (write, outcome) in batch::send(http, batch).await {
            let outcome = match outcome {
                Outcome::Done(row) => match &row.id {
                    Some(id) => {
                        if row.owner() != writes.get(write).and_then(owner).map(ExternalId::as_str) {
                            doubtful.insert(write, id.clone());
                        }
                        let made = Written::whole(Some(ExternalId::new(id.as_str())), SlotOrigin::Created);
                        Ok(Written { owned: true, ..made })
                    }
                    None => Err(failure(Outcome::Unmentioned)),
                },
                Outcome::Refused(error) => refused(http, keys, object, writes.get(write), error).await,
                other => Err(failure(other)),
            };
            outcomes.set(write, outcome);
        }
    }
    if !doubtful.is_empty() {
        settle_owners(http, object, writes, doubtful, outcomes).await;
    }
}

/// An object with this key is there already: an earlier try made it. Else what it is about may be gone, or something is
/// wrong with the object itself.
async fn refused(
    http: &dyn Http,
    keys: &Keys,
    object: &'static str,
    item: Option<&Write>,
    error: ErrorBody,
) -> Result<Written, SendFailure> {
    let Some(item) = item else { return Err(failure(Outcome::Refused(error))) };
    if error.is_conflict()
        && let Some(id) = keys.find(http, object, item, CallLane::Write).await?
    {
        return Ok(Written::whole(Some(ExternalId::new(id)), SlotOrigin::Created));
    }
    let failed = failure(Outcome::Refused(error));
    let for_good = match &failed {
        SendFailure::Fault(fault) => fault.class() == FaultClass::Rejected,
        other => matches!(other, SendFailure::Gone),
    };
    Err(if for_good { missing(http, item).await?.unwrap_or(failed) } else { failed })
}

/// Which of the objects that it is about is gone: HubSpot's refusal does not say.
async fn missing(http: &dyn Http, item: &Write) -> Result<Option<SendFailure>, SendFailure> {
    for end in item.body.refs() {
        let (object, id) = known(end)?;
        let there = update::owners(http, object, &[id.as_str()], CallLane::Write).await?;
        if there.contains_key(id.as_str()) {
            continue;
        }
        return Ok(Some(match end {
            ObjectRef::Id { kind, id } if *kind != SlotKind::Company => {
                SendFailure::Lost { kind: *kind, id: id.clone() }
            }
            _ => {
                let message = format!("company {id}, which the write is about, is gone from HubSpot");
                Fault::new(FaultClass::Rejected, message).advise("restore it in HubSpot, then retry").into()
            }
        }));
    }
    Ok(None)
}

/// Ids of what was made, by the position of their write.
type Made = BTreeMap<usize, String>;

/// Looks at the objects themselves, since HubSpot drops what it does not accept from an answer that says "created", and
/// sets a missing owner once. One that is still without it must not end as refused: trying that write again would
/// make a second one. Parked, a retry is verified first and finds it by its marker.
async fn settle_owners(
    http: &dyn Http,
    object: &'static str,
    writes: &[Write],
    doubtful: Made,
    outcomes: &mut Outcomes,
) {
    let ids: Vec<&str> = doubtful.values().map(String::as_str).collect();
    let owners = match update::owners(http, object, &ids, CallLane::Verify).await {
        Ok(owners) => owners,
        Err(fault) => {
            // They exist, and verification finds them again and looks at their owners.
            for write in doubtful.keys() {
                let message = "HubSpot does not say whether what it made has its owner";
                let unknown = Fault::new(FaultClass::OutcomeUnknown, message).because(fault.to_string());
                outcomes.set(*write, Err(unknown.into()));
            }
            return;
        }
    };
    let mut wrong = doubtful;
    wrong.retain(|write, id| !has_owner(writes, *write, owners.get(id)));
    // Only where there is none: another owner is somebody's choice.
    let bare: Made = wrong
        .iter()
        .filter(|(_, id)| owners.get(*id).is_some_and(Option::is_none))
        .map(|(write, id)| (*write, id.clone()))
        .collect();
    for write in set_owners(http, object, writes, &bare).await {
        wrong.remove(&write);
    }
    for (write, id) in wrong {
        outcomes.set(write, Err(ownerless(object, &id).into()));
    }
}

/// What a lost answer made may have lost its owner too. Another owner is somebody's choice since then.
pub(super) async fn is_owned(
    http: &dyn Http,
    object: &'static str,
    item: &Write,
    id: &str,
) -> Result<(), Fault> {
    let owners = update::owners(http, object, &[id], CallLane::Verify).await?;
    let bare = owner(item).is_some() && owners.get(id).is_some_and(Option::is_none);
    if bare { Err(ownerless(object, id)) } else { Ok(()) }
}

/// Sets the owners of these objects in one more call, and says which have them now.
async fn set_owners(http: &dyn Http, object: &'static str, writes: &[Write], bare: &Made) -> Vec<usize> {
    let row = |(write, id): (&usize, &String)| {
        let input =
            json!({ "id": id, "properties": { "hubspot_owner_id": writes.get(*write).and_then(owner)? } });
        Some(Row { write: *write, input, name: Name::Id(id.clone()) })
    };
    let rows: Vec<Row> = bare.iter().filter_map(row).collect();
    batch::send(http, Batch { path: api::batch(object, "update"), rows, before: None }).await;
    // Whatever became of that call, the objects themselves tell.
    let ids: Vec<&str> = bare.values().map(String::as_str).collect();
    let owners = update::owners(http, object, &ids, CallLane::Verify).await.unwrap_or_default();
    bare.iter()
        .filter(|(write, id)| has_owner(writes, **write, owners.get(*id)))
        .map(|(write, _)| *write)
        .collect()
}

fn has_owner(writes: &[Write], write: usize, now: Option<&Option<ExternalId>>) -> bool {
    now.and_then(Option::as_ref) == writes.get(write).and_then(owner)
}

fn ownerless(object: &str, id: &str) -> Fault {
    let one = object.trim_end_matches('s');
    let message = format!("HubSpot created {one} {id}, but it does not show the owner that was asked for");
    Fault::new(FaultClass::Defect, message).advise(format!(
        "assign the {one} in HubSpot and check that the owner may hold {object} and that no workflow changes it; then \
         `usher failed retry` finds this {one} and makes no second one",
    ))
}

fn owner(item: &Write) -> Option<&ExternalId> {
    match &item.body {
        EffectBody::CreateTask { owner, .. } | EffectBody::EnsureInquiry { owner, .. } => Some(owner),
        _ => None,
    }
}

/// The object under which what the write made is listed.
pub(super) fn parent(item: &Write) -> Option<&ObjectRef> {
    match &item.body {
        EffectBody::CreateTask { about, .. } => about.first(),
        EffectBody::EnsureInquiry { person, .. } => Some(person),
        _ => None,
    }
}

/// An association as part of what is made, by HubSpot's id of the association's type.
pub(super) fn association(object: &ObjectRef, types: &[(&str, u32)]) -> Result<Value, SendFailure> {
    let (object, id) = known(object)?;
    let kind = types.iter().find(|(name, _)| *name == object);
    let (_, kind) = kind.ok_or_else(|| defect(&format!("nothing of that kind can be about `{object}`")))?;
    Ok(json!({
        "to": { "id": id },
        "types": [{ "associationCategory": "HUBSPOT_DEFINED", "associationTypeId": kind }],
    }))
}
