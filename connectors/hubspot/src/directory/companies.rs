//! Companies: all of them by listing, which has no cap, then what changed by search.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use usher_connector::window::{Window, WindowState};
use usher_connector::{AccountBatch, CallLane, CrmAccount, Cursor, Fault, FaultClass, Http, Shape};
use usher_model::ExternalId;

use crate::api::{self, COMPANIES};
use crate::config::Windows;
use crate::source::{page, repeats};
use crate::wire::{Object, Page, instant};

const MODIFIED: &str = "hs_lastmodifieddate";
const PROPERTIES: [&str; 7] =
    ["name", "domain", "hs_additional_domains", "website", "hubspot_owner_id", "country", MODIFIED];
/// A search never shows archived companies, so those are listed again after this time.
const ARCHIVED_EVERY: SignedDuration = SignedDuration::from_hours(6);
const VERSION: u16 = 1;

/// Where the reading of companies stands.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct State {
    archived_listed: Timestamp,
    phase: Phase,
    /// Follows changes from when the listing began.
    live: WindowState,
    sweep: WindowState,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "in", rename_all = "snake_case")]
enum Phase {
    /// Listing the companies, or the archived ones.
    List { archived: bool, after: Option<String> },
    /// Following changes at the edge of now.
    Live,
    /// The same behind the index's worst delay.
    Sweep,
}

pub(super) async fn step(
    http: &dyn Http,
    windows: Windows,
    cursor: Option<&Cursor>,
    now: Timestamp,
) -> Result<AccountBatch, Fault> {
    let mut state = match cursor {
        Some(cursor) => cursor.state(VERSION)?,
        None => State::starting_at(now),
    };
    let (accounts, done) = match state.phase.clone() {
        Phase::List { archived, after } => {
            let (accounts, after) = list(http, archived, after).await?;
            state.phase = match (after, archived) {
                (Some(after), _) => Phase::List { archived, after: Some(after) },
                (None, false) => Phase::List { archived: true, after: None },
                (None, true) => Phase::Live,
            };
            (accounts, false)
        }
        Phase::Live => {
            let (accounts, done) = follow(http, windows.live, &mut state.live, now).await?;
            if done {
                state.phase = Phase::Sweep;
            }
            (accounts, false)
        }
        Phase::Sweep => {
            let (accounts, done) = follow(http, windows.sweep, &mut state.sweep, now).await?;
            if done {
                state.after_sweep(now);
            }
            (accounts, done)
        }
    };
    Ok(AccountBatch { accounts, next: Cursor::of(VERSION, &state)?, done, whole_since: None })
}

impl State {
    fn starting_at(now: Timestamp) -> Self {
        Self {
            archived_listed: now,
            phase: Phase::List { archived: false, after: None },
            live: WindowState::starting_at(now),
            sweep: WindowState::starting_at(now),
        }
    }

    fn after_sweep(&mut self, now: Timestamp) {
        let archived_due = now.duration_since(self.archived_listed) >= ARCHIVED_EVERY;
        self.phase = if archived_due { Phase::List { archived: true, after: None } } else { Phase::Live };
        if archived_due {
            self.archived_listed = now;
        }
    }
}

async fn list(
    http: &dyn Http,
    archived: bool,
    after: Option<String>,
) -> Result<(Vec<CrmAccount>, Option<String>), Fault> {
    let request = api::list(api::objects(COMPANIES), after.as_deref(), CallLane::Refresh)
        .query("properties", PROPERTIES.join(","))
        .query("archived", archived.to_string());
    let answer = http.send(request).await?;
    let page = page(&answer)?;
    let next = page.after().map(str::to_owned);
    if next.is_some() && next == after {
        return Err(repeats());
    }
    let accounts = rows(&page)?.into_iter().map(|company| account(&company, archived));
    Ok((accounts.collect::<Result<_, _>>()?, next))
}

async fn follow(
    http: &dyn Http,
    window: Window,
    state: &mut WindowState,
    now: Timestamp,
) -> Result<(Vec<CrmAccount>, bool), Fault> {
    let Some(ask) = window.ask(state, now) else {
        return Ok((Vec::new(), true));
    };
    let request = api::search_window(COMPANIES, MODIFIED, &ask, &PROPERTIES, CallLane::Refresh)?;
    let answer = http.send(request).await?;
    let page = page(&answer)?;
    let companies = rows(&page)?;
    let times: Vec<(Timestamp, ExternalId)> = companies
        .iter()
        .filter_map(|company| {
            Some((company.get(MODIFIED).and_then(instant)?, ExternalId::new(company.id.as_str())))
        })
        .collect();
    let progress = window.absorb(state, &times, page.after().is_some())?;
    let accounts = companies.iter().map(|company| account(company, false));
    Ok((accounts.collect::<Result<_, _>>()?, progress.done))
}

fn rows(page: &Page<'_>) -> Result<Vec<Object>, Fault> {
    let row = |raw: &&RawValue| serde_json::from_str(raw.get());
    page.results.iter().map(row).collect::<Result<_, _>>().map_err(|error| {
        Fault::new(FaultClass::Transient, "a company in HubSpot's answer has an unexpected shape")
            .because(Shape::from(error))
    })
}

fn account(company: &Object, archived: bool) -> Result<CrmAccount, Fault> {
    let more = company.get("hs_additional_domains").unwrap_or_default().split(';');
    let websites = company.get("domain").into_iter().chain(more).chain(company.get("website"));
    let gone = archived || company.archived;
    Ok(CrmAccount {
        external_id: ExternalId::new(company.id.as_str()),
        name: company.get("name").unwrap_or_default().to_owned(),
        websites: websites.map(str::trim).filter(|text| !text.is_empty()).map(str::to_owned).collect(),
        owner: if gone { None } else { company.owner()? },
        country: company.get("country").map(str::to_owned),
        gone,
    })
}
