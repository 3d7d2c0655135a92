//! One search condition: which value it looks at and when it holds.
//!
//! API-FACTS HubSpot: Search. IN and NOT_IN compare the given text verbatim with the lower-cased value,
//! enumerations are case-sensitive, every other comparison is not. Times are epoch ms as strings.

use serde::Deserialize;
use serde_json::Value;

use super::errors::ApiError;
use super::kinds;
use super::links::Links;
use super::props::PropId;
use super::record::View;
use super::registry::{Registry, ValueType, Virtual};
use crate::clock::parse_time;

/// A filter as sent.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Filter {
    property_name: String,
    operator: String,
    #[serde(default)]
    value: Option<Value>,
    #[serde(default)]
    values: Option<Vec<Value>>,
    #[serde(default)]
    high_value: Option<Value>,
}

/// What a condition or a sort looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Target {
    Id,
    Created,
    Modified,
    Prop(PropId, ValueType),
    /// The pseudo-property `associations.contact`.
    Linked(usize),
}

impl Target {
    pub(crate) fn find(registry: &Registry, name: &str) -> Result<Self, ApiError> {
        if let Some(object) = name.strip_prefix("associations.") {
            return kinds::find(object).map(Self::Linked).ok_or_else(problem);
        }
        let prop = registry.find(name).ok_or_else(problem)?;
        let definition = registry.get(prop);
        Ok(match definition.virtual_value {
            Some(Virtual::Id) => Self::Id,
            Some(Virtual::Created) => Self::Created,
            Some(Virtual::Modified) => Self::Modified,
            _ => Self::Prop(prop, definition.value_type),
        })
    }

    fn is_number(self) -> bool {
        !matches!(self, Self::Prop(_, ValueType::Text | ValueType::Choice) | Self::Linked(_))
    }

    /// The value as a number, for numbers, times and ids.
    pub(crate) fn number(self, view: &View<'_>) -> Option<i64> {
        match self {
            Self::Id => i64::try_from(view.id).ok(),
            Self::Created => Some(view.created),
            Self::Modified => Some(view.modified),
            Self::Prop(prop, ValueType::Time) => view.props.get(prop).and_then(parse_time),
            Self::Prop(prop, ValueType::Number) => view.props.get(prop).and_then(scaled),
            _ => None,
        }
    }
}

/// Numbers are compared in thousandths, so that one integer type serves ids, times and amounts.
fn scaled(text: &str) -> Option<i64> {
    let number: f64 = text.parse().ok()?;
    #[allow(clippy::cast_possible_truncation)]
    Some((number * 1_000.0).round() as i64)
}

