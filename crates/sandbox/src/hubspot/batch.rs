//! Batch endpoints: read, create, update, upsert, archive, at most 100 inputs each.
//!
//! API-FACTS HubSpot: Batch read, Owner write. Which version reports partial failure how is decided in
//! `Version::partial_status`.

use std::collections::HashSet;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::call::{Call, Reply};
use super::change::{CreateInput, IdInput, change, commit, id_text, locate, prepare};
use super::errors::{ApiError, missing_rows, row_error};
use super::json::{Want, push_record};
use super::kinds::{CONTACTS, KINDS};
use super::state::Hub;
use crate::clock::{Millis, iso};

const MAX_INPUTS: usize = 100;
/// As for lists with history; for batch reads the unkind reading.
const MAX_WITH_HISTORY: usize = 50;

fn check_count(count: usize) -> Result<(), ApiError> {
    match count {
        0 => Err(ApiError::validation("inputs must not be empty")),
        1..=MAX_INPUTS => Ok(()),
        _ => Err(ApiError::validation(format!(
            "The maximum number of inputs supported in a batch request is {MAX_INPUTS}. The current number is {count}"
        ))),
    }
}

/// One row of a result list: id, and whether an upsert made it.
struct Row {
    id: u64,
    new: Option<bool>,
    trace: Option<String>,
}

impl Row {
    fn plain(id: u64) -> Self {
        Self { id, new: None, trace: None }
    }
}

fn answer(
    hub: &Hub,
    call: &Call<'_>,
    kind: usize,
    whole: u16,
    rows: &[Row],
    want: &Want,
    errors: &[Value],
) -> Reply {
    let table = &hub.tables[kind];
    let mut out = String::with_capacity(256 + rows.len() * 768);
    out.push_str("{\"status\":\"COMPLETE\",\"results\":[");
    for (at, row) in rows.iter().enumerate() {
        if at > 0 {
            out.push(',');
        }
        let Some(record) = table.records.get(&row.id) else { continue };
        push_record(&mut out, table, &hub.links, record, want);
        if let Some(new) = row.new {
            out.pop();
            out.push_str(if new { ",\"new\":true}" } else { ",\"new\":false}" });
        }
        if let Some(trace) = &row.trace {
            out.pop();
            out.push_str(&format!(",\"objectWriteTraceId\":{}}}", Value::from(trace.as_str())));
        }
    }
    let (started, completed) = times(call.stamp.at);
    out.push_str(&format!("],\"startedAt\":\"{started}\",\"completedAt\":\"{completed}\""));
    if !errors.is_empty() {
        let list = Value::from(errors.to_vec());
        out.push_str(&format!(",\"numErrors\":{},\"errors\":{list}", errors.len()));
    }
    out.push('}');
    let status = if errors.is_empty() { whole } else { call.version.partial_status(whole) };
    Reply::bytes(status, out.into_bytes())
}

