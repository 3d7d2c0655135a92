//! Bodies: one JSON object, a list of them, or one submitted form.

use std::borrow::Cow;

use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Map, Value};
use url::form_urlencoded;
use usher_connector::signature::fingerprint;

/// The deepest nesting that is accepted.
const DEPTH: usize = 64;

/// One submission, before it becomes a record.
#[derive(Debug)]
pub(crate) struct Submission {
    /// As sent where it was JSON: numbers keep all their digits.
    pub(crate) payload: Box<RawValue>,
    /// For looking values up.
    pub(crate) value: Value,
}

impl Submission {
    /// Reads the text or number at a path.
    pub(crate) fn at(&self, path: &[String]) -> Option<String> {
        match path.iter().try_fold(&self.value, |value, key| value.get(key))? {
            Value::String(text) if !text.trim().is_empty() => Some(text.trim().to_owned()),
            Value::Number(number) => Some(number.to_string()),
            _ => None,
        }
    }

    /// Names the content, whatever its spacing and the order of its keys.
    pub(crate) fn content(&self) -> String {
        let mut canonical = String::new();
        write(&self.value, &mut canonical);
        fingerprint(&[canonical.as_bytes()])
    }
}

/// Whether the body is JSON: a form never starts with a bracket, which it must encode.
pub(crate) fn looks_like_json(body: &[u8]) -> bool {
    matches!(body.trim_ascii_start().first(), Some(b'{' | b'['))
}

/// The submissions of a JSON body, each with its own outcome.
pub(crate) fn json(body: &[u8]) -> Vec<Result<Submission, &'static str>> {
    const NO_JSON: &str = "the body is no JSON object and no list of them";
    if body.trim_ascii_start().first() == Some(&b'[') {
        return match serde_json::from_slice::<Vec<Box<RawValue>>>(body) {
            Ok(items) => items.into_iter().map(submission).collect(),
            Err(_) => vec![Err(NO_JSON)],
        };
    }
    match serde_json::from_slice::<Box<RawValue>>(body) {
        Ok(item) => vec![submission(item)],
        Err(_) => vec![Err(NO_JSON)],
    }
}

/// The submission of a form body. A name that comes several times (or ends in `[]`) holds a list.
pub(crate) fn form(body: &[u8]) -> Result<Submission, &'static str> {
    if !body.contains(&b'=') {
        return Err("the body is neither a JSON object, nor a list of them, nor a form");
    }
    let mut fields: Map<String, Value> = Map::new();
    for (name, value) in form_urlencoded::parse(body) {
        let (name, listed) = match name.strip_suffix("[]") {
            Some(stem) => (Cow::from(stem.to_owned()), true),
            None => (name, false),
        };
        let value = Value::from(value.into_owned());
        match fields.get_mut(name.as_ref()) {
            Some(Value::Array(values)) => values.push(value),
            Some(first) => *first = Value::Array(vec![first.take(), value]),
            None => {
                fields.insert(name.into_owned(), if listed { Value::Array(vec![value]) } else { value });
            }
        }
    }
    let value = Value::Object(fields);
    let payload = to_raw_value(&value).map_err(|_| "the form has no JSON form")?;
    Ok(Submission { payload, value })
}

fn submission(payload: Box<RawValue>) -> Result<Submission, &'static str> {
    let value: Value =
        serde_json::from_str(payload.get()).map_err(|_| "the submission can not be read as JSON")?;
    if !value.is_object() {
        return Err("the submission is no JSON object");
    }
    if deeper_than(&value, DEPTH) {
        return Err("the submission is nested more than 64 levels deep");
    }
    Ok(Submission { payload, value })
}

fn deeper_than(value: &Value, levels: usize) -> bool {
    match value {
        Value::Array(items) => levels == 0 || items.iter().any(|item| deeper_than(item, levels - 1)),
        Value::Object(fields) => levels == 0 || fields.values().any(|item| deeper_than(item, levels - 1)),
        _ => false,
    }
}

/// Compact JSON with sorted keys.
fn write(value: &Value, out: &mut String) {
    match value {
        Value::Object(fields) => {
            let mut sorted: Vec<_> = fields.iter().collect();
            sorted.sort_unstable_by_key(|(key, _)| *key);
            out.push('{');
            for (key, value) in sorted {
                out.push_str(&Value::from(key.as_str()).to_string());
                out.push(':');
                write(value, out);
                out.push(',');
            }
            out.push('}');
        }
        Value::Array(items) => {
            out.push('[');
            for item in items {
                write(item, out);
                out.push(',');
            }
            out.push(']');
        }
        simple => out.push_str(&simple.to_string()),
    }
}
