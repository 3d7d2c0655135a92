//! Checks an answer against a schema of an OpenAPI document: nothing missing, nothing invented, no wrong type.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde_json::Value;

/// Fields that the documents type without `nullable` although nothing can be there: the vendor sends null. That
/// `next_cursor` is null at the end is in its description; webhook bodies that integrations have written down show null
/// for what is unset.
const NULL_WHEN_UNSET: [&str; 32] = [
    "next_cursor",
    // persons, organizations
    "last_name",
    "org_id",
    "picture_id",
    "address",
    // deals
    "person_id",
    "won_time",
    "lost_time",
    "expected_close_date",
    // activities
    "deal_id",
    "lead_id",
    "project_id",
    "due_date",
    "due_time",
    "duration",
    "marked_as_done_time",
    "location",
    "conference_meeting_client",
    "conference_meeting_url",
    "conference_meeting_id",
    "public_description",
    "priority",
    "note",
    // notes
    "deal",
    "person",
    "project",
    "task",
    "task_id",
    "icon_url",
    // results of searches
    "organization",
    "value",
    "currency",
];

/// A document, of which one path is parsed at a time: the whole takes a debug build minutes.
pub(crate) struct Document {
    text: String,
    parsed: HashMap<String, Value>,
}

/// All that a schema and its `allOf` parts say about an object.
#[derive(Default)]
struct Object<'a> {
    properties: BTreeMap<&'a str, Vec<&'a Value>>,
    required: BTreeSet<&'a str>,
    open: bool,
}

impl Document {
    pub(crate) fn new(text: String) -> Self {
        // These documents repeat their schemas instead of referring to them.
        assert!(!text.contains("$ref:"), "references are not resolved here");
        Self { text, parsed: HashMap::new() }
    }

    /// An operation by method and path.
    pub(crate) fn operation(&mut self, method: &str, path: &str) -> Option<Value> {
        if !self.parsed.contains_key(path) {
            let heads = [format!("\n  {path}:\n"), format!("\n  '{path}':\n"), format!("\n  \"{path}\":\n")];
            let start = heads.iter().find_map(|head| self.text.find(head))? + 1;
            let block = &self.text[start..];
            // Up to the next line, blank ones apart, that is indented as little.
            let mut lines = block.match_indices('\n').map(|(at, _)| at + 1).skip(1);
            let deeper = |at: usize| block[at..].starts_with("   ") || block[at..].starts_with('\n');
            let end = lines.find(|at| !deeper(*at)).unwrap_or(block.len());
            let source = usher_document::SourceFile::new(path, &block[..end]);
            let node = usher_document::parse(&source).expect("the document is valid YAML");
            self.parsed.insert(path.to_owned(), node.to_json()[path].clone());
        }
        self.parsed[path].get(method.to_lowercase()).cloned()
    }

    /// What is wrong with an answer; a status that the operation does not declare is wrong too.
    pub(crate) fn faults(&self, operation: &Value, status: u16, body: &Value) -> Vec<String> {
        let response = &operation["responses"][status.to_string()];
        let schema = &response["content"]["application/json"]["schema"];
        if schema.is_null() {
            return vec![format!("status {status} is not declared")];
        }
        let mut faults = Vec::new();
        self.check(schema, body, "", &mut faults);
        faults
    }

    /// The fields of the first record of an answer that the document has and the answer has not.
    pub(crate) fn absent(&self, operation: &Value, status: u16, body: &Value) -> Vec<String> {
        let response = &operation["responses"][status.to_string()];
        let whole = self.object(&self.parts(&response["content"]["application/json"]["schema"]));
        let mut schema = whole.properties["data"][0];
        let mut record = &body["data"];
        for step in ["items", "item"] {
            // Results of searches hold their records two levels deeper.
            if let Some(deeper) = self.object(&self.parts(schema)).properties.get(step) {
                (schema, record) = (deeper[0], &record[step]);
            }
            if let (Some(items), Some(rows)) = (schema.get("items"), record.as_array()) {
                (schema, record) = (items, &rows[0]);
            }
        }
        let known = self.object(&self.parts(schema));
        known.properties.into_keys().filter(|name| record.get(name).is_none()).map(str::to_owned).collect()
    }

