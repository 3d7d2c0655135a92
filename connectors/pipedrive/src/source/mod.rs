//! The source role: persons, deals and leads at the edge of now, again an hour behind it, history by listing, single ones
//! by id. The lists are read as they are, not through an index.

mod row;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use usher_connector::window::{Window, WindowState};
use usher_connector::{
    Batch, CallLane, Cursor, Fault, FaultClass, Fetched, Http, Pull, RowProblem, Source, StreamSpec,
};
use usher_model::{ConnectionName, ExternalId, Lane, ObjectType, Record};

use crate::api::{IDS, PERSONS};
use crate::config::Windows;
use crate::fields::Fields;
use crate::find;
use crate::pages;
use crate::wire::{self, Next, Object};

/// The source role.
pub(crate) struct PipedriveSource {
    connection: ConnectionName,
    http: Arc<dyn Http>,
    fields: Arc<Fields>,
    object: &'static str,
    windows: Windows,
}

/// Where the listing of history stands.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Listing {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cursor: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    start: Option<u64>,
    #[serde(default)]
    finished: bool,
}

const LISTING_VERSION: u16 = 1;

/// What a page holds.
#[derive(Debug, Default)]
struct Rows {
    records: Vec<Record>,
    problems: Vec<RowProblem>,
}

impl PipedriveSource {
    pub(crate) fn new(
        connection: ConnectionName,
        http: Arc<dyn Http>,
        fields: Arc<Fields>,
        object: &'static str,
        windows: Windows,
    ) -> Self {
        Self { connection, http, fields, object, windows }
    }

    fn stream(&self, object: &ObjectType) -> Result<&'static str, Fault> {
        if object.as_str() != self.object {
            return Err(Fault::new(FaultClass::Defect, format!("there is no stream `{object}` here")));
        }
        Ok(self.object)
    }

    async fn follow(&self, object: &'static str, ask: &Pull, window: Window) -> Result<Batch, Fault> {
        let mut state = match &ask.cursor {
            Some(cursor) => WindowState::from_cursor(cursor)?,
            None => WindowState::starting_at(ask.start),
        };
        let list = (object, CallLane::Pull);
        let Some(mut asked) = pages::ask(&*self.http, list, window, &mut state, ask.now).await? else {
            return Ok(Rows::default().batch(state.to_cursor()?, true));
        };
        let rows = self.rows(object, std::mem::take(&mut asked.rows), CallLane::Pull).await?;
        let changed = rows.records.iter();
        let changed = changed.filter_map(|record| Some((record.modified_at?, record.external_id.clone())));
        let done = asked.absorb(window, &mut state, changed)?;
        Ok(rows.batch(state.to_cursor()?, done))
    }

    async fn list(&self, object: &'static str, ask: &Pull) -> Result<Batch, Fault> {
        let listing = ask
            .cursor
            .as_ref()
            .map_or_else(|| Ok(Listing::default()), |cursor| cursor.state(LISTING_VERSION))?;
        if listing.finished {
            return Ok(Rows::default().batch(Cursor::of(LISTING_VERSION, &listing)?, true));
        }
        let from = listing.cursor.clone().map(Next::Cursor).or(listing.start.map(Next::Start));
        // A cursor that is no good any more: the list begins anew, and what is known is dropped.
        let Some(page) = pages::whole(&*self.http, object, from.as_ref()).await? else {
            return Ok(Rows::default().batch(Cursor::of(LISTING_VERSION, &Listing::default())?, false));
        };
        if page.next.is_some() && page.next == from {
            return Err(wire::repeats());
        }
        let next = Listing::behind(page.next);
        let rows = self.rows(object, page.rows, CallLane::Backfill).await?;
        Ok(rows.batch(Cursor::of(LISTING_VERSION, &next)?, next.finished))
    }

    /// The outcome for one id. An archived lead or deal is no inquiry any more. A person who was merged away is deleted, and whoever has the address now is the one it
    /// became: Pipedrive does not say so itself.
    async fn outcome(&self, object: &'static str, found: Option<&Object>) -> Result<Fetched, Fault> {
        let Some(found) = found else { return Ok(Fetched::Gone) };
        if find::lives(found) {
            return self.one_record(object, found.clone()).await.map(Fetched::Found);
        }
        let emails: Vec<String> =
            wire::values(found, "emails").into_iter().take(1).map(str::to_owned).collect();
        if object != PERSONS || emails.is_empty() {
            return Ok(Fetched::Gone);
        }
        match find::by_email(&*self.http, &emails, CallLane::Pull).await?.into_values().next() {
            Some(heir) => self.one_record(object, heir).await.map(Fetched::Merged),
            None => Ok(Fetched::Gone),
        }
    }

    async fn one_record(&self, object: &'static str, row: Object) -> Result<Record, Fault> {
        let mut rows = self.rows(object, vec![Value::Object(row)], CallLane::Pull).await?;
        rows.records.pop().ok_or_else(|| {
            Fault::new(FaultClass::Transient, "an object in Pipedrive's answer has an unexpected shape")
        })
    }
}

#[async_trait]
impl Source for PipedriveSource {
    fn streams(&self) -> Vec<StreamSpec> {
        const LANES: &[Lane] = &[Lane::Live, Lane::Sweep, Lane::Backfill];
        // The feed shows the latest change of whatever lives, however old: it forgets nothing but what was deleted.
        vec![StreamSpec { object: ObjectType::new(self.object), lanes: LANES, horizon: None }]
    }

    async fn pull(&self, ask: &Pull) -> Result<Batch, Fault> {
        let object = self.stream(&ask.object)?;
        match ask.lane {
            Lane::Live => self.follow(object, ask, self.windows.live()).await,
            Lane::Sweep => self.follow(object, ask, self.windows.sweep()).await,
            Lane::Backfill => self.list(object, ask).await,
        }
    }

    async fn fetch(
        &self,
        object: &ObjectType,
        ids: &[ExternalId],
    ) -> Result<Vec<(ExternalId, Fetched)>, Fault> {
        let object = self.stream(object)?;
        if ids.len() > IDS {
            let message = format!("{} `{object}` can not be fetched at once", ids.len());
            return Err(Fault::new(FaultClass::Defect, message));
        }
        let asked: Vec<&str> = ids.iter().map(ExternalId::as_str).collect();
        let found = find::several(&*self.http, object, &asked, CallLane::Pull).await?;
        let mut outcomes = Vec::with_capacity(ids.len());
        for id in ids {
            let own = found.iter().find(|row| wire::id(row).as_deref() == Some(id.as_str()));
            outcomes.push((id.clone(), self.outcome(object, own).await?));
        }
        Ok(outcomes)
    }

    fn fetch_limit(&self) -> usize {
        IDS
    }
}

impl Listing {
    fn behind(next: Option<Next>) -> Self {
        match next {
            None => Self { finished: true, ..Self::default() },
            Some(Next::Cursor(cursor)) => Self { cursor: Some(cursor), ..Self::default() },
            Some(Next::Start(start)) => Self { start: Some(start), ..Self::default() },
        }
    }
}

impl Rows {
    fn batch(self, next: Cursor, done: bool) -> Batch {
        let Self { records, problems } = self;
        Batch { records, problems, merged: Vec::new(), next, done }
    }
}