fn times(at: Millis) -> (String, String) {
    (iso(at), iso(at + 3))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ReadBody {
    inputs: Vec<IdInput>,
    #[serde(default)]
    properties: Vec<String>,
    #[serde(default)]
    properties_with_history: Vec<String>,
    #[serde(default)]
    id_property: Option<String>,
}

/// `POST .../batch/read`: unknown ids are reported, associations cannot be had.
pub(crate) fn read(hub: &mut Hub, call: &Call<'_>, kind: usize) -> Result<Reply, ApiError> {
    call.need(KINDS[kind].read_scope)?;
    let body: ReadBody = call.json()?;
    check_count(body.inputs.len())?;
    if !body.properties_with_history.is_empty() && body.inputs.len() > MAX_WITH_HISTORY {
        return Err(ApiError::validation(format!(
            "The maximum number of inputs supported with propertiesWithHistory is {MAX_WITH_HISTORY}"
        )));
    }
    if body.properties == ["hubspot_owner_id"] && body.properties_with_history.is_empty() {
        hub.oracle.request("hubspot owner comparison");
    }
    let (mut rows, mut missing, mut seen) = (Vec::new(), Vec::new(), HashSet::new());
    for input in &body.inputs {
        let id = input.text();
        match locate(hub, kind, &id, body.id_property.as_deref())? {
            Some(found) if seen.insert(found) => rows.push(Row::plain(found)),
            Some(_) => {}
            None => missing.push(id),
        }
    }
    let table = &hub.tables[kind];
    let want = Want::named(table, &body.properties).with_history(table, &body.properties_with_history);
    let errors: Vec<Value> = if missing.is_empty() { Vec::new() } else { vec![missing_rows(&missing)] };
    Ok(answer(hub, call, kind, 200, &rows, &want, &errors))
}

#[derive(Deserialize)]
struct CreateBody {
    inputs: Vec<CreateInput>,
}

/// `POST .../batch/create`: all or nothing, unless every input has a trace id of its own.
pub(crate) fn create(hub: &mut Hub, call: &Call<'_>, kind: usize) -> Result<Reply, ApiError> {
    call.need(KINDS[kind].write_scope)?;
    let body: CreateBody = call.json()?;
    check_count(body.inputs.len())?;
    let traces: HashSet<&str> =
        body.inputs.iter().filter_map(|input| input.object_write_trace_id.as_deref()).collect();
    let partial = traces.len() == body.inputs.len();
    let (mut ready, mut errors, mut taken) = (Vec::new(), Vec::new(), HashSet::new());
    for input in body.inputs {
        let trace = input.object_write_trace_id.clone();
        let mut outcome = prepare(hub, kind, input, call.stamp);
        if let Ok(prepared) = &outcome
            && !prepared.unique_values(hub, kind).into_iter().all(|value| taken.insert(value))
        {
            outcome = Err(ApiError::validation("Duplicate values of a unique property found in batch input"));
        }
        if partial && outcome.is_ok() {
            outcome = unlucky_row(hub, call, kind).map_or(outcome, Err);
        }
        match outcome {
            Ok(prepared) => ready.push((prepared, trace)),
            Err(error) if partial && !error.whole => {
                errors.push(row_error(
                    &error,
                    &context("objectWriteTraceId", trace.as_deref().unwrap_or_default()),
                ));
            }
            Err(error) => return Err(error),
        }
    }
    let rows: Vec<Row> = ready
        .into_iter()
        .map(|(prepared, trace)| Row { id: commit(hub, kind, &prepared, call.stamp), new: None, trace })
        .collect();
    let want = Want::set_values(&hub.tables[kind]);
    Ok(answer(hub, call, kind, 201, &rows, &want, &errors))
}

fn context(key: &str, value: &str) -> Map<String, Value> {
    Map::from_iter([(key.to_owned(), json!([value]))])
}

/// The switch `partial_row`.
fn unlucky_row(hub: &mut Hub, call: &Call<'_>, kind: usize) -> Option<ApiError> {
    if !hub.faults.covers(&format!("{}/batch", KINDS[kind].plural)) {
        return None;
    }
    let rate = hub.faults.partial_row;
    let fires = hub.fires(rate, "partial_row", call.stamp.at, call.stamp.correlation);
    fires.then(|| ApiError::new(500, &hub.faults.partial_category, "internal error"))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct UpdateInput {
    id: Value,
    #[serde(default)]
    id_property: Option<String>,
    properties: Map<String, Value>,
    #[serde(default)]
    object_write_trace_id: Option<String>,
}

#[derive(Deserialize)]
struct UpdateBody {
    inputs: Vec<UpdateInput>,
}

fn check_distinct(inputs: &[UpdateInput]) -> Result<(), ApiError> {
    let mut seen = HashSet::new();
    let twice: Vec<String> = inputs
        .iter()
        .map(|input| id_text(&input.id).to_lowercase())
        .filter(|id| !seen.insert(id.clone()))
        .collect();
    if twice.is_empty() {
        return Ok(());
    }
    let list = twice.join(", ");
    Err(ApiError::validation(format!("Duplicate IDs found in batch input: [{list}]. IDs must be unique")))
}

/// `POST .../batch/update`: by id, or by a unique property other than e-mail.
pub(crate) fn update(hub: &mut Hub, call: &Call<'_>, kind: usize) -> Result<Reply, ApiError> {
    call.need(KINDS[kind].write_scope)?;
    let body: UpdateBody = call.json()?;
    check_count(body.inputs.len())?;
    check_distinct(&body.inputs)?;
    for input in &body.inputs {
        check_update_key(hub, kind, input.id_property.as_deref())?;
        precheck(hub, kind, input)?;
    }
    let (mut rows, mut missing, mut errors) = (Vec::new(), Vec::new(), Vec::new());
    for mut input in body.inputs {
        let id = id_text(&input.id);
        let Some(found) = locate(hub, kind, &id, input.id_property.as_deref())? else {
            missing.push(id);
            continue;
        };
        let outcome = match unlucky_row(hub, call, kind) {
            Some(error) => Err(error),
            None => change(hub, kind, found, &mut input.properties, call.stamp),
        };
        match outcome {
            Ok(()) => {
                let rate = hub.faults.missing_row;
                if !hub.fires(rate, "missing_row", call.stamp.at, call.stamp.correlation) {
                    rows.push(Row { id: found, new: None, trace: input.object_write_trace_id });
                }
            }
            Err(error) => errors.push(row_error(&error, &context("ids", &id))),
        }
    }
    if !missing.is_empty() {
        errors.push(missing_rows(&missing));
    }
    let want = Want::set_values(&hub.tables[kind]);
    Ok(answer(hub, call, kind, 200, &rows, &want, &errors))
}

fn check_update_key(hub: &Hub, kind: usize, by: Option<&str>) -> Result<(), ApiError> {
    let Some(name) = by else { return Ok(()) };
    let registry = &hub.tables[kind].registry;
    let unique = registry.find(name).is_some_and(|prop| registry.get(prop).unique);
    if unique {
        return Ok(());
    }
    let message =
        format!("Unable to perform update/upsert by non-unique {} property {name}", KINDS[kind].type_id);
    Err(ApiError::validation(message))
}

/// Mistakes that fail the whole batch before anything is written: unknown properties always, bad values
/// if the switch `batch_fails_whole` says so (field reports differ, HubSpot/hubspot-api-python#51).
fn precheck(hub: &Hub, kind: usize, input: &UpdateInput) -> Result<(), ApiError> {
    match super::validate::check(hub, kind, &input.properties, None) {
        Err(error) if error.whole || hub.faults.batch_fails_whole => Err(error),
        _ => Ok(()),
    }
}

/// `POST .../batch/upsert`: `idProperty` in every input; by e-mail nothing is written unless all rows are good.
pub(crate) fn upsert(hub: &mut Hub, call: &Call<'_>, kind: usize) -> Result<Reply, ApiError> {
    call.need(KINDS[kind].write_scope)?;
    let body: UpdateBody = call.json()?;
    check_count(body.inputs.len())?;
    check_distinct(&body.inputs)?;
    let mut by_email = false;
    for input in &body.inputs {
        let name = input.id_property.as_deref();
        let name = name.ok_or_else(|| ApiError::validation("idProperty is required for every input"))?;
        if kind == CONTACTS && name == "email" {
            by_email = true;
        } else {
            check_update_key(hub, kind, Some(name))?;
        }
        precheck(hub, kind, input)?;
    }
    if by_email {
        for input in &body.inputs {
            dry_upsert(hub, call, kind, input)?;
        }
    }
    let (mut rows, mut errors) = (Vec::new(), Vec::new());
    for input in body.inputs {
        let (id, trace) = (id_text(&input.id), input.object_write_trace_id.clone());
        let outcome = match unlucky_row(hub, call, kind).filter(|_| !by_email) {
            Some(error) => Err(error),
            None => upsert_one(hub, call, kind, input),
        };
        match outcome {
            Ok((id, new)) => rows.push(Row { id, new: Some(new), trace }),
            Err(error) if by_email => return Err(error),
            Err(error) => errors.push(row_error(&error, &context("ids", &id))),
        }
    }
    let want = Want::set_values(&hub.tables[kind]);
    Ok(answer(hub, call, kind, 200, &rows, &want, &errors))
}

fn with_key(input: &UpdateInput) -> Map<String, Value> {
    let mut properties = input.properties.clone();
    if let Some(name) = &input.id_property {
        properties.entry(name.clone()).or_insert_with(|| Value::from(id_text(&input.id)));
    }
    properties
}

/// Checks one row of an upsert by e-mail without writing.
fn dry_upsert(hub: &Hub, call: &Call<'_>, kind: usize, input: &UpdateInput) -> Result<(), ApiError> {
    let _ = call;
    let found = locate(hub, kind, &id_text(&input.id), input.id_property.as_deref())?;
    let properties = with_key(input);
    let existing = found.and_then(|id| hub.tables[kind].living(id));
    let values = super::validate::check(hub, kind, &properties, existing)?;
    super::validate::check_unique(hub, kind, &values, found)
}

fn upsert_one(
    hub: &mut Hub,
    call: &Call<'_>,
    kind: usize,
    mut input: UpdateInput,
) -> Result<(u64, bool), ApiError> {
    let found = locate(hub, kind, &id_text(&input.id), input.id_property.as_deref())?;
    if let Some(found) = found {
        change(hub, kind, found, &mut input.properties, call.stamp)?;
        return Ok((found, false));
    }
    let properties = with_key(&input);
    let create = CreateInput { properties, associations: None, object_write_trace_id: None };
    let prepared = prepare(hub, kind, create, call.stamp)?;
    Ok((commit(hub, kind, &prepared, call.stamp), true))
}

#[derive(Deserialize)]
struct ArchiveBody {
    inputs: Vec<IdInput>,
}

/// `POST .../batch/archive`.
pub(crate) fn archive(hub: &mut Hub, call: &Call<'_>, kind: usize) -> Result<Reply, ApiError> {
    call.need(KINDS[kind].write_scope)?;
    let body: ArchiveBody = call.json()?;
    check_count(body.inputs.len())?;
    for input in &body.inputs {
        if let Some(found) = locate(hub, kind, &input.text(), None)? {
            hub.archive(kind, found, call.stamp);
        }
    }
    Ok(Reply::empty(204))
}
