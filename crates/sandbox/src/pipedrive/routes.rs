//! Paths to endpoints, with the price of each (`x-token-cost` of both documents).

use super::call::{Answer, Call};
use super::kinds::Kind;
use super::scopes::scopes;
use super::state::Drive;
use super::{
    changelog, entities, fields_api, hooks_api, labels, leads, list, notes, pipelines, search, users,
};

/// One operation of the API.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Operation {
    pub(crate) method: &'static str,
    /// The path, `{}` for the one part that varies.
    pub(crate) path: &'static str,
    pub(crate) cost: u64,
    /// Counts in the limit of searches too.
    pub(crate) search: bool,
    pub(crate) run: fn(&mut Drive, &Call<'_>) -> Answer,
}

type Run = fn(&mut Drive, &Call<'_>) -> Answer;

const fn op(method: &'static str, path: &'static str, cost: u64, run: Run) -> Operation {
    Operation { method, path, cost, search: false, run }
}

const fn find(path: &'static str, run: Run) -> Operation {
    Operation { method: "GET", path, cost: 20, search: true, run }
}

use Kind::{Activity, Deal, Lead, Organization, Person};

/// Fixed paths stand before those that vary.
pub(crate) const OPERATIONS: &[Operation] = &[
    find("v2/persons/search", |d, c| search::search(d, c, Person)),
    op("GET", "v2/persons", 10, |d, c| list::list(d, c, Person, false)),
    op("POST", "v2/persons", 5, |d, c| entities::create(d, c, Person)),
    op("GET", "v2/persons/{}", 1, |d, c| entities::read(d, c, Person)),
    op("PATCH", "v2/persons/{}", 5, |d, c| entities::patch(d, c, Person)),
    op("DELETE", "v2/persons/{}", 3, |d, c| entities::delete(d, c, Person)),
    find("v2/organizations/search", |d, c| search::search(d, c, Organization)),
    op("GET", "v2/organizations", 10, |d, c| list::list(d, c, Organization, false)),
    op("POST", "v2/organizations", 5, |d, c| entities::create(d, c, Organization)),
    op("GET", "v2/organizations/{}", 1, |d, c| entities::read(d, c, Organization)),
    op("PATCH", "v2/organizations/{}", 5, |d, c| entities::patch(d, c, Organization)),
    op("DELETE", "v2/organizations/{}", 3, |d, c| entities::delete(d, c, Organization)),
    op("GET", "v2/deals/archived", 20, |d, c| list::list(d, c, Deal, true)),
    op("GET", "v2/deals", 10, |d, c| list::list(d, c, Deal, false)),
    op("POST", "v2/deals", 5, |d, c| entities::create(d, c, Deal)),
    op("GET", "v2/deals/{}", 1, |d, c| entities::read(d, c, Deal)),
    op("PATCH", "v2/deals/{}", 5, |d, c| entities::patch(d, c, Deal)),
    op("DELETE", "v2/deals/{}", 3, |d, c| entities::delete(d, c, Deal)),
    op("GET", "v2/activities", 10, |d, c| list::list(d, c, Activity, false)),
    op("POST", "v2/activities", 5, |d, c| entities::create(d, c, Activity)),
    op("GET", "v2/activities/{}", 1, |d, c| entities::read(d, c, Activity)),
    op("PATCH", "v2/activities/{}", 5, |d, c| entities::patch(d, c, Activity)),
    op("DELETE", "v2/activities/{}", 3, |d, c| entities::delete(d, c, Activity)),
    find("v2/leads/search", |d, c| search::search(d, c, Lead)),
    find("v2/itemSearch/field", search::in_field),
    op("GET", "v2/pipelines", 5, pipelines::list),
    op("GET", "v2/stages", 5, pipelines::stages),
    op("GET", "v2/personFields", 10, |d, c| fields_api::list_v2(d, c, Person)),
    op("POST", "v2/personFields", 5, |d, c| fields_api::create_v2(d, c, Person)),
    op("GET", "v2/personFields/{}", 1, |d, c| fields_api::read_v2(d, c, Person)),
    op("GET", "v2/organizationFields", 10, |d, c| fields_api::list_v2(d, c, Organization)),
    op("POST", "v2/organizationFields", 5, |d, c| fields_api::create_v2(d, c, Organization)),
    op("GET", "v2/organizationFields/{}", 1, |d, c| fields_api::read_v2(d, c, Organization)),
    op("GET", "v2/dealFields", 10, |d, c| fields_api::list_v2(d, c, Deal)),
    op("POST", "v2/dealFields", 5, |d, c| fields_api::create_v2(d, c, Deal)),
    op("GET", "v2/dealFields/{}", 1, |d, c| fields_api::read_v2(d, c, Deal)),
    op("GET", "v1/leads/archived", 40, |d, c| leads::list(d, c, true)),
    op("GET", "v1/leads", 20, |d, c| leads::list(d, c, false)),
    op("POST", "v1/leads", 10, leads::create),
    op("GET", "v1/leads/{}", 2, leads::read),
    op("PATCH", "v1/leads/{}", 10, leads::patch),
    op("DELETE", "v1/leads/{}", 6, leads::delete),
    op("GET", "v1/notes", 20, notes::list),
    op("POST", "v1/notes", 10, notes::create),
    op("GET", "v1/leadLabels", 10, labels::list),
    op("GET", "v1/leadSources", 2, labels::sources),
    op("GET", "v1/leadFields", 20, |d, c| fields_api::list_v1(d, c, Lead)),
    op("GET", "v1/personFields", 20, |d, c| fields_api::list_v1(d, c, Person)),
    op("POST", "v1/personFields", 10, |d, c| fields_api::create_v1(d, c, Person)),
    op("GET", "v1/personFields/{}", 2, |d, c| fields_api::read_v1(d, c, Person)),
    op("GET", "v1/organizationFields", 20, |d, c| fields_api::list_v1(d, c, Organization)),
    op("POST", "v1/organizationFields", 10, |d, c| fields_api::create_v1(d, c, Organization)),
    op("GET", "v1/organizationFields/{}", 2, |d, c| fields_api::read_v1(d, c, Organization)),
    op("GET", "v1/dealFields", 20, |d, c| fields_api::list_v1(d, c, Deal)),
    op("POST", "v1/dealFields", 10, |d, c| fields_api::create_v1(d, c, Deal)),
    op("GET", "v1/dealFields/{}", 2, |d, c| fields_api::read_v1(d, c, Deal)),
    op("GET", "v1/persons/{}/changelog", 20, |d, c| changelog::list(d, c, Person)),
    op("GET", "v1/deals/{}/changelog", 20, |d, c| changelog::list(d, c, Deal)),
    op("GET", "v1/users/me", 2, users::me),
    op("GET", "v1/users", 20, users::list),
    op("GET", "v1/users/{}", 2, users::read),
    op("GET", "v1/activityTypes", 20, users::activity_types),
    op("GET", "v1/webhooks", 10, hooks_api::list),
    op("POST", "v1/webhooks", 10, hooks_api::create),
    op("DELETE", "v1/webhooks/{}", 6, hooks_api::delete),
];

/// An operation that is served.
#[derive(Debug, Clone, Copy)]
pub struct Offered {
    /// The method.
    pub method: &'static str,
    /// The path, `{}` for the part that varies.
    pub path: &'static str,
    /// The scopes of which an OAuth token needs one.
    pub scopes: &'static [&'static str],
}

