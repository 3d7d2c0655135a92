//! The one documented payload of a response, the same by webhook and by pull.

use std::collections::{HashMap, HashSet};

use jiff::Timestamp;
use serde_json::value::to_raw_value;
use serde_json::{Map, Value, json};
use usher_model::{ConnectionName, ExternalId, ObjectType, Record};

use crate::wire::{Answer, Field, Response, Variable};

/// The stream and object type.
pub(crate) const RESPONSES: &str = "responses";

/// The questions' titles by field id, in the order of the form.
#[derive(Debug, Default, Clone)]
pub(crate) struct Titles(Vec<(String, String)>);

impl Titles {
    /// Reads a form's questions, those in groups included.
    pub(crate) fn new(fields: &[Field]) -> Self {
        let mut titles = Vec::new();
        collect(fields, &mut titles, 0);
        Self(titles)
    }

    /// Whether every answered question is known.
    pub(crate) fn cover<'a>(&self, mut responses: impl Iterator<Item = &'a Response>) -> bool {
        let known: HashSet<&str> = self.0.iter().map(|(id, _)| id.as_str()).collect();
        responses
            .all(|response| answers(response).iter().all(|answer| known.contains(answer.field.id.as_str())))
    }
}

/// Groups do not nest at Typeform; the bound only keeps a hostile body from recursing.
fn collect(fields: &[Field], titles: &mut Vec<(String, String)>, depth: usize) {
    for field in fields {
        titles.push((field.id.clone(), field.title.trim().to_owned()));
        if let Some(inner) = field.properties.as_ref().and_then(|properties| properties.fields.as_ref())
            && depth < 4
        {
            collect(inner, titles, depth + 1);
        }
    }
}

/// Builds the record of a response, or says what is wrong with it.
pub(crate) fn record(
    connection: &ConnectionName,
    form: &str,
    response: &Response,
    titles: &Titles,
) -> Result<Record, &'static str> {
    let submitted = submitted_at(response).ok_or("the response has no readable `submitted_at`")?;
    let payload = json!({
        "form_id": form,
        "token": response.token,
        "submitted_at": submitted.to_string(),
        "hidden": response.hidden.clone().unwrap_or_default(),
        "variables": variables(response.variables.as_deref().unwrap_or_default()),
        "answers": by_ref_and_title(answers(response), titles),
    });
    Ok(Record {
        connection: connection.clone(),
        object: ObjectType::new(RESPONSES),
        external_id: ExternalId::new(response.token.as_str()),
        revision: submitted.to_string(),
        created_at: Some(submitted),
        modified_at: Some(submitted),
        imported: false,
        gone: false,
        payload: to_raw_value(&payload).map_err(|_| "the response has no JSON form")?,
    })
}

/// When the response was submitted; a response that is only started has no such time.
pub(crate) fn submitted_at(response: &Response) -> Option<Timestamp> {
    response.submitted_at.as_deref()?.parse().ok()
}

fn answers(response: &Response) -> &[Answer] {
    response.answers.as_deref().unwrap_or_default()
}

fn variables(variables: &[Variable]) -> Map<String, Value> {
    variables.iter().filter_map(|v| Some((v.key.clone(), v.rest.get(&v.kind)?.clone()))).collect()
}

/// Every answer by its question's ref, then by its title. A ref wins over an equal title; where branches of a form
/// repeat a title, the first answered question in the order of the form has it.
fn by_ref_and_title(answers: &[Answer], titles: &Titles) -> Map<String, Value> {
    let values: HashMap<&str, Value> =
        answers.iter().filter_map(|answer| Some((answer.field.id.as_str(), plain(answer)?))).collect();
    let mut named = Map::new();
    for answer in answers {
        let name = answer.field.reference.as_deref().unwrap_or(&answer.field.id);
        if let Some(value) = values.get(answer.field.id.as_str()) {
            named.insert(name.to_owned(), value.clone());
        }
    }
    for (id, title) in titles.0.iter().filter(|(_, title)| !title.is_empty()) {
        if let Some(value) = values.get(id.as_str()) {
            named.entry(title.clone()).or_insert_with(|| value.clone());
        }
    }
    named
}

/// The value as a person gave it: a label for a choice, a list of labels for several, everything else as it is.
fn plain(answer: &Answer) -> Option<Value> {
    let value = answer.rest.get(&answer.kind)?;
    match answer.kind.as_str() {
        "choice" => {
            value.get("label").filter(|label| !label.is_null()).or_else(|| value.get("other")).cloned()
        }
        "choices" => {
            let labels = value.get("labels").and_then(Value::as_array).cloned().unwrap_or_default();
            let other = value.get("other").filter(|other| !other.is_null()).cloned();
            Some(labels.into_iter().chain(other).collect())
        }
        _ => Some(value.clone()),
    }
}
