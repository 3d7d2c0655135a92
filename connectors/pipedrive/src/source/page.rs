//! Pages of a stream: by cursor in v2, by offset in v1, where leads are.

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use usher_connector::{CallLane, Fault, FaultClass};

use super::PipedriveSource;
use crate::api::{self, LEADS};
use crate::protocol::refusal;
use crate::wire::{self, Next, Page, page, repeats, second};

/// Pages of one second that are read in one step before it counts as endless.
const MOST_PAGES: usize = 40;
const SECOND: SignedDuration = SignedDuration::from_secs(1);

impl PipedriveSource {
    /// A page of what changed between the two instants, both included, the oldest first. v1 has no upper bound: what lies
    /// behind it ends the question.
    pub(super) async fn between(
        &self,
        object: &str,
        from: Timestamp,
        to: Timestamp,
        next: Option<&Next>,
    ) -> Result<Page, Fault> {
        if object == LEADS {
            let request = api::leads(CallLane::Pull)
                .query("updated_since", api::second(from))
                .query("sort", "update_time ASC");
            let mut page = page(&self.http.send(api::behind(request, next)).await?)?;
            let beyond = |row: &Value| changed_at(row).is_some_and(|at| at > to);
            if page.rows.last().is_some_and(beyond) {
                page.next = None;
            }
            page.rows.retain(|row| !beyond(row));
            return Ok(page);
        }
        let until = to.saturating_add(SECOND).unwrap_or(to);
        let request = api::list(object, CallLane::Pull)
            .query("updated_since", api::second(from))
            .query("updated_until", api::second(until))
            .query("sort_by", "update_time")
            .query("sort_direction", "asc");
        let answer = self.http.send(api::behind(request, next)).await?;
        if refusal(&answer).is_some() {
            return Err(stale());
        }
        page(&answer)
    }

    /// Everything of the second of that instant.
    pub(super) async fn ties(&self, object: &str, at: Timestamp) -> Result<Vec<Value>, Fault> {
        let last = second(at).saturating_add(SignedDuration::from_millis(999)).unwrap_or(at);
        let (mut rows, mut next) = (Vec::new(), None);
        for _ in 0..MOST_PAGES {
            let page = self.between(object, at, last, next.as_ref()).await?;
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
    pub(super) async fn whole(&self, object: &str, next: Option<&Next>) -> Result<Option<Page>, Fault> {
        let request = if object == LEADS {
            api::leads(CallLane::Backfill).query("sort", "add_time ASC")
        } else {
            api::list(object, CallLane::Backfill).query("sort_by", "id")
        };
        let answer = self.http.send(api::behind(request, next)).await?;
        if refusal(&answer).is_some() {
            return Ok(None);
        }
        page(&answer).map(Some)
    }
}

fn changed_at(row: &Value) -> Option<Timestamp> {
    wire::instant(row.get("update_time")?.as_str()?)
}

fn stale() -> Fault {
    Fault::new(FaultClass::Transient, "Pipedrive does not take its own cursor any more")
        .advise("the page is read again from its beginning")
}
