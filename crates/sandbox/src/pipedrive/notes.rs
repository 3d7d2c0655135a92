//! Notes, v1 only: a list by offset, and their creation (v1 document: getNotes, addNote).

use serde_json::{Map, Value, json};

use super::call::{Answer, Call, ok};
use super::change::Given;
use super::errors::Problem;
use super::kinds::Kind;
use super::leads::{order, pagination, sorted};
use super::row::Row;
use super::shape::check;
use super::state::Drive;
use super::users::old_time;

/// The fields that notes can be sorted by (v1 document, getNotes).
const SORTABLE: [&str; 8] =
    ["id", "user_id", "deal_id", "person_id", "org_id", "content", "add_time", "update_time"];

/// `GET /v1/notes`.
pub(crate) fn list(drive: &mut Drive, call: &Call<'_>) -> Answer {
    let order = order(call, &SORTABLE)?;
    let since = call.query_time("updated_since")?;
    let mut equal = Vec::new();
    for name in ["deal_id", "person_id", "org_id"] {
        equal.extend(call.query_number::<u64>(name)?.map(|id| (name, id)));
    }
    if let Some(user) = call.query_number::<u64>("user_id")? {
        equal.push(("owner_id", user));
    }
    let rows = drive
        .table(Kind::Note)
        .all_living()
        .filter(|row| since.is_none_or(|since| row.updated >= since))
        .filter(|row| equal.iter().all(|(name, id)| row.number(name) == Some(*id)))
        .filter(|row| call.query("lead_id").is_none_or(|lead| row.text("lead_id") == Some(lead)));
    let (page, additional) = pagination(call, sorted(rows.collect(), &order))?;
    let mut data: Vec<Value> = page.into_iter().map(|row| note(drive, row, call.by.user)).collect();
    drive.untidy(call, &mut data);
    ok(&json!({"success": true, "data": data, "additional_data": additional}))
}

/// `POST /v1/notes`: 200. Its author is the token's user; that an admin may name another is left out.
pub(crate) fn create(drive: &mut Drive, call: &Call<'_>) -> Answer {
    let changes = check(drive, Kind::Note, call.object()?, None)?;
    let id = drive.create(Kind::Note, changes, call.by, Given::default());
    let row = drive.living(Kind::Note, id).ok_or_else(|| Problem::not_found("note"))?;
    ok(&json!({"success": true, "data": note(drive, row, call.by.user)}))
}

/// A note with the names of what it is attached to.
pub(crate) fn note(drive: &Drive, row: &Row, reader: u64) -> Value {
    let named = |kind: Kind, id: Option<u64>, name: &str| {
        let own = id.and_then(|id| drive.living(kind, id)).and_then(|row| row.text(name));
        own.map_or(Value::Null, |text| json!({ name: text }))
    };
    let user = drive.users.get(&row.owner());
    let of = |read: fn(&super::users::PipedriveUser) -> &str| user.map(read);
    let mut out = Map::new();
    let mut set = |name: &str, value: Value| out.insert(name.to_owned(), value);
    set("id", row.id.into());
    set("active_flag", row.lives().into());
    set("add_time", old_time(row.added).into());
    set("update_time", old_time(row.updated).into());
    set("user_id", row.owner().into());
    set("last_update_user_id", row.owner().into());
    for name in ["content", "lead_id", "deal_id", "person_id", "org_id", "project_id", "task_id"] {
        set(name, row.fields.get(name).cloned().unwrap_or_default());
    }
    set("deal", named(Kind::Deal, row.number("deal_id"), "title"));
    set("person", named(Kind::Person, row.number("person_id"), "name"));
    set("organization", named(Kind::Organization, row.number("org_id"), "name"));
    set("project", Value::Null);
    set("task", Value::Null);
    set(
        "user",
        json!({"email": of(|user| &user.email), "name": of(|user| &user.name), "icon_url": null,
        "is_you": row.owner() == reader}),
    );
    for name in ["deal", "organization", "person", "project", "task"] {
        set(&format!("pinned_to_{name}_flag"), false.into());
    }
    out.into()
}

/// What a note is attached to must be named.
pub(crate) fn is_attached(given: &Map<String, Value>) -> bool {
    ["lead_id", "deal_id", "person_id", "org_id"]
        .iter()
        .any(|name| given.get(*name).is_some_and(|value| !value.is_null()))
}
