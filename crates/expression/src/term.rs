//! The checked form of an expression: what is evaluated and explained.

use std::ops::Range;

use regex::Regex;

use crate::functions::Function;

/// A part of an expression. `at` is the byte range that messages point at; for operators it is the operator itself.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) at: Range<usize>,
    pub(crate) term: Term,
}

#[derive(Debug, Clone)]
pub(crate) enum Term {
    Literal(Literal),
    /// A value reached by fixed keys from a root.
    Path(Path),
    /// The variable of the `n`th enclosing `exists`, `all`, …, counted from outside.
    Local(usize),
    Index(Box<Node>, Box<Node>),
    Has(Box<Node>),
    Not(Box<Node>),
    And(Box<Node>, Box<Node>),
    Or(Box<Node>, Box<Node>),
    If(Box<Node>, Box<Node>, Box<Node>),
    Equal {
        negated: bool,
        sides: Box<(Node, Node)>,
    },
    Order(Order, Box<(Node, Node)>),
    In(Box<Node>, Box<Node>),
    Arithmetic(Arithmetic, Box<(Node, Node)>),
    Negate(Box<Node>),
    List(Vec<Node>),
    Call(Function, Vec<Node>),
    Matches(Box<Node>, Box<Regex>),
    Each(Box<Each>),
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Literal {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Path {
    pub(crate) root: String,
    pub(crate) keys: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Arithmetic {
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
}

/// `range.exists(x, body)` and its siblings.
#[derive(Debug, Clone)]
pub(crate) struct Each {
    pub(crate) kind: EachKind,
    pub(crate) range: Node,
    pub(crate) condition: Option<Node>,
    pub(crate) body: Node,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EachKind {
    Any,
    All,
    One,
    /// `map` and `filter`: the bodies of the items that meet the condition.
    Collect,
}

impl std::fmt::Display for Path {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.root)?;
        for key in &self.keys {
            let simple = key.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
                && key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
            match simple {
                true => write!(f, ".{key}")?,
                false => write!(f, "[{key:?}]")?,
            }
        }
        Ok(())
    }
}
