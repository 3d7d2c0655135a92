//! The directory role: users, organizations, and who is known by e-mail.

mod organizations;
mod users;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use jiff::Timestamp;
use usher_connector::{AccountBatch, CallLane, CrmPerson, Cursor, Directory, Fault, Http};
use usher_model::{CrmOwner, ExternalId, IdentityKey, IdentityKind, OwnedObject};

use crate::api::{self, DEALS};
use crate::config::Windows;
use crate::find;
use crate::wire::{self, Object};

/// Users are listed again after so long: a list of them costs as much as twenty reads.
const USERS_EVERY: Duration = Duration::from_secs(900);
/// Keys of one look-up: they share the list of the latest changes.
const PEOPLE: usize = 10;

/// The directory role.
pub(crate) struct PipedriveDirectory {
    http: Arc<dyn Http>,
    windows: Windows,
    users: Mutex<Option<(Instant, Vec<CrmOwner>)>>,
}

impl PipedriveDirectory {
    pub(crate) fn new(http: Arc<dyn Http>, windows: Windows) -> Self {
        Self { http, windows, users: Mutex::default() }
    }
}

#[async_trait]
impl Directory for PipedriveDirectory {
    async fn owners(&self) -> Result<Vec<CrmOwner>, Fault> {
        let known = self.users.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some((read, users)) = known
            && read.elapsed() < USERS_EVERY
        {
            return Ok(users);
        }
        let users = users::read(&*self.http).await?;
        *self.users.lock().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), users.clone()));
        Ok(users)
    }

    async fn accounts(&self, cursor: Option<&Cursor>, now: Timestamp) -> Result<AccountBatch, Fault> {
        organizations::step(&*self.http, self.windows, cursor, now).await
    }

    async fn people(&self, keys: &[IdentityKey]) -> Result<Vec<Option<CrmPerson>>, Fault> {
        let emails = keys.iter().filter(|key| key.kind == IdentityKind::Email).map(|key| key.value.clone());
        // A lead can not be decided before: it must not wait behind the writes of those that were.
        let found = find::by_email(&*self.http, &emails.collect::<Vec<_>>(), CallLane::Write).await?;
        // Numbers stand in Pipedrive as people wrote them, and a company's is everybody's: they find nobody for sure.
        let person = |key: &IdentityKey| match key.kind {
            IdentityKind::Email => found.get(&key.value.to_lowercase()).map(known).transpose(),
            IdentityKind::Phone => Ok(None),
        };
        keys.iter().map(person).map(|known| known.map(Option::flatten)).collect()
    }

    async fn open_deals(&self, persons: &[ExternalId]) -> Result<Vec<Option<OwnedObject>>, Fault> {
        let mut deals = Vec::with_capacity(persons.len());
        for person in persons {
            deals.push(open_deal(&*self.http, person).await?);
        }
        Ok(deals)
    }

    fn people_limit(&self) -> usize {
        PEOPLE
    }
}

/// The only open deal of a person; none if there are several, since nobody says which is meant.
async fn open_deal(http: &dyn Http, person: &ExternalId) -> Result<Option<OwnedObject>, Fault> {
    let open = api::list(DEALS, CallLane::Write).query("person_id", person.as_str()).query("status", "open");
    let page = wire::page(&http.send(open).await?)?;
    let mut own = page.rows.into_iter().filter_map(find::into_object);
    let Some(deal) = own.next().filter(|_| own.next().is_none()) else { return Ok(None) };
    let owner = wire::owner(&deal)?;
    Ok(wire::id(&deal).map(|id| OwnedObject { id: ExternalId::new(id), owner }))
}

fn known(person: &Object) -> Result<Option<CrmPerson>, Fault> {
    let owner = wire::owner(person)?;
    Ok(wire::id(person).map(|id| CrmPerson { external_id: ExternalId::new(id), owner }))
}
