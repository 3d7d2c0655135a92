//! What a rule's `when` can see.

use serde_json::{Map, Value};
use usher_expression::{Schema, Type};
use usher_model::field::CATALOGUE;
use usher_model::{Account, FieldType, Fields};

/// The names that a rule may use: `lead.*` with every declared field and `lead.extra`, and `account.*`.
#[must_use]
pub fn schema() -> Schema {
    let lead = CATALOGUE.iter().map(|field| {
        let kind = match field.kind {
            FieldType::Text => Type::Text,
            FieldType::Number => Type::Number,
        };
        (field.name, kind)
    });
    let account = ["id", "name", "owner", "country"].map(|name| (name, Type::Text));
    Schema::new().fields("lead", lead).fields("lead", [("extra", Type::Map)]).fields("account", account)
}

/// The lead's values; built once for all rules.
pub(crate) fn lead(fields: &Fields) -> Value {
    let mut lead: Map<String, Value> =
        fields.values.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
    let extra = fields.extra.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
    lead.insert("extra".to_owned(), Value::Object(extra));
    Value::Object(lead)
}

/// The account's values, null without one. An owner who counts as nobody is null too.
pub(crate) fn account(account: Option<&Account>, owner_counts: bool) -> Value {
    let Some(account) = account else {
        return Value::Null;
    };
    let text = |text: &str| Value::String(text.to_owned());
    let owner = account.owner.as_ref().filter(|_| owner_counts);
    let entries = [
        ("id", Some(text(account.external_id.as_str()))),
        ("name", Some(text(&account.name))),
        ("owner", owner.map(|owner| text(owner.as_str()))),
        ("country", account.country.as_deref().map(text)),
    ];
    let known = entries.into_iter().filter_map(|(name, value)| value.map(|value| (name.to_owned(), value)));
    Value::Object(known.collect())
}
