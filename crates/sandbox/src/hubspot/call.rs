//! One API call as the handlers see it, and their answer.

use serde::de::DeserializeOwned;

use super::errors::ApiError;
use super::state::{Grant, Stamp};
pub(crate) use crate::reply::Reply;

/// The generation of the path, which decides how partial failure is reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Version {
    V3,
    V4,
    Dated2603,
    Dated2609,
}

impl Version {
    /// 2026-09 declares 200/201 only, legacy and 2026-03 declare 207 (API-FACTS HubSpot: 2026-09 against v3).
    pub(crate) fn partial_status(self, whole: u16) -> u16 {
        if self == Self::Dated2609 { whole } else { 207 }
    }
}

/// A decoded request.
#[derive(Debug)]
pub(crate) struct Call<'a> {
    pub(crate) version: Version,
    pub(crate) stamp: Stamp,
    pub(crate) grant: &'a Grant,
    pub(crate) revoked: &'a [String],
    pub(crate) query: &'a [(String, String)],
    pub(crate) body: &'a [u8],
}

impl Call<'_> {
    pub(crate) fn query(&self, key: &str) -> Option<&str> {
        self.query.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str())
    }

    /// A yes-or-no parameter; the official Python client writes `True`.
    pub(crate) fn flag(&self, key: &str) -> bool {
        self.query(key).is_some_and(|value| value.eq_ignore_ascii_case("true"))
    }

    /// A list parameter: repeated or comma-separated.
    pub(crate) fn query_list(&self, key: &str) -> Vec<String> {
        self.query
            .iter()
            .filter(|(name, _)| name == key)
            .flat_map(|(_, value)| value.split(','))
            .filter(|part| !part.is_empty())
            .map(str::to_owned)
            .collect()
    }

    pub(crate) fn json<T: DeserializeOwned>(&self) -> Result<T, ApiError> {
        serde_json::from_slice(self.body).map_err(|error| ApiError::malformed(&error.to_string()))
    }

    /// Refuses unless the token holds the scope (API-FACTS HubSpot: Auth, Scopes).
    pub(crate) fn need(&self, scope: &'static str) -> Result<(), ApiError> {
        let granted = self.grant.scopes.as_ref().is_none_or(|scopes| scopes.iter().any(|held| held == scope));
        if granted && !self.revoked.iter().any(|gone| gone == scope) {
            Ok(())
        } else {
            Err(ApiError::missing_scopes(&[scope]))
        }
    }
}

/// The `limit` of a list.
pub(crate) fn page_size(call: &Call<'_>, default: usize, most: usize) -> Result<usize, ApiError> {
    let Some(text) = call.query("limit") else { return Ok(default) };
    match text.parse::<usize>() {
        Ok(limit) if limit >= 1 && limit <= most => Ok(limit),
        Ok(_) => Err(ApiError::validation(format!("limit must be between 1 and {most}"))),
        Err(_) => Err(ApiError::validation(format!("limit is not a number: {text}"))),
    }
}
