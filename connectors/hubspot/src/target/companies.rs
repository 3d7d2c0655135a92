//! Companies: that of the person, else a candidate by search, confirmed by a strong read, else created with the person.

use std::collections::BTreeMap;

use serde_json::{Map, json};
use usher_connector::{CallLane, Fault, Http, SendFailure, Verdict, Write, Written};
use usher_model::{EffectBody, ExternalId, SlotOrigin};

use super::batch::{self, Clue, Name, Outcome, Row};
use super::keys::Keys;
use super::{Outcomes, failure, known, made, mixed, plan, verify};
use crate::api::{self, COMPANIES, CONTACTS, SEARCH_PAGE};
use crate::source::unread;
use crate::wire::{Associations, Object, Objects};

/// Writes per call: their domains must fit into one search body of 3,000 characters.
pub(super) const MOST: usize = 10;

/// From a company to who belongs to it, by HubSpot's id of the association's type.
const FROM_COMPANY: &[(&str, u32)] = &[("contacts", 280)];

/// Who belongs to a company already, which HubSpot may have made by the address, is left there; else the company of the
/// domain is taken, else made.
pub(super) async fn send(http: &dyn Http, keys: &Keys, writes: &[Write], outcomes: &mut Outcomes) {
    let known = match (of_persons(http, writes, CallLane::Write).await, by_domain(http, writes).await) {
        (Ok(tied), Ok(known)) => (tied, known),
        (Err(fault), _) | (_, Err(fault)) => return outcomes.fail_open(&fault),
    };
    for (write, item) in writes.iter().enumerate() {
        let tied = known.0.get(&write).cloned();
        let known = || known.1.get(&domain(item)?).cloned();
        if let Some(id) = tied.or_else(known) {
            outcomes.set(write, Ok(Written::whole(Some(id), SlotOrigin::Found)));
        }
    }
    let missing: Vec<usize> = (0..writes.len()).filter(|write| outcomes.is_open(*write)).collect();
    for batch in plan::some(keys, writes, missing.into_iter(), outcomes) {
        for (write, outcome) in batch::send(http, batch).await {
            let outcome = match outcome {
                Outcome::Done(row) if row.id.is_some() => {
                    Ok(Written::whole(row.id.map(ExternalId::new), SlotOrigin::Created))
                }
                other => Err(failure(other)),
            };
            outcomes.set(write, outcome);
        }
    }
}

/// Whether the company is there: by its key, or among those of the person, with whom it was tied when it was made. That list
/// is complete, so what it lacks was not made.
pub(super) async fn verify(http: &dyn Http, keys: &Keys, item: &Write) -> Result<Verdict, Fault> {
    if keys.of(COMPANIES).is_some() {
        let found = keys.find(http, COMPANIES, item, CallLane::Verify).await?;
        let made = |id| Written::whole(Some(ExternalId::new(id)), SlotOrigin::Created);
        return Ok(found.map_or(Verdict::Absent, |id| Verdict::Found(made(id))));
    }
    let tied = of_persons(http, std::slice::from_ref(item), CallLane::Verify).await?;
    if let Some(id) = tied.into_values().next() {
        // HubSpot may have made it as well as we.
        return Ok(Verdict::Found(Written::whole(Some(id), SlotOrigin::Found)));
    }
    // A contact that was merged or archived away took its ties with it.
    let lives = match person(item) {
        Some(id) => !verify::read(http, CONTACTS, &[id], &[]).await?.is_empty(),
        None => false,
    };
    Ok(if lives { Verdict::Absent } else { Verdict::Unsure })
}

