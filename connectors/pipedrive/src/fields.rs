//! Custom fields by their names: the account's definitions translate between names and the 40 hex digits of the API.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::{Map, Value, json};
use usher_connector::{CallLane, Fault, Http};

use crate::api;
use crate::wire::{Next, page, repeats};

/// Definitions are read again after so long: a field may get another name.
const KEPT: Duration = Duration::from_secs(3_600);
/// For a field that they do not have, not sooner than this.
const AGAIN: Duration = Duration::from_secs(60);
/// Characters of a `varchar` (Pipedrive's knowledge base, types of custom fields).
const VARCHAR: usize = 255;

/// The definitions of the account, object by object, read when they are needed.
#[derive(Debug)]
pub(crate) struct Fields {
    http: Arc<dyn Http>,
    known: Mutex<HashMap<&'static str, (Instant, Arc<Definitions>)>>,
}

/// The custom fields of one object.
#[derive(Debug, Default)]
pub(crate) struct Definitions {
    by_key: BTreeMap<String, Field>,
}

#[derive(Debug, Clone, Deserialize)]
struct Definition {
    #[serde(rename = "field_code")]
    key: String,
    #[serde(rename = "field_name")]
    name: String,
    #[serde(rename = "field_type")]
    kind: String,
    #[serde(default)]
    options: Option<Vec<Choice>>,
    #[serde(rename = "is_custom_field")]
    custom: bool,
}

/// A custom field; its name tells it from every other of the object.
#[derive(Debug, Clone)]
struct Field {
    name: String,
    kind: String,
    options: Vec<Choice>,
}

#[derive(Debug, Clone, Deserialize)]
struct Choice {
    id: Value,
    label: String,
}

impl Fields {
    pub(crate) fn new(http: Arc<dyn Http>) -> Self {
        Self { http, known: Mutex::default() }
    }

    /// The definitions, read at most once in an hour; sooner if one of `keys` is not among them.
    pub(crate) async fn of<'a>(
        &self,
        objects: &'static str,
        mut keys: impl Iterator<Item = &'a str>,
        lane: CallLane,
    ) -> Result<Arc<Definitions>, Fault> {
        if let Some((read, known)) = self.cached(objects) {
            let complete = keys.all(|key| known.by_key.contains_key(key));
            if read.elapsed() < if complete { KEPT } else { AGAIN } {
                return Ok(known);
            }
        }
        let read = Arc::new(self.read(objects, lane).await?);
        self.lock().insert(objects, (Instant::now(), Arc::clone(&read)));
        Ok(read)
    }

    /// What is known without asking.
    pub(crate) fn cached(&self, objects: &'static str) -> Option<(Instant, Arc<Definitions>)> {
        self.lock().get(objects).cloned()
    }

    /// Pipedrive refused a value: the definitions may have changed.
    pub(crate) fn forget(&self, objects: &'static str) {
        self.lock().remove(objects);
    }

    async fn read(&self, objects: &str, lane: CallLane) -> Result<Definitions, Fault> {
        let (mut rows, mut cursor): (Vec<Value>, Option<String>) = (Vec::new(), None);
        loop {
            let page = page(&self.http.send(api::fields(objects, cursor.as_deref(), lane)).await?)?;
            rows.extend(page.rows);
            match page.next {
                Some(Next::Cursor(next)) if Some(&next) != cursor.as_ref() => cursor = Some(next),
                Some(_) => return Err(repeats()),
                None => return Ok(Definitions::from_rows(rows)),
            }
        }
    }

    /// Whoever panicked under the lock left a whole value.
    fn lock(&self) -> MutexGuard<'_, HashMap<&'static str, (Instant, Arc<Definitions>)>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Definitions {
    fn from_rows(rows: Vec<Value>) -> Self {
        let all: Vec<Definition> =
            rows.into_iter().filter_map(|row| serde_json::from_value(row).ok()).collect();
        let custom: Vec<Definition> = all.into_iter().filter(|field| field.custom).collect();
        let twice = |name: &str| custom.iter().filter(|field| field.name == name).count() > 1;
        let field = |each: &Definition| {
            let name = if twice(&each.name) {
                format!("{} ({})", each.name, each.key.get(..6).unwrap_or(&each.key))
            } else {
                each.name.clone()
            };
            Field { name, kind: each.kind.clone(), options: each.options.clone().unwrap_or_default() }
        };
        Self { by_key: custom.iter().map(|each| (each.key.clone(), field(each))).collect() }
    }

    /// The key of the field of that name.
    pub(crate) fn key(&self, name: &str) -> Option<&str> {
        self.by_key.iter().find(|(_, field)| field.name == name).map(|(key, _)| key.as_str())
    }

    /// Values by key as values by name, options by their labels. A key without a definition stays as it is.
    pub(crate) fn named(&self, values: Map<String, Value>) -> Map<String, Value> {
        let named = |(key, value): (String, Value)| match self.by_key.get(&key) {
            Some(field) => (field.name.clone(), field.labelled(value)),
            None => (key, value),
        };
        values.into_iter().map(named).collect()
    }

    /// The key and the value for the field of that name, in the form that Pipedrive takes, or why there is none.
    pub(crate) fn fitted(&self, name: &str, value: &Value) -> Result<(String, Value), &'static str> {
        let found = self.by_key.iter().find(|(_, field)| field.name == name);
        let (key, field) = found.ok_or("Pipedrive has no such field")?;
        Ok((key.clone(), field.fitted(value)?))
    }
}

