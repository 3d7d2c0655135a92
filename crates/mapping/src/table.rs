//! A value table: from the answer that a person picked to the word that rules compare with.

use std::collections::HashMap;

use serde_json::Value;
use usher_document::{Cursor, Value as Yaml};
use usher_model::FieldType;

/// Answers and what they stand for. Blanks around an answer and its case do not count.
#[derive(Debug, Clone)]
pub(crate) struct Table {
    rows: HashMap<String, Value>,
}

impl Table {
    /// Reads `values:`; what an answer stands for must fit the field.
    pub(crate) fn decode(at: &Cursor<'_>, kind: FieldType) -> Option<Self> {
        let mut map = at.map()?;
        let mut rows = HashMap::new();
        let mut whole = true;
        let entries = map.entries();
        if entries.is_empty() {
            at.error("empty", "the table has no lines").hint("add lines such as `SEO: seo`").report();
            whole = false;
        }
        for (answer, at) in entries {
            let Some(value) = constant(&at, kind) else {
                whole = false;
                continue;
            };
            if rows.insert(fold(&answer.value), value).is_some() {
                at.error("duplicate", format!("the answer `{}` has two lines", answer.value.trim()))
                    .hint("blanks around an answer and upper or lower case make no difference; keep one")
                    .report();
                whole = false;
            }
        }
        map.finish();
        whole.then_some(Self { rows })
    }

    /// What an answer stands for.
    pub(crate) fn get(&self, answer: &str) -> Option<&Value> {
        self.rows.get(&fold(answer))
    }
}

fn fold(answer: &str) -> String {
    answer.trim().to_lowercase()
}

/// A value written in the mapping itself, of the field's type.
pub(crate) fn constant(at: &Cursor<'_>, kind: FieldType) -> Option<Value> {
    match (kind, &at.node().value) {
        (FieldType::Text, _) => at.text().map(Value::from),
        (FieldType::Number, Yaml::Int(number)) => Some(Value::from(*number)),
        (FieldType::Number, Yaml::Float(number)) if number.is_finite() => Some(Value::from(*number)),
        (FieldType::Number, _) => {
            at.wrong_type("a number, because the field is one");
            None
        }
    }
}
