//! Association endpoints, v4 and dated (API-FACTS HubSpot: Association type ids).

use serde::Deserialize;
use serde_json::{Value, json};

use super::call::{Call, Reply, Version};
use super::change::{IdInput, TypeInput, id_text};
use super::errors::ApiError;
use super::kinds::{KINDS, LinkType, link_type, link_types};
use super::links::Node;
use super::state::Hub;
use crate::clock::iso;

/// Reads take up to 1,000 inputs, creates up to 2,000.
const MAX_READ: usize = 1_000;
const MAX_CREATE: usize = 2_000;

#[derive(Deserialize)]
struct Batch<T> {
    inputs: Vec<T>,
}

#[derive(Deserialize)]
struct Pair {
    from: IdInput,
    to: IdInput,
    #[serde(default)]
    types: Vec<TypeInput>,
}

#[derive(Deserialize)]
struct Removal {
    from: IdInput,
    to: Vec<IdInput>,
}

fn check_count(count: usize, most: usize) -> Result<(), ApiError> {
    if (1..=most).contains(&count) {
        return Ok(());
    }
    Err(ApiError::validation(format!("The number of inputs must be between 1 and {most}, got {count}")))
}

fn living(hub: &Hub, kind: usize, id: &str) -> Option<Node> {
    let record = hub.tables[kind].living(id.parse().ok()?)?;
    Some((kind, record.id))
}

fn existing(hub: &Hub, kind: usize, id: &str) -> Result<Node, ApiError> {
    living(hub, kind, id).ok_or_else(|| {
        ApiError::new(
            404,
            "OBJECT_NOT_FOUND",
            format!("{} {id} does not exist", KINDS[kind].singular.to_uppercase()),
        )
        .with("context", json!({"ids": [id]}))
    })
}

fn need(call: &Call<'_>, from: usize, to: usize, write: bool) -> Result<(), ApiError> {
    for kind in [&KINDS[from], &KINDS[to]] {
        call.need(if write { kind.write_scope } else { kind.read_scope })?;
    }
    Ok(())
}

/// The rows of one record: each other end once, with all its types.
fn rows(hub: &Hub, from: Node, to: usize) -> Vec<Value> {
    let links = hub.links.of(from, to);
    hub.links
        .ids(from, to)
        .into_iter()
        .map(|id| {
            let types: Vec<Value> = links
                .iter()
                .filter(|link| link.to == id)
                .map(|link| {
                    let label = link_type(from.0, link.type_id).and_then(|types| types.label);
                    json!({"category": "HUBSPOT_DEFINED", "typeId": link.type_id, "label": label})
                })
                .collect();
            // Numbers here, digit strings elsewhere (API-FACTS: Cross-vendor traps, id types).
            json!({"toObjectId": id, "associationTypes": types})
        })
        .collect()
}

fn complete(call: &Call<'_>, status: u16, results: &[Value], errors: &[Value]) -> Reply {
    let mut body = json!({"status": "COMPLETE", "results": results,
        "startedAt": iso(call.stamp.at), "completedAt": iso(call.stamp.at + 2)});
    if errors.is_empty() {
        return Reply::json(status, &body);
    }
    body["numErrors"] = errors.len().into();
    body["errors"] = errors.into();
    Reply::json(call.version.partial_status(status), &body)
}

/// `POST .../{from}/{to}/batch/read`; a record without associations is an error row of its own.
pub(crate) fn read(hub: &Hub, call: &Call<'_>, from: usize, to: usize) -> Result<Reply, ApiError> {
    need(call, from, to, false)?;
    let body: Batch<IdInput> = call.json()?;
    check_count(body.inputs.len(), MAX_READ)?;
    let (mut results, mut errors) = (Vec::new(), Vec::new());
    for input in &body.inputs {
        let id = input.text();
        let found = living(hub, from, &id).map(|node| rows(hub, node, to)).unwrap_or_default();
        if found.is_empty() {
            let (what, owner) = (KINDS[to].singular, KINDS[from].singular);
            errors.push(json!({
                "status": "error",
                "category": "OBJECT_NOT_FOUND",
                "subCategory": "crm.associations.NO_ASSOCIATIONS_FOUND",
                "message": format!("No {what} is associated with {owner} {id}."),
                "context": {"fromObjectId": [id], "fromObjectType": [owner], "toObjectType": [what]},
            }));
        } else {
            results.push(json!({"from": {"id": id}, "to": found}));
        }
    }
    Ok(complete(call, 200, &results, &errors))
}

fn wanted_types(from: usize, to: usize, types: &[TypeInput]) -> Result<Vec<LinkType>, ApiError> {
    if types.is_empty() {
        return Err(ApiError::validation("types must not be empty"));
    }
    types
        .iter()
        .map(|wanted| {
            link_type(from, wanted.association_type_id)
                .filter(|link| link.to == to && wanted.association_category == "HUBSPOT_DEFINED")
                .ok_or_else(|| {
                    let pair = (KINDS[from].singular, KINDS[to].singular);
                    let id = wanted.association_type_id;
                    ApiError::validation(format!(
                        "Association type {id} is not valid from {} to {}",
                        pair.0, pair.1
                    ))
                })
        })
        .collect()
}

