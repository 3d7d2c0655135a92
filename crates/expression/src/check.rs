//! What can be known to be wrong before any lead is there.

use std::ops::Range;

use usher_document::nearest;

use crate::functions::{ALL, OTHERS};
use crate::term::{Literal, Node, Term};
use crate::{Problem, Schema, Type};

/// A part with what is known about it, and the whole range to point at.
pub(crate) struct Typed {
    pub(crate) node: Node,
    pub(crate) kind: Type,
    pub(crate) whole: Range<usize>,
}

impl Typed {
    pub(crate) fn is_null(&self) -> bool {
        matches!(self.node.term, Term::Literal(Literal::Null))
    }
}

/// `part` where a condition is expected.
pub(crate) fn condition(text: &str, part: &Typed) -> Option<Problem> {
    if matches!(part.kind, Type::Bool | Type::Any) && !part.is_null() {
        return None;
    }
    let shown = &text[part.whole.clone()];
    let problem = Problem::new(part.whole.clone(), format!("`{shown}` is {}, not a condition", name(part)));
    Some(match part.kind {
        Type::Text => problem.help(format!("compare it: `{shown} == \"…\"`, or ask `has({shown})`")),
        Type::Number => problem.help(format!("compare it: `{shown} > 0`, or ask `has({shown})`")),
        _ => problem.help(format!("ask `has({shown})` for whether it is there")),
    })
}

/// The sides of `==` and `!=`.
pub(crate) fn equality(at: &Range<usize>, a: &Typed, b: &Typed) -> Option<Problem> {
    if comparable(a, b) {
        return None;
    }
    let message = format!("{} never equals {}", name(a), name(b));
    Some(Problem::new(at.clone(), message).help(remedy(a, b)))
}

/// The sides of `<`, `<=`, `>` and `>=`.
pub(crate) fn order(at: &Range<usize>, a: &Typed, b: &Typed) -> Option<Problem> {
    for side in [a, b] {
        if side.is_null() {
            let message = "nothing is greater or smaller than null";
            return Some(
                Problem::new(side.whole.clone(), message).help("ask `!= null` for whether it is there"),
            );
        }
        if matches!(side.kind, Type::Bool | Type::List | Type::Map) {
            let message = format!("{} has no order", name(side));
            return Some(
                Problem::new(side.whole.clone(), message).help("only numbers and texts can be ordered"),
            );
        }
    }
    if comparable(a, b) {
        return None;
    }
    let message = format!("cannot order {} and {}", name(a), name(b));
    Some(Problem::new(at.clone(), message).help(remedy(a, b)))
}

/// `item in list`.
pub(crate) fn membership(text: &str, item: &Typed, list: &Typed) -> Option<Problem> {
    if let Type::Text | Type::Number | Type::Bool = list.kind {
        let problem = Problem::new(list.whole.clone(), format!("`in` needs a list, this is {}", name(list)));
        let (item, list) = (&text[item.whole.clone()], &text[list.whole.clone()]);
        return Some(match list.starts_with(['"', '\'']) {
            true => problem.help(format!("write `{item} in [{list}]`")),
            false => problem.help(format!("for a part of a text write `{list}.contains({item})`")),
        });
    }
    None
}

/// `+`, `-`, `*`, `/`, `%`.
pub(crate) fn arithmetic(at: &Range<usize>, adds: bool, a: &Typed, b: &Typed) -> Option<Problem> {
    let known = |side: &Typed| side.kind != Type::Any && !side.is_null();
    let number = |side: &Typed| !known(side) || side.kind == Type::Number;
    let text = |side: &Typed| !known(side) || side.kind == Type::Text;
    if (number(a) && number(b)) || (adds && text(a) && text(b)) {
        return None;
    }
    let message = format!("cannot calculate with {} and {}", name(a), name(b));
    Some(Problem::new(at.clone(), message).help(remedy(a, b)))
}

/// An argument of a function.
pub(crate) fn argument(function: &str, takes: Type, given: &Typed) -> Option<Problem> {
    let fits = takes == Type::Any || given.kind == Type::Any || given.kind == takes || given.is_null();
    if fits {
        return None;
    }
    let message = format!("`{function}` needs {}, this is {}", takes.name(), name(given));
    Some(Problem::new(given.whole.clone(), message))
}

fn comparable(a: &Typed, b: &Typed) -> bool {
    let open = |side: &Typed| side.kind == Type::Any || side.is_null();
    open(a) || open(b) || a.kind == b.kind
}

fn name(of: &Typed) -> &'static str {
    if of.is_null() { "nothing" } else { of.kind.name() }
}

fn remedy(a: &Typed, b: &Typed) -> &'static str {
    match (a.kind, b.kind) {
        (Type::Text, Type::Number) | (Type::Number, Type::Text) => {
            "numbers stand without quotes; `int(…)` makes a number of a text"
        }
        (Type::Bool, Type::Text) | (Type::Text, Type::Bool) => "`true` and `false` stand without quotes",
        (Type::List, _) => "for an entry of a list write `… in list`",
        (_, Type::List) => "for one of several values write `in` instead of `==`",
        _ => "compare values of one kind",
    }
}

/// A name that is neither root nor variable.
pub(crate) fn unknown_name(schema: &Schema, name: &str, at: Range<usize>) -> Problem {
    let problem = Problem::new(at, format!("`{name}` is not known here"));
    if let Some(root) = schema.root_with(name) {
        return problem.suggest(Some(format!("{root}.{name}")));
    }
    let roots: Vec<&str> = schema.root_names().collect();
    match nearest(name, roots.iter().copied()) {
        Some(near) => problem.suggest(Some(near.to_owned())),
        None => problem.help(format!(
            "put a text in quotes: \"{name}\"; expressions start at {}",
            roots.iter().map(|root| format!("`{root}`")).collect::<Vec<_>>().join(", ")
        )),
    }
}

/// A field that its root does not have.
pub(crate) fn unknown_field(schema: &Schema, root: &str, field: &str, at: Range<usize>) -> Problem {
    let problem = Problem::new(at, format!("`{root}` has no field `{field}`"));
    let near = nearest(field, schema.field_names(root)).map(|near| format!("{root}.{near}"));
    if near.is_some() {
        return problem.suggest(near);
    }
    let names: Vec<&str> = schema.field_names(root).take(30).collect();
    problem.help(match names.is_empty() {
        true => format!("`{root}` has no fields here"),
        false => format!("it has {}", names.join(", ")),
    })
}

/// A function that does not exist.
pub(crate) fn unknown_function(name: &str, at: Range<usize>) -> Problem {
    let mut names: Vec<&str> =
        ALL.iter().map(|signature| signature.name).chain(OTHERS.iter().copied()).collect();
    names.dedup();
    let other = match name.to_ascii_lowercase().as_str() {
        "lower" | "lowercase" | "tolower" | "tolowercase" => Some("lowerAscii"),
        "upper" | "uppercase" | "toupper" | "touppercase" => Some("upperAscii"),
        "len" | "length" | "count" => Some("size"),
        "includes" | "like" => Some("contains"),
        "exist" | "exists" | "isset" => Some("has"),
        "number" | "float" => Some("double"),
        _ => nearest(name, names.iter().copied()),
    };
    let problem = Problem::new(at, format!("there is no function `{name}`"));
    match other {
        Some(near) => problem.suggest(Some(near.to_owned())),
        None => problem.help(format!("there are {}", names.join(", "))),
    }
}
