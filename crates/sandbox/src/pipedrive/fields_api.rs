//! Endpoints of field definitions, in the shapes of v1 and v2.

use serde::Deserialize;
use serde_json::{Value, json};

use super::call::{Answer, Call, ok};
use super::cursor::page;
use super::errors::Problem;
use super::fields::{Field, PipedriveField};
use super::kinds::Kind;
use super::leads::pagination;
use super::state::Drive;
use super::users::old_time;

fn options(field: &Field) -> Value {
    let rows: Vec<Value> =
        field.options.iter().map(|(id, label)| json!({"id": id, "label": label})).collect();
    if rows.is_empty() { Value::Null } else { rows.into() }
}

/// v1 document, getPersonFields.
fn v1(field: &Field, at: usize) -> Value {
    json!({
        "id": field.id,
        "key": field.key,
        "name": field.name,
        "order_nr": at + 1,
        "field_type": field.of,
        "add_time": old_time(field.added),
        "update_time": old_time(field.added),
        "last_updated_by_user_id": null,
        "created_by_user_id": null,
        "active_flag": true,
        "edit_flag": field.custom,
        "index_visible_flag": true,
        "details_visible_flag": true,
        "add_visible_flag": true,
        "important_flag": false,
        "bulk_edit_allowed": true,
        "searchable_flag": field.searchable(),
        "filtering_allowed": true,
        "sortable_flag": true,
        "mandatory_flag": matches!(field.key.as_str(), "name" | "title"),
        "options": options(field),
    })
}

/// v2 document, getPersonFields and getDealFields: what is always there.
fn v2(field: &Field, kind: Kind) -> Value {
    let mut shown = json!({
        "field_name": field.name,
        "field_code": field.key,
        "field_type": field.of,
        "options": options(field),
        "subfields": null,
        "is_custom_field": field.custom,
        "is_optional_response_field": false,
    });
    if kind == Kind::Deal {
        shown["description"] = field.name.as_str().into();
    }
    shown
}

/// `GET /v1/{object}Fields`.
pub(crate) fn list_v1(drive: &mut Drive, call: &Call<'_>, kind: Kind) -> Answer {
    let all: Vec<Value> = drive.fields.of(kind).iter().enumerate().map(|(at, field)| v1(field, at)).collect();
    let (data, additional) = pagination(call, all)?;
    ok(&json!({"success": true, "data": data, "additional_data": additional}))
}

/// `GET /v1/{object}Fields/{id}`.
pub(crate) fn read_v1(drive: &mut Drive, call: &Call<'_>, kind: Kind) -> Answer {
    let id = call.number()?;
    let found = drive.fields.of(kind).iter().enumerate().find(|(_, field)| field.id == id);
    let (at, field) = found.ok_or_else(|| Problem::not_found("field"))?;
    ok(&json!({"success": true, "data": v1(field, at)}))
}

/// `GET /v2/{object}Fields`.
pub(crate) fn list_v2(drive: &mut Drive, call: &Call<'_>, kind: Kind) -> Answer {
    let (data, cursor) = page(call, drive.fields.of(kind).iter().map(|field| v2(field, kind)).collect())?;
    ok(&json!({"success": true, "data": data, "additional_data": {"next_cursor": cursor}}))
}

/// `GET /v2/{object}Fields/{field_code}`.
pub(crate) fn read_v2(drive: &mut Drive, call: &Call<'_>, kind: Kind) -> Answer {
    let field = drive.fields.find(kind, call.id).ok_or_else(|| Problem::not_found("field"))?;
    ok(&json!({"success": true, "data": v2(field, kind)}))
}

#[derive(Deserialize)]
struct OptionInput {
    label: String,
}

#[derive(Deserialize)]
struct FieldInput {
    #[serde(alias = "name")]
    field_name: String,
    field_type: String,
    #[serde(default)]
    options: Vec<OptionInput>,
}

fn define(drive: &mut Drive, call: &Call<'_>, kind: Kind) -> Result<Field, Problem> {
    let input: FieldInput =
        serde_json::from_slice(call.body).map_err(|error| Problem::schema("body", &error.to_string()))?;
    let bits = [drive.dice.bits(), drive.dice.bits(), drive.dice.bits()];
    let wanted = PipedriveField {
        name: input.field_name,
        field_type: input.field_type,
        key: String::new(),
        options: input.options.into_iter().map(|option| option.label).collect(),
    };
    drive.fields.define(kind, wanted, (bits, call.by.at))
}

/// `POST /v1/{object}Fields`.
pub(crate) fn create_v1(drive: &mut Drive, call: &Call<'_>, kind: Kind) -> Answer {
    let field = define(drive, call, kind)?;
    let at = drive.fields.of(kind).len();
    ok(&json!({"success": true, "data": v1(&field, at)}))
}

/// `POST /v2/{object}Fields`.
pub(crate) fn create_v2(drive: &mut Drive, call: &Call<'_>, kind: Kind) -> Answer {
    let field = define(drive, call, kind)?;
    ok(&json!({"success": true, "data": v2(&field, kind)}))
}