fn default_type(from: usize, to: usize) -> Result<LinkType, ApiError> {
    link_types(from, to).first().copied().ok_or_else(|| {
        let pair = (KINDS[from].singular, KINDS[to].singular);
        ApiError::validation(format!("No default association type from {} to {}", pair.0, pair.1))
    })
}

fn made(from: Node, to: Node, types: &[LinkType]) -> Value {
    let labels: Vec<&str> = types.iter().filter_map(|link| link.label).collect();
    json!({"fromObjectTypeId": KINDS[from.0].type_id, "fromObjectId": from.1,
        "toObjectTypeId": KINDS[to.0].type_id, "toObjectId": to.1, "labels": labels})
}

/// A row of a default association: both ends and the type (HubSpot docs, "Create default associations", 2026-03);
/// a labelled one answers in another shape, [`made`].
fn made_default(from: Node, to: Node, link: LinkType) -> Value {
    json!({"from": {"id": from.1.to_string()}, "to": {"id": to.1.to_string()},
        "associationSpec": {"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": link.id}})
}

/// `POST .../batch/create` with types, and `.../batch/associate/default` without.
pub(crate) fn create(
    hub: &mut Hub,
    call: &Call<'_>,
    from: usize,
    to: usize,
    default: bool,
) -> Result<Reply, ApiError> {
    need(call, from, to, true)?;
    let body: Batch<Pair> = call.json()?;
    check_count(body.inputs.len(), MAX_CREATE)?;
    let (mut results, mut errors) = (Vec::new(), Vec::new());
    for input in &body.inputs {
        let types =
            if default { vec![default_type(from, to)?] } else { wanted_types(from, to, &input.types)? };
        let (a, b) = (id_text(&input.from.id), id_text(&input.to.id));
        let ends = existing(hub, from, &a).and_then(|a| Ok((a, existing(hub, to, &b)?)));
        match ends {
            Ok((a, b)) => {
                for link in &types {
                    hub.associate(a, b, *link, call.stamp);
                }
                results.push(match types.first() {
                    Some(link) if default => made_default(a, b, *link),
                    _ => made(a, b, &types),
                });
            }
            Err(error) => {
                let context = json!({"fromObjectId": [a], "toObjectId": [b]});
                errors.push(
                    json!({"status": "error", "category": error.category(), "message": error.message(),
                    "context": context}),
                );
            }
        }
    }
    // v4 answers 201, the dated paths 200 (API-FACTS HubSpot: associations).
    let status = if call.version == Version::V4 && !default { 201 } else { 200 };
    Ok(complete(call, status, &results, &errors))
}

/// `POST .../batch/archive`.
pub(crate) fn archive(hub: &mut Hub, call: &Call<'_>, from: usize, to: usize) -> Result<Reply, ApiError> {
    need(call, from, to, true)?;
    let body: Batch<Removal> = call.json()?;
    check_count(body.inputs.len(), MAX_CREATE)?;
    for input in &body.inputs {
        for end in &input.to {
            let ends = living(hub, from, &input.from.text()).zip(living(hub, to, &end.text()));
            if let Some((a, b)) = ends {
                hub.dissociate(a, b, call.stamp);
            }
        }
    }
    Ok(Reply::empty(204))
}

/// `GET .../{from}/{id}/associations/{to}`.
pub(crate) fn list(hub: &Hub, call: &Call<'_>, from: usize, id: &str, to: usize) -> Result<Reply, ApiError> {
    need(call, from, to, false)?;
    let limit = super::call::page_size(call, 500, 500)?;
    let node = existing(hub, from, id)?;
    let start: usize = call.query("after").and_then(|text| text.parse().ok()).unwrap_or(0);
    let all = rows(hub, node, to);
    let page: Vec<&Value> = all.iter().skip(start).take(limit).collect();
    let next = start + page.len();
    let mut body = json!({"results": page});
    if next < all.len() {
        body["paging"] = json!({"next": {"after": next.to_string(), "link": format!("?after={next}")}});
    }
    Ok(Reply::json(200, &body))
}

/// `PUT .../{from}/{id}/associations/default/{to}/{toId}` (200), or with types in the body (201).
pub(crate) fn put(
    hub: &mut Hub,
    call: &Call<'_>,
    from: (usize, &str),
    to: (usize, &str),
    default: bool,
) -> Result<Reply, ApiError> {
    need(call, from.0, to.0, true)?;
    let types = if default {
        vec![default_type(from.0, to.0)?]
    } else {
        wanted_types(from.0, to.0, &call.json::<Vec<TypeInput>>()?)?
    };
    let (a, b) = (existing(hub, from.0, from.1)?, existing(hub, to.0, to.1)?);
    for link in &types {
        hub.associate(a, b, *link, call.stamp);
    }
    match types.first() {
        Some(link) if default => Ok(complete(call, 200, &[made_default(a, b, *link)], &[])),
        _ => Ok(Reply::json(201, &made(a, b, &types))),
    }
}

/// `DELETE .../{from}/{id}/associations/{to}/{toId}`.
pub(crate) fn delete(
    hub: &mut Hub,
    call: &Call<'_>,
    from: (usize, &str),
    to: (usize, &str),
) -> Result<Reply, ApiError> {
    need(call, from.0, to.0, true)?;
    if let Some((a, b)) = living(hub, from.0, from.1).zip(living(hub, to.0, to.1)) {
        hub.dissociate(a, b, call.stamp);
    }
    Ok(Reply::empty(204))
}
