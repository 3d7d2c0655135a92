//! The open deals of contacts, by strong reads: what is tied to the contact, then the deals themselves.

use std::collections::{BTreeSet, HashMap};

use usher_connector::{CallLane, Fault, Http};
use usher_model::{ExternalId, OwnedObject};

use crate::api::{self, BATCH, CONTACTS, DEALS};
use crate::source::unread;
use crate::wire::{Associations, Objects};

/// The one open deal of each contact; none for a contact with several, since nobody says which is meant.
pub(super) async fn open(
    http: &dyn Http,
    contacts: &[ExternalId],
) -> Result<Vec<Option<OwnedObject>>, Fault> {
    let tied = tied(http, contacts).await?;
    let deals: BTreeSet<&str> = tied.values().flatten().map(String::as_str).collect();
    let deals: Vec<&str> = deals.into_iter().collect();
    let mut open: HashMap<String, OwnedObject> = HashMap::new();
    for ids in deals.chunks(BATCH) {
        let properties = ["hs_is_closed", "hubspot_owner_id"];
        let request = api::read(DEALS, ids.iter().copied(), None, &properties, CallLane::Write)?;
        let answer: Objects = http.send(request).await?.json()?;
        if let Some(error) = answer.errors.iter().find(|error| !error.is_not_found()) {
            return Err(unread(error));
        }
        let living = answer.results.into_iter().filter(|deal| !deal.archived);
        for deal in living.filter(|deal| deal.get("hs_is_closed") != Some("true")) {
            let owner = deal.owner()?;
            open.insert(deal.id.clone(), OwnedObject { id: ExternalId::new(deal.id), owner });
        }
    }
    let only = |contact: &ExternalId| {
        let mut own = tied.get(contact.as_str())?.iter().filter_map(|deal| open.get(deal));
        own.next().filter(|_| own.next().is_none()).cloned()
    };
    Ok(contacts.iter().map(only).collect())
}

/// The deals of each contact. One with more than a page of them is left out: it has several that are open, or none that
/// can be told.
async fn tied(http: &dyn Http, contacts: &[ExternalId]) -> Result<HashMap<String, Vec<String>>, Fault> {
    let ids: BTreeSet<&str> = contacts.iter().map(ExternalId::as_str).collect();
    if ids.is_empty() {
        return Ok(HashMap::new());
    }
    let request = api::read_many_associations(CONTACTS, ids, DEALS, CallLane::Write)?;
    let answer: Associations = http.send(request).await?.json()?;
    let serious = answer.errors.iter().find(|error| !error.is_not_found() && !error.is_no_association());
    if let Some(error) = serious {
        return Err(unread(error));
    }
    let whole = answer.results.into_iter().filter(|row| row.paging.is_none());
    Ok(whole.filter_map(|row| Some((row.from?.id, row.to.into_iter().map(|end| end.id).collect()))).collect())
}
