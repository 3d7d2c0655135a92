//! One API call as the endpoints see it.

use std::str::FromStr;

use serde_json::{Map, Value};

use super::errors::Problem;
use crate::clock::Millis;
use crate::oracle::Actor;
use crate::reply::Reply;

/// Who changes something, when, and in which request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct By {
    pub(crate) at: Millis,
    pub(crate) actor: Actor,
    /// The user in whose name it happens.
    pub(crate) user: u64,
    pub(crate) correlation: u64,
}

/// A decoded request.
#[derive(Debug)]
pub(crate) struct Call<'a> {
    pub(crate) by: By,
    /// The `{id}` of the path, empty for none.
    pub(crate) id: &'a str,
    pub(crate) query: &'a [(String, String)],
    pub(crate) body: &'a [u8],
}

/// What an endpoint gives back.
pub(crate) type Answer = Result<Reply, Problem>;

/// A body with status 200.
pub(crate) fn ok(body: &Value) -> Answer {
    Ok(Reply::json(200, body))
}

impl Call<'_> {
    pub(crate) fn query(&self, key: &str) -> Option<&str> {
        self.query.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str())
    }

    /// A list parameter: comma-separated (v2 document, getPersons: ids, fields).
    pub(crate) fn query_list(&self, key: &str) -> Vec<&str> {
        let text = self.query(key).unwrap_or_default();
        text.split(',').map(str::trim).filter(|part| !part.is_empty()).collect()
    }

    /// A number; v2 refuses what is none.
    pub(crate) fn query_number<T: FromStr>(&self, key: &str) -> Result<Option<T>, Problem> {
        let Some(text) = self.query(key) else { return Ok(None) };
        text.parse().map(Some).map_err(|_| Problem::schema(key, "must be an integer"))
    }

    pub(crate) fn query_flag(&self, key: &str) -> Result<Option<bool>, Problem> {
        match self.query(key) {
            None => Ok(None),
            Some("true" | "1") => Ok(Some(true)),
            Some("false" | "0") => Ok(Some(false)),
            Some(_) => Err(Problem::schema(key, "must be a boolean")),
        }
    }

    /// A moment in RFC 3339 of whole seconds: public integrations report that fractions are refused.
    pub(crate) fn query_time(&self, key: &str) -> Result<Option<Millis>, Problem> {
        let Some(text) = self.query(key) else { return Ok(None) };
        let time = text.parse::<jiff::Timestamp>().ok().filter(|_| !text.contains('.'));
        let time = time.ok_or_else(|| Problem::schema(key, "not a valid datetime"))?;
        Ok(Some(time.as_millisecond()))
    }

    /// `limit`: 100 unless told, 500 at most (v2 document, getPersons).
    pub(crate) fn limit(&self) -> Result<usize, Problem> {
        match self.query_number("limit")? {
            None => Ok(100),
            Some(limit) if (1..=500).contains(&limit) => Ok(limit),
            Some(_) => Err(Problem::schema("limit", "must be between 1 and 500")),
        }
    }

    pub(crate) fn object(&self) -> Result<Map<String, Value>, Problem> {
        let body: Value =
            serde_json::from_slice(self.body).map_err(|_| Problem::new(400, "The body is not valid JSON"))?;
        match body {
            Value::Object(map) => Ok(map),
            _ => Err(Problem::new(400, "The body must be a JSON object")),
        }
    }

    /// The numeric id of the path.
    pub(crate) fn number(&self) -> Result<u64, Problem> {
        self.id.parse().map_err(|_| Problem::schema("id", "must be an integer"))
    }
}
