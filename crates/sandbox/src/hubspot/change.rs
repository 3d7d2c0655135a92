//! Creating and changing one record on behalf of an API client: checks first, then the write.

use serde::Deserialize;
use serde_json::{Map, Value};

use super::call::Call;
use super::errors::ApiError;
use super::kinds::{CONTACTS, DEALS, KINDS, LEADS, LinkType, link_type};
use super::later::Later;
use super::pipelines;
use super::state::{Hub, Stamp};
use super::validate::{check, check_required, check_unique};
use super::write::{Given, Values};
use crate::oracle::Actor;

/// A create as sent, alone or in a batch.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CreateInput {
    #[serde(default)]
    pub(crate) properties: Map<String, Value>,
    #[serde(default)]
    pub(crate) associations: Option<Vec<LinkInput>>,
    #[serde(default)]
    pub(crate) object_write_trace_id: Option<String>,
}

/// An association inside a create.
#[derive(Debug, Deserialize)]
pub(crate) struct LinkInput {
    to: IdInput,
    types: Vec<TypeInput>,
}

/// `{"id": "1"}`, where clients also send numbers.
#[derive(Debug, Deserialize)]
pub(crate) struct IdInput {
    pub(crate) id: Value,
}

/// One association type as sent.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TypeInput {
    pub(crate) association_category: String,
    pub(crate) association_type_id: u32,
}

impl IdInput {
    pub(crate) fn text(&self) -> String {
        id_text(&self.id)
    }
}

