//! Records as answers show them, field for field as the documents list them.

use serde_json::{Map, Value, json};

use super::call::By;
use super::kinds::{Kind, lead_uuid};
use super::row::Row;
use super::state::Drive;
use crate::clock::{iso, iso_seconds};
use crate::oracle::Actor;

fn map(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

/// The fields of a new record before anything is set; what it has not is null.
pub(crate) fn blank(kind: Kind, by: By) -> Map<String, Value> {
    let api = matches!(by.actor, Actor::Api(_));
    let origin = if api { "API" } else { "ManuallyCreated" };
    map(match kind {
        Kind::Person => json!({"name": null, "first_name": null, "last_name": null, "owner_id": null,
            "org_id": null, "emails": [], "phones": [], "visible_to": 3, "label_ids": [], "picture_id": null}),
        Kind::Organization => json!({"name": null, "owner_id": null, "visible_to": 3, "address": null,
            "label_ids": [], "website": null, "linkedin": null, "industry": null, "annual_revenue": null,
            "employee_count": null}),
        Kind::Deal => json!({"title": null, "owner_id": null, "person_id": null, "org_id": null,
            "pipeline_id": null, "stage_id": null, "value": 0, "currency": "EUR", "stage_change_time": null,
            "is_archived": false, "status": "open", "probability": null, "lost_reason": null, "visible_to": 3,
            "close_time": null, "won_time": null, "lost_time": null, "expected_close_date": null, "label_ids": [],
            "origin": origin, "origin_id": null, "channel": null, "channel_id": null, "arr": null, "mrr": null,
            "acv": null}),
        Kind::Activity => {
            json!({"subject": null, "type": "call", "owner_id": null, "creator_user_id": by.user,
            "deal_id": null, "lead_id": null, "person_id": null, "org_id": null, "project_id": null,
            "due_date": null, "due_time": null, "duration": null, "busy": false, "done": false,
            "marked_as_done_time": null, "location": null, "participants": [], "attendees": [],
            "conference_meeting_client": null, "conference_meeting_url": null, "conference_meeting_id": null,
            "public_description": null, "priority": null, "note": null})
        }
        Kind::Note => {
            json!({"content": null, "owner_id": null, "lead_id": null, "deal_id": null, "person_id": null,
            "org_id": null, "project_id": null, "task_id": null})
        }
        Kind::Lead => json!({"title": null, "owner_id": null, "creator_id": by.user, "label_ids": [],
            "person_id": null, "organization_id": null,
            "source_name": if api { "API" } else { "Manually created" }, "origin": origin, "origin_id": null,
            "channel": null, "channel_id": null, "source_deal_id": null, "is_archived": false, "was_seen": !api,
            "value": null, "expected_close_date": null, "visible_to": "3"}),
    })
}

/// Which parts of a record are asked for.
#[derive(Debug, Default)]
pub(crate) struct Want {
    /// Custom fields by key; none for all.
    pub(crate) custom: Option<Vec<String>>,
    pub(crate) attendees: bool,
}

/// A record of v2: every custom field of the account is there, unset ones as null.
pub(crate) fn v2(drive: &Drive, kind: Kind, row: &Row, want: &Want) -> Value {
    let mut out = Map::new();
    out.insert("id".to_owned(), row.id.into());
    out.extend(row.fields.clone());
    if !want.attendees {
        out.shift_remove("attendees");
    }
    out.insert("add_time".to_owned(), iso_seconds(row.added).into());
    out.insert("update_time".to_owned(), iso_seconds(row.updated).into());
    out.insert("is_deleted".to_owned(), (!row.lives()).into());
    if kind != Kind::Activity {
        let wanted =
            |key: &str| want.custom.as_ref().is_none_or(|keys| keys.iter().any(|wanted| wanted == key));
        let custom: Map<String, Value> = drive
            .fields
            .custom(kind)
            .filter(|field| wanted(&field.key))
            .map(|field| (field.key.clone(), row.custom.get(&field.key).cloned().unwrap_or_default()))
            .collect();
        out.insert("custom_fields".to_owned(), custom.into());
    }
    out.into()
}

/// A lead of v1: custom fields that are set stand beside the others, in the older form of deals
/// (v1 document, getLeads).
pub(crate) fn lead(drive: &Drive, row: &Row) -> Value {
    let uuid = lead_uuid(row.id);
    let mut out = Map::new();
    out.insert("id".to_owned(), uuid.clone().into());
    out.extend(row.fields.clone());
    out.insert("next_activity_id".to_owned(), next_activity(drive, &uuid).map_or(Value::Null, Value::from));
    out.insert("add_time".to_owned(), iso(row.added).into());
    out.insert("update_time".to_owned(), iso(row.updated).into());
    let address = format!("sandbox-agency+1+lead{}@pipedrivemail.com", uuid.replace('-', ""));
    out.insert("cc_email".to_owned(), address.into());
    for (key, value) in &row.custom {
        let of = drive.fields.find(Kind::Lead, key).map(|field| field.of.as_str());
        match (of, value) {
            (Some("monetary"), value) => {
                out.insert(key.clone(), value["value"].clone());
                out.insert(format!("{key}_currency"), value["currency"].clone());
            }
            (Some("set"), Value::Array(ids)) => {
                let ids: Vec<String> = ids.iter().map(Value::to_string).collect();
                out.insert(key.clone(), ids.join(",").into());
            }
            (_, value) => {
                out.insert(key.clone(), value.clone());
            }
        }
    }
    out.into()
}

/// The open activity of a lead that is due first.
fn next_activity(drive: &Drive, lead: &str) -> Option<u64> {
    let open = drive.table(Kind::Activity).all_living();
    let open = open.filter(|row| row.text("lead_id") == Some(lead) && !row.flag("done"));
    open.min_by_key(|row| (row.text("due_date").unwrap_or("9999").to_owned(), row.id)).map(|row| row.id)
}
