//! The handle on the Pipedrive account: what people, workflows and the past do to it.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::call::By;
use super::change::Given;
use super::fields::PipedriveField;
use super::kinds::Kind;
use super::later::other;
use super::limits::PipedriveLimits;
use super::notes::note;
use super::oauth::PipedriveApp;
use super::seed::{self, changes, kind_of};
use super::show::{Want, lead, v2};
use super::state::{Drive, Token};
use super::summary::{ownership, summarize};
use super::users::PipedriveUser;
use crate::Error;
use crate::oracle::{Actor, Event, Fired};
use crate::summary::{Ownership, Summary};
use crate::world::World;

/// The simulated Pipedrive account, from behind the counter. Cheap to clone.
///
/// Leads are named by number here; [`crate::lead_uuid`] makes the vendor's id of it.
#[derive(Debug, Clone)]
pub struct PipedriveSim {
    pub(crate) world: Arc<World>,
}

/// A token and in whose name it acts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PipedriveToken {
    /// The secret.
    pub token: String,
    /// The user it belongs to.
    #[serde(default = "first")]
    pub user: u64,
    /// Given out by OAuth: it comes as Bearer and may burst four times as high. An API token comes in `x-api-token`.
    #[serde(default)]
    pub oauth: bool,
    /// It is at its end.
    #[serde(default)]
    pub expired: bool,
    /// What an OAuth token may do; all if absent.
    #[serde(default)]
    pub scopes: Option<Vec<String>>,
}

fn first() -> u64 {
    1
}

impl PipedriveSim {
    fn act<T>(&self, actor: Actor, run: impl FnOnce(&mut Drive, By) -> T) -> T {
        let result = {
            let mut drive = self.world.drive();
            let at = self.world.clock.now();
            drive.tick(at);
            run(&mut drive, other(actor, at))
        };
        self.world.pump();
        result
    }

    /// A new account: its first user and that user's API token.
    pub(crate) fn open(&self, token: &str, url: &str) {
        self.world.drive().oauth.app.api_domain = url.to_owned();
        self.put_user(PipedriveUser {
            id: 1,
            name: "Admin".to_owned(),
            email: "admin@agency.example".to_owned(),
            active: true,
            deleted: false,
            timezone: "Europe/Berlin".to_owned(),
            role_id: 1,
            admin: true,
        });
        let token = token.to_owned();
        self.put_token(PipedriveToken { token, user: 1, oauth: false, expired: false, scopes: None });
    }

    /// Adds records, users and custom fields from JSON lines; returns the ids of the records.
    ///
    /// # Errors
    /// Names the first bad line; the lines before it have been added.
    pub fn seed(&self, lines: &str) -> Result<Vec<u64>, Error> {
        self.act(Actor::Seed, |drive, by| seed::lines(drive, lines, by.at))
    }

    /// Adds or replaces a user.
    pub fn put_user(&self, user: PipedriveUser) {
        self.act(Actor::Seed, |drive, _| drive.users.insert(user.id, user));
    }

    /// Adds a token or changes what is known of it.
    pub fn put_token(&self, token: PipedriveToken) {
        let mut drive = self.world.drive();
        let PipedriveToken { token, user, oauth, expired, scopes: granted } = token;
        let known = drive.tokens.iter().position(|known| known.token == token);
        let kept = drive.tokens.iter().filter(|token| token.until.is_none()).count();
        let number = known.map_or(kept, |at| usize::from(drive.tokens[at].number));
        let number = u16::try_from(number).unwrap_or(u16::MAX);
        let row = Token { number, token, user, oauth, expired, granted, until: None };
        match known {
            Some(at) => drive.tokens[at] = row,
            None => drive.tokens.push(row),
        }
    }

    /// The registered app and how its authorization server behaves.
    #[must_use]
    pub fn app(&self) -> PipedriveApp {
        self.world.drive().oauth.app.clone()
    }

    /// Changes the app; what was granted stays.
    pub fn put_app(&self, app: PipedriveApp) {
        self.world.drive().oauth.app = app;
    }

    /// Ends every access token that OAuth gave out, before its time.
    pub fn expire_access(&self) {
        self.world
            .drive()
            .tokens
            .iter_mut()
            .filter(|token| token.until.is_some())
            .for_each(|token| token.expired = true);
    }

    /// Revokes everything that OAuth granted, as somebody does who uninstalls the app.
    pub fn revoke_grants(&self) {
        let mut drive = self.world.drive();
        drive.oauth.revoke_all();
        drive.tokens.retain(|token| token.until.is_none());
    }

    /// Defines a custom field of persons, organizations or deals (leads take the deals') and returns its key.
    ///
    /// # Errors
    /// On an unknown object type, a type or options that do not fit, or a key that exists.
    pub fn put_field(&self, object: &str, field: PipedriveField) -> Result<String, Error> {
        self.act(Actor::Seed, |drive, by| seed::define(drive, object, field, by.at))
    }

    /// Creates a record as a person or another program does; fields are named as in answers.
    ///
    /// # Errors
    /// On an unknown object type or field.
    pub fn create(
        &self,
        object: &str,
        fields: &Map<String, Value>,
        custom: &Map<String, Value>,
        actor: Actor,
    ) -> Result<u64, Error> {
        let kind = kind_of(object)?;
        self.act(actor, |drive, by| {
            let changes = changes(drive, kind, fields.clone(), custom.clone(), by)?;
            Ok(drive.create(kind, changes, by, Given::default()))
        })
    }

