//! The tests inside a mapping file: a record and what shall become of it.

use serde_json::Value;
use usher_document::{Cursor, Decode, Diagnostic, Place};
use usher_model::field;

use crate::{Mapped, Mapping};

/// One line of `tests:`.
#[derive(Debug, Clone)]
pub(crate) struct Case {
    pub(crate) name: String,
    place: Place,
    record: String,
    expected: Expected,
    enrolled: Option<bool>,
}

#[derive(Debug, Clone)]
enum Expected {
    /// The named fields only; null means that the field must be empty.
    Lead(serde_json::Map<String, Value>),
    Rejected(String),
    /// A text that one of the problems contains.
    Failed(String),
}

/// How a test of a mapping file went.
#[derive(Debug, Clone, PartialEq)]
pub struct TestOutcome {
    /// The test's name.
    pub name: String,
    /// Where the test stands.
    pub place: Place,
    /// Whether everything was as expected.
    pub passed: bool,
    /// One line per difference, such as "`service_line`: expected \"seo\", found nothing".
    pub differences: Vec<String>,
}

impl Mapping {
    /// Runs the file's own tests.
    #[must_use]
    pub fn run_tests(&self) -> Vec<TestOutcome> {
        let run = |case: &Case| {
            let differences = case.compare(&self.map(&case.record));
            let passed = differences.is_empty();
            TestOutcome { name: case.name.clone(), place: case.place.clone(), passed, differences }
        };
        self.cases.iter().map(run).collect()
    }
}

impl TestOutcome {
    /// The failure as a problem of the file; `None` if the test passed.
    #[must_use]
    pub fn to_diagnostic(&self) -> Option<Diagnostic> {
        let message = format!("the test `{}` fails: {}", self.name, self.differences.join("; "));
        (!self.passed).then(|| Diagnostic::error("test-failed", &self.place, message))
    }
}

impl Case {
    fn compare(&self, mapped: &Mapped) -> Vec<String> {
        match (&self.expected, mapped) {
            (Expected::Lead(expected), Mapped::Lead { fields, enrolled, why, .. }) => {
                let mut differences = compare_fields(expected, fields);
                if self.enrolled.is_some_and(|expected| expected != *enrolled) {
                    let found = if *enrolled { "enrolls" } else { "does not enroll" };
                    differences.push(format!("`enrolled`: the record {found}: {why}"));
                }
                differences
            }
            (Expected::Rejected(expected), Mapped::Rejected { reason }) if expected == reason => Vec::new(),
            (Expected::Failed(part), Mapped::Failed { problems }) => {
                match problems.iter().any(|problem| problem.contains(part)) {
                    true => Vec::new(),
                    false => vec![format!("expected a problem with {part:?}, found {}", problems.join("; "))],
                }
            }
            (expected, found) => vec![format!("expected {}, found {}", expected.describe(), describe(found))],
        }
    }
}

impl Expected {
    fn describe(&self) -> String {
        match self {
            Self::Lead(_) => "a lead".to_owned(),
            Self::Rejected(reason) => format!("that it is rejected as {reason:?}"),
            Self::Failed(_) => "that it fails".to_owned(),
        }
    }
}

fn describe(mapped: &Mapped) -> String {
    match mapped {
        Mapped::Lead { .. } => "a lead".to_owned(),
        Mapped::Rejected { reason } => format!("that it is rejected as {reason:?}"),
        Mapped::Failed { problems } => format!("that it fails: {}", problems.join("; ")),
    }
}

fn compare_fields(expected: &serde_json::Map<String, Value>, fields: &usher_model::Fields) -> Vec<String> {
    let mut differences = Vec::new();
    for (name, expected) in expected {
        if let ("extra", Value::Object(extra)) = (name.as_str(), expected) {
            for (name, expected) in extra {
                differences.extend(difference(&format!("extra.{name}"), expected, fields.extra.get(name)));
            }
            continue;
        }
        let note = fields.provenance.get(name).and_then(|provenance| provenance.note.as_deref());
        let different = difference(name, expected, fields.values.get(name));
        differences.extend(different.map(|text| match note {
            Some(note) => format!("{text} ({note})"),
            None => text,
        }));
    }
    differences
}

fn difference(name: &str, expected: &Value, found: Option<&Value>) -> Option<String> {
    let found = found.unwrap_or(&Value::Null);
    let same = match (expected.as_f64(), found.as_f64()) {
        (Some(expected), Some(found)) => expected == found,
        // A field of text that the file's author wrote without quotes, as a postcode.
        (Some(_), None) => found.as_str() == Some(expected.to_string().as_str()),
        _ => expected == found,
    };
    (!same).then(|| format!("`{name}`: expected {}, found {}", shown(expected), shown(found)))
}

fn shown(value: &Value) -> String {
    if value.is_null() { "nothing".to_owned() } else { value.to_string() }
}

impl Decode for Case {
    fn decode(at: &Cursor<'_>) -> Option<Self> {
        let mut map = at.map()?;
        let name: Option<String> = map.required("name");
        let record = map.required_at("record").and_then(|at| record(&at));
        let enrolled_at = map.optional_at("enrolled");
        let enrolled = enrolled_at.as_ref().and_then(Cursor::read);
        let expected = match map.exactly_one_of(&["lead", "rejected", "failed"]) {
            Some(("lead", at)) => lead(&at).map(Expected::Lead),
            Some(("rejected", at)) => at.read().map(Expected::Rejected),
            Some((_, at)) => at.read().map(Expected::Failed),
            None => None,
        };
        if let (Some(at), Some(Expected::Rejected(_) | Expected::Failed(_))) = (enrolled_at, &expected) {
            at.error("one-of", "`enrolled` goes with `lead` only").report();
        }
        map.finish();
        Some(Self { name: name?, place: at.place(), record: record?, expected: expected?, enrolled })
    }
}

fn record(at: &Cursor<'_>) -> Option<String> {
    at.map().map(|_| at.node().to_json().to_string())
}

fn lead(at: &Cursor<'_>) -> Option<serde_json::Map<String, Value>> {
    let mut map = at.map()?;
    for (key, _) in map.entries() {
        if key.value != "extra" && field::find(&key.value).is_none() {
            let names = field::CATALOGUE.iter().map(|field| field.name).chain(["extra"]);
            let message = format!("no field `{}`", key.value);
            let problem = Diagnostic::error("unknown-field", &key.place, message).found(&key.value);
            at.diagnostics().push(problem.allowed(&key.value, names));
        }
    }
    map.finish();
    match at.node().to_json() {
        Value::Object(lead) => Some(lead),
        _ => None,
    }
}
