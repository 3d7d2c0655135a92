//! The handle on the HubSpot account: what people, forms and the past do to it.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::json::{Want, push_record};
use super::kinds::{self, CONTACTS, link_types};
use super::oauth::{OAuthApp, OAuthCounts};
use super::owners::Owner;
use super::pipelines;
use super::record::Source;
use super::state::{Hub, Stamp};
use super::webhooks::WebhookTarget;
use super::write::Given;
use crate::oracle::{Actor, Event, Fired};
use crate::summary::{Ownership, Summary, ownership, summarize};
use crate::world::World;
use crate::{Error, Limits, seed};

/// The simulated HubSpot account, from behind the counter. Cheap to clone.
#[derive(Debug, Clone)]
pub struct HubspotSim {
    pub(crate) world: Arc<World>,
}

fn kind_of(object: &str) -> Result<usize, Error> {
    kinds::find(object).ok_or_else(|| Error::Input(format!("there is no object type {object}")))
}

impl HubspotSim {
    fn act<T>(&self, actor: Actor, run: impl FnOnce(&mut Hub, Stamp) -> T) -> T {
        let result = {
            let mut hub = self.world.hub();
            let at = self.world.clock.now();
            hub.tick(at);
            run(&mut hub, Stamp { at, actor, correlation: 0 })
        };
        self.world.pump();
        result
    }

    /// Adds records, owners and property definitions from JSON lines; returns the ids of the records.
    ///
    /// # Errors
    /// Names the first bad line; the lines before it have been added.
    pub fn seed(&self, lines: &str) -> Result<Vec<u64>, Error> {
        self.act(Actor::Seed, |hub, stamp| seed::lines(hub, lines, stamp.at))
    }

    /// Adds or replaces an owner; with `archived` the owner has left.
    pub fn put_owner(&self, owner: Owner) {
        self.act(Actor::Seed, |hub, _| hub.owners.insert(owner.id, owner));
    }

    /// Creates a record as somebody other than an API client; `source` is HubSpot's name, `FORM` or `CRM_UI`.
    ///
    /// # Errors
    /// On an unknown object type, property or source.
    pub fn create(&self, object: &str, properties: &Map<String, Value>, source: &str) -> Result<u64, Error> {
        self.create_with(object, properties, source, None)
    }

    /// As [`HubspotSim::create`], a lead or deal of a contact: no look shows the one without the other.
    ///
    /// # Errors
    /// Also on a contact that does not live, and on objects that have none.
    pub fn create_about(
        &self,
        contact: u64,
        object: &str,
        properties: &Map<String, Value>,
        source: &str,
    ) -> Result<u64, Error> {
        self.create_with(object, properties, source, Some(contact))
    }

    fn create_with(
        &self,
        object: &str,
        properties: &Map<String, Value>,
        source: &str,
        contact: Option<u64>,
    ) -> Result<u64, Error> {
        let kind = kind_of(object)?;
        let source =
            Source::parse(source).ok_or_else(|| Error::Input(format!("there is no source {source}")))?;
        let actor = match source {
            Source::Form => Actor::Form,
            Source::Integration => Actor::FormTool,
            Source::Automation => Actor::Workflow,
            Source::Import => Actor::Seed,
            Source::CrmUi | Source::Merge => Actor::Human,
        };
        self.act(actor, |hub, stamp| {
            let mut properties = properties.clone();
            pipelines::begin(kind, &mut properties)
                .map_err(|error| Error::Input(error.message().to_owned()))?;
            let values = seed::values(hub, kind, &properties).map_err(Error::Input)?;
            let contact = match contact {
                Some(id) => Some(hub.tables[CONTACTS].living(id).ok_or(Error::Gone { id })?.id),
                None => None,
            };
            let id = hub.create(kind, &values, stamp, Given { source: Some(source), ..Given::default() });
            if let Some(contact) = contact {
                // The last type is the primary one, where there is such a thing; it brings the default along.
                let link = link_types(kind, CONTACTS).pop();
                let link = link.ok_or_else(|| Error::Input(format!("{object} have no contacts")))?;
                hub.associate((kind, id), (CONTACTS, contact), link, stamp);
            }
            Ok(id)
        })
    }

    /// The first contact of a lead or deal, after merges.
    pub(crate) fn contact_of(&self, object: &str, id: u64) -> Option<u64> {
        let kind = kinds::find(object)?;
        let hub = self.world.hub();
        let first = hub.links.ids((kind, hub.tables[kind].resolve(id)), CONTACTS).first().copied();
        first.map(|contact| hub.tables[CONTACTS].resolve(contact))
    }

    /// Changes a record as a person, a workflow or the form tool; returns whether anything changed.
    ///
    /// # Errors
    /// On an unknown object type or property, or a record that does not live.
    pub fn update(
        &self,
        object: &str,
        id: u64,
        properties: &Map<String, Value>,
        actor: Actor,
    ) -> Result<bool, Error> {
        let kind = kind_of(object)?;
        self.act(actor, |hub, stamp| {
            let values = seed::values(hub, kind, properties).map_err(Error::Input)?;
            let id = hub.tables[kind].living(id).map(|record| record.id).ok_or(Error::Gone { id })?;
            Ok(hub.update(kind, id, &values, stamp))
        })
    }

