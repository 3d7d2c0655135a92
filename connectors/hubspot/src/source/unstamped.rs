//! Objects without a time of change: no window finds them, so each pass of the sweep ends with a look for them (FM-010).

use serde_json::{Value, json};
use usher_connector::window::WindowState;
use usher_connector::{Batch, CallLane, Cursor, Fault, Pull};

use super::{HubSpotSource, Pulled, page, repeats};
use crate::api;

/// In the sweep's position: the look is under way, and behind which id it goes on (`""` at first).
const KEY: &str = "unstamped";

impl HubSpotSource {
    /// One step of the second pass: the window behind the index's delay, then what has no time.
    pub(super) async fn sweep(&self, ask: &Pull) -> Result<Batch, Fault> {
        if let Some(after) = ask.cursor.as_ref().and_then(|cursor| cursor.state.get(KEY)?.as_str()) {
            return self.unstamped(ask, after).await;
        }
        let untouched = WindowState::starting_at(ask.start).to_cursor()?;
        let before = ask.cursor.as_ref().unwrap_or(&untouched).state.clone();
        let mut batch = self.follow(ask, self.windows.sweep).await?;
        if batch.done && before != batch.next.state {
            set(&mut batch.next, Some(""));
            batch.done = false;
        }
        Ok(batch)
    }

    async fn unstamped(&self, ask: &Pull, after: &str) -> Result<Batch, Fault> {
        let behind = (!after.is_empty()).then_some(after);
        let Pulled { object, modified, .. } = self.pulled;
        let request = api::search_without(object, modified, behind, &self.names(), CallLane::Pull)?;
        let answer = self.http.send(request).await?;
        let page = page(&answer)?;
        let rows = self.with_contacts(self.rows(&page), CallLane::Pull).await?;
        let number = |id: &str| id.parse::<u64>().unwrap_or_default();
        let last = rows.records.iter().map(|record| number(record.external_id.as_str())).max();
        let more = page.after().is_some();
        if more && last.is_none_or(|last| last <= number(after)) {
            return Err(repeats());
        }
        let mut next = ask.cursor.clone().unwrap_or(Cursor { version: 0, state: Value::Null });
        set(&mut next, last.filter(|_| more).map(|last| last.to_string()).as_deref());
        Ok(rows.batch(next, !more))
    }
}

fn set(cursor: &mut Cursor, after: Option<&str>) {
    let Some(state) = cursor.state.as_object_mut() else { return };
    match after {
        Some(after) => state.insert(KEY.to_owned(), json!(after)),
        None => state.remove(KEY),
    };
}
