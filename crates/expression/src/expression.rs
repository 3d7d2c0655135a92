//! The expression itself: parse, evaluate, explain.

use std::fmt;

use cel::common::ast::{IdedExpr, SourceInfo};
use cel::parser::Parser;
use usher_document::Cursor;

use crate::eval::{EvalError, Machine};
use crate::lower::Lowering;
use crate::position::Positions;
use crate::term::Node;
use crate::{Problem, Problems, Schema, Scope, Why, check, syntax, why};

/// Longest text; rules that people write have a tenth of it.
const MAX_BYTES: usize = 4_000;
/// Enough for the brackets that [`syntax::precheck`] lets through, with as much again in reserve.
const PARSER_STACK: usize = 8 << 20;

/// A condition that was checked against a [`Schema`].
#[derive(Clone)]
pub struct Expression {
    text: String,
    root: Node,
}

impl Expression {
    /// Parses a condition and checks names and types. All problems of names and types come at once; a broken
    /// syntax is one problem.
    pub fn parse(text: &str, schema: &Schema) -> Result<Self, Problems> {
        if let Some(problem) = syntax::precheck(text, MAX_BYTES) {
            return Err(Problems(vec![problem]));
        }
        let (tree, info) = parsed(text)?;
        let mut lowering = Lowering {
            text,
            schema,
            positions: Positions::new(text, &info),
            locals: Vec::new(),
            problems: Vec::new(),
            depth: 0,
        };
        let whole = lowering.lower(&tree);
        if lowering.problems.is_empty() {
            lowering.problem(check::condition(text, &whole));
        }
        match lowering.problems.is_empty() {
            true => Ok(Self { text: text.to_owned(), root: whole.node }),
            false => Err(Problems(sorted(lowering.problems))),
        }
    }

    /// Reads a condition from a file; problems are reported at their line and column.
    #[must_use]
    pub fn read(at: &Cursor<'_>, schema: &Schema) -> Option<Self> {
        // `when: true` is a boolean to YAML and a good condition to everybody else.
        let text = match at.node().value {
            usher_document::Value::Bool(value) => value.to_string(),
            _ => at.text()?.to_owned(),
        };
        let place = at.place();
        Self::parse(&text, schema)
            .map_err(|problems| {
                at.diagnostics().extend(problems.iter().map(|problem| problem.to_diagnostic(&place)));
            })
            .ok()
    }

    /// The text as written.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether the condition holds.
    pub fn holds(&self, scope: &Scope<'_>) -> Result<bool, EvalError> {
        Machine::new(scope).truth(&self.root)
    }

    /// Which parts decided, and with which values. The values may be personal data.
    pub fn explain(&self, scope: &Scope<'_>) -> Result<Why, EvalError> {
        why::explain(&self.text, &self.root, scope)
    }

    /// The paths that the expression reads, such as `lead.country`, each once.
    #[must_use]
    pub fn references(&self) -> Vec<String> {
        why::paths(&self.root).into_iter().map(ToString::to_string).collect()
    }
}

/// Runs the parser on a stack of its own: in an unoptimised build it needs some 180 KiB for each bracket, and
/// the threads that load files have 2 MiB.
fn parsed(text: &str) -> Result<(IdedExpr, SourceInfo), Problems> {
    let parse = || Parser::new().parse_with_source_info(text);
    let outcome = std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(PARSER_STACK).spawn_scoped(scope, parse);
        thread.ok().and_then(|thread| thread.join().ok())
    });
    match outcome {
        Some(Ok(parsed)) => Ok(parsed),
        Some(Err(errors)) => Err(Problems(vec![syntax::explain(text, &errors)])),
        None => Err(Problems(vec![Problem::new(0..text.len(), "this condition cannot be read")])),
    }
}

fn sorted(mut problems: Vec<Problem>) -> Vec<Problem> {
    problems.sort_by_key(|problem| problem.offset);
    problems.dedup();
    problems
}

impl fmt::Debug for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Expression").field(&self.text).finish()
    }
}

impl PartialEq for Expression {
    /// The same text; the schema it was checked against is not compared.
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}