    fn parts<'a>(&'a self, schema: &'a Value) -> Vec<&'a Value> {
        let inner = schema["allOf"].as_array().into_iter().flatten().flat_map(|part| self.parts(part));
        std::iter::once(schema).chain(inner).collect()
    }

    fn object<'a>(&'a self, parts: &[&'a Value]) -> Object<'a> {
        let mut object = Object::default();
        for part in parts {
            for (name, schema) in part["properties"].as_object().into_iter().flatten() {
                object.properties.entry(name).or_default().push(schema);
            }
            object
                .required
                .extend(part["required"].as_array().into_iter().flatten().filter_map(Value::as_str));
            let free = &part["additionalProperties"];
            object.open |= *free == true || free.is_object();
        }
        // An object of which the document says nothing more.
        object.open |= object.properties.is_empty();
        object
    }

    fn check(&self, schema: &Value, value: &Value, at: &str, faults: &mut Vec<String>) {
        let parts = self.parts(schema);
        let name = at.rsplit('.').next().unwrap_or_default();
        if value.is_null() {
            let nullable = parts.iter().any(|part| part["nullable"] == true);
            if !nullable && !NULL_WHEN_UNSET.contains(&name) {
                faults.push(format!("{at} is null"));
            }
            return;
        }
        for part in &parts {
            if let Some(kind) = part["type"].as_str().filter(|kind| !is(kind, value)) {
                faults.push(format!("{at} is no {kind}: {value}"));
                return;
            }
            let choice = part["oneOf"].as_array().or_else(|| part["anyOf"].as_array());
            if choice.is_some_and(|choice| !choice.iter().any(|one| self.fits(one, value))) {
                faults.push(format!("{at} fits none of the choices: {value}"));
            }
        }
        // Two lists of values, one in each part of an allOf: the field types of v1 mean all of both.
        let mut lists = parts.iter().filter_map(|part| part["enum"].as_array()).peekable();
        if lists.peek().is_some() && !lists.any(|list| list.contains(value)) {
            faults.push(format!("{at} is not among the values: {value}"));
        }
        match value {
            Value::Array(rows) => {
                let items = parts.iter().find_map(|part| part.get("items"));
                for row in rows {
                    items.into_iter().for_each(|items| self.check(items, row, &format!("{at}[]"), faults));
                }
            }
            Value::Object(map) => self.check_object(&self.object(&parts), map, at, faults),
            _ => {}
        }
    }

    fn check_object(
        &self,
        object: &Object<'_>,
        map: &serde_json::Map<String, Value>,
        at: &str,
        faults: &mut Vec<String>,
    ) {
        for name in object.required.iter().filter(|name| !map.contains_key(**name)) {
            faults.push(format!("{at}.{name} is missing"));
        }
        for (name, value) in map {
            let path = format!("{at}.{name}");
            match object.properties.get(name.as_str()) {
                Some(schemas) => self.check_all(schemas, value, &path, faults),
                None if object.open => {}
                None => faults.push(format!("{path} is invented")),
            }
        }
    }

    /// A property that several parts describe: the lists of values are joined, all else must hold.
    fn check_all(&self, schemas: &[&Value], value: &Value, at: &str, faults: &mut Vec<String>) {
        let mut all: Vec<Vec<String>> = Vec::new();
        for schema in schemas {
            let mut own = Vec::new();
            self.check(schema, value, at, &mut own);
            all.push(own);
        }
        if all.iter().all(|own| !own.is_empty()) {
            faults.extend(all.into_iter().next().into_iter().flatten());
        }
    }

    fn fits(&self, schema: &Value, value: &Value) -> bool {
        let mut faults = Vec::new();
        self.check(schema, value, "", &mut faults);
        faults.is_empty()
    }
}

fn is(kind: &str, value: &Value) -> bool {
    match kind {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        _ => false,
    }
}
