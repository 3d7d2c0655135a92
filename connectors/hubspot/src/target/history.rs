//! Which owners objects had, by HubSpot's property history.

use std::collections::HashMap;

use jiff::Timestamp;
use serde::Deserialize;
use usher_connector::{CallLane, ChangedBy, Fault, Http, OwnerEntry};
use usher_model::{ExternalId, SlotKind};

use super::object_name;
use crate::api::{self, HISTORY_BATCH};
use crate::source::unread;
use crate::wire::{ErrorBody, instant, or_default};

#[derive(Deserialize)]
struct Answer {
    results: Vec<Row>,
    #[serde(default, deserialize_with = "or_default")]
    errors: Vec<ErrorBody>,
}

#[derive(Deserialize)]
struct Row {
    id: String,
    #[serde(default, rename = "propertiesWithHistory", deserialize_with = "or_default")]
    history: HashMap<String, Vec<Value>>,
}

/// A value that the owner property took on.
#[derive(Deserialize)]
struct Value {
    #[serde(default)]
    value: Option<String>,
    timestamp: String,
    #[serde(default, rename = "sourceType")]
    source: Option<String>,
    #[serde(default, rename = "sourceId")]
    source_id: Option<String>,
}

/// The owners of each object, newest first.
pub(super) async fn owners(
    http: &dyn Http,
    objects: &[(SlotKind, ExternalId)],
) -> Result<Vec<Vec<OwnerEntry>>, Fault> {
    let mut found: HashMap<(SlotKind, String), Vec<OwnerEntry>> = HashMap::new();
    for kind in SlotKind::ALL {
        let mut ids: Vec<&str> =
            objects.iter().filter(|(of, _)| *of == kind).map(|(_, id)| id.as_str()).collect();
        ids.sort_unstable();
        ids.dedup();
        let Some(object) = object_name(kind) else { continue };
        for ids in ids.chunks(HISTORY_BATCH) {
            let request = api::read_history(object, ids, "hubspot_owner_id", CallLane::Refresh)?;
            let answer: Answer = http.send(request).await?.json()?;
            if let Some(error) = answer.errors.iter().find(|error| !error.is_not_found()) {
                return Err(unread(error));
            }
            for mut row in answer.results {
                let values = row.history.remove("hubspot_owner_id").unwrap_or_default();
                found.insert((kind, row.id), entries(values));
            }
        }
    }
    let of = |(kind, id): &(SlotKind, ExternalId)| found.get(&(*kind, id.to_string())).cloned();
    Ok(objects.iter().map(|object| of(object).unwrap_or_default()).collect())
}

fn entries(values: Vec<Value>) -> Vec<OwnerEntry> {
    let mut entries: Vec<OwnerEntry> = values.into_iter().filter_map(entry).collect();
    // Stable: HubSpot lists the newest first, also among values of one millisecond.
    entries.sort_by_key(|entry| std::cmp::Reverse(entry.at));
    entries
}

fn entry(value: Value) -> Option<OwnerEntry> {
    let at: Timestamp = instant(&value.timestamp)?;
    let user = value.source_id.as_deref().is_some_and(|id| id.starts_with("userId:"));
    let by_hand = user || is_by_hand(value.source.as_deref().unwrap_or_default());
    let by = if by_hand { ChangedBy::Human } else { ChangedBy::Program };
    let owner = value.value.filter(|owner| !owner.is_empty()).map(ExternalId::new);
    Some(OwnerEntry { owner, at, by })
}

/// HubSpot names a person's change by where it was made, and by the user in the source id
/// (developers.hubspot.com/changelog: CRM property change source will show user ID).
pub(super) fn is_by_hand(source: &str) -> bool {
    source.starts_with("CRM_UI") || source.starts_with("MOBILE_") || source == "CONTACTS_WEB"
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;
    use crate::testing::{ids, vendor};
    use usher_testkit::asked;

    #[tokio::test]
    async fn fm_049_the_history_tells_who_owned_a_contact_and_whether_a_human_said_so() {
        let script = vendor(|request| {
            let value = |owner: &str, at: &str, source: &str, id: &str| json!({ "value": owner, "timestamp": at, "sourceType": source, "sourceId": id });
            let history = [
                value("", "2026-11-22T10:00:00Z", "IMPORT", ""),
                value("71", "2026-11-22T10:00:02.500Z", "INTEGRATION", "app"),
                value("72", "2026-11-22T10:00:01Z", "SALES", "userId:9"),
            ];
            let rows: Vec<_> = ids(request)
                .iter()
                .filter(|id| *id != "gone")
                .map(|id| json!({ "id": id, "properties": {}, "propertiesWithHistory": { "hubspot_owner_id": history } }))
                .collect();
            let gone = json!([{ "category": "OBJECT_NOT_FOUND", "context": { "ids": ["gone"] } }]);
            (207, json!({ "results": rows, "errors": gone }))
        });
        let objects: Vec<(SlotKind, ExternalId)> =
            (0..60).map(|n| (SlotKind::Person, format!("{n}").into())).collect();
        let objects = [objects, vec![(SlotKind::Person, "gone".into())]].concat();
        let told = owners(&*script, &objects).await.unwrap();
        let first: Vec<_> =
            told[0].iter().map(|entry| (entry.owner.as_ref().map(ExternalId::as_str), entry.by)).collect();
        assert_eq!(
            first,
            [(Some("71"), ChangedBy::Program), (Some("72"), ChangedBy::Human), (None, ChangedBy::Program)],
            "newest first"
        );
        assert!(told[60].is_empty());
        let sizes: Vec<usize> = script.seen().iter().map(|request| ids(request).len()).collect();
        assert_eq!(sizes, [50, 11]);
        assert_eq!(asked(&script.seen()[0])["propertiesWithHistory"], json!(["hubspot_owner_id"]));
        assert!(script.seen().iter().all(|request| request.lane == CallLane::Refresh));
    }
}
