//! Which owners persons and deals had, by Pipedrive's changelog. Of leads and organizations it keeps none.

use futures::future::try_join_all;
use serde::Deserialize;
use serde_json::Value;
use usher_connector::{CallLane, ChangedBy, Fault, OwnerEntry};
use usher_model::{ExternalId, SlotKind};

use super::{PipedriveTarget, objects_of};
use crate::api::{self, DEALS, PERSONS};
use crate::find::is_id;
use crate::protocol::refusal;
use crate::wire::{Next, instant, page};

/// Objects per look: each is a call of its own.
pub(super) const MOST: usize = 10;

/// What was overwritten is told by the latest two owners.
const LATEST: usize = 2;

/// Pages per object: the changes of other fields may stand before the owner's, but not without end.
const PAGES: usize = 4;

/// Where people choose: in the browser and in the app of their phone.
const BY_HUMANS: [&str; 2] = ["app", "mobile"];

/// The keys under which changelogs have the owner.
const OWNER: [&str; 2] = ["owner_id", "user_id"];

#[derive(Deserialize)]
struct Row {
    field_key: String,
    new_value: Value,
    time: String,
    #[serde(default)]
    change_source: Option<String>,
}

/// The latest owners of each object, newest first. What the token's user owns is owned by nobody.
pub(super) async fn owners(
    target: &PipedriveTarget,
    objects: &[(SlotKind, ExternalId)],
) -> Result<Vec<Vec<OwnerEntry>>, Fault> {
    let mut histories = try_join_all(objects.iter().map(|(kind, id)| entries(target, *kind, id))).await?;
    let me = ExternalId::new(target.me.id(&*target.http, CallLane::Refresh).await?.to_string());
    for entry in histories.iter_mut().flatten() {
        entry.owner = entry.owner.take().filter(|owner| *owner != me);
    }
    Ok(histories)
}

async fn entries(
    target: &PipedriveTarget,
    kind: SlotKind,
    id: &ExternalId,
) -> Result<Vec<OwnerEntry>, Fault> {
    let Some(objects @ (PERSONS | DEALS)) = objects_of(kind).filter(|_| is_id(id.as_str())) else {
        return Ok(Vec::new());
    };
    let (mut owners, mut cursor): (Vec<OwnerEntry>, Option<String>) = (Vec::new(), None);
    for _ in 0..PAGES {
        let request = api::after(api::changelog(objects, id.as_str()), cursor.as_deref());
        let answer = target.http.send(request).await?;
        if refusal(&answer).is_some() {
            return Ok(Vec::new());
        }
        let page = page(&answer)?;
        let rows = page.rows.into_iter().filter_map(|row| serde_json::from_value::<Row>(row).ok());
        owners.extend(rows.filter(|row| OWNER.contains(&row.field_key.as_str())).filter_map(entry));
        match page.next {
            Some(Next::Cursor(next)) if owners.len() < LATEST => cursor = Some(next),
            _ => break,
        }
    }
    Ok(owners)
}

fn entry(row: Row) -> Option<OwnerEntry> {
    let owner = match row.new_value {
        Value::String(text) => Some(text).filter(|text| !text.is_empty()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    };
    let by_human = row.change_source.is_some_and(|source| BY_HUMANS.contains(&source.as_str()));
    let by = if by_human { ChangedBy::Human } else { ChangedBy::Program };
    Some(OwnerEntry { owner: owner.map(ExternalId::new), at: instant(&row.time)?, by })
}
