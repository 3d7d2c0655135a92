//! What is wrong with the text of an expression, and where.

use std::fmt;

use serde::Serialize;
use usher_document::{Diagnostic, Place};

/// One problem at a byte range of the expression's text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// Start in bytes.
    pub offset: usize,
    /// Length in bytes; 0 at the end of the text.
    pub len: usize,
    /// What is wrong.
    pub message: String,
    /// What was written instead, if a near name is known.
    pub suggestion: Option<String>,
    /// What to do.
    pub help: Option<String>,
}

impl Problem {
    pub(crate) fn new(range: std::ops::Range<usize>, message: impl Into<String>) -> Self {
        Self {
            offset: range.start,
            len: range.end.saturating_sub(range.start),
            message: message.into(),
            suggestion: None,
            help: None,
        }
    }

    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    pub(crate) fn suggest(mut self, suggestion: Option<String>) -> Self {
        self.suggestion = suggestion;
        self
    }

    /// The problem at its line and column of the file, given the place of the expression's text.
    #[must_use]
    pub fn to_diagnostic(&self, place: &Place) -> Diagnostic {
        let at = place.within(self.offset, self.len);
        let mut diagnostic = Diagnostic::error("expression", &at, self.message.clone());
        diagnostic.suggestion = self.suggestion.clone();
        diagnostic.help = self.help.clone();
        diagnostic
    }
}

/// All problems of one expression, at least one.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Problems(pub Vec<Problem>);

impl std::ops::Deref for Problems {
    type Target = [Problem];

    fn deref(&self) -> &[Problem] {
        &self.0
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { "; " };
            write!(f, "{separator}{} (at byte {})", problem.message, problem.offset)?;
            if let Some(suggestion) = &problem.suggestion {
                write!(f, ", did you mean `{suggestion}`?")?;
            }
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}
