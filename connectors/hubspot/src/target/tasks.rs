//! Tasks as HubSpot takes them, with a marker line in the body.

use serde_json::{Value, json};
use usher_connector::{SendFailure, Write, as_html};
use usher_model::EffectBody;

use super::batch::{Clue, Name, Row};
use super::keys::Keys;
use super::{close, made, mixed};
use crate::api::{self, TASKS};

/// From a task to another object, by HubSpot's ids of association types.
const TO_OBJECT: &[(&str, u32)] =
    &[("contacts", 204), ("companies", 192), ("deals", 216), ("tickets", 230), ("leads", 647)];

pub(super) fn row(keys: &Keys, write: usize, item: &Write) -> Result<(String, Row, bool), SendFailure> {
    let EffectBody::CreateTask { subject, body, due, owner, about, .. } = &item.body else {
        return Err(mixed(&item.body));
    };
    let marker = item.marker();
    let associations = about.iter().map(|object| made::association(object, TO_OBJECT));
    let associations = associations.collect::<Result<Vec<Value>, _>>()?;
    let trace = item.key.to_string();
    let mut input = json!({
        "properties": {
            "hs_timestamp": due.to_string(),
            "hs_task_subject": subject,
            "hs_task_body": format!("{}<br><br>{marker}", as_html(body)),
            "hs_task_status": close::UNTOUCHED,
            "hs_task_type": "TODO",
            "hubspot_owner_id": owner,
        },
        "associations": associations,
        "objectWriteTraceId": trace,
    });
    if let Some(properties) = input["properties"].as_object_mut() {
        keys.mark(TASKS, properties, item);
    }
    let name = Name::Trace(trace, Some(Clue::Contains("hs_task_body", marker)));
    Ok((api::batch(TASKS, "create"), Row { write, input, name }, false))
}
