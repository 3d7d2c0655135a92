//! Contacts, leads or deals: at the edge of now by search, again behind the index's delay, history by listing, single ones by id.

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;
use usher_connector::window::{Window, WindowState};
use usher_connector::{
    Batch, CallLane, Cursor, Fault, FaultClass, Fetched, Http, Merge, Pull, Response, RowProblem, Shape,
    Source, StreamSpec, signature,
};
use usher_model::{ConnectionName, ExternalId, Lane, ObjectType, Record};

use crate::api::{self, BATCH};
use crate::config::Windows;
use crate::wire::{ErrorBody, Page, Text, instant};

mod contacts;
mod pulled;
mod unstamped;

use pulled::MODIFIED;
pub(crate) use pulled::Pulled;

/// The ids that were merged into a contact, with `;` between them; the one whose values won comes first.
const MERGED: &str = "hs_merged_object_ids";

/// What every contact is read with; settings may add to it.
pub(crate) const PROPERTIES: &[&str] = &[
    "email",
    "firstname",
    "lastname",
    "phone",
    "mobilephone",
    "company",
    "website",
    "jobtitle",
    "address",
    "city",
    "state",
    "zip",
    "country",
    "hs_language",
    "message",
    "lifecyclestage",
    "hs_lead_status",
    "hs_analytics_source",
    "hs_analytics_source_data_1",
    "hubspot_owner_id",
    "createdate",
    MODIFIED,
    "hs_object_source",
    "hs_object_source_label",
    MERGED,
];

/// The source role.
pub(crate) struct HubSpotSource {
    connection: ConnectionName,
    pulled: &'static Pulled,
    object: ObjectType,
    http: Arc<dyn Http>,
    /// Those of the settings are asked of contacts too, who come with leads and deals; what an object lacks is ignored.
    extra: Vec<String>,
    windows: Windows,
}

/// Where the listing of history stands.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Listing {
    #[serde(default)]
    after: Option<String>,
    #[serde(default)]
    finished: bool,
}

const LISTING_VERSION: u16 = 1;

#[derive(Deserialize)]
struct Row<'a> {
    #[serde(borrow)]
    id: Text<'a>,
    #[serde(borrow, default, rename = "createdAt")]
    created: Option<Text<'a>>,
    #[serde(borrow, default, rename = "updatedAt")]
    updated: Option<Text<'a>>,
    #[serde(default)]
    archived: bool,
    #[serde(borrow, default)]
    properties: RowProperties<'a>,
}

#[derive(Default, Deserialize)]
struct RowProperties<'a> {
    #[serde(borrow, default, rename = "lastmodifieddate")]
    modified: Option<Text<'a>>,
    #[serde(borrow, default)]
    hs_lastmodifieddate: Option<Text<'a>>,
    #[serde(borrow, default)]
    hs_object_source: Option<Text<'a>>,
    #[serde(borrow, default)]
    hs_object_source_label: Option<Text<'a>>,
    #[serde(borrow, default)]
    hs_merged_object_ids: Option<Text<'a>>,
}

/// What a page holds.
#[derive(Default)]
struct Rows {
    records: Vec<Record>,
    problems: Vec<RowProblem>,
    merged: Vec<Merge>,
}

impl HubSpotSource {
    pub(crate) fn new(
        connection: ConnectionName,
        http: Arc<dyn Http>,
        pulled: &'static Pulled,
        extra: &[String],
        windows: Windows,
    ) -> Self {
        let (object, extra) = (ObjectType::new(pulled.object), extra.to_vec());
        Self { connection, pulled, object, http, extra, windows }
    }

    fn names(&self) -> Vec<&str> {
        self.with_extra(self.pulled.properties)
    }

