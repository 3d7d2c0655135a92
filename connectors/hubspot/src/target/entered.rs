//! Leads and deals that somebody has entered by hand for an inquiry: found before one is made.

use std::collections::{BTreeMap, HashMap};

use jiff::Timestamp;
use usher_connector::{CallLane, Fault, Http, Write, Written};
use usher_model::{EffectBody, ExternalId, SlotOrigin};

use super::history::is_by_hand;
use super::{Outcomes, known, object_name, verify};
use crate::api::{self, BATCH, CONTACTS};
use crate::source::unread;
use crate::wire::{Associations, Object, Objects, instant};

/// The writes about one type of objects that must look: (position, contact, since when).
type Looking<'a> = Vec<(usize, &'a str, Timestamp)>;

/// Gives the writes an outcome for which there is one already. What could not be asked about is not made.
pub(super) async fn look(http: &dyn Http, writes: &[Write], outcomes: &mut Outcomes) {
    let mut looking: BTreeMap<&'static str, Looking<'_>> = BTreeMap::new();
    for (write, item) in writes.iter().enumerate() {
        if let EffectBody::EnsureInquiry { slot, person, entered_since: Some(since), .. } = &item.body
            && let (Some(object), Ok((_, id))) = (object_name(slot.kind), known(person))
        {
            looking.entry(object).or_default().push((write, id.as_str(), *since));
        }
    }
    for (object, looking) in looking {
        let found = youngest(http, object, &looking).await;
        for (write, ..) in looking {
            match &found {
                Ok(found) => {
                    if let Some(id) = found.get(&write) {
                        outcomes.set(write, Ok(Written::whole(Some(id.clone()), SlotOrigin::Found)));
                    }
                }
                Err(fault) => outcomes.set(write, Err(fault.repeat().into())),
            }
        }
    }
}

/// By write, the youngest object of the contact's that was entered since then and is not closed. HubSpot tells of no lead
/// whether it is.
async fn youngest(
    http: &dyn Http,
    object: &str,
    looking: &Looking<'_>,
) -> Result<HashMap<usize, ExternalId>, Fault> {
    let tied = tied(http, object, looking).await?;
    let mut all: Vec<&str> = tied.values().flatten().map(String::as_str).collect();
    all.sort_unstable();
    all.dedup();
    let mut entered: HashMap<String, Timestamp> = HashMap::new();
    for ids in all.chunks(BATCH) {
        let properties = ["hs_object_source", "hs_is_closed"];
        let request = api::read(object, ids.iter().copied(), None, &properties, CallLane::Write)?;
        let answer: Objects = http.send(request).await?.json()?;
        if let Some(error) = answer.errors.iter().find(|error| !error.is_not_found()) {
            return Err(unread(error));
        }
        entered
            .extend(answer.results.into_iter().filter_map(|row| Some((row.id.clone(), made_by_hand(&row)?))));
    }
    let of = |(write, contact, since): &(usize, &str, Timestamp)| {
        let own = tied.get(*contact)?.iter().filter_map(|id| Some((*entered.get(id)?, id)));
        let (_, id) = own.filter(|(made, _)| made >= since).max()?;
        Some((*write, ExternalId::new(id.as_str())))
    };
    Ok(looking.iter().filter_map(of).collect())
}

/// When somebody made it by hand, if it is open.
fn made_by_hand(row: &Object) -> Option<Timestamp> {
    let by_hand = row.get("hs_object_source").is_some_and(is_by_hand);
    let open = !row.archived && row.get("hs_is_closed") != Some("true");
    instant(row.created_at.as_deref()?).filter(|_| by_hand && open)
}

/// What is tied to each contact, all of it.
async fn tied<'a>(
    http: &dyn Http,
    object: &str,
    looking: &Looking<'a>,
) -> Result<HashMap<&'a str, Vec<String>>, Fault> {
    let mut contacts: Vec<&str> = looking.iter().map(|(_, contact, _)| *contact).collect();
    contacts.sort_unstable();
    contacts.dedup();
    let request = api::read_many_associations(CONTACTS, contacts.iter().copied(), object, CallLane::Write)?;
    let answer: Associations = http.send(request).await?.json()?;
    let serious = answer.errors.iter().find(|error| !error.is_not_found() && !error.is_no_association());
    if let Some(error) = serious {
        return Err(unread(error));
    }
    let mut tied = HashMap::new();
    for row in answer.results {
        let Some(contact) =
            contacts.iter().find(|contact| row.from.as_ref().is_some_and(|from| from.id == **contact))
        else {
            continue;
        };
        let own = match row.paging {
            Some(_) => verify::associated(http, CONTACTS, contact, object).await?,
            None => row.to.into_iter().map(|end| end.id).collect(),
        };
        tied.insert(*contact, own);
    }
    Ok(tied)
}
