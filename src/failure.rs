//! How a verb ends badly: the input is wrong (exit 1), or we failed (exit 2).

use std::error::Error;

use usher_document::{Diagnostic, SourceFile};
use usher_engine::EngineError;
use usher_store::StoreError;

/// A verb that could not do what was asked.
#[derive(Debug)]
pub(crate) enum Failure {
    /// What was given is wrong; the text says what to do.
    Input(String),
    /// Files with problems, all of them.
    Files(Vec<Diagnostic>, Vec<SourceFile>),
    /// We failed, or the machine did.
    Fault(anyhow::Error),
}

impl Failure {
    /// Wrong input with what to do.
    pub(crate) fn input(text: impl Into<String>) -> Self {
        Self::Input(text.into())
    }

    /// The exit code.
    pub(crate) fn code(&self) -> u8 {
        match self {
            Self::Input(_) | Self::Files(..) => 1,
            Self::Fault(_) => 2,
        }
    }

    /// What the user reads.
    pub(crate) fn text(&self) -> String {
        match self {
            Self::Input(text) => format!("error: {text}"),
            Self::Files(diagnostics, sources) => usher_document::render(diagnostics, sources),
            Self::Fault(error) => {
                let mut text = format!("error: {error}");
                for cause in error.chain().skip(1) {
                    text.push_str(&format!("\n  because: {cause}"));
                }
                text
            }
        }
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::Fault(error)
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::InUse { .. } | StoreError::Open { .. } | StoreError::Backup { .. } => {
                Self::Input(chain(&error))
            }
            other => Self::Fault(other.into()),
        }
    }
}

impl From<EngineError> for Failure {
    fn from(error: EngineError) -> Self {
        match error {
            EngineError::Unsuitable { .. } => Self::Input(error.to_string()),
            // Unreachable vendor, wrong token, missing scope: the operator can mend these.
            EngineError::Vendor { .. } => Self::Input(chain(&error)),
            other => Self::Fault(other.into()),
        }
    }
}

/// An error with its causes on one line.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