    fn with_extra<'a>(&'a self, properties: &[&'a str]) -> Vec<&'a str> {
        properties.iter().copied().chain(self.extra.iter().map(String::as_str)).collect()
    }

    async fn follow(&self, ask: &Pull, window: Window) -> Result<Batch, Fault> {
        let mut state = match &ask.cursor {
            Some(cursor) => WindowState::from_cursor(cursor)?,
            None => WindowState::starting_at(ask.start),
        };
        let Some(question) = window.ask(&mut state, ask.now) else {
            return Ok(nothing(state.to_cursor()?));
        };
        let Pulled { object, modified, .. } = self.pulled;
        let request = api::search_window(object, modified, &question, &self.names(), CallLane::Pull)?;
        let answer = self.http.send(request).await?;
        let page = page(&answer)?;
        let found = self.with_contacts(self.rows(&page), CallLane::Pull).await?;
        let rows: Vec<(Timestamp, ExternalId)> = found
            .records
            .iter()
            .filter_map(|record| Some((record.modified_at?, record.external_id.clone())))
            .collect();
        let progress = window.absorb(&mut state, &rows, page.after().is_some())?;
        Ok(found.batch(state.to_cursor()?, progress.done))
    }

    async fn list(&self, ask: &Pull) -> Result<Batch, Fault> {
        let listing = ask
            .cursor
            .as_ref()
            .map_or_else(|| Ok(Listing::default()), |cursor| cursor.state(LISTING_VERSION))?;
        if listing.finished {
            return Ok(nothing(Cursor::of(LISTING_VERSION, &listing)?));
        }
        let request =
            api::list(api::objects(self.pulled.object), listing.after.as_deref(), CallLane::Backfill)
                .query("properties", self.names().join(","))
                .query("archived", "false");
        let answer = self.http.send(request).await?;
        let page = page(&answer)?;
        let after = page.after().map(str::to_owned);
        if after.is_some() && after == listing.after {
            return Err(repeats());
        }
        let next = Listing { finished: after.is_none(), after };
        let rows = self.with_contacts(self.rows(&page), CallLane::Backfill).await?;
        Ok(rows.batch(Cursor::of(LISTING_VERSION, &next)?, next.finished))
    }

    fn rows(&self, page: &Page<'_>) -> Rows {
        let mut rows = Rows { records: Vec::with_capacity(page.results.len()), ..Rows::default() };
        for raw in &page.results {
            match self.record(raw, &mut rows.merged) {
                Ok(record) => rows.records.push(record),
                Err(_) => rows.problems.push(unreadable(raw)),
            }
        }
        rows
    }

    /// Parses only what the host needs to know; the rest travels as it came.
    fn record(&self, raw: &RawValue, merged: &mut Vec<Merge>) -> Result<Record, serde_json::Error> {
        let row: Row<'_> = serde_json::from_str(raw.get())?;
        let winner = ExternalId::new(row.id.as_str());
        let losers =
            row.properties.hs_merged_object_ids.as_ref().map_or("", Text::as_str).split(';').map(str::trim);
        let losers = losers.filter(|id| !id.is_empty() && *id != winner.as_str());
        merged.extend(losers.map(|id| Merge { loser: ExternalId::new(id), winner: winner.clone() }));
        let text = |text: &Option<Text<'_>>| text.as_ref().map(|text| text.as_str().to_owned());
        // By whichever time the object is followed, though both may have been asked for.
        let own = match self.pulled.modified {
            MODIFIED => &row.properties.modified,
            _ => &row.properties.hs_lastmodifieddate,
        };
        let stamp = own.as_ref().or(row.updated.as_ref());
        let modified_at = stamp.and_then(|stamp| instant(stamp.as_str()));
        // A time that can not be read still tells versions apart.
        let revision = match modified_at {
            Some(time) => time.as_millisecond().to_string(),
            None => text(own).or_else(|| text(&row.updated)).unwrap_or_else(|| "none".to_owned()),
        };
        // HubSpot's knowledge base lists IMPORT among the values of "Record source" (hs_object_source_label).
        let import = |text: &Option<Text<'_>>| text.as_ref().is_some_and(|text| text.as_str() == "IMPORT");
        Ok(Record {
            connection: self.connection.clone(),
            object: self.object.clone(),
            external_id: winner,
            revision,
            created_at: row.created.as_ref().and_then(|created| instant(created.as_str())),
            modified_at,
            imported: import(&row.properties.hs_object_source)
                || import(&row.properties.hs_object_source_label),
            gone: row.archived,
            payload: raw.to_owned(),
        })
    }
}

#[async_trait]
impl Source for HubSpotSource {
    fn streams(&self) -> Vec<StreamSpec> {
        const LANES: &[Lane] = &[Lane::Live, Lane::Sweep, Lane::Backfill];
        vec![StreamSpec { object: self.object.clone(), lanes: LANES, horizon: None }]
    }

