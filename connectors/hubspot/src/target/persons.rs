//! Persons: found by e-mail in a strong read, else created, with a conflict resolved to the contact that exists.

use std::collections::BTreeMap;

use serde_json::json;
use usher_connector::{CallLane, Fault, FaultClass, Http, SendFailure, Write, Written};
use usher_model::{EffectBody, ExternalId, IdentityKind, SlotOrigin};

use super::batch::{self, Batch, Clue, Name, Outcome, Row};
use super::keys::Keys;
use super::rules::Rules;
use super::{Outcomes, failure, mixed, plan};
use crate::api::{self, CONTACTS};
use crate::directory::by_email;
use crate::fields;
use crate::wire::ErrorBody;

pub(super) async fn send(
    http: &dyn Http,
    keys: &Keys,
    rules: &Rules,
    writes: &[Write],
    outcomes: &mut Outcomes,
) {
    // Two writes for one address are one contact: the first creates it, the others find it.
    let mut later: BTreeMap<usize, usize> = BTreeMap::new();
    let mut first_of: BTreeMap<String, usize> = BTreeMap::new();
    for (write, item) in writes.iter().enumerate() {
        if let Some(email) = emails(item).into_iter().next() {
            match first_of.get(&email) {
                Some(first) => drop(later.insert(write, *first)),
                None => drop(first_of.insert(email, write)),
            }
        }
    }
    let all: Vec<String> = writes.iter().flat_map(emails).collect();
    let known = match by_email(http, all.iter().map(String::as_str), CallLane::Write).await {
        Ok(known) => known,
        Err(fault) => return outcomes.fail_open(&fault),
    };
    for (write, item) in writes.iter().enumerate() {
        if let Some(person) = emails(item).iter().find_map(|email| known.get(email)) {
            outcomes.set(write, Ok(found(person.external_id.clone())));
        }
    }
    let missing: Vec<usize> =
        (0..writes.len()).filter(|write| outcomes.is_open(*write) && !later.contains_key(write)).collect();
    let mut batches = plan::some(keys, writes, missing.into_iter(), outcomes);
    let mut notes =
        if batches.is_empty() { BTreeMap::new() } else { fit(http, keys, rules, &mut batches).await };
    for batch in batches {
        for (write, outcome) in batch::send(http, batch).await {
            let Some(item) = writes.get(write) else { continue };
            if matches!(&outcome, Outcome::Refused(error) if !error.is_conflict()) {
                rules.forget();
            }
            if item.owner.is_some() && is_refused_for_good(&outcome) {
                // It may be the owner whom HubSpot does not take: the next try is without.
                let message = "HubSpot refuses to make the contact with its owner";
                outcomes.set(write, Err(Fault::new(FaultClass::Transient, message).into()));
                continue;
            }
            let note = notes.remove(&write);
            let created = created(http, keys, item, outcome).await;
            outcomes.set(write, created.map(|written| Written { note, ..written }));
        }
    }
    for (write, first) in later {
        if outcomes.is_open(write) {
            let outcome = match outcomes.0.get(first) {
                Some(Some(Ok(written))) => Ok(Written::whole(written.id.clone(), SlotOrigin::Found)),
                // Nothing was sent for this one; by the next attempt the first is settled.
                _ => Err(Fault::new(
                    FaultClass::Transient,
                    "another write for the same contact is not settled",
                )
                .into()),
            };
            outcomes.set(write, outcome);
        }
    }
}

/// Nothing was made, and a repeat would fare no better. A row that was left undone for a limit or an error of HubSpot's own
/// is none of these: it may have been made.
fn is_refused_for_good(outcome: &Outcome) -> bool {
    let Outcome::Refused(error) = outcome else { return false };
    !error.is_conflict()
        && match failure(Outcome::Refused(error.clone())) {
            SendFailure::Fault(fault) => fault.class() == FaultClass::Rejected,
            other => matches!(other, SendFailure::OwnerRejected { .. } | SendFailure::Gone),
        }
}

