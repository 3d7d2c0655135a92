//! Values during evaluation: borrowed from the scope wherever possible.

use std::borrow::Cow;
use std::cmp::Ordering;

use serde_json::Value as Json;

use crate::term::Literal;

#[derive(Debug, Clone)]
pub(crate) enum Val<'a> {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(Cow<'a, str>),
    List(&'a [Json]),
    /// A list made by the expression itself.
    Made(Vec<Val<'a>>),
    Map(&'a serde_json::Map<String, Json>),
}

impl<'a> Val<'a> {
    pub(crate) fn of(json: &'a Json) -> Self {
        match json {
            Json::Null => Self::Null,
            Json::Bool(value) => Self::Bool(*value),
            Json::Number(number) => match number.as_i64() {
                Some(whole) => Self::Int(whole),
                // Whole numbers beyond 64 bits lose their last digits, as in every JSON reader.
                None => number.as_f64().map_or(Self::Null, Self::Float),
            },
            Json::String(text) => Self::Text(Cow::Borrowed(text)),
            Json::Array(items) => Self::List(items),
            Json::Object(map) => Self::Map(map),
        }
    }

    pub(crate) fn literal(literal: &'a Literal) -> Self {
        match literal {
            Literal::Null => Self::Null,
            Literal::Bool(value) => Self::Bool(*value),
            Literal::Int(value) => Self::Int(*value),
            Literal::Float(value) => Self::Float(*value),
            Literal::Text(text) => Self::Text(Cow::Borrowed(text)),
        }
    }

    pub(crate) fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    /// What this is, for a message; without the value, which may be personal data.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Null => "nothing",
            Self::Bool(_) => "true or false",
            Self::Int(_) | Self::Float(_) => "a number",
            Self::Text(_) => "a text",
            Self::List(_) | Self::Made(_) => "a list",
            Self::Map(_) => "a group of fields",
        }
    }

    pub(crate) fn equals(&self, other: &Val<'_>) -> bool {
        match (self, other) {
            (Self::Null, Val::Null) => true,
            (Self::Bool(a), Val::Bool(b)) => a == b,
            (Self::Text(a), Val::Text(b)) => a == b,
            (Self::Map(a), Val::Map(b)) => same_map(a, b),
            (Self::Int(_) | Self::Float(_), Val::Int(_) | Val::Float(_)) => {
                self.order(other) == Some(Ordering::Equal)
            }
            _ => match (self.items(), other.items()) {
                (Some(a), Some(b)) => a.len() == b.len() && a.iter().zip(&b).all(|(a, b)| a.equals(b)),
                _ => false,
            },
        }
    }

    /// `None` where there is no order: different kinds, or not a number.
    pub(crate) fn order(&self, other: &Val<'_>) -> Option<Ordering> {
        match (self, other) {
            (Self::Int(a), Val::Int(b)) => Some(a.cmp(b)),
            (Self::Float(a), Val::Float(b)) => a.partial_cmp(b),
            (Self::Int(a), Val::Float(b)) => order_mixed(*a, *b),
            (Self::Float(a), Val::Int(b)) => order_mixed(*b, *a).map(Ordering::reverse),
            (Self::Text(a), Val::Text(b)) => Some(a.cmp(b)),
            _ => None,
        }
    }

    pub(crate) fn items(&self) -> Option<Vec<Val<'a>>> {
        match self {
            Self::List(items) => Some(items.iter().map(Val::of).collect()),
            Self::Made(items) => Some(items.clone()),
            Self::Map(map) => Some(map.keys().map(|key| Val::Text(Cow::Borrowed(key))).collect()),
            _ => None,
        }
    }
}

fn same_map(a: &serde_json::Map<String, Json>, b: &serde_json::Map<String, Json>) -> bool {
    let same = |(key, value)| b.get(key).is_some_and(|other| Val::of(value).equals(&Val::of(other)));
    a.len() == b.len() && a.iter().all(same)
}

/// Exact even where the whole number has more digits than a double.
fn order_mixed(whole: i64, other: f64) -> Option<Ordering> {
    const BEYOND: f64 = 9_223_372_036_854_775_808.0;
    if other.is_nan() {
        return None;
    }
    if other >= BEYOND {
        return Some(Ordering::Less);
    }
    if other < -BEYOND {
        return Some(Ordering::Greater);
    }
    let by_whole = whole.cmp(&(other.trunc() as i64));
    by_whole.then(0.0_f64.partial_cmp(&other.fract())?).into()
}
