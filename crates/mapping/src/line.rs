//! One line of `lead:`: where a field comes from and what happens to it on the way.

use std::borrow::Cow;

use serde_json::Value;
use usher_document::{Cursor, Located, MapReader, OneOrMany};
use usher_model::field::{self, FieldSpec};
use usher_model::{FieldType, Provenance};

use crate::clean::Pipeline;
use crate::path::Path;
use crate::table::{Table, constant};
use crate::text::storable;

/// A line of `lead:`.
#[derive(Debug, Clone)]
pub(crate) struct Line {
    pub(crate) field: &'static FieldSpec,
    origin: Origin,
    required: bool,
}

#[derive(Debug, Clone)]
enum Origin {
    Constant(Value),
    Payload { from: Vec<Path>, clean: Pipeline, table: Option<Table>, default: Option<Value> },
}

/// What a line made of a payload.
#[derive(Debug, Default)]
pub(crate) struct Filled {
    pub(crate) value: Option<Value>,
    pub(crate) provenance: Option<Provenance>,
    /// Why the record fails; only for required fields.
    pub(crate) problem: Option<String>,
}

/// A value, or why there is none.
type Made = Result<(Value, Option<String>), String>;

impl Line {
    /// Reads one line; the key must be a declared field.
    pub(crate) fn decode(key: &Located<String>, at: &Cursor<'_>) -> Option<Self> {
        let field = declared(key, at);
        let kind = field.map_or(FieldType::Text, |field| field.kind);
        if at.is_scalar() {
            at.error("wrong-type", "a field needs a block that says where it comes from")
                .found(at.raw())
                .hint(format!("write `{}: {{ from: {} }}`", key.value, at.raw()))
                .report();
            return None;
        }
        let mut map = at.map()?;
        let origin = origin(&mut map, kind);
        let required = map.or("required", false);
        map.finish();
        Some(Self { field: field?, origin: origin?, required })
    }

    /// Takes the field's value out of a payload.
    pub(crate) fn fill(&self, payload: &Value) -> Filled {
        match &self.origin {
            Origin::Constant(value) => filled(value.clone(), "value", None),
            Origin::Payload { from, clean, table, default } => {
                let found = from.iter().find_map(|path| Some((path, present(path.find(payload)?)?)));
                let Some((path, value)) = found else {
                    return match default {
                        Some(value) => filled(value.clone(), "default", None),
                        None => self.empty(&listed(from), "is absent", None),
                    };
                };
                match self.make(value, clean, table.as_ref()) {
                    Ok((value, note)) => filled(value, path.as_str(), note),
                    Err(why) => match default {
                        Some(value) => {
                            filled(value.clone(), "default", Some(format!("{}: {why}", path.as_str())))
                        }
                        None => {
                            let says = format!("does not fit: {why}");
                            self.empty(path.as_str(), &says, Some(format!("left empty: {why}")))
                        }
                    },
                }
            }
        }
    }

    fn empty(&self, from: &str, says: &str, note: Option<String>) -> Filled {
        Filled {
            value: None,
            provenance: note.map(|note| Provenance { from: from.to_owned(), note: Some(note) }),
            problem: self.required.then(|| format!("`{}` is required, but `{from}` {says}", self.field.name)),
        }
    }

    fn make(&self, value: &Value, clean: &Pipeline, table: Option<&Table>) -> Made {
        if self.field.kind == FieldType::Number && value.is_number() && table.is_none() {
            return Ok((value.clone(), None));
        }
        let items = items(value)?;
        if items.len() > 1 && table.is_none() && clean.keeps_lists() {
            return self.one(&items.join(", "), clean, None);
        }
        // Several answers: the first one that fits counts.
        let mut first_failure = None;
        for item in &items {
            match self.one(item, clean, table) {
                Ok(made) => return Ok(made),
                Err(why) => first_failure = first_failure.or(Some(why)),
            }
        }
        Err(first_failure.unwrap_or_else(|| "empty".to_owned()))
    }

