//! `when:` conditions: they see `record` (the payload) and `lead` (what was mapped from it).

use serde_json::{Map, Value};
use usher_document::{Cursor, Decode};
use usher_expression::{EvalError, Expression, Schema, Scope, Type};
use usher_model::{FieldType, Fields, field};

/// A checked condition.
#[derive(Debug, Clone)]
pub(crate) struct Condition {
    expression: Expression,
}

/// The values that conditions of one record see.
#[derive(Debug)]
pub(crate) struct Values<'v> {
    record: &'v Value,
    lead: Value,
}

impl<'v> Values<'v> {
    pub(crate) fn new(record: &'v Value, fields: &Fields) -> Self {
        Self { record, lead: lead_value(fields) }
    }

    fn scope(&self) -> Scope<'_> {
        Scope::new().with("record", self.record).with("lead", &self.lead)
    }
}

impl Condition {
    /// Whether it holds.
    pub(crate) fn holds(&self, values: &Values<'_>) -> Result<bool, EvalError> {
        self.expression.holds(&values.scope())
    }

    /// The part that decided, with its value.
    pub(crate) fn explain(&self, values: &Values<'_>) -> Result<String, EvalError> {
        self.expression.explain(&values.scope()).map(|why| why.to_string())
    }
}

impl Decode for Condition {
    fn decode(at: &Cursor<'_>) -> Option<Self> {
        let text = at.text()?;
        match Expression::parse(text, &schema()) {
            Ok(expression) => Some(Self { expression }),
            Err(problems) => {
                let place = at.place();
                at.diagnostics().extend(problems.iter().map(|problem| problem.to_diagnostic(&place)));
                None
            }
        }
    }
}

fn schema() -> Schema {
    let fields = field::CATALOGUE.iter().map(|field| {
        let kind = match field.kind {
            FieldType::Text => Type::Text,
            FieldType::Number => Type::Number,
        };
        (field.name, kind)
    });
    Schema::new().fields("lead", fields).fields("lead", [("extra", Type::Map)]).open("record")
}

/// The fields as expressions see them: absent ones are null, what is kept stands under `extra`.
fn lead_value(fields: &Fields) -> Value {
    let mut lead: Map<String, Value> =
        fields.values.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
    let extra = fields.extra.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
    lead.insert("extra".to_owned(), Value::Object(extra));
    Value::Object(lead)
}
