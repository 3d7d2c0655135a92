//! Owner and fields of an object in one call, only where the owner is still the one that the decision saw.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde_json::{Value, json};
use usher_connector::{CallLane, Fault, FaultClass, Http, SendFailure, Write};
use usher_model::{EffectBody, ExternalId, OwnerChange};

use super::batch::{Batch, Name, Outcome, Parts, Row};
use super::{Outcomes, done, failure, known, mixed};
use crate::api::{self, BATCH};
use crate::fields;
use crate::source::unread;
use crate::wire::Objects;

/// Object id to its owner; objects that are gone have no entry.
pub(super) type Owners = HashMap<String, Option<ExternalId>>;

/// Which owner change of a call may go, by object: the owners are compared before the write, so a second change of
/// one object would be compared with an owner that the first is about to replace.
#[derive(Default)]
pub(super) struct Turns<'a>(HashSet<(&'static str, &'a str)>);

impl<'a> Turns<'a> {
    /// Passes every write but the second owner change of an object. Nothing was sent for that one: it comes again.
    pub(super) fn take(&mut self, item: &'a Write) -> Result<(), SendFailure> {
        match owner_change(item) {
            Some((object, id, _)) if !self.0.insert((object, id)) => {
                let message = "another owner change for the same record goes first";
                Err(Fault::new(FaultClass::Transient, message).into())
            }
            _ => Ok(()),
        }
    }
}

/// Sends, owner changes only where the owner is still the expected one. Afterwards looks again at every owner that the
/// answer does not show as written: HubSpot drops what it does not accept from an answer that says "done".
pub(super) async fn send(http: &dyn Http, writes: &[Write], batches: Vec<Batch>, outcomes: &mut Outcomes) {
    let mut doubtful: BTreeMap<&str, Vec<(usize, &str)>> = BTreeMap::new();
    for batch in batches {
        let mut parts = Parts::of(batch);
        while let Some(rows) = parts.next() {
            // Before every call, the halves of a refused one too: between look and write lies one request only.
            let known = !parts.has_begun() && rows.iter().all(|row| is_fresh(writes, row));
            let rows = if known { rows } else { compare(http, writes, rows, outcomes).await };
            for (write, outcome) in parts.send(http, rows).await {
                let sent = match outcome {
                    Outcome::Done(row) => {
                        let wanted = writes.get(write).and_then(owner_write);
                        if let Some((object, id, owner, _)) = wanted
                            && row.owner() != owner.map(ExternalId::as_str)
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
    }
    for (object, rows) in doubtful {
        look_again(http, writes, object, &rows, outcomes).await;
    }
}

/// The owner needs no comparison: it was read a moment ago, or the row changes none.
fn is_fresh(writes: &[Write], row: &Row) -> bool {
    writes.get(row.write).is_some_and(|item| !sets_owner(item) || item.owner_read.fresh)
}

/// Whether the write sets an owner over an expected one.
pub(super) fn sets_owner(item: &Write) -> bool {
    owner_change(item).is_some()
}

/// Reads the present owners and leaves out the rows whose owner is not the expected one; these get their outcome.
async fn compare(http: &dyn Http, writes: &[Write], rows: Vec<Row>, outcomes: &mut Outcomes) -> Vec<Row> {
    let change_of = |row: &Row| writes.get(row.write).and_then(owner_change);
    let ids: Vec<&str> = rows.iter().filter_map(change_of).map(|(_, id, _)| id).collect();
    // The rows of one batch are of one object type.
    let Some((object, ..)) = rows.iter().find_map(change_of) else { return rows };
    let owners = owners(http, object, &ids, CallLane::Write).await;
    let mut still = Vec::with_capacity(rows.len());
    for row in rows {
        let refusal = change_of(&row).and_then(|(_, id, change)| match &owners {
            Ok(owners) => differs(owners.get(id), change),
            Err(fault) => Some(fault.repeat().into()),
        });
        match refusal {
            Some(failure) => outcomes.set(row.write, Err(failure)),
            None => still.push(row),
        }
    }
    still
}

/// Why the change must not be written over this owner; `None` if it may.
fn differs(now: Option<&Option<ExternalId>>, change: &OwnerChange) -> Option<SendFailure> {
    match now {
        None => Some(SendFailure::Gone),
        // Ours already: a repeat, which still completes the fields.
        Some(owner) if change.allows(owner.as_ref()) => None,
        Some(owner) => Some(SendFailure::HumanWon { owner: owner.clone() }),
    }
}

/// Object type, id and change of a write that sets an owner over an expected one.
fn owner_change(item: &Write) -> Option<(&'static str, &str, &OwnerChange)> {
    let EffectBody::UpdateObject { target, owner: Some(change), .. } = &item.body else {
        return None;
    };
    let (object, id) = known(target).ok()?;
    Some((object, id.as_str(), change))
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
            Ok(Some(owner)) if owner.as_ref() == wanted => {}
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
fn owner_write(item: &Write) -> Option<(&'static str, &str, Option<&ExternalId>, Option<&ExternalId>)> {
    if let EffectBody::ReassignTask { task, to } = &item.body {
        let (object, id) = known(task).ok()?;
        return Some((object, id.as_str(), Some(to), None));
    }
    let (object, id, change) = owner_change(item)?;
    Some((object, id, change.to.as_ref(), change.expected.as_ref()))
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
            let owner = row.owner()?;
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
        // An empty text clears the owner.
        properties.insert(
            "hubspot_owner_id".to_owned(),
            json!(change.to.as_ref().map(ExternalId::as_str).unwrap_or_default()),
        );
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