pub(crate) fn id_text(id: &Value) -> String {
    match id {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// A create that has passed every check.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) values: Values,
    links: Vec<(LinkType, u64)>,
}

impl Prepared {
    /// The values that must be unique, folded, to find clashes within one batch.
    pub(crate) fn unique_values(&self, hub: &Hub, kind: usize) -> Vec<String> {
        let registry = &hub.tables[kind].registry;
        self.values
            .iter()
            .filter(|(prop, _)| {
                let definition = registry.get(*prop);
                definition.unique || (kind == CONTACTS && definition.name == "email")
            })
            .filter_map(|(prop, value)| Some(format!("{prop}:{}", super::table::fold(value.as_deref()?))))
            .collect()
    }
}

/// The faults that alter a write's properties before they are looked at.
fn silently_dropped(hub: &mut Hub, input: &mut Map<String, Value>, stamp: Stamp) {
    let rate = hub.faults.drop_owner;
    if input.contains_key("hubspot_owner_id") && hub.fires(rate, "drop_owner", stamp.at, stamp.correlation) {
        input.remove("hubspot_owner_id");
    }
}

/// Checks a create; nothing is written.
pub(crate) fn prepare(
    hub: &mut Hub,
    kind: usize,
    mut input: CreateInput,
    stamp: Stamp,
) -> Result<Prepared, ApiError> {
    silently_dropped(hub, &mut input.properties, stamp);
    check_required(kind, &input.properties)?;
    pipelines::begin(kind, &mut input.properties)?;
    let mut values = check(hub, kind, &input.properties, None)?;
    pipelines::follow_stage(&hub.tables[kind].registry, &mut values);
    somebody_was_first(hub, kind, &values, stamp);
    check_unique(hub, kind, &values, None)?;
    let mut links = Vec::new();
    for wanted in input.associations.iter().flatten() {
        for one in &wanted.types {
            links.push(check_link(hub, kind, &wanted.to.text(), one)?);
        }
    }
    if kind == LEADS && !links.iter().any(|(link, _)| link.to == CONTACTS) {
        return Err(ApiError::validation("A lead must be associated with a contact."));
    }
    Ok(Prepared { values, links })
}

/// Inline associations may point only at existing records (API-FACTS HubSpot: Create).
fn check_link(hub: &Hub, kind: usize, id: &str, wanted: &TypeInput) -> Result<(LinkType, u64), ApiError> {
    let link = link_type(kind, wanted.association_type_id)
        .filter(|_| wanted.association_category == "HUBSPOT_DEFINED")
        .ok_or_else(|| {
            let what = (wanted.association_category.as_str(), wanted.association_type_id);
            ApiError::validation(format!("Association type {}-{} is not valid here", what.0, what.1))
        })?;
    let number: Option<u64> = id.parse().ok();
    match number.and_then(|id| hub.tables[link.to].living(id)) {
        Some(record) => Ok((link, record.id)),
        None => {
            let object = KINDS[link.to].singular.to_uppercase();
            Err(ApiError::validation(format!(
                "One or more associations are invalid: {object} {id} does not exist"
            )))
        }
    }
}

/// The switch `conflict`: a form creates the same contact a moment earlier.
fn somebody_was_first(hub: &mut Hub, kind: usize, values: &Values, stamp: Stamp) {
    let Some(email) = hub.tables[kind].registry.find("email").filter(|_| kind == CONTACTS) else { return };
    let has_email = values.iter().any(|(prop, value)| *prop == email && value.is_some());
    if !has_email || check_unique(hub, kind, values, None).is_err() {
        return;
    }
    let rate = hub.faults.conflict;
    if hub.fires(rate, "conflict", stamp.at, stamp.correlation) {
        let owner = hub.tables[kind].registry.owner;
        let values: Values = values.iter().filter(|(prop, _)| *prop != owner).cloned().collect();
        hub.create(kind, &values, Stamp { actor: Actor::Form, ..stamp }, Given::default());
    }
}

/// Writes a prepared create and returns its id.
pub(crate) fn commit(hub: &mut Hub, kind: usize, prepared: &Prepared, stamp: Stamp) -> u64 {
    let id = hub.create(kind, &prepared.values, stamp, Given::default());
    for (link, to) in &prepared.links {
        hub.associate((kind, id), (link.to, *to), *link, stamp);
    }
    let owner = hub.tables[kind].registry.owner;
    let owned = prepared.values.iter().any(|(prop, _)| *prop == owner);
    aftermath(hub, kind, id, owned.then_some(0), stamp);
    if kind == CONTACTS {
        let rate = hub.faults.auto_company;
        if hub.fires(rate, "auto_company", stamp.at, stamp.correlation) {
            let due = hub.after(stamp.at, hub.faults.aftermath_ms);
            hub.schedule(due, Later::Company { contact: id });
        }
    }
    id
}

/// Changes a living record.
pub(crate) fn change(
    hub: &mut Hub,
    kind: usize,
    id: u64,
    input: &mut Map<String, Value>,
    stamp: Stamp,
) -> Result<(), ApiError> {
    silently_dropped(hub, input, stamp);
    let record = hub.tables[kind].living(id).ok_or_else(|| ApiError::not_found(&id.to_string()))?;
    let id = record.id;
    let before = record.owner(&hub.tables[kind].registry);
    let mut values = check(hub, kind, input, Some(record))?;
    pipelines::follow_stage(&hub.tables[kind].registry, &mut values);
    check_unique(hub, kind, &values, Some(id))?;
    let owner = hub.tables[kind].registry.owner;
    let owned = values.iter().any(|(prop, _)| *prop == owner);
    if owned && is_worked_on(kind) {
        human_first(hub, kind, id, stamp);
    }
    hub.update(kind, id, &values, stamp);
    aftermath(hub, kind, id, owned.then_some(before), stamp);
    Ok(())
}

/// The switch `human_first`: a person chooses an owner while the client's write is on its way.
fn human_first(hub: &mut Hub, kind: usize, id: u64, stamp: Stamp) {
    let rate = hub.faults.human_first;
    if hub.fires(rate, "human_first", stamp.at, stamp.correlation) {
        hub.other_owner(kind, id, Stamp { actor: Actor::Human, ..stamp });
    }
}

/// Whether people change the owners of such records by hand.
fn is_worked_on(kind: usize) -> bool {
    [CONTACTS, DEALS, LEADS].contains(&kind)
}

/// What people and workflows do to a record that a client has just written.
fn aftermath(hub: &mut Hub, kind: usize, id: u64, owner_before: Option<u64>, stamp: Stamp) {
    if !is_worked_on(kind) || !matches!(stamp.actor, Actor::Api(_)) {
        return;
    }
    let faults = &hub.faults;
    let mut happenings = vec![(faults.archive, "archive", Later::Archive { kind, id })];
    if kind == CONTACTS {
        happenings.push((faults.merge, "merge", Later::Merge { kind, id }));
    }
    if let Some(owner) = owner_before {
        happenings.push((faults.human_edit, "human_edit", Later::HumanOwner { kind, id }));
        happenings.push((faults.peer_automation, "peer_automation", Later::OwnerBack { kind, id, owner }));
    }
    for (rate, name, what) in happenings {
        if hub.fires(rate, name, stamp.at, stamp.correlation) {
            let due = hub.after(stamp.at, hub.faults.aftermath_ms);
            hub.schedule(due, what);
        }
    }
}

/// The living record that an id, or a value of a unique property, names.
pub(crate) fn locate(hub: &Hub, kind: usize, id: &str, by: Option<&str>) -> Result<Option<u64>, ApiError> {
    let table = &hub.tables[kind];
    match by {
        None | Some("hs_object_id") => {
            Ok(id.parse().ok().and_then(|id| table.living(id)).map(|record| record.id))
        }
        Some(name) => {
            let prop = table.registry.find(name);
            let email = kind == CONTACTS && name == "email";
            match prop.filter(|prop| email || table.registry.get(*prop).unique) {
                Some(prop) => Ok(table.unique(prop, id)),
                None => Err(ApiError::validation(format!("The property {name} is not a unique property"))),
            }
        }
    }
}

/// [`locate`] for a path with its `idProperty`.
pub(crate) fn locate_path(hub: &Hub, kind: usize, id: &str, call: &Call<'_>) -> Result<u64, ApiError> {
    locate(hub, kind, id, call.query("idProperty"))?.ok_or_else(|| ApiError::not_found(id))
}