    /// Changes a record as a person or another program does; returns whether anything changed.
    ///
    /// # Errors
    /// On an unknown object type or field, or a record that does not live.
    pub fn update(
        &self,
        object: &str,
        id: u64,
        fields: &Map<String, Value>,
        actor: Actor,
    ) -> Result<bool, Error> {
        let kind = kind_of(object)?;
        self.act(actor, |drive, by| {
            let changes = changes(drive, kind, fields.clone(), Map::new(), by)?;
            let id = drive.table(kind).resolve(id);
            drive.living(kind, id).ok_or(Error::Gone { id })?;
            Ok(drive.update(kind, id, changes, by))
        })
    }

    /// Gives a record to a user as a person does.
    ///
    /// # Errors
    /// On an unknown object type or a record that does not live.
    pub fn assign_as_human(&self, object: &str, id: u64, owner: u64) -> Result<bool, Error> {
        self.update(object, id, &Map::from_iter([("owner_id".to_owned(), owner.into())]), Actor::Human)
    }

    /// Marks an activity as done, or not, as a person does.
    ///
    /// # Errors
    /// When the activity does not live.
    pub fn mark_done(&self, activity: u64, done: bool) -> Result<bool, Error> {
        self.update("activities", activity, &Map::from_iter([("done".to_owned(), done.into())]), Actor::Human)
    }

    /// Archives a lead or a deal, or takes it back, as a person does.
    ///
    /// # Errors
    /// On another object type or a record that does not live.
    pub fn archive(&self, object: &str, id: u64, archived: bool) -> Result<bool, Error> {
        self.update(object, id, &Map::from_iter([("is_archived".to_owned(), archived.into())]), Actor::Human)
    }

    /// Deletes a record as a person does; returns whether it lived.
    ///
    /// # Errors
    /// On an unknown object type.
    pub fn delete(&self, object: &str, id: u64) -> Result<bool, Error> {
        let kind = kind_of(object)?;
        Ok(self.act(Actor::Human, |drive, by| {
            let id = drive.table(kind).resolve(id);
            drive.delete(kind, id, by)
        }))
    }

    /// Merges a record into another as a person does; `primary` keeps its id, which is returned.
    ///
    /// # Errors
    /// On an unknown object type or a record that does not live.
    pub fn merge(&self, object: &str, primary: u64, other: u64) -> Result<u64, Error> {
        let kind = kind_of(object)?;
        self.act(Actor::Human, |drive, by| {
            drive.merge(kind, primary, other, by).ok_or(Error::Gone { id: primary })
        })
    }

    /// A record as answers show it, also a deleted one; merged ids lead to what they became.
    #[must_use]
    pub fn read(&self, object: &str, id: u64) -> Option<Value> {
        let kind = Kind::find(object)?;
        let drive = self.world.drive();
        let table = drive.table(kind);
        let row = table.rows.get(&table.resolve(id))?;
        let want = Want { custom: None, attendees: true };
        Some(match kind {
            Kind::Lead => lead(&drive, row),
            Kind::Note => note(&drive, row, row.owner()),
            _ => v2(&drive, kind, row, &want),
        })
    }

    /// Ids of all living records of a type.
    #[must_use]
    pub fn ids(&self, object: &str) -> Vec<u64> {
        let Some(kind) = Kind::find(object) else { return Vec::new() };
        self.world.drive().table(kind).all_living().map(|row| row.id).collect()
    }

    /// How many records of a type live.
    #[must_use]
    pub fn count(&self, object: &str) -> usize {
        Kind::find(object).map_or(0, |kind| self.world.drive().table(kind).all_living().count())
    }

    /// Sets or lifts the limits.
    pub fn set_limits(&self, limits: Option<PipedriveLimits>) {
        self.world.drive().meter.limits = limits;
    }

    /// Tokens spent since the server's last midnight.
    #[must_use]
    pub fn tokens_spent(&self) -> u64 {
        self.world.drive().meter.spent()
    }

    /// Spends tokens of this day, as another integration of the company may.
    pub fn spend_tokens(&self, tokens: u64) {
        let now = self.world.clock.now();
        self.world.drive().meter.spend(now, tokens);
    }

    /// Spends the rest of the day's tokens, as another integration of the company may.
    pub fn exhaust_tokens(&self) {
        let now = self.world.clock.now();
        self.world.drive().meter.exhaust(now);
    }

    /// Ids of the webhooks that there are; the vendor deletes those that fail for three days.
    #[must_use]
    pub fn webhooks(&self) -> Vec<u64> {
        self.world.drive().hooks.keys().copied().collect()
    }

    /// Switches a webhook off or on, as somebody does in Pipedrive.
    pub fn switch_webhook(&self, id: u64, active: bool) {
        self.world.drive().hooks.entry(id).and_modify(|hook| hook.active = active);
    }

    /// The verdict on everything so far.
    #[must_use]
    pub fn summary(&self) -> Summary {
        self.world.settle();
        summarize(&self.world.drive(), &self.world.marker)
    }

    /// Every living record's owner and who decided it; the e-mail is a person's primary one.
    #[must_use]
    pub fn ownership(&self, object: &str) -> Vec<Ownership> {
        Kind::find(object).map(|kind| ownership(&self.world.drive(), kind)).unwrap_or_default()
    }

    /// The oracle's events from a position on.
    #[must_use]
    pub fn events(&self, from: usize) -> Vec<Event> {
        self.world.drive().oracle.events().get(from..).unwrap_or_default().to_vec()
    }

    /// The firings of switches.
    #[must_use]
    pub fn fired(&self) -> Vec<Fired> {
        self.world.drive().oracle.fired().to_vec()
    }
}
