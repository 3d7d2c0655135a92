//! Mapping one payload.

use serde_json::Value;
use usher_model::{Enrollment, Fields, Provenance};

use crate::Mapping;
use crate::condition::Values;
use crate::line::present;
use crate::text::{MAX_TEXT, storable_value, without_half_surrogates};

/// What a mapping made of a payload.
#[derive(Debug, Clone, PartialEq)]
pub enum Mapped {
    /// The fields of a lead.
    Lead {
        /// Values, what is carried along, and where each came from.
        fields: Fields,
        /// When the mapping opens a lead.
        enrollment: Enrollment,
        /// Whether this version of the object meets the mapping's own condition. Whether an object is new is
        /// not known here.
        enrolled: bool,
        /// Why it enrolls or not; for conditions the part that decided.
        why: String,
    },
    /// A `reject:` line holds.
    Rejected {
        /// That line's reason.
        reason: String,
    },
    /// The record can not become a lead. At least one problem; they name fields and paths, never values.
    Failed {
        /// In words, for the operator.
        problems: Vec<String>,
    },
}

impl Mapping {
    /// Maps one payload, a JSON object in the connector's documented shape.
    ///
    /// Blanks around texts are dropped, NUL characters removed, texts beyond 64 KiB cut between graphemes; the
    /// last two leave a note in the field's provenance, as does every cleaner that changed or refused a value.
    #[must_use]
    pub fn map(&self, payload: &str) -> Mapped {
        let payload = match parse(payload) {
            Ok(payload) => payload,
            Err(problem) => return Mapped::Failed { problems: vec![problem] },
        };
        let (fields, mut problems) = self.fields(&payload);
        let conditions = self.enroll.has_condition() || !self.reject.is_empty();
        let values = conditions.then(|| Values::new(&payload, &fields));
        match self.rejected(values.as_ref()) {
            Ok(Some(reason)) => return Mapped::Rejected { reason },
            Ok(None) => {}
            Err(more) => problems.extend(more),
        }
        let judged = self.enroll.judge(values.as_ref()).map_err(|problem| problems.push(problem));
        match judged {
            Ok((enrolled, why)) if problems.is_empty() => {
                Mapped::Lead { fields, enrollment: self.enroll.on, enrolled, why }
            }
            _ => Mapped::Failed { problems },
        }
    }

    fn fields(&self, payload: &Value) -> (Fields, Vec<String>) {
        let mut fields = Fields::default();
        let mut problems = Vec::new();
        for line in &self.lines {
            let filled = line.fill(payload);
            let name = line.field.name;
            if let Some(value) = filled.value {
                fields.values.insert(name.to_owned(), value);
            }
            if let Some(provenance) = filled.provenance {
                fields.provenance.insert(name.to_owned(), provenance);
            }
            problems.extend(filled.problem);
        }
        self.keep_into(&mut fields, payload);
        (fields, problems)
    }

    fn keep_into(&self, fields: &mut Fields, payload: &Value) {
        for path in &self.keep {
            let (Some(name), Some(value)) = (path.last_name(), path.find(payload).and_then(present)) else {
                continue;
            };
            let (mut value, mut note) = storable_value(value);
            if !value.is_string() && value.to_string().len() > MAX_TEXT {
                value = Value::Null;
                note = Some(format!("left out: more than {MAX_TEXT} bytes"));
            }
            if !value.is_null() {
                fields.extra.insert(name.to_owned(), value);
            }
            if note.is_some() {
                let provenance = Provenance { from: path.as_str().to_owned(), note };
                fields.provenance.insert(format!("extra.{name}"), provenance);
            }
        }
    }

    /// The reason of the first line that holds; `Err` if none holds and some could not be judged.
    fn rejected(&self, values: Option<&Values<'_>>) -> Result<Option<String>, Vec<String>> {
        let mut problems = Vec::new();
        for line in &self.reject {
            match values.map_or(Ok(false), |values| line.when.holds(values)) {
                Ok(true) => return Ok(Some(line.reason.clone())),
                Ok(false) => {}
                Err(error) => {
                    problems.push(format!(
                        "the condition of reject `{}` can not be judged: {error}",
                        line.reason
                    ));
                }
            }
        }
        if problems.is_empty() { Ok(None) } else { Err(problems) }
    }
}

fn parse(payload: &str) -> Result<Value, String> {
    let parsed: Value = match serde_json::from_str(payload) {
        Ok(parsed) => parsed,
        Err(error) => {
            let repaired = without_half_surrogates(payload).and_then(|text| serde_json::from_str(&text).ok());
            repaired.ok_or_else(|| {
                let (line, column) = (error.line(), error.column());
                format!("the payload is no JSON that can be read (line {line}, column {column})")
            })?
        }
    };
    if parsed.is_object() {
        return Ok(parsed);
    }
    Err("the payload is no JSON object, so no path leads into it".to_owned())
}