/// Leaves out what the account does not take. Returns what that is, by write.
async fn fit(http: &dyn Http, keys: &Keys, rules: &Rules, batches: &mut [Batch]) -> BTreeMap<usize, String> {
    let definitions = rules.definitions(http).await;
    let mut notes = BTreeMap::new();
    for row in batches.iter_mut().flat_map(|batch| &mut batch.rows) {
        let properties = row.input.get_mut("properties").and_then(serde_json::Value::as_object_mut);
        if let Some(note) = properties.and_then(|properties| definitions.fit(properties, keys.of(CONTACTS))) {
            notes.insert(row.write, note);
        }
    }
    notes
}

async fn created(
    http: &dyn Http,
    keys: &Keys,
    item: &Write,
    outcome: Outcome,
) -> Result<Written, SendFailure> {
    match outcome {
        Outcome::Done(row) => match row.id.clone() {
            // HubSpot drops what it does not accept from an answer that says "done".
            Some(id) => {
                let owned = item.owner.as_ref().is_some_and(|owner| row.owner() == Some(owner.as_str()));
                Ok(Written { owned, ..ours(id) })
            }
            None => Err(failure(Outcome::Unmentioned)),
        },
        Outcome::Refused(error) if error.is_conflict() => existing(http, keys, item, error).await,
        other => Err(failure(other)),
    }
}

/// An earlier try of ours created the contact, which its key proves; or somebody else did since we looked, or the address
/// is a secondary one of another contact.
async fn existing(
    http: &dyn Http,
    keys: &Keys,
    item: &Write,
    error: ErrorBody,
) -> Result<Written, SendFailure> {
    if let Some(id) = keys.find(http, CONTACTS, item, CallLane::Write).await? {
        return Ok(ours(id));
    }
    if let Some(id) = error.existing_id() {
        return Ok(found(ExternalId::new(id)));
    }
    let email = emails(item).into_iter().next();
    let known = by_email(http, email.as_deref().into_iter(), CallLane::Write).await?;
    match email.and_then(|email| known.get(&email)) {
        Some(person) => Ok(found(person.external_id.clone())),
        None => Err(failure(Outcome::Refused(error))),
    }
}

/// A contact that we created.
pub(super) fn ours(id: String) -> Written {
    Written::whole(Some(ExternalId::new(id)), SlotOrigin::Created)
}

fn found(id: ExternalId) -> Written {
    Written::whole(Some(id), SlotOrigin::Found)
}

pub(super) fn row(keys: &Keys, write: usize, item: &Write) -> Result<(String, Row, bool), SendFailure> {
    let EffectBody::EnsurePerson { fields, .. } = &item.body else {
        return Err(mixed(&item.body));
    };
    let mut properties = fields::to_create(fields);
    let email = emails(item).into_iter().next();
    if let Some(email) = &email {
        properties.insert("email".to_owned(), json!(email));
    }
    if properties.is_empty() {
        let message = "HubSpot can not hold a contact without e-mail, name and phone number";
        return Err(Fault::new(FaultClass::Rejected, message).advise("map one of these fields").into());
    }
    if let Some(owner) = &item.owner {
        properties.insert("hubspot_owner_id".to_owned(), json!(owner.as_str()));
    }
    keys.mark(CONTACTS, &mut properties, item);
    let trace = item.key.to_string();
    let input = json!({ "properties": properties, "objectWriteTraceId": trace });
    // Nothing but the answer to a call of its own could tell a contact without an address from its neighbours.
    let alone = email.is_none();
    let name = Name::Trace(trace, email.map(|email| Clue::Equals("email", email)));
    Ok((api::batch(CONTACTS, "create"), Row { write, input, name }, alone))
}

/// The person's addresses in lower case, as given first: a key may be a cleaned form that HubSpot does not know.
pub(super) fn emails(item: &Write) -> Vec<String> {
    let EffectBody::EnsurePerson { keys, fields, .. } = &item.body else {
        return Vec::new();
    };
    let given = fields.get("email").and_then(serde_json::Value::as_str);
    let keys = keys.iter().filter(|key| key.kind == IdentityKind::Email).map(|key| key.value.as_str());
    let mut emails: Vec<String> = Vec::new();
    for email in given.into_iter().chain(keys).map(|email| email.trim().to_lowercase()) {
        if !email.is_empty() && !emails.contains(&email) {
            emails.push(email);
        }
    }
    emails
}