    fn one(&self, text: &str, clean: &Pipeline, table: Option<&Table>) -> Made {
        let (kept, mut note) = storable(text.trim());
        let cleaned = clean.apply(&kept)?;
        if cleaned != kept && !clean.is_empty() {
            note = Some(join(note, &format!("cleaned by {}", clean.names())));
        }
        match (table, self.field.kind) {
            (Some(table), _) => match table.get(&cleaned) {
                Some(value) => Ok((value.clone(), Some(join(note, "by its table of values")))),
                None => Err("not in its table of values".to_owned()),
            },
            (None, FieldType::Text) => Ok((Value::String(cleaned.into_owned()), note)),
            (None, FieldType::Number) => Ok((crate::clean::number(&cleaned)?, note)),
        }
    }
}

fn declared(key: &Located<String>, at: &Cursor<'_>) -> Option<&'static FieldSpec> {
    let found = field::find(&key.value);
    if found.is_none() {
        let names = field::CATALOGUE.iter().map(|field| field.name);
        let problem = usher_document::Diagnostic::error(
            "unknown-field",
            &key.place,
            format!("no field `{}`", key.value),
        )
        .found(&key.value)
        .allowed(&key.value, names)
        .help("what is no declared field can be carried along by `keep:`");
        at.diagnostics().push(problem);
    }
    found
}

fn origin(map: &mut MapReader<'_>, kind: FieldType) -> Option<Origin> {
    let value = map.optional_at("value");
    let from = map.optional_at("from");
    let clean = map.optional_at("clean");
    let table = map.optional_at("values");
    let default = map.optional_at("default");
    if let Some(value) = value {
        let others = [&from, &clean, &table, &default].into_iter().flatten();
        for other in others {
            other.error("one-of", "`value` is a constant: nothing else may stand beside it").report();
        }
        return constant(&value, kind).map(Origin::Constant);
    }
    let clean = clean.map_or_else(|| Some(Pipeline::default()), |at| Pipeline::decode(&at, kind));
    let table = table.map(|at| Table::decode(&at, kind));
    let default = default.map(|at| constant(&at, kind));
    let Some(from) = from else {
        map.at()
            .error("missing-key", "neither `from` nor `value` stands here")
            .hint("write `from: answers.email` (a path in the payload) or `value: …` (a constant)")
            .report();
        return None;
    };
    let from = from.read::<OneOrMany<Path>>()?.0;
    if from.is_empty() {
        map.at().error("empty", "`from` names no path").report();
        return None;
    }
    Some(Origin::Payload { from, clean: clean?, table: all(table)?, default: all(default)? })
}

/// `None` only if the key stood there and was wrong.
fn all<T>(read: Option<Option<T>>) -> Option<Option<T>> {
    match read {
        Some(None) => None,
        Some(some) => Some(some),
        None => Some(None),
    }
}

fn filled(value: Value, from: &str, note: Option<String>) -> Filled {
    Filled { value: Some(value), provenance: Some(Provenance { from: from.to_owned(), note }), problem: None }
}

fn listed(paths: &[Path]) -> String {
    paths.iter().map(Path::as_str).collect::<Vec<_>>().join("` and `")
}

fn join(note: Option<String>, more: &str) -> String {
    note.map_or_else(|| more.to_owned(), |note| format!("{note}; {more}"))
}

/// The value unless it says nothing: null, blank or an empty list.
pub(crate) fn present(value: &Value) -> Option<&Value> {
    let says_nothing = match value {
        Value::Null => true,
        Value::String(text) => text.trim_matches(|c: char| c.is_whitespace() || c == '\0').is_empty(),
        Value::Array(items) => items.iter().all(|item| present(item).is_none()),
        Value::Object(entries) => entries.is_empty(),
        _ => false,
    };
    (!says_nothing).then_some(value)
}

/// The value as texts: one, or those of a list.
fn items(value: &Value) -> Result<Vec<Cow<'_, str>>, String> {
    match value {
        Value::String(text) => Ok(vec![Cow::Borrowed(text)]),
        Value::Number(number) => Ok(vec![Cow::Owned(number.to_string())]),
        Value::Bool(value) => Ok(vec![Cow::Borrowed(if *value { "true" } else { "false" })]),
        Value::Array(list) => {
            let nested: Result<Vec<_>, _> = list.iter().filter_map(present).map(items).collect();
            Ok(nested?.into_iter().flatten().collect())
        }
        Value::Null => Ok(Vec::new()),
        Value::Object(_) => Err("a group of values; let the path name one of them".to_owned()),
    }
}
