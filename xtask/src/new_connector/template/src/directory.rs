//! The directory role: users, companies, and who is known by e-mail.

use std::sync::Arc;

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use usher_connector::window::{Spans, Stalled, WindowState};
use usher_connector::{AccountBatch, CallLane, CrmAccount, CrmPerson, Cursor, Directory, Fault, Http};
use usher_model::{CrmOwner, ExternalId, IdentityKey, IdentityKind, OwnedObject};

use crate::api;
use crate::wire::{Company, Person, User};

/// Keys of one look-up: each is a call.
const PEOPLE: usize = 20;
/// Pages of a list that are read at once before it counts as endless.
const MOST_PAGES: usize = 100;

/// The directory role.
#[derive(Debug)]
pub(crate) struct SkeletonDirectory {
    http: Arc<dyn Http>,
    spans: Spans,
}

impl SkeletonDirectory {
    pub(crate) fn new(http: Arc<dyn Http>, spans: Spans) -> Self {
        Self { http, spans }
    }
}

#[async_trait]
impl Directory for SkeletonDirectory {
    async fn owners(&self) -> Result<Vec<CrmOwner>, Fault> {
        let (mut owners, mut after) = (Vec::new(), 0);
        for _ in 0..MOST_PAGES {
            let request = api::behind(api::list("/users", CallLane::Refresh), Some(&after.to_string()));
            let page = api::page(&*self.http, request).await?;
            let users: Vec<User> = page.read()?;
            let last = users.iter().map(|user| user.id).max().unwrap_or(after);
            owners.extend(users.into_iter().map(owner));
            if !page.more {
                return Ok(owners);
            }
            if last <= after {
                break;
            }
            after = last;
        }
        Err(Stalled.into())
    }

    /// Every company has a time of change, so the first pass of the window reads them all.
    async fn accounts(&self, cursor: Option<&Cursor>, now: Timestamp) -> Result<AccountBatch, Fault> {
        let window = self.spans.live(SignedDuration::from_millis(1));
        let mut state = match cursor {
            Some(cursor) => WindowState::from_cursor(cursor)?,
            None => WindowState::starting_at(Timestamp::UNIX_EPOCH),
        };
        let Some(question) = window.ask(&mut state, now) else {
            return Ok(AccountBatch {
                accounts: Vec::new(),
                next: state.to_cursor()?,
                done: true,
                whole_since: None,
            });
        };
        let page = api::page(&*self.http, api::changed("/companies", &question, CallLane::Refresh)).await?;
        let companies: Vec<Company> = page.read()?;
        let places: Vec<(Timestamp, ExternalId)> =
            companies.iter().map(|company| (company.updated_at, id(company.id))).collect();
        let done = window.absorb(&mut state, &places, page.more)?.done;
        let accounts = companies.into_iter().map(account).collect();
        Ok(AccountBatch { accounts, next: state.to_cursor()?, done, whole_since: None })
    }

    async fn people(&self, keys: &[IdentityKey]) -> Result<Vec<Option<CrmPerson>>, Fault> {
        let mut people = Vec::with_capacity(keys.len());
        for key in keys {
            people.push(match key.kind {
                // A lead can not be decided before: it must not wait behind writes.
                IdentityKind::Email => {
                    by_email(&*self.http, &key.value, CallLane::Write).await?.as_ref().map(known)
                }
                // A number may be a whole company's: it finds nobody for sure.
                IdentityKind::Phone => None,
            });
        }
        Ok(people)
    }

    async fn open_deals(&self, persons: &[ExternalId]) -> Result<Vec<Option<OwnedObject>>, Fault> {
        Ok(vec![None; persons.len()])
    }

    fn people_limit(&self) -> usize {
        PEOPLE
    }
}

/// The person with that address, which Skeleton keeps unique; the list of one address is read without an index.
pub(crate) async fn by_email(http: &dyn Http, email: &str, lane: CallLane) -> Result<Option<Person>, Fault> {
    let page = api::page(http, api::list("/people", lane).query("email", email)).await?;
    let same = |person: &Person| person.email.as_deref().is_some_and(|own| own.eq_ignore_ascii_case(email));
    Ok(page.read::<Person>()?.into_iter().find(same))
}

fn id(id: u64) -> ExternalId {
    ExternalId::new(id.to_string())
}

fn known(person: &Person) -> CrmPerson {
    CrmPerson { external_id: id(person.id), owner: person.owner.map(id) }
}

fn owner(user: User) -> CrmOwner {
    CrmOwner {
        id: id(user.id),
        email: user.email.to_lowercase(),
        name: user.name,
        active: user.active,
        availability: None,
    }
}

fn account(company: Company) -> CrmAccount {
    CrmAccount {
        external_id: id(company.id),
        name: company.name,
        websites: company.website.into_iter().collect(),
        owner: company.owner.map(id),
        country: None,
        gone: false,
    }
}
