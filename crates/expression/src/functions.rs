//! The functions that an expression may call.

use std::borrow::Cow;

use crate::Type;
use crate::value::Val;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Function {
    StartsWith,
    EndsWith,
    Contains,
    Lower,
    Upper,
    Trim,
    Size,
    ToText,
    ToInt,
    ToDouble,
}

/// How a function is written: `x.name(arguments)` if `member`, else `name(x, arguments)`. `size` is both.
pub(crate) struct Signature {
    pub(crate) name: &'static str,
    pub(crate) function: Function,
    pub(crate) member: bool,
    /// Arguments with the target as the first.
    pub(crate) takes: &'static [Type],
    pub(crate) gives: Type,
}

const fn member(name: &'static str, function: Function, takes: &'static [Type], gives: Type) -> Signature {
    Signature { name, function, member: true, takes, gives }
}

const fn free(name: &'static str, function: Function, gives: Type) -> Signature {
    Signature { name, function, member: false, takes: &[Type::Any], gives }
}

const TWO: &[Type] = &[Type::Text, Type::Text];
const ONE: &[Type] = &[Type::Text];

pub(crate) const ALL: &[Signature] = &[
    member("startsWith", Function::StartsWith, TWO, Type::Bool),
    member("endsWith", Function::EndsWith, TWO, Type::Bool),
    member("contains", Function::Contains, TWO, Type::Bool),
    member("lowerAscii", Function::Lower, ONE, Type::Text),
    member("upperAscii", Function::Upper, ONE, Type::Text),
    member("trim", Function::Trim, ONE, Type::Text),
    member("size", Function::Size, &[Type::Any], Type::Number),
    free("size", Function::Size, Type::Number),
    free("string", Function::ToText, Type::Text),
    free("int", Function::ToInt, Type::Number),
    free("double", Function::ToDouble, Type::Number),
];

/// Names that are understood elsewhere: `matches` takes a fixed pattern, the others are macros.
pub(crate) const OTHERS: &[&str] = &["matches", "has", "exists", "all", "exists_one", "filter", "map"];

impl Function {
    /// The answer, or `None` if an argument is of a kind that the function does not take.
    pub(crate) fn call<'a>(self, arguments: &[Val<'a>]) -> Option<Val<'a>> {
        let first = arguments.first()?;
        if first.is_null() {
            return Some(match self {
                Self::Size => Val::Int(0),
                Self::StartsWith | Self::EndsWith | Self::Contains => Val::Bool(false),
                _ => Val::Null,
            });
        }
        match self {
            Self::StartsWith | Self::EndsWith | Self::Contains => self.search(first, arguments.get(1)?),
            Self::Lower | Self::Upper | Self::Trim => self.change(first),
            Self::Size => size(first),
            Self::ToText => to_text(first),
            Self::ToInt => to_int(first),
            Self::ToDouble => to_double(first),
        }
    }

    fn search<'a>(self, text: &Val<'a>, part: &Val<'a>) -> Option<Val<'a>> {
        match (text, part) {
            (Val::Text(text), Val::Text(part)) => Some(Val::Bool(match self {
                Self::StartsWith => text.starts_with(part.as_ref()),
                Self::EndsWith => text.ends_with(part.as_ref()),
                _ => text.contains(part.as_ref()),
            })),
            (Val::Text(_), Val::Null) => Some(Val::Bool(false)),
            _ => None,
        }
    }

    fn change<'a>(self, text: &Val<'a>) -> Option<Val<'a>> {
        let Val::Text(text) = text else { return None };
        Some(Val::Text(Cow::Owned(match self {
            Self::Lower => text.to_ascii_lowercase(),
            Self::Upper => text.to_ascii_uppercase(),
            _ => text.trim().to_owned(),
        })))
    }
}

/// Characters of a text, entries of a list or map.
fn size<'a>(of: &Val<'_>) -> Option<Val<'a>> {
    let size = match of {
        Val::Text(text) => text.chars().count(),
        Val::List(items) => items.len(),
        Val::Made(items) => items.len(),
        Val::Map(map) => map.len(),
        _ => return None,
    };
    i64::try_from(size).ok().map(Val::Int)
}

fn to_text<'a>(of: &Val<'a>) -> Option<Val<'a>> {
    let text = match of {
        Val::Text(text) => text.clone(),
        Val::Bool(value) => Cow::Owned(value.to_string()),
        Val::Int(value) => Cow::Owned(value.to_string()),
        Val::Float(value) => Cow::Owned(value.to_string()),
        _ => return None,
    };
    Some(Val::Text(text))
}

/// A text that is no number gives null: a form's free text must not stop the routing.
fn to_int<'a>(of: &Val<'_>) -> Option<Val<'a>> {
    match of {
        Val::Int(value) => Some(Val::Int(*value)),
        Val::Float(value) => Some(whole(*value)),
        Val::Bool(value) => Some(Val::Int(i64::from(*value))),
        Val::Text(text) => Some(match (text.trim().parse(), text.trim().parse::<f64>()) {
            (Ok(value), _) => Val::Int(value),
            (_, Ok(value)) => whole(value),
            _ => Val::Null,
        }),
        _ => None,
    }
}

fn whole<'a>(value: f64) -> Val<'a> {
    let fits = value.is_finite() && value.abs() < 9.2e18;
    if fits { Val::Int(value.trunc() as i64) } else { Val::Null }
}

fn to_double<'a>(of: &Val<'_>) -> Option<Val<'a>> {
    match of {
        Val::Int(value) => Some(Val::Float(*value as f64)),
        Val::Float(value) => Some(Val::Float(*value)),
        Val::Text(text) => match text.trim().parse::<f64>() {
            Ok(value) if value.is_finite() => Some(Val::Float(value)),
            _ => Some(Val::Null),
        },
        _ => None,
    }
}