    /// Gives a record to an owner as a person does, 0 for nobody.
    ///
    /// # Errors
    /// On an unknown object type or a record that does not live.
    pub fn assign_as_human(&self, object: &str, id: u64, owner: u64) -> Result<bool, Error> {
        let value = if owner == 0 { Value::Null } else { owner.to_string().into() };
        self.update(object, id, &Map::from_iter([("hubspot_owner_id".to_owned(), value)]), Actor::Human)
    }

    /// Puts a record into the bin as a person does.
    ///
    /// # Errors
    /// On an unknown object type.
    pub fn archive(&self, object: &str, id: u64) -> Result<bool, Error> {
        let kind = kind_of(object)?;
        Ok(self.act(Actor::Human, |hub, stamp| {
            let id = hub.tables[kind].resolve(id);
            hub.archive(kind, id, stamp)
        }))
    }

    /// Merges two records as a person does; returns the id of the record that they became.
    ///
    /// # Errors
    /// On an unknown object type or a record that does not live.
    pub fn merge(&self, object: &str, primary: u64, other: u64) -> Result<u64, Error> {
        let kind = kind_of(object)?;
        self.act(Actor::Human, |hub, stamp| {
            hub.merge(kind, primary, other, stamp).ok_or(Error::Gone { id: primary })
        })
    }

    /// A record with all that is set, also an archived one; merged ids lead to what they became.
    #[must_use]
    pub fn read(&self, object: &str, id: u64) -> Option<Value> {
        let kind = kinds::find(object)?;
        let hub = self.world.hub();
        let table = &hub.tables[kind];
        let record = table.records.get(&table.resolve(id))?;
        let mut out = String::new();
        push_record(&mut out, table, &hub.links, record, &Want::set_values(table));
        serde_json::from_str(&out).ok()
    }

    /// How many records of a type live.
    #[must_use]
    pub fn count(&self, object: &str) -> usize {
        kinds::find(object).map_or(0, |kind| self.world.hub().tables[kind].live.len())
    }

    /// Ids of the records at the other ends of a record's associations.
    #[must_use]
    pub fn associated(&self, object: &str, id: u64, to: &str) -> Vec<u64> {
        let (Some(from), Some(to)) = (kinds::find(object), kinds::find(to)) else { return Vec::new() };
        self.world.hub().links.ids((from, id), to)
    }

    /// Sets or lifts the rate limits.
    pub fn set_limits(&self, limits: Option<Limits>) {
        self.world.hub().meter.limits = limits;
    }

    /// Adds a token or changes what one may do; `scopes` of `None` is everything.
    pub fn put_token(&self, token: &str, scopes: Option<Vec<String>>, expired: bool) {
        let mut hub = self.world.hub();
        if let Some(grant) = hub.grants.iter_mut().find(|grant| grant.token == token) {
            (grant.scopes, grant.expired) = (scopes, expired);
            return;
        }
        let number = u16::try_from(hub.grants.len()).unwrap_or(u16::MAX);
        let token = token.to_owned();
        hub.grants.push(super::state::Grant { number, token, scopes, expired, until: None, family: None });
    }

    /// The registered app and how its authorization server behaves.
    #[must_use]
    pub fn app(&self) -> OAuthApp {
        self.world.hub().oauth.app.clone()
    }

    /// Changes the app; what was granted stays.
    pub fn put_app(&self, app: OAuthApp) {
        self.world.hub().oauth.app = app;
    }

    /// Ends every access token before its time, as an account does that changes its security settings.
    pub fn expire_access(&self) {
        let mut hub = self.world.hub();
        hub.grants.iter_mut().filter(|grant| grant.family.is_some()).for_each(|grant| grant.expired = true);
    }

    /// Revokes everything that was granted, as somebody does who uninstalls the app.
    pub fn revoke_grants(&self) {
        self.world.hub().oauth.revoke_all();
    }

    /// What the authorization server has done.
    #[must_use]
    pub fn oauth_counts(&self) -> OAuthCounts {
        self.world.hub().oauth.counts
    }

    /// Every code and token that OAuth ever gave out, to look for leaks.
    #[must_use]
    pub fn oauth_secrets(&self) -> Vec<String> {
        self.world.hub().oauth.secrets().to_vec()
    }

    /// Sends webhooks to a target from now on, or to nobody. Call it inside a tokio runtime.
    pub fn set_webhook(&self, target: Option<WebhookTarget>) {
        self.world.target(target);
    }

    /// The verdict on everything so far.
    #[must_use]
    pub fn summary(&self) -> Summary {
        self.world.settle();
        summarize(&self.world.hub(), &self.world.marker)
    }

    /// Every living contact's owner and who decided it.
    #[must_use]
    pub fn ownership(&self) -> Vec<Ownership> {
        ownership(&self.world.hub())
    }

    /// The oracle's events from a position on.
    #[must_use]
    pub fn events(&self, from: usize) -> Vec<Event> {
        self.world.hub().oracle.events().get(from..).unwrap_or_default().to_vec()
    }

    /// The firings of switches.
    #[must_use]
    pub fn fired(&self) -> Vec<Fired> {
        self.world.hub().oracle.fired().to_vec()
    }
}
