//! Opaque cursors: base64url of JSON, as the examples of the v2 document are.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::call::Call;
use super::errors::Problem;

pub(crate) fn encode(cursor: &impl Serialize) -> String {
    URL_SAFE_NO_PAD.encode(serde_json::to_vec(cursor).unwrap_or_default())
}

/// The request's cursor, none on the first page.
pub(crate) fn decode<T: DeserializeOwned>(call: &Call<'_>) -> Result<Option<T>, Problem> {
    let Some(text) = call.query("cursor").filter(|text| !text.is_empty()) else { return Ok(None) };
    let bytes = URL_SAFE_NO_PAD.decode(text).ok();
    let cursor = bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok());
    cursor.map(Some).ok_or_else(|| Problem::schema("cursor", "is not valid"))
}

#[derive(Serialize, Deserialize)]
struct Position {
    offset: usize,
}

/// A page of what is short or found anew each time, with the cursor of the next one.
pub(crate) fn page<T>(call: &Call<'_>, all: Vec<T>) -> Result<(Vec<T>, Value), Problem> {
    let limit = call.limit()?;
    let start = decode::<Position>(call)?.map_or(0, |position| position.offset);
    let next = start + limit;
    let cursor = if next < all.len() { encode(&Position { offset: next }).into() } else { Value::Null };
    Ok((all.into_iter().skip(start).take(limit).collect(), cursor))
}