/// By write, the company that the person belongs to: the one of the domain, else the oldest.
async fn of_persons(
    http: &dyn Http,
    writes: &[Write],
    lane: CallLane,
) -> Result<BTreeMap<usize, ExternalId>, Fault> {
    let mut persons: Vec<&str> = writes.iter().filter_map(person).collect();
    persons.sort_unstable();
    persons.dedup();
    if persons.is_empty() {
        return Ok(BTreeMap::new());
    }
    let request = api::read_many_associations(CONTACTS, persons, COMPANIES, lane)?;
    let answer: Associations = http.send(request).await?.json()?;
    let serious = answer.errors.iter().find(|error| !error.is_not_found() && !error.is_no_association());
    if let Some(error) = serious {
        return Err(unread(error));
    }
    let tied: BTreeMap<String, Vec<String>> = answer
        .results
        .into_iter()
        .filter_map(|row| Some((row.from?.id, row.to.into_iter().map(|end| end.id).collect())))
        .collect();
    let mut ids: Vec<&str> = tied.values().flatten().map(String::as_str).collect();
    ids.sort_unstable();
    ids.dedup();
    let mut companies: BTreeMap<String, Object> = BTreeMap::new();
    for ids in ids.chunks(api::BATCH) {
        let request = api::read(COMPANIES, ids.iter().copied(), None, &["domain"], lane)?;
        let answer: Objects = http.send(request).await?.json()?;
        if let Some(error) = answer.errors.iter().find(|error| !error.is_not_found()) {
            return Err(unread(error));
        }
        let living = answer.results.into_iter().filter(|company| !company.archived);
        companies.extend(living.map(|company| (company.id.clone(), company)));
    }
    let of = |(write, item): (usize, &Write)| {
        let own = tied.get(person(item)?)?.iter().filter_map(|id| companies.get(id));
        let other = |company: &&Object| company.get("domain").map(str::to_lowercase) != domain(item);
        let first = own.min_by_key(|company| (other(company), company.id.len(), company.id.clone()))?;
        Some((write, ExternalId::new(first.id.as_str())))
    };
    Ok(writes.iter().enumerate().filter_map(of).collect())
}

fn person(item: &Write) -> Option<&str> {
    match &item.body {
        EffectBody::EnsureCompany { person, .. } => known(person).ok().map(|(_, id)| id.as_str()),
        _ => None,
    }
}

/// The company with each domain. Several may share one; the oldest, which has the smallest id, is taken, so that every
/// attempt takes the same.
async fn by_domain(http: &dyn Http, writes: &[Write]) -> Result<BTreeMap<String, ExternalId>, Fault> {
    let mut known = BTreeMap::new();
    let domains: Vec<String> = writes.iter().filter_map(domain).collect();
    if domains.is_empty() {
        return Ok(known);
    }
    let body = json!({
        "filterGroups": [{ "filters": [{ "propertyName": "domain", "operator": "IN", "values": domains }] }],
        "properties": ["domain"],
        "limit": SEARCH_PAGE,
    });
    let candidates: Objects = http.send(api::search(COMPANIES, &body, CallLane::Write)?).await?.json()?;
    let ids: Vec<&str> = candidates.results.iter().map(|company| company.id.as_str()).collect();
    for ids in ids.chunks(api::BATCH) {
        // The index may be behind: what it proposes counts only as the record itself has it.
        let request = api::read(COMPANIES, ids.iter().copied(), None, &["domain"], CallLane::Write)?;
        let confirmed: Objects = http.send(request).await?.json()?;
        if let Some(error) = confirmed.errors.iter().find(|error| !error.is_not_found()) {
            return Err(unread(error));
        }
        for company in confirmed.results.into_iter().filter(|company| !company.archived) {
            take_older(&mut known, &company);
        }
    }
    Ok(known)
}

fn take_older(known: &mut BTreeMap<String, ExternalId>, company: &Object) {
    let Some(domain) = company.get("domain").map(str::to_lowercase) else { return };
    let age = |id: &str| (id.len(), id.to_owned());
    let older = known.get(&domain).is_none_or(|held| age(&company.id) < age(held.as_str()));
    if older {
        known.insert(domain, ExternalId::new(company.id.as_str()));
    }
}

fn domain(item: &Write) -> Option<String> {
    match &item.body {
        EffectBody::EnsureCompany { domain, .. } => {
            domain.as_ref().map(|domain| domain.trim().to_lowercase())
        }
        _ => None,
    }
    .filter(|domain| !domain.is_empty())
}

pub(super) fn row(keys: &Keys, write: usize, item: &Write) -> Result<(String, Row, bool), SendFailure> {
    let EffectBody::EnsureCompany { name, person, .. } = &item.body else {
        return Err(mixed(&item.body));
    };
    let mut properties = Map::new();
    properties.insert("name".to_owned(), json!(name));
    let domain = domain(item);
    properties.extend(domain.iter().map(|domain| ("domain".to_owned(), json!(domain))));
    keys.mark(COMPANIES, &mut properties, item);
    let trace = item.key.to_string();
    let associations = [made::association(person, FROM_COMPANY)?];
    let input =
        json!({ "properties": properties, "associations": associations, "objectWriteTraceId": trace });
    let alone = domain.is_none();
    let name = Name::Trace(trace, domain.map(|domain| Clue::Equals("domain", domain)));
    Ok((api::batch(COMPANIES, "create"), Row { write, input, name }, alone))
}
