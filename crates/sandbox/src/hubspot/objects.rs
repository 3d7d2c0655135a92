//! Endpoints of single records: list, read, create, change, archive, merge.

use serde::Deserialize;
use serde_json::{Map, Value};

use super::call::{Call, Reply, page_size};
use super::change::{CreateInput, change, commit, id_text, locate_path, prepare};
use super::errors::ApiError;
use super::json::{Want, push_record};
use super::kinds::{self, KINDS};
use super::state::Hub;
use super::table::{id_key, id_of};

fn want(hub: &Hub, kind: usize, call: &Call<'_>) -> Result<Want, ApiError> {
    let mut links = Vec::new();
    for name in call.query_list("associations") {
        let to = kinds::find(&name)
            .ok_or_else(|| ApiError::validation(format!("Invalid object or event type: {name}")))?;
        links.push(to);
    }
    let table = &hub.tables[kind];
    let history = call.query_list("propertiesWithHistory");
    Ok(Want::named(table, &call.query_list("properties")).with_history(table, &history).with_links(links))
}

/// The answer that shows one record as it is now.
pub(crate) fn show(hub: &Hub, status: u16, kind: usize, id: u64, want: &Want) -> Result<Reply, ApiError> {
    let table = &hub.tables[kind];
    let record = table.records.get(&id).ok_or_else(|| ApiError::not_found(&id.to_string()))?;
    let mut out = String::with_capacity(1_024);
    push_record(&mut out, table, &hub.links, record, want);
    Ok(Reply::bytes(status, out.into_bytes()))
}

/// `GET .../{object}`: no filter, no sort, no cap (API-FACTS HubSpot: List).
pub(crate) fn list(hub: &Hub, call: &Call<'_>, kind: usize) -> Result<Reply, ApiError> {
    call.need(KINDS[kind].read_scope)?;
    let limit = page_size(call, 10, 100)?;
    if !call.query_list("propertiesWithHistory").is_empty() && limit > 50 {
        return Err(ApiError::validation("limit must be at most 50 when propertiesWithHistory is given"));
    }
    let want = want(hub, kind, call)?;
    let table = &hub.tables[kind];
    let keys = if call.flag("archived") { &table.binned } else { &table.live };
    let start = match call.query("after").filter(|text| !text.is_empty()) {
        None => 0,
        Some(text) => {
            let after: u64 =
                text.parse().map_err(|_| ApiError::validation(format!("Invalid paging cursor: {text}")))?;
            keys.rank((id_key(after).0, 0))
        }
    };
    let ids: Vec<u64> = keys.slice(start..start + limit + 1).map(id_of).collect();
    let mut out = String::with_capacity(64 + limit * 512);
    out.push_str("{\"results\":[");
    for (at, record) in ids.iter().take(limit).filter_map(|id| table.records.get(id)).enumerate() {
        if at > 0 {
            out.push(',');
        }
        push_record(&mut out, table, &hub.links, record, &want);
    }
    out.push(']');
    if let Some(next) = ids.get(limit) {
        out.push_str(&format!(
            ",\"paging\":{{\"next\":{{\"after\":\"{next}\",\"link\":\"?limit={limit}&after={next}\"}}}}"
        ));
    }
    out.push('}');
    Ok(Reply::bytes(200, out.into_bytes()))
}

/// `GET .../{object}/{id}`: by id or by a unique property, never through the search index.
pub(crate) fn read(hub: &Hub, call: &Call<'_>, kind: usize, id: &str) -> Result<Reply, ApiError> {
    call.need(KINDS[kind].read_scope)?;
    let want = want(hub, kind, call)?;
    if call.flag("archived") {
        let number: u64 = id.parse().map_err(|_| ApiError::not_found(id))?;
        let binned = hub.tables[kind].records.get(&number).filter(|record| !record.lives());
        let found = binned.ok_or_else(|| ApiError::not_found(id))?.id;
        return show(hub, 200, kind, found, &want);
    }
    let found = locate_path(hub, kind, id, call)?;
    show(hub, 200, kind, found, &want)
}

/// `POST .../{object}`.
pub(crate) fn create(hub: &mut Hub, call: &Call<'_>, kind: usize) -> Result<Reply, ApiError> {
    call.need(KINDS[kind].write_scope)?;
    let input: CreateInput = call.json()?;
    let prepared = prepare(hub, kind, input, call.stamp)?;
    let id = commit(hub, kind, &prepared, call.stamp);
    show(hub, 201, kind, id, &Want::set_values(&hub.tables[kind]))
}

#[derive(Deserialize)]
struct Changes {
    properties: Map<String, Value>,
}

/// `PATCH .../{object}/{id}`, also with `?idProperty=`.
pub(crate) fn patch(hub: &mut Hub, call: &Call<'_>, kind: usize, id: &str) -> Result<Reply, ApiError> {
    call.need(KINDS[kind].write_scope)?;
    let mut input: Changes = call.json()?;
    let found = locate_path(hub, kind, id, call)?;
    let names: Vec<String> = input.properties.keys().cloned().collect();
    change(hub, kind, found, &mut input.properties, call.stamp)?;
    let want = Want::named(&hub.tables[kind], &names);
    show(hub, 200, kind, found, &want)
}

/// `DELETE .../{object}/{id}`: 204 even for an id that does not exist (n8n-io/n8n#3219).
pub(crate) fn archive(hub: &mut Hub, call: &Call<'_>, kind: usize, id: &str) -> Result<Reply, ApiError> {
    call.need(KINDS[kind].write_scope)?;
    if let Some(found) = super::change::locate(hub, kind, id, None)? {
        hub.archive(kind, found, call.stamp);
    }
    Ok(Reply::empty(204))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct MergeInput {
    primary_object_id: Value,
    object_id_to_merge: Value,
}

/// `POST .../{object}/merge` (HubSpot docs: Merge two contacts).
pub(crate) fn merge(hub: &mut Hub, call: &Call<'_>, kind: usize) -> Result<Reply, ApiError> {
    call.need(KINDS[kind].write_scope)?;
    let input: MergeInput = call.json()?;
    let number = |id: &Value| {
        let text = id_text(id);
        text.parse::<u64>().map_err(|_| ApiError::not_found(&text))
    };
    let (primary, other) = (number(&input.primary_object_id)?, number(&input.object_id_to_merge)?);
    for id in [primary, other] {
        if hub.tables[kind].living(id).is_none() {
            return Err(ApiError::not_found(&id.to_string()));
        }
    }
    let merged = hub
        .merge(kind, primary, other, call.stamp)
        .ok_or_else(|| ApiError::validation("A record cannot be merged with itself"))?;
    show(hub, 200, kind, merged, &Want::set_values(&hub.tables[kind]))
}