    async fn pull(&self, ask: &Pull) -> Result<Batch, Fault> {
        if ask.object != self.object {
            return Err(Fault::new(FaultClass::Defect, format!("there is no stream `{}` here", ask.object)));
        }
        match ask.lane {
            Lane::Live => self.follow(ask, self.windows.live).await,
            Lane::Sweep => self.sweep(ask).await,
            Lane::Backfill => self.list(ask).await,
        }
    }

    async fn fetch(
        &self,
        object: &ObjectType,
        ids: &[ExternalId],
    ) -> Result<Vec<(ExternalId, Fetched)>, Fault> {
        if *object != self.object || ids.len() > BATCH {
            return Err(Fault::new(
                FaultClass::Defect,
                format!("{} `{object}` can not be fetched", ids.len()),
            ));
        }
        let asked = ids.iter().map(ExternalId::as_str);
        let request = api::read(self.pulled.object, asked, None, &self.names(), CallLane::Pull)?;
        let answer = self.http.send(request).await?;
        let page = page(&answer)?;
        if let Some(error) = page.errors.iter().find(|error| !error.is_not_found()) {
            return Err(unread(error));
        }
        let Rows { records, problems, merged } = self.with_contacts(self.rows(&page), CallLane::Pull).await?;
        if let Some(problem) = problems.first() {
            return Err(Fault::new(
                FaultClass::Transient,
                "an object in HubSpot's answer has an unexpected shape",
            )
            .because(problem.clone()));
        }
        let found: HashMap<ExternalId, Record> =
            records.into_iter().map(|record| (record.external_id.clone(), record)).collect();
        // HubSpot answers for a merged id with the contact that it became. What a complete answer leaves out was deleted.
        let survivor = |id: &ExternalId| {
            merged.iter().find(|merge| merge.loser == *id).and_then(|merge| found.get(&merge.winner))
        };
        let outcome = |id: &ExternalId| match (found.get(id), survivor(id)) {
            (Some(record), _) if !record.gone => Fetched::Found(record.clone()),
            (None, Some(record)) if !record.gone => Fetched::Merged(record.clone()),
            _ => Fetched::Gone,
        };
        Ok(ids.iter().map(|id| (id.clone(), outcome(id))).collect())
    }

    fn fetch_limit(&self) -> usize {
        BATCH
    }
}

impl Rows {
    fn batch(self, next: Cursor, done: bool) -> Batch {
        let Self { records, problems, merged } = self;
        Batch { records, problems, merged, next, done }
    }
}

fn nothing(next: Cursor) -> Batch {
    Rows::default().batch(next, true)
}

/// A row that is no object of ours, named by its id if it has one, else by its bytes.
fn unreadable(raw: &RawValue) -> RowProblem {
    let print = signature::fingerprint(&[raw.get().as_bytes()]);
    let id = serde_json::from_str::<Value>(raw.get())
        .ok()
        .and_then(|row| row.get("id")?.as_str().map(str::to_owned));
    RowProblem {
        external_id: ExternalId::new(id.unwrap_or_else(|| print.clone())),
        revision: print,
        reason: "HubSpot's row does not have the documented shape".to_owned(),
    }
}

/// The page in an answer; what is no page leaves the window open.
pub(crate) fn page(answer: &Response) -> Result<Page<'_>, Fault> {
    serde_json::from_slice(&answer.body).map_err(|error| {
        Fault::new(FaultClass::Transient, "HubSpot's answer is no page of results, or was cut")
            .because(Shape::from(error))
    })
}

/// A list whose next page is the page just read.
pub(crate) fn repeats() -> Fault {
    Fault::new(FaultClass::Transient, "HubSpot's list points back to the page just read")
        .advise("nothing is skipped; if it persists, report it to HubSpot")
}

/// Rows that HubSpot could not read for another reason than that they do not exist.
pub(crate) fn unread(error: &ErrorBody) -> Fault {
    Fault::new(FaultClass::Transient, format!("HubSpot could not read some rows: {}", error.words()))
}

#[cfg(test)]
mod tests;