fn problem() -> ApiError {
    ApiError::validation("There was a problem with the request.")
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Op {
    /// Numbers in a closed range; EQ, LT and the like become one.
    Range,
    NotNumber,
    Equal,
    NotEqual,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
    In,
    NotIn,
    Has,
    HasNot,
    Token,
    NotToken,
}

/// A checked condition.
#[derive(Debug)]
pub(crate) struct Cond {
    pub(crate) target: Target,
    op: Op,
    low: i64,
    high: i64,
    text: String,
    list: Vec<String>,
}

fn text_of(value: Option<&Value>) -> Result<String, ApiError> {
    match value {
        Some(Value::String(text)) => Ok(text.clone()),
        Some(Value::Number(number)) => Ok(number.to_string()),
        Some(Value::Bool(flag)) => Ok(flag.to_string()),
        _ => Err(ApiError::malformed("a filter has no value")),
    }
}

impl Cond {
    pub(crate) fn new(registry: &Registry, filter: &Filter) -> Result<Self, ApiError> {
        let target = Target::find(registry, &filter.property_name)?;
        let mut cond =
            Self { target, op: Op::Has, low: i64::MIN, high: i64::MAX, text: String::new(), list: vec![] };
        match filter.operator.as_str() {
            "HAS_PROPERTY" => return Ok(cond),
            "NOT_HAS_PROPERTY" => {
                cond.op = Op::HasNot;
                return Ok(cond);
            }
            "IN" | "NOT_IN" => {
                let values = filter.values.as_deref().filter(|values| !values.is_empty());
                let values =
                    values.ok_or_else(|| ApiError::malformed("values must be set for IN and NOT_IN"))?;
                cond.list = values.iter().map(|value| text_of(Some(value))).collect::<Result<_, _>>()?;
                cond.op = if filter.operator == "IN" { Op::In } else { Op::NotIn };
                return Ok(cond);
            }
            _ => {}
        }
        let text = text_of(filter.value.as_ref())?;
        if target.is_number() && !filter.operator.contains("TOKEN") {
            cond.number(filter, &text)?;
        } else {
            cond.words(filter, &text)?;
        }
        Ok(cond)
    }

    fn number(&mut self, filter: &Filter, text: &str) -> Result<(), ApiError> {
        let parse = |text: &str| {
            let number = match self.target {
                Target::Prop(_, ValueType::Number) => scaled(text),
                _ => text.parse::<i64>().ok(),
            };
            number.ok_or_else(|| ApiError::validation(format!("{text} was not a valid long.")))
        };
        let value = parse(text)?;
        let high = filter.high_value.as_ref().map(|high| text_of(Some(high)).and_then(|text| parse(&text)));
        self.op = Op::Range;
        match filter.operator.as_str() {
            "EQ" => (self.low, self.high) = (value, value),
            "NEQ" => (self.op, self.low) = (Op::NotNumber, value),
            "LT" => self.high = value.saturating_sub(1),
            "LTE" => self.high = value,
            "GT" => self.low = value.saturating_add(1),
            "GTE" => self.low = value,
            "BETWEEN" => {
                let high = high.ok_or_else(|| ApiError::malformed("BETWEEN needs a highValue"))?;
                (self.low, self.high) = (value, high?);
            }
            other => return Err(unknown_operator(other)),
        }
        Ok(())
    }

    fn words(&mut self, filter: &Filter, text: &str) -> Result<(), ApiError> {
        let exact = matches!(self.target, Target::Prop(_, ValueType::Choice));
        self.text = if exact { text.to_owned() } else { text.to_lowercase() };
        self.op = match filter.operator.as_str() {
            "EQ" => Op::Equal,
            "NEQ" => Op::NotEqual,
            "LT" => Op::Less,
            "LTE" => Op::LessEqual,
            "GT" => Op::Greater,
            "GTE" => Op::GreaterEqual,
            "CONTAINS_TOKEN" => Op::Token,
            "NOT_CONTAINS_TOKEN" => Op::NotToken,
            other => return Err(unknown_operator(other)),
        };
        if matches!(self.target, Target::Linked(_)) && self.op != Op::Equal {
            return Err(problem());
        }
        Ok(())
    }

    /// The closed range, if the condition is one.
    pub(crate) fn range(&self, target: Target) -> Option<(i64, i64)> {
        (self.op == Op::Range && self.target == target).then_some((self.low, self.high))
    }

    /// The property and value of a plain equality.
    pub(crate) fn equality(&self) -> Option<(PropId, &str)> {
        match self.target {
            Target::Prop(prop, ValueType::Text) if self.op == Op::Equal => Some((prop, &self.text)),
            _ => None,
        }
    }

    /// The record at the other end of `associations.x EQ id`.
    pub(crate) fn linked(&self) -> Option<(usize, u64)> {
        match self.target {
            Target::Linked(kind) => Some((kind, self.text.parse().ok()?)),
            _ => None,
        }
    }

    pub(crate) fn holds(&self, view: &View<'_>, registry: &Registry, kind: usize, links: &Links) -> bool {
        match self.op {
            Op::Range => {
                self.target.number(view).is_some_and(|number| (self.low..=self.high).contains(&number))
            }
            Op::NotNumber => self.target.number(view).is_some_and(|number| number != self.low),
            _ => self.holds_text(view, registry, kind, links),
        }
    }

    fn holds_text(&self, view: &View<'_>, registry: &Registry, kind: usize, links: &Links) -> bool {
        let prop = match self.target {
            Target::Linked(to) => {
                return links.of((kind, view.id), to).iter().any(|link| link.to.to_string() == self.text);
            }
            Target::Prop(prop, _) => Some(prop),
            Target::Id | Target::Created | Target::Modified => None,
        };
        let exact = matches!(self.target, Target::Prop(_, ValueType::Choice));
        let value = match prop {
            Some(prop) => view.value(registry, prop),
            None => self.target.number(view).map(|number| number.to_string().into()),
        };
        let Some(value) = value else {
            // A record without a value matches only the absence test; NEQ and NOT_IN need a value (?).
            return self.op == Op::HasNot;
        };
        let lower = if exact { value.into_owned() } else { value.to_lowercase() };
        match self.op {
            Op::Has => true,
            Op::HasNot => false,
            Op::Equal => lower == self.text,
            Op::NotEqual => lower != self.text,
            Op::Less => lower < self.text,
            Op::LessEqual => lower <= self.text,
            Op::Greater => lower > self.text,
            Op::GreaterEqual => lower >= self.text,
            Op::In => self.list.contains(&lower),
            Op::NotIn => !self.list.contains(&lower),
            Op::Token => has_token(&lower, &self.text),
            Op::NotToken => !has_token(&lower, &self.text),
            Op::Range | Op::NotNumber => false,
        }
    }
}

fn unknown_operator(name: &str) -> ApiError {
    ApiError::validation(format!("Invalid filter operator: {name}"))
}

/// Whole words, or a word with `*` at either end.
fn has_token(value: &str, token: &str) -> bool {
    let (front, back) = (token.starts_with('*'), token.ends_with('*'));
    let core = token.trim_matches('*').to_lowercase();
    let fits = |word: &str| match (front, back) {
        (true, true) => word.contains(&core),
        (true, false) => word.ends_with(&core),
        (false, true) => word.starts_with(&core),
        (false, false) => word == core,
    };
    fits(value)
        || value.split_whitespace().any(fits)
        || value.split(|c: char| !c.is_alphanumeric()).any(|word| !word.is_empty() && fits(word))
}

#[cfg(test)]
mod tests {
    use super::has_token;

    #[test]
    fn tokens_and_wildcards() {
        assert!(has_token("ana maria", "ana"));
        assert!(!has_token("anamaria", "ana"));
        assert!(has_token("ana@acme.example", "*@acme.example"));
        assert!(has_token("anamaria", "ana*"));
        assert!(!has_token("banana", "ana*"));
    }
}
