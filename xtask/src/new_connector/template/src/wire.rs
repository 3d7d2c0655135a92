//! What Skeleton sends, as far as it is read.

use serde::Deserialize;
#[cfg(feature = "directory")]
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
#[cfg(feature = "calls")]
use usher_connector::Response;
#[cfg(feature = "directory")]
use usher_connector::{Fault, FaultClass, Shape};

/// A page of any list. Both keys must be there: a body without them is no page.
#[cfg(feature = "calls")]
#[derive(Debug, Deserialize)]
pub(crate) struct Page {
    /// Read one by one, so that a bad one harms no other.
    pub(crate) rows: Vec<Box<RawValue>>,
    /// There is more behind them.
    pub(crate) more: bool,
}

#[cfg(feature = "directory")]
impl Page {
    /// Every row. One that can not be read is a fault: leaving it out would say that something is not there.
    pub(crate) fn read<T: DeserializeOwned>(&self) -> Result<Vec<T>, Fault> {
        let rows = self.rows.iter().map(|row| serde_json::from_str(row.get()));
        rows.collect::<Result<_, _>>().map_err(|error| {
            let message = "a row in Skeleton's answer has an unexpected shape";
            Fault::new(FaultClass::Transient, message).because(Shape::from(error))
        })
    }
}

/// A person. What nobody owns has `null` there: a row without the key does not say whether somebody does.
#[derive(Debug, Deserialize)]
pub(crate) struct Person {
    pub(crate) id: u64,
    #[cfg(feature = "directory")]
    #[serde(deserialize_with = "Option::deserialize")]
    pub(crate) email: Option<String>,
    #[cfg(feature = "directory")]
    #[serde(deserialize_with = "Option::deserialize")]
    pub(crate) owner: Option<u64>,
    #[cfg(feature = "target")]
    #[serde(deserialize_with = "Option::deserialize")]
    pub(crate) company: Option<u64>,
    #[cfg(feature = "records")]
    pub(crate) created_at: jiff::Timestamp,
    #[cfg(feature = "records")]
    pub(crate) updated_at: jiff::Timestamp,
}

/// A user; one who left is shown as not active.
#[cfg(feature = "directory")]
#[derive(Debug, Deserialize)]
pub(crate) struct User {
    pub(crate) id: u64,
    pub(crate) email: String,
    pub(crate) name: String,
    pub(crate) active: bool,
}

/// A company.
#[cfg(feature = "directory")]
#[derive(Debug, Deserialize)]
pub(crate) struct Company {
    pub(crate) id: u64,
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) website: Option<String>,
    #[serde(deserialize_with = "Option::deserialize")]
    pub(crate) owner: Option<u64>,
    pub(crate) updated_at: jiff::Timestamp,
}

/// A task about a person.
#[cfg(feature = "target")]
#[derive(Debug, Deserialize)]
pub(crate) struct Task {
    pub(crate) id: u64,
    pub(crate) body: String,
    #[serde(deserialize_with = "Option::deserialize")]
    pub(crate) owner: Option<u64>,
    pub(crate) done: bool,
    pub(crate) created_at: jiff::Timestamp,
}

/// What a deletion answers.
#[cfg(feature = "target")]
#[derive(Debug, Deserialize)]
pub(crate) struct Deleted {
    #[serde(rename = "id")]
    _id: u64,
}

/// A webhook's body.
#[cfg(feature = "inbound")]
#[derive(Debug, Deserialize)]
pub(crate) struct Hook {
    pub(crate) people: Vec<Box<RawValue>>,
}

/// The body of a refusal.
#[cfg(feature = "calls")]
#[derive(Debug, Deserialize)]
pub(crate) struct Refusal {
    error: String,
    /// The scope that the token lacks.
    #[serde(default)]
    pub(crate) scope: Option<String>,
}

#[cfg(feature = "calls")]
impl Refusal {
    /// The refusal, if the body has its shape.
    pub(crate) fn of(response: &Response) -> Option<Self> {
        serde_json::from_slice(&response.body).ok()
    }

    /// The vendor's own code. Whatever does not look like one stays out of logs: it may quote values.
    pub(crate) fn code(&self) -> &str {
        let tame = self.error.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
        if tame { &self.error } else { "a code of another form" }
    }
}
