//! The changelog of a person or deal, v1 only (v1 document: getPersonChangelog, getDealChangelog): owners alone.

use serde_json::{Value, json};

use super::call::{Answer, Call, ok};
use super::cursor::page;
use super::errors::Problem;
use super::kinds::Kind;
use super::state::Drive;
use super::users::old_time;
use crate::oracle::{Actor, Change, PIPEDRIVE};

/// `GET /v1/{object}/{id}/changelog`, the newest first as in the document's example.
pub(crate) fn list(drive: &mut Drive, call: &Call<'_>, kind: Kind) -> Answer {
    let id = call.number()?;
    drive.living(kind, id).ok_or_else(|| Problem::not_found(kind.singular()))?;
    let key = if kind == Kind::Deal { "user_id" } else { "owner_id" };
    let own = |of: u8| of == PIPEDRIVE + kind as u8;
    let events = drive.oracle.events().iter().rev().filter(|event| own(event.kind) && event.id == id);
    let given = events.filter(|event| event.change == Change::Update && event.old_owner != event.new_owner);
    let text = |owner: u64| if owner == 0 { Value::Null } else { owner.to_string().into() };
    let rows: Vec<Value> = given
        .map(|event| {
            let source = match event.actor {
                Actor::Api(_) => "api",
                Actor::Workflow => "automation",
                _ => "app",
            };
            json!({"field_key": key, "old_value": text(event.old_owner), "new_value": text(event.new_owner),
                "actor_user_id": 1, "time": old_time(event.at), "change_source": source,
                "change_source_user_agent": null, "is_bulk_update_flag": false})
        })
        .collect();
    let (data, cursor) = page(call, rows)?;
    ok(&json!({"success": true, "data": data, "additional_data": {"next_cursor": cursor}}))
}
