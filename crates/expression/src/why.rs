//! Which part of a condition decided, and with which values.

use std::fmt;
use std::ops::Range;

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::eval::{EvalError, Machine};
use crate::term::{Node, Path, Term};
use crate::{Scope, syntax};

/// Texts, lists and groups in an explanation are cut after so many characters.
const MAX_CHARS: usize = 120;

/// The answer of a condition with the parts that decided: of `a && b` the first false one, or all if it holds;
/// of `a || b` the first true one, or all if it does not hold.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Why {
    /// The answer.
    pub holds: bool,
    /// The deciding parts in the order of the text, at least one.
    pub parts: Vec<Part>,
}

/// A part of a condition without `&&`, `||` and `!`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Part {
    /// The part as written.
    pub text: String,
    /// Its answer.
    pub holds: bool,
    /// The values that it read: path and value, which may be shortened to text.
    pub values: Vec<(String, Json)>,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verb = if self.holds { "holds" } else { "does not hold" };
        write!(f, "`{}` {verb}", self.text)?;
        for (index, (path, value)) in self.values.iter().enumerate() {
            let before = if index == 0 { " (" } else { ", " };
            write!(f, "{before}{path} = {value}")?;
        }
        if self.values.is_empty() { Ok(()) } else { f.write_str(")") }
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, part) in self.parts.iter().enumerate() {
            let separator = if index == 0 { "" } else { "; " };
            write!(f, "{separator}{part}")?;
        }
        Ok(())
    }
}

pub(crate) fn explain(text: &str, root: &Node, scope: &Scope<'_>) -> Result<Why, EvalError> {
    let holds = Machine::new(scope).truth(root)?;
    let mut explainer = Explainer { text, scope, parts: Vec::new() };
    explainer.part(root, 0..text.len(), holds);
    Ok(Why { holds, parts: explainer.parts })
}

struct Explainer<'a> {
    text: &'a str,
    scope: &'a Scope<'a>,
    parts: Vec<Part>,
}

impl<'a> Explainer<'a> {
    /// `extent` is the text of the node, known from the outside: between the operators around it.
    fn part(&mut self, node: &'a Node, extent: Range<usize>, holds: bool) {
        let extent = stripped(self.text, extent);
        match &node.term {
            Term::And(a, b) => self.both(node, (a, b), &extent, holds, false),
            Term::Or(a, b) => self.both(node, (a, b), &extent, holds, true),
            Term::Not(of) if node.at.end <= extent.end => self.part(of, node.at.end..extent.end, !holds),
            _ => {
                let values =
                    paths(node).into_iter().map(|path| (path.to_string(), shown(path.find(self.scope))));
                let values = values.collect();
                let text = self.text.get(extent).unwrap_or(self.text).to_owned();
                self.parts.push(Part { text, holds, values });
            }
        }
    }

    fn both(
        &mut self,
        node: &Node,
        (a, b): (&'a Node, &'a Node),
        extent: &Range<usize>,
        holds: bool,
        deciding: bool,
    ) {
        let left = extent.start..node.at.start.max(extent.start);
        let right = node.at.end.min(extent.end)..extent.end;
        // An error of one side was outweighed by the other side; only what decided is told.
        let answers = [self.answer(a), self.answer(b)];
        for (side, extent, answer) in [(a, left, answers[0]), (b, right, answers[1])] {
            if holds == deciding {
                if answer == Some(deciding) {
                    return self.part(side, extent, deciding);
                }
            } else if let Some(answer) = answer {
                self.part(side, extent, answer);
            }
        }
    }

    fn answer(&self, node: &'a Node) -> Option<bool> {
        Machine::new(self.scope).truth(node).ok()
    }
}

/// The paths below a node in the order of the text, each once.
pub(crate) fn paths(node: &Node) -> Vec<&Path> {
    fn walk<'n>(node: &'n Node, found: &mut Vec<&'n Path>) {
        match &node.term {
            Term::Path(path) if !found.contains(&path) => found.push(path),
            Term::Path(_) | Term::Literal(_) | Term::Local(_) => {}
            Term::Has(of) | Term::Not(of) | Term::Negate(of) | Term::Matches(of, _) => walk(of, found),
            Term::Index(a, b) | Term::And(a, b) | Term::Or(a, b) | Term::In(a, b) => {
                walk(a, found);
                walk(b, found);
            }
            Term::Equal { sides, .. } | Term::Order(_, sides) | Term::Arithmetic(_, sides) => {
                walk(&sides.0, found);
                walk(&sides.1, found);
            }
            Term::If(a, b, c) => [a, b, c].into_iter().for_each(|part| walk(part, found)),
            Term::List(items) | Term::Call(_, items) => items.iter().for_each(|item| walk(item, found)),
            Term::Each(each) => {
                walk(&each.range, found);
                each.condition.iter().for_each(|condition| walk(condition, found));
                walk(&each.body, found);
            }
        }
    }
    let mut found = Vec::new();
    walk(node, &mut found);
    found
}

fn shown(value: &Json) -> Json {
    let cut = |text: &str| -> Json { text.chars().take(MAX_CHARS).chain(['…']).collect::<String>().into() };
    match value {
        Json::String(text) if text.chars().nth(MAX_CHARS).is_some() => cut(text),
        Json::Array(_) | Json::Object(_) => {
            let text = value.to_string();
            if text.len() > MAX_CHARS { cut(&text) } else { value.clone() }
        }
        _ => value.clone(),
    }
}

/// Without white space and parentheses around it.
fn stripped(text: &str, extent: Range<usize>) -> Range<usize> {
    let mut extent = extent;
    loop {
        let part = text.get(extent.clone()).unwrap_or_default();
        let start = extent.start + part.len() - part.trim_start().len();
        let end = start + part.trim().len();
        extent = start..end;
        if !wrapped(&text[extent.clone()]) {
            return extent;
        }
        extent = start + 1..end - 1;
    }
}

/// Whether the first parenthesis closes with the last character.
fn wrapped(part: &str) -> bool {
    if !part.starts_with('(') {
        return false;
    }
    let mut depth = 0_usize;
    for (at, c) in syntax::outside_quotes(part) {
        match c {
            '(' => depth += 1,
            ')' if depth == 1 => return at + 1 == part.len(),
            ')' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    false
}
