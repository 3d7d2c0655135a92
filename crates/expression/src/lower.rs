//! From the parser's tree to checked terms; collects all problems.

use std::ops::Range;

use cel::common::ast::{CallExpr, Expr, IdedExpr, LiteralValue, SelectExpr, operators};
use regex::RegexBuilder;

use crate::check::{self, Typed};
use crate::functions::{ALL, OTHERS};
use crate::position::Positions;
use crate::term::{Arithmetic, Literal, Node, Order, Path, Term};
use crate::{Problem, Schema, Type};

/// Deeper trees come from no human hand, and recursion needs stack.
const MAX_DEPTH: usize = 100;
/// Compiled size of a pattern in bytes.
const MAX_PATTERN: usize = 1 << 20;

pub(crate) struct Lowering<'t> {
    pub(crate) text: &'t str,
    pub(crate) schema: &'t Schema,
    pub(crate) positions: Positions<'t>,
    pub(crate) locals: Vec<String>,
    pub(crate) problems: Vec<Problem>,
    pub(crate) depth: usize,
}

impl Lowering<'_> {
    pub(crate) fn problem(&mut self, problem: Option<Problem>) {
        self.problems.extend(problem);
    }

    pub(crate) fn refuse(&mut self, whole: Range<usize>, message: impl Into<String>) -> Typed {
        self.problems.push(Problem::new(whole.clone(), message));
        self.unknown(whole)
    }

    /// Stands for a part that is already reported, so that one mistake makes one message.
    fn unknown(&self, whole: Range<usize>) -> Typed {
        typed(Term::Path(Path { root: String::new(), keys: Vec::new() }), Type::Any, whole.clone(), whole)
    }

    pub(crate) fn lower(&mut self, expr: &IdedExpr) -> Typed {
        if self.depth == MAX_DEPTH {
            let at = self.positions.token(expr);
            return self.refuse(at, "the expression is nested too deeply");
        }
        self.depth += 1;
        let lowered = self.lower_one(expr);
        self.depth -= 1;
        lowered
    }

    fn lower_one(&mut self, expr: &IdedExpr) -> Typed {
        let whole = self.positions.whole(expr);
        match &expr.expr {
            Expr::Literal(value) => self.literal(value, whole),
            Expr::Ident(name) => self.ident(name, whole),
            Expr::Select(select) => self.select(select, whole),
            Expr::Call(call) => self.call(call, self.positions.token(expr), whole),
            Expr::List(list) => {
                let items = list.elements.iter().map(|item| self.lower(item).node).collect();
                typed(Term::List(items), Type::List, whole.clone(), whole)
            }
            Expr::Comprehension(each) => self.each(each, whole),
            Expr::Map(_) | Expr::Struct(_) => self.refuse(whole, "`{ … }` cannot be used in an expression"),
            Expr::Unspecified => self.refuse(whole, "something is missing here"),
        }
    }

    fn literal(&mut self, value: &LiteralValue, whole: Range<usize>) -> Typed {
        let (literal, kind) = match value {
            LiteralValue::Null => (Literal::Null, Type::Any),
            LiteralValue::Boolean(value) => (Literal::Bool(*value.inner()), Type::Bool),
            LiteralValue::Int(value) => (Literal::Int(*value.inner()), Type::Number),
            LiteralValue::UInt(value) => (unsigned(*value.inner()), Type::Number),
            LiteralValue::Double(value) => (Literal::Float(*value.inner()), Type::Number),
            LiteralValue::String(text) => (Literal::Text(text.inner().to_owned()), Type::Text),
            LiteralValue::Bytes(_) => return self.refuse(whole, "bytes cannot be used in an expression"),
        };
        typed(Term::Literal(literal), kind, whole.clone(), whole)
    }

    fn ident(&mut self, name: &str, whole: Range<usize>) -> Typed {
        if let Some(index) = self.locals.iter().rposition(|local| local == name) {
            return typed(Term::Local(index), Type::Any, whole.clone(), whole);
        }
        if !self.schema.has_root(name) {
            self.problems.push(check::unknown_name(self.schema, name, whole.clone()));
            return self.unknown(whole);
        }
        let path = Path { root: name.to_owned(), keys: Vec::new() };
        typed(Term::Path(path), Type::Map, whole.clone(), whole)
    }

    fn select(&mut self, select: &SelectExpr, whole: Range<usize>) -> Typed {
        let of = self.lower(&select.operand);
        let mut field = self.field(of, &select.field, whole.clone());
        if select.test {
            let node = Box::new(field.node);
            field = typed(Term::Has(node), Type::Bool, whole.clone(), whole);
        }
        field
    }

    fn field(&mut self, of: Typed, name: &str, whole: Range<usize>) -> Typed {
        if !matches!(of.kind, Type::Map | Type::Any) || of.is_null() {
            let shown = self.text[of.whole.clone()].to_owned();
            return self.refuse(whole, format!("`{shown}` is {} and has no fields", of.kind.name()));
        }
        match of.node.term {
            Term::Path(path) if path.root.is_empty() => self.unknown(whole),
            Term::Path(path) => self.extend(path, name, whole),
            _ => {
                let key = Node { at: whole.clone(), term: Term::Literal(Literal::Text(name.to_owned())) };
                let term = Term::Index(Box::new(of.node), Box::new(key));
                typed(term, Type::Any, whole.clone(), whole)
            }
        }
    }

    fn extend(&mut self, mut path: Path, name: &str, whole: Range<usize>) -> Typed {
        let mut kind = Type::Any;
        if path.keys.is_empty() {
            match self.schema.field(&path.root, name) {
                Ok(known) => kind = known,
                Err(()) => {
                    let problem = check::unknown_field(self.schema, &path.root, name, whole.clone());
                    self.problems.push(problem);
                    return self.unknown(whole);
                }
            }
        }
        path.keys.push(name.to_owned());
        typed(Term::Path(path), kind, whole.clone(), whole)
    }

    fn call(&mut self, call: &CallExpr, token: Range<usize>, whole: Range<usize>) -> Typed {
        let binary = |term: fn(Box<Node>, Box<Node>) -> Term| term;
        match (call.func_name.as_str(), call.args.as_slice()) {
            (operators::LOGICAL_AND, [a, b]) => self.logical(binary(Term::And), a, b, token, whole),
            (operators::LOGICAL_OR, [a, b]) => self.logical(binary(Term::Or), a, b, token, whole),
            (operators::LOGICAL_NOT, [of]) => {
                let of = self.condition(of);
                typed(Term::Not(Box::new(of.node)), Type::Bool, token, whole)
            }
            (operators::CONDITIONAL, [condition, yes, no]) => {
                let condition = self.condition(condition);
                let (yes, no) = (self.lower(yes), self.lower(no));
                let kind = if yes.kind == no.kind { yes.kind } else { Type::Any };
                let term = Term::If(Box::new(condition.node), Box::new(yes.node), Box::new(no.node));
                typed(term, kind, token, whole)
            }
            (operators::EQUALS, [a, b]) => self.equality(false, a, b, token, whole),
            (operators::NOT_EQUALS, [a, b]) => self.equality(true, a, b, token, whole),
            (operators::IN, [item, list]) => self.membership(item, list, token, whole),
            (operators::INDEX, [of, key]) => self.index(of, key, whole),
            (operators::NEGATE, [of]) => {
                let of = self.lower(of);
                self.problem(check::argument("-", Type::Number, &of));
                typed(Term::Negate(Box::new(of.node)), Type::Number, token, whole)
            }
            (name, [a, b]) if call.target.is_none() && order_of(name).is_some() => {
                let order = order_of(name).unwrap_or(Order::Less);
                let (a, b) = (self.lower(a), self.lower(b));
                self.problem(check::order(&token, &a, &b));
                typed(Term::Order(order, Box::new((a.node, b.node))), Type::Bool, token, whole)
            }
            (name, [a, b]) if call.target.is_none() && arithmetic_of(name).is_some() => {
                let operator = arithmetic_of(name).unwrap_or(Arithmetic::Add);
                self.arithmetic(operator, a, b, token, whole)
            }
            _ => self.function(call, &token, whole),
        }
    }

    pub(crate) fn condition(&mut self, expr: &IdedExpr) -> Typed {
        let part = self.lower(expr);
        self.problem(check::condition(self.text, &part));
        part
    }

    fn logical(
        &mut self,
        make: fn(Box<Node>, Box<Node>) -> Term,
        a: &IdedExpr,
        b: &IdedExpr,
        token: Range<usize>,
        whole: Range<usize>,
    ) -> Typed {
        let (a, b) = (self.condition(a), self.condition(b));
        typed(make(Box::new(a.node), Box::new(b.node)), Type::Bool, token, whole)
    }

    fn equality(
        &mut self,
        negated: bool,
        a: &IdedExpr,
        b: &IdedExpr,
        token: Range<usize>,
        whole: Range<usize>,
    ) -> Typed {
        let (a, b) = (self.lower(a), self.lower(b));
        self.problem(check::equality(&token, &a, &b));
        let sides = Box::new((a.node, b.node));
        typed(Term::Equal { negated, sides }, Type::Bool, token, whole)
    }

    fn membership(
        &mut self,
        item: &IdedExpr,
        list: &IdedExpr,
        token: Range<usize>,
        whole: Range<usize>,
    ) -> Typed {
        let left = self.lower(item);
        let right = self.lower(list);
        self.problem(check::membership(self.text, &left, &right));
        if let Expr::List(entries) = &list.expr {
            for entry in &entries.elements {
                let known = self.problems.len();
                let entry = self.lower(entry);
                self.problems.truncate(known);
                self.problem(check::equality(&entry.whole.clone(), &left, &entry));
            }
        }
        typed(Term::In(Box::new(left.node), Box::new(right.node)), Type::Bool, token, whole)
    }

    fn index(&mut self, of: &IdedExpr, key: &IdedExpr, whole: Range<usize>) -> Typed {
        let of = self.lower(of);
        let key = self.lower(key);
        if let Term::Literal(Literal::Text(name)) = &key.node.term {
            return self.field(of, name, whole);
        }
        let term = Term::Index(Box::new(of.node), Box::new(key.node));
        typed(term, Type::Any, whole.clone(), whole)
    }

    fn arithmetic(
        &mut self,
        operator: Arithmetic,
        a: &IdedExpr,
        b: &IdedExpr,
        token: Range<usize>,
        whole: Range<usize>,
    ) -> Typed {
        let (a, b) = (self.lower(a), self.lower(b));
        self.problem(check::arithmetic(&token, operator == Arithmetic::Add, &a, &b));
        let kind = match (operator, a.kind, b.kind) {
            (Arithmetic::Add, Type::Text, _) | (Arithmetic::Add, _, Type::Text) => Type::Text,
            (Arithmetic::Add, Type::Any, Type::Any) => Type::Any,
            _ => Type::Number,
        };
        typed(Term::Arithmetic(operator, Box::new((a.node, b.node))), kind, token, whole)
    }

    fn function(&mut self, call: &CallExpr, token: &Range<usize>, whole: Range<usize>) -> Typed {
        let name = call.func_name.as_str();
        let at = self.positions.name(token, name).unwrap_or_else(|| whole.clone());
        let arguments: Vec<&IdedExpr> = call.target.iter().map(AsRef::as_ref).chain(&call.args).collect();
        if name == "matches" && arguments.len() == 2 {
            return self.matches(arguments[0], arguments[1], whole);
        }
        let Some(signature) = ALL.iter().find(|signature| {
            signature.name == name
                && signature.member == call.target.is_some()
                && signature.takes.len() == arguments.len()
        }) else {
            return self.unknown_call(name, at, whole);
        };
        let mut nodes = Vec::new();
        for (takes, argument) in signature.takes.iter().zip(arguments) {
            let given = self.lower(argument);
            self.problem(check::argument(name, *takes, &given));
            nodes.push(given.node);
        }
        typed(Term::Call(signature.function, nodes), signature.gives, at, whole)
    }

    fn unknown_call(&mut self, name: &str, at: Range<usize>, whole: Range<usize>) -> Typed {
        let known = ALL.iter().any(|signature| signature.name == name) || OTHERS.contains(&name);
        let problem = match known {
            true => {
                let example = match name {
                    "size" | "string" | "int" | "double" | "has" => format!("{name}(lead.x)"),
                    "lowerAscii" | "upperAscii" | "trim" => format!("lead.x.{name}()"),
                    "exists" | "all" | "exists_one" | "filter" | "map" => format!("record.list.{name}(x, …)"),
                    _ => format!("lead.x.{name}(\"…\")"),
                };
                Problem::new(at, format!("`{name}` is used another way")).help(format!("write `{example}`"))
            }
            false => check::unknown_function(name, at),
        };
        self.problems.push(problem);
        self.unknown(whole)
    }

    fn matches(&mut self, of: &IdedExpr, pattern: &IdedExpr, whole: Range<usize>) -> Typed {
        let of = self.lower(of);
        self.problem(check::argument("matches", Type::Text, &of));
        let at = self.positions.whole(pattern);
        let Term::Literal(Literal::Text(text)) = self.lower(pattern).node.term else {
            return self.refuse(at, "the pattern of `matches` must be written out in quotes");
        };
        match RegexBuilder::new(&text).size_limit(MAX_PATTERN).build() {
            Ok(regex) => {
                let term = Term::Matches(Box::new(of.node), Box::new(regex));
                typed(term, Type::Bool, whole.clone(), whole)
            }
            Err(error) => {
                let why = error.to_string();
                let why =
                    why.lines().next_back().unwrap_or_default().trim_start_matches("error: ").to_owned();
                self.refuse(at, format!("this is no valid pattern: {why}"))
            }
        }
    }
}

pub(crate) fn typed(term: Term, kind: Type, at: Range<usize>, whole: Range<usize>) -> Typed {
    Typed { node: Node { at, term }, kind, whole }
}

fn unsigned(value: u64) -> Literal {
    i64::try_from(value).map_or(Literal::Float(value as f64), Literal::Int)
}

fn order_of(name: &str) -> Option<Order> {
    match name {
        operators::LESS => Some(Order::Less),
        operators::LESS_EQUALS => Some(Order::LessEqual),
        operators::GREATER => Some(Order::Greater),
        operators::GREATER_EQUALS => Some(Order::GreaterEqual),
        _ => None,
    }
}

fn arithmetic_of(name: &str) -> Option<Arithmetic> {
    match name {
        operators::ADD => Some(Arithmetic::Add),
        operators::SUBSTRACT => Some(Arithmetic::Subtract),
        operators::MULTIPLY => Some(Arithmetic::Multiply),
        operators::DIVIDE => Some(Arithmetic::Divide),
        operators::MODULO => Some(Arithmetic::Remainder),
        _ => None,
    }
}
