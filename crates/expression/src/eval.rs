//! Evaluation over borrowed values.

use std::cmp::Ordering;
use std::ops::Range;

use crate::Scope;
use crate::term::{Arithmetic, Each, EachKind, Node, Order, Path, Term};
use crate::value::Val;

/// An expression met a value that its text could not foresee, usually a text where a number was expected in `record`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct EvalError {
    /// Start in bytes of the part of the expression.
    pub offset: usize,
    /// Length in bytes.
    pub len: usize,
    /// What happened; names kinds, never values.
    pub message: String,
}

/// Upper bound on the items that nested `exists`, `all`, … may visit in one evaluation.
const MAX_VISITS: usize = 1_000_000;

pub(crate) struct Machine<'a> {
    scope: &'a Scope<'a>,
    locals: Vec<Val<'a>>,
    visits: usize,
}

type Outcome<T> = Result<T, EvalError>;

fn fail<T>(at: &Range<usize>, message: String) -> Outcome<T> {
    Err(EvalError { offset: at.start, len: at.len(), message })
}

impl<'a> Machine<'a> {
    pub(crate) fn new(scope: &'a Scope<'a>) -> Self {
        Self { scope, locals: Vec::new(), visits: 0 }
    }

    /// A condition: null counts as false.
    pub(crate) fn truth(&mut self, node: &'a Node) -> Outcome<bool> {
        match self.eval(node)? {
            Val::Bool(value) => Ok(value),
            Val::Null => Ok(false),
            other => fail(&node.at, format!("expected true or false, found {}", other.kind())),
        }
    }

