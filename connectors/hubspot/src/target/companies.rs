//! Companies: a candidate by search, confirmed by a strong read, else created.

use std::collections::BTreeMap;

use serde_json::json;
use usher_connector::{CallLane, Fault, Http, SendFailure, Write, Written};
use usher_model::{EffectBody, ExternalId, SlotOrigin};

use super::batch::{self, Clue, Name, Outcome, Row};
use super::keys::Keys;
use super::{Outcomes, failure, mixed, plan};
use crate::api::{self, COMPANIES, SEARCH_PAGE};
use crate::source::unread;
use crate::wire::{Object, Objects};

/// Writes per call: their domains must fit into one search body of 3,000 characters.
pub(super) const MOST: usize = 10;

pub(super) async fn send(http: &dyn Http, keys: &Keys, writes: &[Write], outcomes: &mut Outcomes) {
    let known = match by_domain(http, writes).await {
        Ok(known) => known,
        Err(fault) => return outcomes.fail_open(&fault),
    };
    for (write, item) in writes.iter().enumerate() {
        if let Some(id) = domain(item).and_then(|domain| known.get(&domain)) {
            outcomes.set(write, Ok(Written::whole(Some(id.clone()), SlotOrigin::Found)));
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

pub(super) fn row(write: usize, item: &Write) -> Result<(String, Row, bool), SendFailure> {
    let EffectBody::EnsureCompany { name, .. } = &item.body else {
        return Err(mixed(&item.body));
    };
    let mut properties = json!({ "name": name });
    let domain = domain(item);
    if let Some(domain) = &domain {
        properties["domain"] = json!(domain);
    }
    let trace = item.key.to_string();
    let input = json!({ "properties": properties, "objectWriteTraceId": trace });
    let alone = domain.is_none();
    let name = Name::Trace(trace, domain.map(|domain| Clue::Equals("domain", domain)));
    Ok((api::batch(COMPANIES, "create"), Row { write, input, name }, alone))
}
