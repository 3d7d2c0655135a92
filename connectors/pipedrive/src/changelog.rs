//! What changed in persons and deals, by Pipedrive's changelog: by whom, when and where. Of leads and organizations it
//! keeps none.

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;
use usher_connector::{CallLane, ChangedBy, Fault, Http};
use usher_model::ExternalId;

use crate::api;
use crate::protocol::refusal;
use crate::wire::{Next, instant, page};

/// Pages per object: the changes of other fields may stand before those that are looked for, but not without end.
const PAGES: usize = 4;

/// Where people choose: in the browser and in the app of their phone.
const BY_HUMANS: [&str; 2] = ["app", "mobile"];

/// The keys under which changelogs have the owner.
const OWNER: [&str; 2] = ["owner_id", "user_id"];

/// A change of one field.
#[derive(Debug, Deserialize)]
pub(crate) struct Change {
    #[serde(rename = "field_key")]
    pub(crate) field: String,
    #[serde(default, rename = "old_value")]
    old: Value,
    #[serde(rename = "new_value")]
    new: Value,
    time: String,
    #[serde(default, rename = "actor_user_id")]
    actor: Option<u64>,
    #[serde(default, rename = "change_source")]
    source: Option<String>,
}

impl Change {
    /// It is one of the owner.
    pub(crate) fn is_of_owner(&self) -> bool {
        OWNER.contains(&self.field.as_str())
    }

    pub(crate) fn by(&self) -> ChangedBy {
        let human = self.source.as_deref().is_some_and(|source| BY_HUMANS.contains(&source));
        if human { ChangedBy::Human } else { ChangedBy::Program }
    }

    /// The user who did it.
    pub(crate) fn actor(&self) -> Option<ExternalId> {
        self.actor.map(|id| ExternalId::new(id.to_string()))
    }

    pub(crate) fn at(&self) -> Option<Timestamp> {
        instant(&self.time)
    }

    pub(crate) fn before(&self) -> Option<ExternalId> {
        value(&self.old)
    }

    pub(crate) fn after(&self) -> Option<ExternalId> {
        value(&self.new)
    }
}

/// Ids come as texts or as numbers.
fn value(value: &Value) -> Option<ExternalId> {
    match value {
        Value::String(text) => Some(text.clone()).filter(|text| !text.is_empty()).map(ExternalId::new),
        Value::Number(number) => Some(ExternalId::new(number.to_string())),
        _ => None,
    }
}

/// The changes of a person or deal, the newest first, page by page until it is enough; nothing of one that is gone.
pub(crate) async fn read(
    http: &dyn Http,
    (objects, id, lane): (&str, &str, CallLane),
    enough: impl Fn(&[Change]) -> bool,
) -> Result<Vec<Change>, Fault> {
    let (mut changes, mut cursor): (Vec<Change>, Option<String>) = (Vec::new(), None);
    for _ in 0..PAGES {
        let request = api::after(api::changelog(objects, id), cursor.as_deref()).lane(lane);
        let answer = http.send(request).await?;
        if refusal(&answer).is_some() {
            return Ok(Vec::new());
        }
        let page = page(&answer)?;
        changes.extend(page.rows.into_iter().filter_map(|row| serde_json::from_value(row).ok()));
        match page.next {
            Some(Next::Cursor(next)) if !enough(&changes) => cursor = Some(next),
            _ => break,
        }
    }
    Ok(changes)
}
