//! A person as a record: the same by every way that it comes.

use serde_json::Value;
use serde_json::value::RawValue;
use usher_connector::RowProblem;
use usher_connector::signature::fingerprint;
use usher_model::{ConnectionName, ExternalId, ObjectType, Record};

use crate::wire::Person;

/// The stream and object type.
pub(crate) const PEOPLE: &str = "people";

/// The record of a row, which is its payload as it is.
pub(crate) fn record(connection: &ConnectionName, row: &RawValue) -> Result<Record, RowProblem> {
    let Ok(person) = serde_json::from_str::<Person>(row.get()) else { return Err(problem(row)) };
    Ok(Record {
        connection: connection.clone(),
        object: ObjectType::new(PEOPLE),
        external_id: ExternalId::new(person.id.to_string()),
        revision: person.updated_at.to_string(),
        created_at: Some(person.created_at),
        modified_at: Some(person.updated_at),
        imported: false,
        gone: false,
        payload: row.to_owned(),
    })
}

/// A row that can not be read is named by its content, and by its id where it has one.
fn problem(row: &RawValue) -> RowProblem {
    let content = fingerprint(&[row.get().as_bytes()]);
    let id = serde_json::from_str::<Value>(row.get()).ok().and_then(|row| row["id"].as_u64());
    RowProblem {
        external_id: ExternalId::new(id.map_or_else(|| content.clone(), |id| id.to_string())),
        revision: content,
        reason:
            "the person has an unexpected shape: look at it in Skeleton and enter it with `usher leads add`"
                .to_owned(),
    }
}
