//! Organizations: all of them by listing, then what changed. A deleted one leaves the lists without a word, so once a day all
//! are listed again.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use usher_connector::window::{Ask, WindowState};
use usher_connector::{AccountBatch, CallLane, CrmAccount, Cursor, Fault, Http};
use usher_model::ExternalId;

use crate::api::{self, ORGANIZATIONS};
use crate::config::Windows;
use crate::find::into_object;
use crate::protocol::refusal;
use crate::wire::{self, Next, Object, Page, page, repeats};

/// Changes are asked for no sooner than this after the last time: each question costs as much as ten reads.
const EVERY: SignedDuration = SignedDuration::from_mins(15);
/// All are listed again so often.
const LISTED_EVERY: SignedDuration = SignedDuration::from_hours(24);
const VERSION: u16 = 1;

/// Where the reading stands.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct State {
    /// Still listing, from this page on (`""` for the first).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    listing: Option<String>,
    /// When the listing began that is under way, or was the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    listed: Option<Timestamp>,
    /// Follows changes from when the listing began.
    changes: WindowState,
    /// A question that takes several pages, the next of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

pub(super) async fn step(
    http: &dyn Http,
    windows: Windows,
    cursor: Option<&Cursor>,
    now: Timestamp,
) -> Result<AccountBatch, Fault> {
    let mut state = match cursor {
        Some(cursor) => cursor.state(VERSION)?,
        None => State {
            listing: Some(String::new()),
            listed: Some(now),
            changes: WindowState::starting_at(now),
            next: None,
        },
    };
    let stale = state.listed.is_none_or(|listed| now.duration_since(listed) >= LISTED_EVERY);
    // A clock that was put back makes what is listed now look older than the listing, as if it were gone.
    let put_back = state.listed.is_some_and(|listed| now < listed);
    if put_back || (state.listing.is_none() && state.next.is_none() && stale) {
        (state.listing, state.listed) = (Some(String::new()), Some(now));
    }
    if let Some(from) = state.listing.clone() {
        let request = api::list(ORGANIZATIONS, CallLane::Refresh).query("sort_by", "id");
        let Some((accounts, next)) = read(http, request, &from).await? else {
            // A cursor that is no good any more: the listing begins anew.
            (state.listing, state.listed) = (Some(String::new()), Some(now));
            return state.batch(Vec::new(), false);
        };
        state.listing = next;
        // What changed meanwhile is read when it is due.
        let done = state.listing.is_none();
        let whole_since = state.listed.filter(|_| done);
        return Ok(AccountBatch { whole_since, ..state.batch(accounts, done)? });
    }
    let window = windows.live();
    let due = state.next.is_some() || now.duration_since(state.changes.mark()) >= EVERY;
    let question = if due { window.ask(&mut state.changes, now) } else { None };
    let Some(Ask::Range { from, to }) = question else { return state.batch(Vec::new(), true) };
    let request = api::list(ORGANIZATIONS, CallLane::Refresh)
        .query("updated_since", api::second(from))
        .query("updated_until", api::second(to.saturating_add(SignedDuration::from_secs(1)).unwrap_or(to)))
        .query("sort_by", "update_time")
        .query("sort_direction", "asc");
    let Some((accounts, next)) = read(http, request, &state.next.take().unwrap_or_default()).await? else {
        // The question is asked anew.
        return state.batch(Vec::new(), false);
    };
    if next.is_none() {
        window.absorb(&mut state.changes, &[], false)?;
    }
    let done = next.is_none();
    state.next = next;
    state.batch(accounts, done)
}

/// A page of accounts and where the next one begins; none if the vendor does not take the cursor any more.
async fn read(
    http: &dyn Http,
    request: usher_connector::Request,
    from: &str,
) -> Result<Option<(Vec<CrmAccount>, Option<String>)>, Fault> {
    let behind = (!from.is_empty()).then_some(from);
    let answer = http.send(api::after(request, behind)).await?;
    if behind.is_some() && refusal(&answer).is_some() {
        return Ok(None);
    }
    let Page { rows, next } = page(&answer)?;
    let next = match next {
        Some(Next::Cursor(next)) if Some(next.as_str()) == behind => return Err(repeats()),
        Some(Next::Cursor(next)) => Some(next),
        _ => None,
    };
    let accounts = rows.into_iter().filter_map(into_object).filter_map(|row| account(&row).transpose());
    Ok(Some((accounts.collect::<Result<_, _>>()?, next)))
}

impl State {
    fn batch(self, accounts: Vec<CrmAccount>, done: bool) -> Result<AccountBatch, Fault> {
        Ok(AccountBatch { accounts, next: Cursor::of(VERSION, &self)?, done, whole_since: None })
    }
}

fn account(organization: &Object) -> Result<Option<CrmAccount>, Fault> {
    let Some(id) = wire::id(organization) else { return Ok(None) };
    let website = wire::text(organization, "website").map(str::to_owned);
    let country = organization.get("address").and_then(|address| address.get("country")?.as_str());
    Ok(Some(CrmAccount {
        external_id: ExternalId::new(id),
        name: wire::text(organization, "name").unwrap_or_default().to_owned(),
        websites: website.into_iter().collect(),
        owner: wire::owner(organization)?,
        country: country.filter(|country| !country.is_empty()).map(str::to_owned),
        gone: wire::flag(organization, "is_deleted"),
    }))
}
