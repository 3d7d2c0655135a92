//! `exists`, `all`, `exists_one`, `filter` and `map`: the parser hands them over as general folds, we recognise
//! the five shapes and evaluate them directly, which is linear and stays explainable.

use std::ops::Range;

use cel::common::ast::{CallExpr, ComprehensionExpr, Expr, IdedExpr, LiteralValue, operators};

use crate::Type;
use crate::check::Typed;
use crate::lower::{Lowering, typed};
use crate::term::{Each, EachKind, Term};

struct Shape<'e> {
    kind: EachKind,
    condition: Option<&'e IdedExpr>,
    body: &'e IdedExpr,
}

impl Lowering<'_> {
    pub(crate) fn each(&mut self, fold: &ComprehensionExpr, whole: Range<usize>) -> Typed {
        let Some(shape) = shape(fold).filter(|_| fold.iter_var2.is_none()) else {
            return self.refuse(whole, "this kind of loop cannot be used in an expression");
        };
        let range = self.lower(&fold.iter_range);
        if matches!(range.kind, Type::Text | Type::Number | Type::Bool) {
            let message = format!("expected a list, this is {}", range.kind.name());
            return self.refuse(range.whole, message);
        }
        self.locals.push(fold.iter_var.clone());
        let condition = shape.condition.map(|condition| self.condition(condition).node);
        let body = match shape.kind {
            EachKind::Collect => self.lower(shape.body),
            _ => self.condition(shape.body),
        };
        self.locals.pop();
        let gives = match shape.kind {
            EachKind::Collect => Type::List,
            _ => Type::Bool,
        };
        let each = Each { kind: shape.kind, range: range.node, condition, body: body.node };
        typed(Term::Each(Box::new(each)), gives, whole.clone(), whole)
    }
}

fn shape(fold: &ComprehensionExpr) -> Option<Shape<'_>> {
    let Expr::Call(step) = &fold.loop_step.expr else { return None };
    let collect = |call| appended(call, &fold.accu_var);
    match (&fold.accu_init.expr, step.func_name.as_str(), step.args.as_slice()) {
        (Expr::Literal(LiteralValue::Boolean(_)), operators::LOGICAL_OR, [_, body]) => {
            Some(Shape { kind: EachKind::Any, condition: None, body })
        }
        (Expr::Literal(LiteralValue::Boolean(_)), operators::LOGICAL_AND, [_, body]) => {
            Some(Shape { kind: EachKind::All, condition: None, body })
        }
        (Expr::Literal(LiteralValue::Int(_)), operators::CONDITIONAL, [body, _, _]) => {
            Some(Shape { kind: EachKind::One, condition: None, body })
        }
        (Expr::List(_), operators::CONDITIONAL, [condition, kept, _]) => {
            let Expr::Call(kept) = &kept.expr else { return None };
            Some(Shape { kind: EachKind::Collect, condition: Some(condition), body: collect(kept)? })
        }
        (Expr::List(_), operators::ADD, _) => {
            Some(Shape { kind: EachKind::Collect, condition: None, body: collect(step)? })
        }
        _ => None,
    }
}

/// The `x` of `@result + [x]`.
fn appended<'e>(call: &'e CallExpr, accumulator: &str) -> Option<&'e IdedExpr> {
    match (call.func_name.as_str(), call.args.as_slice()) {
        (
            operators::ADD,
            [IdedExpr { expr: Expr::Ident(name), .. }, IdedExpr { expr: Expr::List(list), .. }],
        ) if name == accumulator => list.elements.first(),
        _ => None,
    }
}
