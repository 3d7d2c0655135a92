//! Owner and fields of an object in one call, only where the owner is still the one that the decision saw.

use std::collections::{BTreeMap, HashMap};

use serde_json::{Value, json};
use usher_connector::{CallLane, Fault, FaultClass, Http, SendFailure, Write};
use usher_model::{EffectBody, ExternalId, OwnerChange};

use super::batch::{self, Batch, Name, Outcome, Row};
use super::{Outcomes, done, failure, known, mixed, plan};
use crate::api::{self, BATCH};
use crate::fields;
use crate::source::unread;
use crate::wire::Objects;

/// Object id to its owner; objects that are gone have no entry.
pub(super) type Owners = HashMap<String, Option<ExternalId>>;

pub(super) async fn send(http: &dyn Http, writes: &[Write], outcomes: &mut Outcomes) {
    let mut by_type: BTreeMap<&str, Vec<(usize, &str, &OwnerChange)>> = BTreeMap::new();
    for (write, item) in writes.iter().enumerate() {
        let EffectBody::UpdateObject { target, owner: Some(change), .. } = &item.body else { continue };
        if let Ok((object, id)) = known(target) {
            by_type.entry(object).or_default().push((write, id.as_str(), change));
        }
    }
    for (object, changes) in by_type {
        let ids: Vec<&str> = changes.iter().map(|(_, id, _)| *id).collect();
        let owners = match owners(http, object, &ids, CallLane::Write).await {
            Ok(owners) => owners,
            Err(fault) => {
                for (write, ..) in changes {
                    outcomes.set(write, Err(fault.repeat().into()));
                }
                continue;
            }
        };
        for (write, id, change) in changes {
            match owners.get(id) {
                None => outcomes.set(write, Err(SendFailure::Gone)),
                // Ours already: a repeat, which still completes the fields.
                Some(Some(owner)) if *owner == change.to => {}
                Some(owner) if *owner == change.expected => {}
                Some(owner) => outcomes.set(write, Err(SendFailure::HumanWon { owner: owner.clone() })),
            }
        }
    }
    let still: Vec<usize> = (0..writes.len()).filter(|write| outcomes.is_open(*write)).collect();
    let batches = plan::some(writes, still.into_iter(), outcomes);
    run_checked(http, writes, batches, outcomes).await;
}

/// Sends, and looks again at every owner that the answer does not show as written: HubSpot drops what it does not
/// accept from an answer that says "done".
pub(super) async fn run_checked(
    http: &dyn Http,
    writes: &[Write],
    batches: Vec<Batch>,
    outcomes: &mut Outcomes,
) {
    let mut doubtful: BTreeMap<&str, Vec<(usize, &str)>> = BTreeMap::new();
    for batch in batches {
        for (write, outcome) in batch::send(http, batch).await {
            let sent = match outcome {
                Outcome::Done(row) => {
                    let shown = row.properties.get("hubspot_owner_id").and_then(Option::as_deref);
                    let wanted = writes.get(write).and_then(owner_write);
                    if let Some((object, id, owner, _)) = wanted
                        && shown != Some(owner.as_str())
                    {
                        doubtful.entry(object).or_default().push((write, id));
                    }
                    Ok(done(writes.get(write)))
                }
                other => Err(failure(other)),
            };
            outcomes.set(write, sent);
        }
    }
    for (object, rows) in doubtful {
        look_again(http, writes, object, &rows, outcomes).await;
    }
}

async fn look_again(
    http: &dyn Http,
    writes: &[Write],
    object: &str,
    rows: &[(usize, &str)],
    outcomes: &mut Outcomes,
) {
    let ids: Vec<&str> = rows.iter().map(|(_, id)| *id).collect();
    let owners = owners(http, object, &ids, CallLane::Verify).await;
    for (write, id) in rows {
        let Some((.., wanted, expected)) = writes.get(*write).and_then(owner_write) else { continue };
        match owners.as_ref().map(|owners| owners.get(*id)) {
            Ok(Some(Some(owner))) if owner == wanted => {}
            Ok(Some(owner)) if owner.is_none() || owner.as_ref() == expected => {
                outcomes.set(*write, Err(dropped().into()));
            }
            Ok(Some(owner)) => outcomes.set(*write, Err(SendFailure::HumanWon { owner: owner.clone() })),
            Ok(None) => outcomes.set(*write, Err(SendFailure::Gone)),
            // Written, but not as what: a later look decides.
            Err(_) => outcomes.set(*write, Err(failure(Outcome::Unmentioned))),
        }
    }
}

/// Object type, id, the owner to write and the one before, of a write that sets an owner.
fn owner_write(item: &Write) -> Option<(&'static str, &str, &ExternalId, Option<&ExternalId>)> {
    let (object, to, expected) = match &item.body {
        EffectBody::UpdateObject { target, owner: Some(change), .. } => {
            (target, &change.to, change.expected.as_ref())
        }
        EffectBody::ReassignTask { task, to } => (task, to, None),
        _ => return None,
    };
    let (object, id) = known(object).ok()?;
    Some((object, id.as_str(), to, expected))
}

fn dropped() -> Fault {
    Fault::new(FaultClass::Rejected, "HubSpot accepted the write but not the owner in it").advise(
        "assign it in HubSpot; check that the owner may hold such records and that no workflow clears it",
    )
}

/// The owners of objects by strong reads.
pub(super) async fn owners(
    http: &dyn Http,
    object: &str,
    ids: &[&str],
    lane: CallLane,
) -> Result<Owners, Fault> {
    let mut unique = ids.to_vec();
    unique.sort_unstable();
    unique.dedup();
    let mut owners = Owners::new();
    for ids in unique.chunks(BATCH) {
        let request = api::read(object, ids.iter().copied(), None, &["hubspot_owner_id"], lane)?;
        let answer: Objects = http.send(request).await?.json()?;
        if let Some(error) = answer.errors.iter().find(|error| !error.is_not_found()) {
            return Err(unread(error));
        }
        for row in answer.results.into_iter().filter(|row| !row.archived) {
            let owner = row.get("hubspot_owner_id").map(ExternalId::new);
            owners.insert(row.id, owner);
        }
    }
    Ok(owners)
}

/// The properties that the write sets.
pub(super) fn properties(item: &Write) -> Result<Value, SendFailure> {
    let EffectBody::UpdateObject { owner, fields, .. } = &item.body else {
        return Err(mixed(&item.body));
    };
    let mut properties = fields::to_update(fields)?;
    if let Some(change) = owner {
        properties.insert("hubspot_owner_id".to_owned(), json!(change.to));
    }
    Ok(Value::Object(properties))
}

pub(super) fn row(write: usize, item: &Write) -> Result<(String, Row, bool), SendFailure> {
    let EffectBody::UpdateObject { target, .. } = &item.body else {
        return Err(mixed(&item.body));
    };
    let (object, id) = known(target)?;
    let input = json!({ "id": id, "properties": properties(item)? });
    Ok((api::batch(object, "update"), Row { write, input, name: Name::Id(id.to_string()) }, false))
}
