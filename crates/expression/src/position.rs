//! Byte ranges of the parser's nodes. The parser counts characters and keeps only one token per node: the
//! operator of a call, the dot of a field, the opening bracket of a list.

use std::ops::Range;

use cel::common::ast::{Expr, IdedExpr, SourceInfo, operators};

pub(crate) struct Positions<'t> {
    text: &'t str,
    info: &'t SourceInfo,
}

impl<'t> Positions<'t> {
    pub(crate) fn new(text: &'t str, info: &'t SourceInfo) -> Self {
        Self { text, info }
    }

    /// The node's own token.
    pub(crate) fn token(&self, expr: &IdedExpr) -> Range<usize> {
        let Some((start, last)) = self.info.offset_for(expr.id) else {
            return 0..self.text.len();
        };
        let start = byte_of(self.text, start as usize);
        start..byte_of(self.text, last as usize + 1).max(start)
    }

    /// The whole node, as well as its tokens tell.
    pub(crate) fn whole(&self, expr: &IdedExpr) -> Range<usize> {
        let token = self.token(expr);
        match &expr.expr {
            Expr::Select(select) => {
                let operand = self.whole(&select.operand);
                operand.start
                    ..self.after_field(operand.end, &select.field).unwrap_or(token.end.max(operand.end))
            }
            Expr::Call(call) => {
                let parts = call.target.iter().map(AsRef::as_ref).chain(&call.args);
                let name = self.name(&token, &call.func_name);
                let start = name.as_ref().map_or(token.start, |name| name.start);
                let all = parts.fold(start..token.end, |all, part| join(&all, &self.whole(part)));
                let closes = name.is_some() || call.func_name == operators::INDEX;
                all.start..if closes { self.closed(all.end) } else { all.end }
            }
            Expr::List(list) => {
                let all = list.elements.iter().fold(token, |all, part| join(&all, &self.whole(part)));
                all.start..self.closed(all.end)
            }
            Expr::Comprehension(each) => join(&token, &self.whole(&each.iter_range)),
            _ => token,
        }
    }

    /// The written name of a function call, whose token is the opening parenthesis.
    pub(crate) fn name(&self, token: &Range<usize>, name: &str) -> Option<Range<usize>> {
        let before = self.text.get(..token.start)?.trim_end();
        let start = before.len() - before.strip_suffix(name).map(|_| name.len())?;
        Some(start..before.len())
    }

    /// The end of `.field` behind `from`.
    fn after_field(&self, from: usize, field: &str) -> Option<usize> {
        let rest = self.text.get(from..)?;
        let after_dot = rest.trim_start().strip_prefix('.')?.trim_start();
        after_dot.starts_with(field).then(|| from + rest.len() - after_dot.len() + field.len())
    }

    /// Takes one closing bracket along.
    fn closed(&self, from: usize) -> usize {
        let rest = self.text.get(from..).unwrap_or_default();
        let trimmed = rest.trim_start();
        match trimmed.starts_with([')', ']']) {
            true => from + rest.len() - trimmed.len() + 1,
            false => from,
        }
    }
}

fn join(a: &Range<usize>, b: &Range<usize>) -> Range<usize> {
    a.start.min(b.start)..a.end.max(b.end)
}

/// The byte where the `n`th character begins.
pub(crate) fn byte_of(text: &str, n: usize) -> usize {
    text.char_indices().nth(n).map_or(text.len(), |(at, _)| at)
}
