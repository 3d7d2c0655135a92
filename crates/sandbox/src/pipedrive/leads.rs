//! Leads, v1 only: offset paging, archived ones apart (API-FACTS Pipedrive; v1 document, getLeads).

use std::cmp::Ordering;

use serde_json::{Value, json};

use super::call::{Answer, Call, ok};
use super::change::Given;
use super::errors::Problem;
use super::kinds::{Kind, lead_number};
use super::row::Row;
use super::shape::check;
use super::show::lead;
use super::state::Drive;
use crate::reply::Reply;

/// One page by `start` and `limit`, and the `additional_data` that goes with it.
///
/// The schema of getLeads has these three without `pagination`; API-FACTS and the document's example of getPersonFields
/// have them in it, as older v1 answers do.
pub(crate) fn pagination<T>(call: &Call<'_>, all: Vec<T>) -> Result<(Vec<T>, Value), Problem> {
    let (limit, start) = (call.limit()?, call.query_number::<usize>("start")?.unwrap_or(0));
    let more = start + limit < all.len();
    let mut pagination = json!({"start": start, "limit": limit, "more_items_in_collection": more});
    if more {
        pagination["next_start"] = (start + limit).into();
    }
    Ok((all.into_iter().skip(start).take(limit).collect(), json!({ "pagination": pagination })))
}

/// The fields that leads can be sorted by (v1 document, getLeads).
const SORTABLE: [&str; 9] = [
    "id",
    "title",
    "owner_id",
    "creator_id",
    "was_seen",
    "expected_close_date",
    "next_activity_id",
    "add_time",
    "update_time",
];

/// `sort`: `field ASC, field DESC`; a direction is needed for none.
pub(crate) fn order(call: &Call<'_>, sortable: &[&str]) -> Result<Vec<(String, bool)>, Problem> {
    let mut order = Vec::new();
    for part in call.query_list("sort") {
        let (field, direction) = part.split_once(' ').unwrap_or((part, "ASC"));
        let descending = match direction.trim().to_uppercase().as_str() {
            "ASC" => false,
            "DESC" => true,
            _ => return Err(Problem::schema("sort", "a direction is ASC or DESC")),
        };
        if !sortable.contains(&field) {
            return Err(Problem::schema("sort", "is not a field to sort by"));
        }
        order.push((field.to_owned(), descending));
    }
    Ok(order)
}

fn compare(a: &Row, b: &Row, order: &[(String, bool)]) -> Ordering {
    for (field, descending) in order {
        let found = match field.as_str() {
            "id" => a.id.cmp(&b.id),
            "add_time" => a.added.cmp(&b.added),
            "update_time" => a.updated.cmp(&b.updated),
            "title" | "content" | "expected_close_date" => a.text(field).cmp(&b.text(field)),
            "user_id" => a.owner().cmp(&b.owner()),
            "was_seen" => a.flag(field).cmp(&b.flag(field)),
            _ => a.number(field).cmp(&b.number(field)),
        };
        let found = if *descending { found.reverse() } else { found };
        if found != Ordering::Equal {
            return found;
        }
    }
    (a.added, a.id).cmp(&(b.added, b.id))
}

/// The rows in that order.
pub(crate) fn sorted<'a>(mut rows: Vec<&'a Row>, order: &[(String, bool)]) -> Vec<&'a Row> {
    rows.sort_by(|a, b| compare(a, b, order));
    rows
}

/// `GET /v1/leads` and `GET /v1/leads/archived`; any `filter_id` makes the other filters ignored.
pub(crate) fn list(drive: &mut Drive, call: &Call<'_>, archived: bool) -> Answer {
    let order = order(call, &SORTABLE)?;
    let filtered = call.query_number::<u64>("filter_id")?.is_some();
    let since = call.query_time("updated_since")?.filter(|_| !filtered && !archived);
    let mut equal = Vec::new();
    for name in ["owner_id", "person_id", "organization_id"] {
        if let (false, Some(id)) = (filtered, call.query_number::<u64>(name)?) {
            equal.push((name, id));
        }
    }
    let rows: Vec<&Row> = drive
        .table(Kind::Lead)
        .all_living()
        .filter(|row| row.flag("is_archived") == archived)
        .filter(|row| since.is_none_or(|since| row.updated >= since))
        .filter(|row| equal.iter().all(|(name, id)| row.number(name) == Some(*id)))
        .collect();
    let (page, additional) = pagination(call, sorted(rows, &order))?;
    let mut data: Vec<Value> = page.into_iter().map(|row| lead(drive, row)).collect();
    drive.untidy(call, &mut data);
    ok(&json!({"success": true, "data": data, "additional_data": additional}))
}

fn find<'a>(drive: &'a Drive, call: &Call<'_>) -> Result<&'a Row, Problem> {
    let number = lead_number(call.id).ok_or_else(Problem::lead_not_found)?;
    drive.living(Kind::Lead, number).ok_or_else(Problem::lead_not_found)
}

fn show(drive: &Drive, status: u16, id: u64) -> Answer {
    let row = drive.living(Kind::Lead, id).ok_or_else(Problem::lead_not_found)?;
    Ok(Reply::json(status, &json!({"success": true, "data": lead(drive, row)})))
}

/// `GET /v1/leads/{id}`, archived ones too.
pub(crate) fn read(drive: &mut Drive, call: &Call<'_>) -> Answer {
    let id = find(drive, call)?.id;
    show(drive, 200, id)
}

/// `POST /v1/leads`: 201.
pub(crate) fn create(drive: &mut Drive, call: &Call<'_>) -> Answer {
    let mut changes = check(drive, Kind::Lead, call.object()?, None)?;
    drive.before_write(Kind::Lead, None, &mut changes, call.by);
    let owned = changes.fields.contains_key("owner_id");
    let id = drive.create(Kind::Lead, changes, call.by, Given::default());
    drive.aftermath(Kind::Lead, id, owned.then_some(0), call.by);
    show(drive, 201, id)
}

/// `PATCH /v1/leads/{id}`: an archived lead takes no change, not even to come back.
pub(crate) fn patch(drive: &mut Drive, call: &Call<'_>) -> Answer {
    let row = find(drive, call)?;
    if row.flag("is_archived") {
        return Err(Problem::new(400, "lead is archived and cannot be changed"));
    }
    let (id, before) = (row.id, row.owner());
    let mut changes = check(drive, Kind::Lead, call.object()?, Some(row))?;
    drive.before_write(Kind::Lead, Some(id), &mut changes, call.by);
    let owned = changes.fields.contains_key("owner_id");
    drive.update(Kind::Lead, id, changes, call.by);
    drive.aftermath(Kind::Lead, id, owned.then_some(before), call.by);
    show(drive, 200, id)
}

/// `DELETE /v1/leads/{id}`.
pub(crate) fn delete(drive: &mut Drive, call: &Call<'_>) -> Answer {
    let id = find(drive, call)?.id;
    drive.delete(Kind::Lead, id, call.by);
    ok(&json!({"success": true, "data": {"id": call.id}}))
}