impl Field {
    /// Ids of options as their labels; v1 writes several as one text.
    fn labelled(&self, value: Value) -> Value {
        let label = |id: &Value| {
            let same =
                |choice: &&Choice| choice.id == *id || Some(choice.id.to_string().as_str()) == id.as_str();
            self.options.iter().find(same).map_or_else(|| id.clone(), |choice| json!(choice.label))
        };
        match (self.kind.as_str(), value) {
            ("enum", id) if !id.is_null() => label(&id),
            ("set", Value::Array(ids)) => ids.iter().map(label).collect(),
            ("set", Value::String(ids)) => ids.split(',').map(|id| label(&json!(id))).collect(),
            (_, value) => value,
        }
    }

    fn fitted(&self, value: &Value) -> Result<Value, &'static str> {
        let text = match value {
            Value::String(text) => text.trim().to_owned(),
            Value::Number(_) | Value::Bool(_) => value.to_string(),
            _ => return Err("no single value"),
        };
        match self.kind.as_str() {
            "varchar" | "varchar_auto" | "phone" if text.chars().count() > VARCHAR => {
                Err("longer than 255 characters")
            }
            "varchar" | "varchar_auto" | "phone" | "text" => Ok(json!(text)),
            "double" => text.parse::<f64>().map(|number| json!(number)).map_err(|_| "no number"),
            "enum" => self.choice(&text).ok_or("not one of Pipedrive's options"),
            "set" => self.choice(&text).map(|id| json!([id])).ok_or("not one of Pipedrive's options"),
            "date" if text.parse::<jiff::civil::Date>().is_ok() && text.len() == 10 => Ok(json!(text)),
            _ => Err("Pipedrive wants another type of value here"),
        }
    }

    /// The option of that label in any case.
    fn choice(&self, text: &str) -> Option<Value> {
        let lower = text.to_lowercase();
        let found = self.options.iter().find(|choice| choice.label.trim().to_lowercase() == lower);
        found.map(|choice| choice.id.clone())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::api::PERSONS;
    use crate::testing::{listed, vendor};

    fn key(letter: char) -> String {
        letter.to_string().repeat(40)
    }

    fn field(letter: char, name: &str, kind: &str, options: &Value) -> Value {
        json!({ "field_code": key(letter), "field_name": name, "field_type": kind, "options": options, "is_custom_field": true })
    }

    fn rows() -> Vec<Value> {
        vec![
            json!({ "field_code": "name", "field_name": "Name", "field_type": "varchar", "options": null, "is_custom_field": false }),
            field(
                'a',
                "Source",
                "enum",
                &json!([{ "id": 7, "label": "Web form" }, { "id": 8, "label": "Fair" }]),
            ),
            field('b', "Budget", "double", &Value::Null),
            field('c', "Tags", "set", &json!([{ "id": 1, "label": "SEO" }, { "id": 2, "label": "PPC" }])),
            field('d', "Note", "varchar", &Value::Null),
            field('e', "Note", "text", &Value::Null),
        ]
    }

    #[test]
    fn keys_become_names_and_options_labels() {
        let definitions = Definitions::from_rows(rows());
        let given = json!({ key('a'): 7, key('b'): 5.5, key('c'): [2, 9], key('d'): null, key('f'): "new" });
        assert_eq!(
            Value::Object(definitions.named(given.as_object().unwrap().clone())),
            json!({ "Source": "Web form", "Budget": 5.5, "Tags": ["PPC", 9], "Note (dddddd)": null, key('f'): "new" })
        );
        let older = json!({ key('a'): "8", key('c'): "1,2" });
        assert_eq!(
            Value::Object(definitions.named(older.as_object().unwrap().clone())),
            json!({ "Source": "Fair", "Tags": ["SEO", "PPC"] })
        );
        assert_eq!(definitions.key("Source"), Some(key('a').as_str()));
        assert_eq!(
            (definitions.key("Note"), definitions.key("Name")),
            (None, None),
            "two have the name; a standard field"
        );
    }

    #[test]
    fn fm_055_values_take_the_fields_type_or_are_left_out() {
        let definitions = Definitions::from_rows(rows());
        let fitted = |name: &str, value: Value| definitions.fitted(name, &value).map(|(_, value)| value);
        assert_eq!(fitted("Source", json!(" web FORM ")), Ok(json!(7)));
        assert_eq!(fitted("Tags", json!("seo")), Ok(json!([1])));
        assert_eq!(fitted("Budget", json!("20000")), Ok(json!(20000.0)));
        assert_eq!(fitted("Note (eeeeee)", json!(5)), Ok(json!("5")));
        assert!(fitted("Budget", json!("much")).is_err() && fitted("Source", json!("Radio")).is_err());
        assert!(fitted("Gone", json!("x")).is_err());
        assert!(fitted("Note (dddddd)", json!("x".repeat(256))).is_err());
    }

    #[tokio::test]
    async fn definitions_are_read_page_by_page_and_kept() {
        let script = vendor(|request| {
            let first = request.query.iter().all(|(name, _)| name != "cursor");
            let next = first.then_some("two");
            let rows = if first { rows()[..3].to_vec() } else { rows()[3..].to_vec() };
            (200, json!({ "success": true, "data": rows, "additional_data": { "next_cursor": next } }))
        });
        let fields = Fields::new(script.clone());
        let known = fields.of(PERSONS, std::iter::empty(), CallLane::Pull).await.unwrap();
        assert_eq!(known.key("Tags"), Some(key('c').as_str()));
        let unknown = key('f');
        for _ in 0..3 {
            fields.of(PERSONS, [unknown.as_str()].into_iter(), CallLane::Pull).await.unwrap();
        }
        assert_eq!(script.seen().len(), 2, "an unknown key is looked up once a minute at most");
        fields.forget(PERSONS);
        fields.of(PERSONS, std::iter::empty(), CallLane::Pull).await.unwrap();
        assert_eq!(script.seen().len(), 4);
    }

    #[tokio::test]
    async fn a_list_of_definitions_that_repeats_is_an_error() {
        let script = vendor(|_| {
            (200, json!({ "success": true, "data": [], "additional_data": { "next_cursor": "x" } }))
        });
        assert!(Fields::new(script).of(PERSONS, std::iter::empty(), CallLane::Pull).await.is_err());
        let good = vendor(|_| listed(&json!([])));
        assert!(Fields::new(good).of(PERSONS, std::iter::empty(), CallLane::Pull).await.is_ok());
    }
}