    pub(crate) fn eval(&mut self, node: &'a Node) -> Outcome<Val<'a>> {
        let bool = |value| Ok(Val::Bool(value));
        match &node.term {
            Term::Literal(literal) => Ok(Val::literal(literal)),
            Term::Path(path) => Ok(Val::of(path.find(self.scope))),
            Term::Local(index) => Ok(self.locals.get(*index).cloned().unwrap_or(Val::Null)),
            Term::Index(of, key) => {
                let (of, key) = (self.eval(of)?, self.eval(key)?);
                Ok(index(&of, &key))
            }
            Term::Has(of) => bool(!self.eval(of)?.is_null()),
            Term::Not(of) => bool(!self.truth(of)?),
            Term::And(a, b) => bool(self.either(a, b, false)?),
            Term::Or(a, b) => bool(self.either(a, b, true)?),
            Term::If(condition, yes, no) => match self.truth(condition)? {
                true => self.eval(yes),
                false => self.eval(no),
            },
            Term::Equal { negated, sides } => {
                let (a, b) = (self.eval(&sides.0)?, self.eval(&sides.1)?);
                bool(a.equals(&b) != *negated)
            }
            Term::Order(order, sides) => {
                let (a, b) = (self.eval(&sides.0)?, self.eval(&sides.1)?);
                order.holds(&a, &b).map_or_else(|message| fail(&node.at, message), bool)
            }
            Term::In(item, list) => bool(self.contains(item, list)?),
            Term::Arithmetic(operator, sides) => {
                let (a, b) = (self.eval(&sides.0)?, self.eval(&sides.1)?);
                operator.apply(a, b).or_else(|message| fail(&node.at, message))
            }
            Term::Negate(of) => match self.eval(of)? {
                Val::Null => Ok(Val::Null),
                value => {
                    Arithmetic::Subtract.apply(Val::Int(0), value).or_else(|message| fail(&node.at, message))
                }
            },
            Term::List(items) => {
                let items: Outcome<Vec<_>> = items.iter().map(|item| self.eval(item)).collect();
                Ok(Val::Made(items?))
            }
            Term::Call(function, arguments) => {
                let arguments: Outcome<Vec<_>> = arguments.iter().map(|one| self.eval(one)).collect();
                let arguments = arguments?;
                function.call(&arguments).map_or_else(
                    || {
                        let kinds: Vec<_> = arguments.iter().map(Val::kind).collect();
                        fail(&node.at, format!("this function does not take {}", kinds.join(" and ")))
                    },
                    Ok,
                )
            }
            Term::Matches(of, pattern) => match self.eval(of)? {
                Val::Text(text) => bool(pattern.is_match(&text)),
                Val::Null => bool(false),
                other => fail(&node.at, format!("matches() needs a text, found {}", other.kind())),
            },
            Term::Each(each) => self.each(&node.at, each),
        }
    }

    /// `&&` and `||` as CEL has them: a side that decides wins over an error of the other.
    fn either(&mut self, a: &'a Node, b: &'a Node, deciding: bool) -> Outcome<bool> {
        let first = self.truth(a);
        if first == Ok(deciding) {
            return first;
        }
        let second = self.truth(b);
        if second == Ok(deciding) {
            return second;
        }
        first.and(second)
    }

    fn contains(&mut self, item: &'a Node, list: &'a Node) -> Outcome<bool> {
        let item = self.eval(item)?;
        if let Term::List(entries) = &list.term {
            for entry in entries {
                if self.eval(entry)?.equals(&item) {
                    return Ok(true);
                }
            }
            return Ok(false);
        }
        match (self.eval(list)?, item) {
            (Val::Null, _) => Ok(false),
            (Val::List(entries), item) => Ok(entries.iter().any(|entry| Val::of(entry).equals(&item))),
            (Val::Made(entries), item) => Ok(entries.iter().any(|entry| entry.equals(&item))),
            (Val::Map(map), Val::Text(key)) => Ok(map.contains_key(key.as_ref())),
            (Val::Map(_), _) => Ok(false),
            (other, _) => fail(&list.at, format!("`in` needs a list, found {}", other.kind())),
        }
    }

    fn each(&mut self, at: &Range<usize>, each: &'a Each) -> Outcome<Val<'a>> {
        let range = self.eval(&each.range)?;
        let items = match (&range, range.items()) {
            (_, Some(items)) => items,
            (Val::Null, _) => Vec::new(),
            _ => return fail(&each.range.at, format!("expected a list, found {}", range.kind())),
        };
        self.visits = self.visits.saturating_add(items.len());
        if self.visits > MAX_VISITS {
            return fail(at, format!("more than {MAX_VISITS} items to look at"));
        }
        let (mut count, mut collected) = (0_usize, Vec::new());
        let total = items.len();
        for item in items {
            self.locals.push(item);
            let taken = self.one(each);
            self.locals.pop();
            if let Some(value) = taken? {
                count += 1;
                collected.push(value);
            }
        }
        Ok(match each.kind {
            EachKind::Any => Val::Bool(count > 0),
            EachKind::All => Val::Bool(count == total),
            EachKind::One => Val::Bool(count == 1),
            EachKind::Collect => Val::Made(collected),
        })
    }

    /// The item's value if it counts.
    fn one(&mut self, each: &'a Each) -> Outcome<Option<Val<'a>>> {
        if let Some(condition) = &each.condition
            && !self.truth(condition)?
        {
            return Ok(None);
        }
        match each.kind {
            EachKind::Collect => self.eval(&each.body).map(Some),
            _ => Ok(self.truth(&each.body)?.then_some(Val::Null)),
        }
    }
}

impl Path {
    pub(crate) fn find<'a>(&self, scope: &Scope<'a>) -> &'a serde_json::Value {
        let mut value = scope.root(&self.root);
        for key in &self.keys {
            value = value.get(key.as_str()).unwrap_or(&serde_json::Value::Null);
        }
        value
    }
}

fn index<'a>(of: &Val<'a>, key: &Val<'_>) -> Val<'a> {
    let position = |index: &i64| usize::try_from(*index).ok();
    match (of, key) {
        (Val::Map(map), Val::Text(key)) => map.get(key.as_ref()).map_or(Val::Null, Val::of),
        (Val::List(items), Val::Int(at)) => {
            position(at).and_then(|at| items.get(at)).map_or(Val::Null, Val::of)
        }
        (Val::Made(items), Val::Int(at)) => {
            position(at).and_then(|at| items.get(at).cloned()).unwrap_or(Val::Null)
        }
        _ => Val::Null,
    }
}

impl Order {
    fn holds(self, a: &Val<'_>, b: &Val<'_>) -> Result<bool, String> {
        if a.is_null() || b.is_null() {
            return Ok(false);
        }
        let Some(order) = a.order(b) else {
            let nan = |value: &Val<'_>| matches!(value, Val::Float(number) if number.is_nan());
            return match nan(a) || nan(b) {
                true => Ok(false),
                false => Err(format!("cannot order {} and {}", a.kind(), b.kind())),
            };
        };
        Ok(match self {
            Self::Less => order == Ordering::Less,
            Self::LessEqual => order != Ordering::Greater,
            Self::Greater => order == Ordering::Greater,
            Self::GreaterEqual => order != Ordering::Less,
        })
    }
}

impl Arithmetic {
    /// Null with anything is null.
    fn apply<'a>(self, a: Val<'a>, b: Val<'a>) -> Result<Val<'a>, String> {
        match (a, b) {
            (Val::Null, _) | (_, Val::Null) => Ok(Val::Null),
            (Val::Int(a), Val::Int(b)) => self.whole(a, b),
            (Val::Int(a), Val::Float(b)) => Ok(Val::Float(self.fractional(a as f64, b))),
            (Val::Float(a), Val::Int(b)) => Ok(Val::Float(self.fractional(a, b as f64))),
            (Val::Float(a), Val::Float(b)) => Ok(Val::Float(self.fractional(a, b))),
            (Val::Text(a), Val::Text(b)) if self == Self::Add => {
                Ok(Val::Text((a + b.as_ref()).into_owned().into()))
            }
            (a, b) => Err(format!("cannot calculate with {} and {}", a.kind(), b.kind())),
        }
    }

    fn whole<'a>(self, a: i64, b: i64) -> Result<Val<'a>, String> {
        let result = match self {
            Self::Add => a.checked_add(b),
            Self::Subtract => a.checked_sub(b),
            Self::Multiply => a.checked_mul(b),
            Self::Divide | Self::Remainder if b == 0 => return Err("division by zero".to_owned()),
            Self::Divide => a.checked_div(b),
            Self::Remainder => a.checked_rem(b),
        };
        result.map(Val::Int).ok_or_else(|| "the number is too large".to_owned())
    }

    fn fractional(self, a: f64, b: f64) -> f64 {
        match self {
            Self::Add => a + b,
            Self::Subtract => a - b,
            Self::Multiply => a * b,
            Self::Divide => a / b,
            Self::Remainder => a % b,
        }
    }
}