/// Every operation that is served.
pub fn operations() -> impl Iterator<Item = Offered> {
    let offered = |operation: &'static Operation| {
        let Operation { method, path, .. } = operation;
        Offered { method, path, scopes: scopes(operation) }
    };
    OPERATIONS.iter().map(offered)
}

/// What a path leads to.
#[derive(Debug)]
pub(crate) enum Found<'a> {
    Operation(&'static Operation, &'a str),
    /// The path is there, the method is not.
    OtherMethod,
    Nothing,
}

/// Paths begin with `/api/v1`, `/api/v2` or the older `/v1`.
pub(crate) fn route<'a>(method: &str, segments: &[&'a str]) -> Found<'a> {
    let segments = match segments {
        ["api", rest @ ..] => rest,
        ["v1", ..] => segments,
        _ => return Found::Nothing,
    };
    let matching = |operation: &Operation| {
        let parts: Vec<&str> = operation.path.split('/').collect();
        let fits = parts.len() == segments.len()
            && parts.iter().zip(segments).all(|(part, given)| *part == "{}" || part == given);
        fits.then(|| {
            parts.iter().zip(segments).find(|(part, _)| **part == "{}").map_or("", |(_, given)| *given)
        })
    };
    let mut other = false;
    for operation in OPERATIONS {
        if let Some(id) = matching(operation) {
            if operation.method == method {
                return Found::Operation(operation, id);
            }
            other = true;
        }
    }
    if other { Found::OtherMethod } else { Found::Nothing }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cost(method: &str, path: &str) -> Option<u64> {
        let segments: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
        match route(method, &segments) {
            Found::Operation(operation, _) => Some(operation.cost),
            _ => None,
        }
    }

    #[test]
    fn fixed_paths_win_and_v2_is_below_api_only() {
        assert_eq!(cost("GET", "/api/v2/persons/search"), Some(20));
        assert_eq!(cost("GET", "/api/v2/persons/7"), Some(1));
        assert_eq!(cost("GET", "/v1/leads/archived"), Some(40));
        assert_eq!(cost("GET", "/api/v1/leads/archived"), Some(40));
        assert_eq!(cost("GET", "/v2/persons"), None);
        assert_eq!(cost("GET", "/api/v1/persons"), None);
        assert_eq!(cost("PUT", "/api/v1/leads"), None);
    }
}
