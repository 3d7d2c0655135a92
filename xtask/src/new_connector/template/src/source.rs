//! The source role: people at the edge of now, again an hour behind it, history by listing, single ones by id.

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use usher_connector::window::{Spans, Stalled, Window, WindowState};
use usher_connector::{Batch, CallLane, Cursor, Fault, FaultClass, Fetched, Http, Pull, Source, StreamSpec};
use usher_model::{ConnectionName, ExternalId, Lane, ObjectType};

use crate::api;
use crate::record::{PEOPLE, record};
use crate::wire::Page;

/// Skeleton stamps changes in milliseconds.
const GRAIN: SignedDuration = SignedDuration::from_millis(1);

/// The source role.
#[derive(Debug)]
pub(crate) struct SkeletonSource {
    connection: ConnectionName,
    http: Arc<dyn Http>,
    spans: Spans,
}

/// Where the listing of history stands.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Listing {
    after: u64,
    finished: bool,
}

const LISTING_VERSION: u16 = 1;

impl SkeletonSource {
    pub(crate) fn new(connection: ConnectionName, http: Arc<dyn Http>, spans: Spans) -> Self {
        Self { connection, http, spans }
    }

    /// One page of what changed, as the window asks for it.
    async fn follow(&self, ask: &Pull, window: Window) -> Result<Batch, Fault> {
        let mut state = match &ask.cursor {
            Some(cursor) => WindowState::from_cursor(cursor)?,
            None => WindowState::starting_at(ask.start),
        };
        let Some(question) = window.ask(&mut state, ask.now) else {
            return Ok(Batch::empty(state.to_cursor()?, true));
        };
        let page = api::page(&*self.http, api::changed("/people", &question, CallLane::Pull)).await?;
        let mut batch = self.batch(&page, state.to_cursor()?);
        let places: Vec<(Timestamp, ExternalId)> = batch
            .records
            .iter()
            .filter_map(|record| Some((record.modified_at?, record.external_id.clone())))
            .collect();
        batch.done = window.absorb(&mut state, &places, page.more)?.done;
        batch.next = state.to_cursor()?;
        Ok(batch)
    }

    /// One page of everybody, in the order of ids.
    async fn list(&self, ask: &Pull) -> Result<Batch, Fault> {
        let mut listing: Listing = ask
            .cursor
            .as_ref()
            .map_or_else(|| Ok(Listing::default()), |cursor| cursor.state(LISTING_VERSION))?;
        if listing.finished {
            return Ok(Batch::empty(Cursor::of(LISTING_VERSION, &listing)?, true));
        }
        let request = api::behind(api::list("/people", CallLane::Backfill), Some(&listing.after.to_string()));
        let page = api::page(&*self.http, request).await?;
        let mut batch = self.batch(&page, Cursor::of(LISTING_VERSION, &listing)?);
        let last = batch.records.iter().filter_map(|record| record.external_id.as_str().parse().ok()).max();
        listing.finished = !page.more;
        match last {
            Some(last) if last > listing.after => listing.after = last,
            _ if page.more => return Err(Stalled.into()),
            _ => {}
        }
        batch.done = listing.finished;
        batch.next = Cursor::of(LISTING_VERSION, &listing)?;
        Ok(batch)
    }

    fn batch(&self, page: &Page, next: Cursor) -> Batch {
        let mut batch = Batch::empty(next, false);
        for row in &page.rows {
            match record(&self.connection, row) {
                Ok(record) => batch.records.push(record),
                Err(problem) => batch.problems.push(problem),
            }
        }
        batch
    }
}

#[async_trait]
impl Source for SkeletonSource {
    fn streams(&self) -> Vec<StreamSpec> {
        const LANES: &[Lane] = &[Lane::Live, Lane::Sweep, Lane::Backfill];
        vec![StreamSpec { object: ObjectType::new(PEOPLE), lanes: LANES, horizon: None }]
    }

    async fn pull(&self, ask: &Pull) -> Result<Batch, Fault> {
        match ask.lane {
            Lane::Live => self.follow(ask, self.spans.live(GRAIN)).await,
            Lane::Sweep => self.follow(ask, self.spans.sweep(GRAIN)).await,
            Lane::Backfill => self.list(ask).await,
        }
    }

    async fn fetch(
        &self,
        _object: &ObjectType,
        ids: &[ExternalId],
    ) -> Result<Vec<(ExternalId, Fetched)>, Fault> {
        let asked: Vec<&str> = ids.iter().map(ExternalId::as_str).collect();
        let request = api::list("/people", CallLane::Pull).query("ids", asked.join(","));
        let page = api::page(&*self.http, request).await?;
        let mut found = HashMap::new();
        for row in &page.rows {
            let record = record(&self.connection, row)
                .map_err(|problem| Fault::new(FaultClass::Transient, problem.to_string()))?;
            found.insert(record.external_id.clone(), record);
        }
        // What the answer lacks is deleted.
        let mut outcome = |id: &ExternalId| found.remove(id).map_or(Fetched::Gone, Fetched::Found);
        Ok(ids.iter().map(|id| (id.clone(), outcome(id))).collect())
    }

    fn fetch_limit(&self) -> usize {
        api::IDS
    }
}
