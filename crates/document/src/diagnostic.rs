//! One problem in a file, and the collection that gathers all of them.

use std::cell::RefCell;

use serde::{Deserialize, Serialize};

use crate::Place;

/// How bad a [`Diagnostic`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The file is refused.
    Error,
    /// The file works, but probably not as meant.
    Warning,
}

/// One problem, with place, what was found and what to do.
///
/// As JSON: `{severity, code, file, line, col, len, path, msg, found, allowed, suggestion, help}`; empty parts are left out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Diagnostic {
    /// Error or warning.
    pub severity: Severity,
    /// A stable word for the kind of problem, such as `unknown-key`.
    pub code: &'static str,
    /// Name of the file.
    pub file: String,
    /// Line from 1.
    pub line: usize,
    /// Column in characters from 1.
    #[serde(rename = "col")]
    pub column: usize,
    /// Characters to mark on that line, at least 1.
    pub len: usize,
    /// The key path from the top of the file, such as `rules[2].when` (lists count from 0); empty at the top.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub path: String,
    /// What is wrong, in one sentence.
    #[serde(rename = "msg")]
    pub message: String,
    /// What the file has at this place.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub found: Option<String>,
    /// What could stand there.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub allowed: Vec<String>,
    /// The nearest allowed name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub suggestion: Option<String>,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
}

impl Diagnostic {
    /// An error at a place.
    pub fn error(code: &'static str, place: &Place, message: impl Into<String>) -> Self {
        Self::new(Severity::Error, code, place, message.into())
    }

    /// A warning at a place.
    pub fn warning(code: &'static str, place: &Place, message: impl Into<String>) -> Self {
        Self::new(Severity::Warning, code, place, message.into())
    }

    fn new(severity: Severity, code: &'static str, place: &Place, message: String) -> Self {
        Self {
            severity,
            code,
            file: place.file().to_owned(),
            line: place.span.line,
            column: place.span.column,
            len: place.span.len,
            path: place.path.clone(),
            message,
            found: None,
            allowed: Vec::new(),
            suggestion: None,
            help: None,
        }
    }

    /// Adds what the file has.
    #[must_use]
    pub fn found(mut self, found: impl Into<String>) -> Self {
        self.found = Some(found.into());
        self
    }

    /// Adds what could stand there, and the nearest of these to `written`, if one is near.
    #[must_use]
    pub fn allowed<'a>(mut self, written: &str, allowed: impl IntoIterator<Item = &'a str>) -> Self {
        let allowed: Vec<&str> = allowed.into_iter().collect();
        self.suggestion = crate::nearest(written, allowed.iter().copied()).map(str::to_owned);
        self.allowed = allowed.into_iter().map(str::to_owned).collect();
        self
    }

    /// Adds what to do.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

/// Gathers problems while files are read. Shared by reference, so that nested readers can all add to it.
#[derive(Debug, Default)]
pub struct Diagnostics {
    list: RefCell<Vec<Diagnostic>>,
}

impl Diagnostics {
    /// Adds one.
    pub fn push(&self, diagnostic: Diagnostic) {
        self.list.borrow_mut().push(diagnostic);
    }

    /// Adds several.
    pub fn extend(&self, diagnostics: impl IntoIterator<Item = Diagnostic>) {
        self.list.borrow_mut().extend(diagnostics);
    }

    /// Whether anything but warnings was added.
    #[must_use]
    pub fn has_errors(&self) -> bool {
        self.list.borrow().iter().any(|one| one.severity == Severity::Error)
    }

    /// Everything, sorted by file and place; the same problem reported twice appears once.
    #[must_use]
    pub fn into_sorted(self) -> Vec<Diagnostic> {
        let mut list = self.list.into_inner();
        list.sort_by(|a, b| {
            (&a.file, a.line, a.column, a.severity).cmp(&(&b.file, b.line, b.column, b.severity))
        });
        list.dedup();
        list
    }
}
