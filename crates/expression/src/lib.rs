//! CEL expressions: parsed, checked against known fields, evaluated, explained.
//!
//! The syntax is the standard Common Expression Language, read by the `cel` crate. Checking and evaluation are
//! ours, because an admin's rule over a half-filled form needs kinder rules than the standard's:
//!
//! - Every declared field exists and is null when absent; so is every key that an open root (`record`) lacks,
//!   and every field of null.
//! - Ordering (`<`, `<=`, `>`, `>=`) against null is false. `==`, `!=` and `in` take null like any value.
//! - Null counts as false where a condition is expected, and text functions on null answer false or null;
//!   `size(null)` is 0.
//! - Whole and fractional numbers mix.
//! - `has(x)` is true when `x` is not null.
//!
//! ```
//! use usher_expression::{Expression, Schema, Scope, Type};
//!
//! let schema = Schema::new()
//!     .fields("lead", [("country", Type::Text), ("budget", Type::Number)])
//!     .open("record");
//! let rule = Expression::parse(r#"lead.country in ["DE", "AT"] && lead.budget >= 20000"#, &schema)?;
//!
//! let lead = serde_json::json!({ "country": "DE", "budget": 5000 });
//! let scope = Scope::new().with("lead", &lead);
//! assert_eq!(rule.holds(&scope)?, false);
//! assert_eq!(rule.explain(&scope)?.to_string(), "`lead.budget >= 20000` does not hold (lead.budget = 5000)");
//!
//! let problems = Expression::parse("lead.contry == 'DE'", &schema).err().unwrap_or_default();
//! assert_eq!(problems[0].suggestion.as_deref(), Some("lead.country"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod check;
mod each;
mod eval;
mod expression;
mod functions;
mod lower;
mod position;
mod problem;
mod schema;
mod scope;
mod syntax;
mod term;
mod value;
mod why;

#[cfg(test)]
mod tests;

pub use eval::EvalError;
pub use expression::Expression;
pub use problem::{Problem, Problems};
pub use schema::{Schema, Type};
pub use scope::Scope;
pub use why::{Part, Why};
