//! A small Skeleton: lists of rows in memory, no kinder than the vendor's documents allow.

use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use serde_json::{Value, json};
#[cfg(feature = "calls")]
use usher_testkit::Asked;

#[cfg(feature = "calls")]
pub(crate) const TOKEN: &str = "canary-token";

/// The vendor from behind the counter.
pub(crate) struct Vendor(Mutex<State>);

/// Everything that it holds.
pub(crate) struct State {
    pub(crate) now: Timestamp,
    pub(crate) people: Vec<Value>,
    #[cfg(feature = "directory")]
    pub(crate) companies: Vec<Value>,
    #[cfg(feature = "target")]
    pub(crate) tasks: Vec<Value>,
    /// The scope that the token lacks.
    pub(crate) forbidden: Option<String>,
    /// Owners that are written are dropped without a word.
    pub(crate) drops_owners: bool,
    /// Everything that the API ever changed.
    #[cfg(feature = "target")]
    pub(crate) changes: usize,
    last_id: u64,
}

impl Default for Vendor {
    fn default() -> Self {
        Self(Mutex::new(State {
            now: "2026-11-23T10:00:00Z".parse().unwrap(),
            people: Vec::new(),
            #[cfg(feature = "directory")]
            companies: Vec::new(),
            #[cfg(feature = "target")]
            tasks: Vec::new(),
            forbidden: None,
            drops_owners: false,
            #[cfg(feature = "target")]
            changes: 0,
            last_id: 100,
        }))
    }
}

impl Vendor {
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The answer to a call: status and body.
    #[cfg(feature = "calls")]
    pub(crate) fn answer(&self, asked: &Asked) -> (u16, Value) {
        if asked.headers.get("authorization").is_none_or(|given| *given != format!("Bearer {TOKEN}")) {
            return (401, json!({ "error": "bad_token" }));
        }
        let state = self.state();
        let lacks = |scope: &str| state.forbidden.as_deref() == Some(scope);
        let scope = scope(asked);
        if lacks(scope) {
            return (403, json!({ "error": "missing_scope", "scope": scope }));
        }
        match (asked.method.as_str(), &asked.parts()[..]) {
            ("GET", ["people"]) => list(&state.people, asked),
            #[cfg(feature = "directory")]
            ("GET", ["companies"]) => list(&state.companies, asked),
            #[cfg(feature = "directory")]
            ("GET", ["users"]) => list(&crate::directory::users(), asked),
            #[cfg(feature = "target")]
            ("GET", ["tasks"]) => list(&state.tasks, asked),
            #[cfg(feature = "target")]
            (_, [table, rest @ ..]) => {
                drop(state);
                self.state().object(table, rest, asked)
            }
            _ => (404, json!({ "error": "not_found" })),
        }
    }
}

impl State {
    /// A row with id and times, which shows what it lacks as `null`.
    pub(crate) fn stamped(&mut self, mut row: Value, at: Timestamp) -> Value {
        self.last_id += 1;
        for key in ["email", "owner", "company"] {
            row.as_object_mut().unwrap().entry(key).or_insert(Value::Null);
        }
        row["id"] = json!(self.last_id);
        row["created_at"] = json!(at);
        row["updated_at"] = json!(at);
        row
    }
}

#[cfg(feature = "calls")]
fn scope(asked: &Asked) -> &'static str {
    match (asked.method.as_str(), asked.parts().first().copied()) {
        (_, Some("users")) => "users:read",
        (_, Some("companies")) => "companies:read",
        (_, Some("tasks")) => "tasks:write",
        ("GET", _) => "people:read",
        _ => "people:write",
    }
}

/// A page of a list, by the query's bounds and order.
#[cfg(feature = "calls")]
fn list(rows: &[Value], asked: &Asked) -> (u16, Value) {
    let bound = |name: &str| asked.query(name).parse::<i64>().ok();
    let at =
        |row: &Value| row["updated_at"].as_str().unwrap_or_default().parse::<Timestamp>().unwrap_or_default();
    let id = |row: &Value| row["id"].as_u64().unwrap_or_default();
    let ids: Vec<&str> = asked.query("ids").split(',').filter(|id| !id.is_empty()).collect();
    let has = |row: &Value, name: &str| asked.query(name).is_empty() || text(&row[name]) == asked.query(name);
    let mut fitting: Vec<&Value> = rows
        .iter()
        .filter(|row| bound("updated_from").is_none_or(|from| at(row).as_millisecond() >= from))
        .filter(|row| bound("updated_to").is_none_or(|to| at(row).as_millisecond() <= to))
        .filter(|row| bound("after").is_none_or(|after| id(row) > after.unsigned_abs()))
        .filter(|row| ids.is_empty() || ids.iter().any(|id| is(&row["id"], id)))
        .filter(|row| has(row, "email") && has(row, "person"))
        .collect();
    match asked.query("sort") {
        "updated_at" => fitting.sort_by_key(|row| at(row)),
        _ => fitting.sort_by_key(|row| id(row)),
    }
    let limit = asked.query("limit").parse().unwrap_or(100).min(100);
    let more = fitting.len() > limit;
    fitting.truncate(limit);
    (200, json!({ "rows": fitting, "more": more }))
}

#[cfg(feature = "calls")]
fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Whether a row names that id.
#[cfg(feature = "calls")]
pub(crate) fn is(value: &Value, id: &str) -> bool {
    id.parse::<u64>().is_ok_and(|id| *value == id)
}
