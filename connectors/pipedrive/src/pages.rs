//! Pages of a stream: by cursor in v2, by offset in v1, where leads and notes are.

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use usher_connector::window::{Ask, Window, WindowState};
use usher_connector::{CallLane, Fault, FaultClass, Http};
use usher_model::ExternalId;

use crate::api::{self, LEADS, NOTES};
use crate::protocol::refusal;
use crate::wire::{self, Next, Page, page, repeats, second};

/// Pages of one second that are read in one step before it counts as endless.
const MOST_PAGES: usize = 40;
const SECOND: SignedDuration = SignedDuration::from_secs(1);

/// What a window's question brought.
pub(crate) struct Asked {
    from: Timestamp,
    more: bool,
    pub(crate) rows: Vec<Value>,
}

/// Asks what the window wants to know next; none if it has to wait.
pub(crate) async fn ask(
    http: &dyn Http,
    list: (&str, CallLane),
    window: Window,
    state: &mut WindowState,
    now: Timestamp,
) -> Result<Option<Asked>, Fault> {
    Ok(match window.ask(state, now) {
        None => None,
        Some(Ask::Range { from, to }) => {
            let page = between(http, list, (from, to), None).await?;
            Some(Asked { from, more: page.next.is_some(), rows: page.rows })
        }
        // More of one second than a page holds: read to its end at once.
        Some(Ask::Ties { at, .. }) => {
            Some(Asked { from: at, more: false, rows: ties(http, list, at).await? })
        }
    })
}

impl Asked {
    /// Takes in when the rows changed, and says whether the pass is complete.
    pub(crate) fn absorb(
        &self,
        window: Window,
        state: &mut WindowState,
        changed: impl Iterator<Item = (Timestamp, ExternalId)>,
    ) -> Result<bool, Fault> {
        // Filters know seconds only: what is of one second is one, and that in which the question begins belongs to it.
        let counted = |at: Timestamp| if second(at) == second(self.from) { self.from } else { second(at) };
        let times: Vec<(Timestamp, ExternalId)> = changed.map(|(at, id)| (counted(at), id)).collect();
        Ok(window.absorb(state, &times, self.more)?.done)
    }
}

/// A page of what changed between the two instants, both included, the oldest first. v1 has no upper bound: what lies
/// behind it ends the question.
async fn between(
    http: &dyn Http,
    (object, lane): (&str, CallLane),
    (from, to): (Timestamp, Timestamp),
    next: Option<&Next>,
) -> Result<Page, Fault> {
    if matches!(object, LEADS | NOTES) {
        let request = api::old_list(object, lane)
            .query("updated_since", api::second(from))
            .query("sort", "update_time ASC");
        let mut page = page(&http.send(api::behind(request, next)).await?)?;
        let beyond = |row: &Value| changed_at(row).is_some_and(|at| at > to);
        if page.rows.last().is_some_and(beyond) {
            page.next = None;
        }
        page.rows.retain(|row| !beyond(row));
        return Ok(page);
    }
    let until = to.saturating_add(SECOND).unwrap_or(to);
    let request = api::list(object, lane)
        .query("updated_since", api::second(from))
        .query("updated_until", api::second(until))
        .query("sort_by", "update_time")
        .query("sort_direction", "asc");
    let answer = http.send(api::behind(request, next)).await?;
    if refusal(&answer).is_some() {
        return Err(stale());
    }
    page(&answer)
}

/// Everything of the second of that instant.
async fn ties(http: &dyn Http, (object, lane): (&str, CallLane), at: Timestamp) -> Result<Vec<Value>, Fault> {
    let last = second(at).saturating_add(SignedDuration::from_millis(999)).unwrap_or(at);
    let (mut rows, mut next) = (Vec::new(), None);
    for _ in 0..MOST_PAGES {
        let page = between(http, (object, lane), (at, last), next.as_ref()).await?;
        rows.extend(page.rows);
        match page.next {
            None => return Ok(rows),
            Some(found) if Some(&found) == next.as_ref() => return Err(repeats()),
            found => next = found,
        }
    }
    Err(Fault::new(FaultClass::Transient, "Pipedrive shows more changes of one second than can be"))
}

/// A page of everything; none if the vendor does not take the cursor any more.
pub(crate) async fn whole(http: &dyn Http, object: &str, next: Option<&Next>) -> Result<Option<Page>, Fault> {
    let request = if object == LEADS {
        api::leads(CallLane::Backfill).query("sort", "add_time ASC")
    } else {
        api::list(object, CallLane::Backfill).query("sort_by", "id")
    };
    let answer = http.send(api::behind(request, next)).await?;
    if refusal(&answer).is_some() {
        return Ok(None);
    }
    page(&answer).map(Some)
}

/// When a row changed last.
pub(crate) fn changed_at(row: &Value) -> Option<Timestamp> {
    wire::instant(row.get("update_time")?.as_str()?)
}

fn stale() -> Fault {
    Fault::new(FaultClass::Transient, "Pipedrive does not take its own cursor any more")
        .advise("the page is read again from its beginning")
}
