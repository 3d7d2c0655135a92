//! Leads and deals that stand for inquiries, made with owner and ties in one call.
//!
//! HubSpot takes no idempotency key and keeps no names unique. Each name ends with a marker, and whoever renames the object
//! does not hide it: the property's history still shows it (`verify`).

use serde_json::{Map, Value, json};
use usher_connector::{MARKER, SendFailure, Write};
use usher_model::{EffectBody, SlotKind};

use super::batch::{Batch, Clue, Name, Row};
use super::keys::Keys;
use super::{Outcomes, made, mixed, object_name, plan};
use crate::api::{self, DEALS, LEADS};

/// From a lead to another object, by HubSpot's ids of association types; a lead must have a primary contact.
const FROM_LEAD: &[(&str, u32)] = &[("contacts", 578), ("companies", 610)];
const FROM_DEAL: &[(&str, u32)] = &[("contacts", 3), ("companies", 341)];

/// Characters of the write's key in the marker: enough among one contact's objects, short enough to be read past.
const SHORT: usize = 8;

/// What carries owner and task, and how it begins.
#[derive(Debug, Clone)]
pub(crate) struct Carrier {
    /// A person, or the kind of object that is made for each inquiry.
    pub(crate) kind: SlotKind,
    /// The internal names of the pipeline and of its stage; HubSpot's default where it has one.
    pub(crate) pipeline: Option<String>,
    pub(crate) stage: Option<String>,
}

impl Default for Carrier {
    fn default() -> Self {
        Self { kind: SlotKind::Person, pipeline: None, stage: None }
    }
}

/// The batches that make these inquiries' objects.
pub(super) fn batches(
    carrier: &Carrier,
    keys: &Keys,
    writes: &[Write],
    outcomes: &mut Outcomes,
) -> Vec<Batch> {
    let mut planned = Vec::with_capacity(writes.len());
    for (write, item) in
        writes.iter().enumerate().filter(|(write, _)| outcomes.is_open(*write)).collect::<Vec<_>>()
    {
        match row(carrier, keys, write, item) {
            Ok((path, row)) => planned.push((path, row, false)),
            Err(failure) => outcomes.set(write, Err(failure)),
        }
    }
    plan::gather(planned)
}

fn row(carrier: &Carrier, keys: &Keys, write: usize, item: &Write) -> Result<(String, Row), SendFailure> {
    let EffectBody::EnsureInquiry { slot, title, person, company, owner, .. } = &item.body else {
        return Err(mixed(&item.body));
    };
    let (Some(object), Some(name)) = (object_name(slot.kind), name_of(slot.kind)) else {
        return Err(mixed(&item.body));
    };
    let types = if slot.kind == SlotKind::Lead { FROM_LEAD } else { FROM_DEAL };
    let ends = [person].into_iter().chain(company).map(|object| made::association(object, types));
    let mut properties = Map::new();
    properties.insert(name.to_owned(), json!(format!("{title} [{}]", marker(item))));
    properties.insert("hubspot_owner_id".to_owned(), json!(owner));
    // Planned before the settings changed, it begins where HubSpot lets it.
    if slot.kind == carrier.kind {
        let (pipeline, stage) = start_of(slot.kind);
        properties.extend(carrier.pipeline.iter().map(|id| (pipeline.to_owned(), json!(id))));
        properties.extend(carrier.stage.iter().map(|id| (stage.to_owned(), json!(id))));
    }
    keys.mark(object, &mut properties, item);
    let trace = item.key.to_string();
    let input = json!({
        "properties": properties,
        "associations": ends.collect::<Result<Vec<Value>, _>>()?,
        "objectWriteTraceId": trace,
    });
    let name = Name::Trace(trace, Some(Clue::Contains(name, marker(item))));
    Ok((api::batch(object, "create"), Row { write, input, name }))
}

/// The text by which the object is found again.
pub(super) fn marker(item: &Write) -> String {
    let key = item.key.as_str();
    format!("{MARKER}{}", key.get(key.len().saturating_sub(SHORT)..).unwrap_or(key))
}

/// The property that holds the name of such an object.
pub(super) fn name_of(kind: SlotKind) -> Option<&'static str> {
    match kind {
        SlotKind::Lead => Some("hs_lead_name"),
        SlotKind::Deal => Some("dealname"),
        _ => None,
    }
}

/// The properties that hold pipeline and stage.
fn start_of(kind: SlotKind) -> (&'static str, &'static str) {
    if kind == SlotKind::Lead { ("hs_pipeline", "hs_pipeline_stage") } else { ("pipeline", "dealstage") }
}

/// The object type by its name in the settings.
pub(crate) const CHOICES: [(&str, SlotKind); 3] =
    [(api::CONTACTS, SlotKind::Person), (LEADS, SlotKind::Lead), (DEALS, SlotKind::Deal)];
