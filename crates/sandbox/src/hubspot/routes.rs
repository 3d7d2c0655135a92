//! Paths to endpoints: dated, v3 and v4 forms of the same thing.

use super::call::{Call, Reply, Version};
use super::errors::ApiError;
use super::state::Hub;
use super::{associations, batch, kinds, objects, owners, properties, search};

/// What a path asks for, before the method is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Route<'a> {
    pub(crate) version: Version,
    pub(crate) area: Area,
    pub(crate) rest: &'a [&'a str],
}

/// The API that a path belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Area {
    Objects,
    Associations,
    Owners,
    Properties,
}

impl Area {
    fn find(name: &str) -> Option<Self> {
        match name {
            "objects" => Some(Self::Objects),
            "associations" => Some(Self::Associations),
            "owners" => Some(Self::Owners),
            "properties" => Some(Self::Properties),
            _ => None,
        }
    }
}

/// Splits a path into version, area and the rest: `/crm/v3/objects/…` or `/crm/objects/2026-09/…`.
pub(crate) fn route<'a>(segments: &'a [&'a str]) -> Option<Route<'a>> {
    let ["crm", first, second, rest @ ..] = segments else { return None };
    let version = |name: &str| match name {
        "v3" => Some(Version::V3),
        "v4" => Some(Version::V4),
        "2026-03" => Some(Version::Dated2603),
        "2026-09" => Some(Version::Dated2609),
        _ => None,
    };
    let legacy = version(first).filter(|version| matches!(version, Version::V3 | Version::V4));
    let dated = version(second).filter(|version| matches!(version, Version::Dated2603 | Version::Dated2609));
    let (version, area) = match (legacy, dated) {
        (Some(version), _) => (version, Area::find(second)?),
        (None, Some(version)) => (version, Area::find(first)?),
        (None, None) => return None,
    };
    // v4 serves associations only, v3 everything else (API-FACTS HubSpot).
    let served = match version {
        Version::V3 => area != Area::Associations,
        Version::V4 => matches!(area, Area::Associations | Area::Objects),
        Version::Dated2603 | Version::Dated2609 => true,
    };
    served.then_some(Route { version, area, rest })
}

/// True for searches, which have a limit of their own.
pub(crate) fn is_search(segments: &[&str]) -> bool {
    segments.last() == Some(&"search") && segments.contains(&"objects")
}

fn object(name: &str) -> Result<usize, ApiError> {
    kinds::find(name).ok_or_else(|| ApiError::validation(format!("Unable to infer object type from: {name}")))
}

/// Answers a call whose route is known.
pub(crate) fn dispatch(
    hub: &mut Hub,
    method: &str,
    area: Area,
    rest: &[&str],
    call: &Call<'_>,
) -> Result<Reply, ApiError> {
    match area {
        Area::Objects => objects_api(hub, method, rest, call),
        Area::Associations => associations_api(hub, method, rest, call),
        Area::Owners => {
            call.need("crm.objects.owners.read")?;
            match (method, rest) {
                ("GET", [] | [""]) => owners::list(hub, call),
                ("GET", [id]) => owners::read(hub, call, id),
                (_, [] | [_]) => Err(ApiError::method()),
                _ => Err(ApiError::route()),
            }
        }
        Area::Properties => match (method, rest) {
            ("GET", [name]) => properties::list(hub, call, object(name)?),
            ("POST", [name]) => properties::create(hub, call, object(name)?),
            ("GET", [name, "groups"]) => properties::groups(call, object(name)?),
            ("GET", [name, property]) => properties::read(hub, call, object(name)?, property),
            (_, [_] | [_, _]) => Err(ApiError::method()),
            _ => Err(ApiError::route()),
        },
    }
}

fn objects_api(hub: &mut Hub, method: &str, rest: &[&str], call: &Call<'_>) -> Result<Reply, ApiError> {
    let [name, rest @ ..] = rest else { return Err(ApiError::route()) };
    let kind = object(name)?;
    if call.version == Version::V4 && !matches!(rest, [_, "associations", ..]) {
        return Err(ApiError::route());
    }
    match (method, rest) {
        ("GET", []) => objects::list(hub, call, kind),
        ("POST", []) => objects::create(hub, call, kind),
        ("POST", ["search"]) => search::search(hub, call, kind),
        ("POST", ["merge"]) => objects::merge(hub, call, kind),
        ("POST", ["batch", "read"]) => batch::read(hub, call, kind),
        ("POST", ["batch", "create"]) => batch::create(hub, call, kind),
        ("POST", ["batch", "update"]) => batch::update(hub, call, kind),
        ("POST", ["batch", "upsert"]) => batch::upsert(hub, call, kind),
        ("POST", ["batch", "archive"]) => batch::archive(hub, call, kind),
        ("GET", [id]) => objects::read(hub, call, kind, id),
        ("PATCH", [id]) => objects::patch(hub, call, kind, id),
        ("DELETE", [id]) => objects::archive(hub, call, kind, id),
        ("GET", [id, "associations", to]) => associations::list(hub, call, kind, id, object(to)?),
        ("PUT", [id, "associations", "default", to, other]) => {
            associations::put(hub, call, (kind, id), (object(to)?, other), true)
        }
        ("PUT", [id, "associations", to, other]) => {
            associations::put(hub, call, (kind, id), (object(to)?, other), false)
        }
        ("DELETE", [id, "associations", to, other]) => {
            associations::delete(hub, call, (kind, id), (object(to)?, other))
        }
        (_, [] | [_]) => Err(ApiError::method()),
        _ => Err(ApiError::route()),
    }
}

fn associations_api(hub: &mut Hub, method: &str, rest: &[&str], call: &Call<'_>) -> Result<Reply, ApiError> {
    let [from, to, rest @ ..] = rest else { return Err(ApiError::route()) };
    let (from, to) = (object(from)?, object(to)?);
    match (method, rest) {
        ("POST", ["batch", "read"]) => associations::read(hub, call, from, to),
        ("POST", ["batch", "create"]) => associations::create(hub, call, from, to, false),
        ("POST", ["batch", "associate", "default"]) => associations::create(hub, call, from, to, true),
        ("POST", ["batch", "archive"]) => associations::archive(hub, call, from, to),
        _ => Err(ApiError::route()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn dated_and_legacy_paths_meet() {
        let dated = ["crm", "objects", "2026-09", "contacts", "search"];
        let found = route(&dated).unwrap();
        assert_eq!((found.version, found.area, found.rest), (Version::Dated2609, Area::Objects, &dated[3..]));
        let legacy = ["crm", "v3", "owners"];
        assert_eq!(route(&legacy).unwrap().area, Area::Owners);
        assert!(route(&["crm", "v3", "associations", "contacts", "tasks"]).is_none());
        assert!(route(&["crm", "objects", "2025-01", "contacts"]).is_none());
        assert!(is_search(&dated));
    }
}
