//! Faults by what the host shall do about them.

use std::error::Error;
use std::fmt;

use jiff::SignedDuration;

/// What the host does about a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultClass {
    /// Try again soon; nothing was changed at the vendor.
    Transient,
    /// Try again once the named limit has room; nothing was changed at the vendor.
    Throttled {
        /// The exhausted limit, by its name in [`crate::LimitSpec`].
        limit: &'static str,
        /// How long to wait, where the vendor says so.
        retry_after: Option<SignedDuration>,
    },
    /// The vendor does not accept our credentials: refresh them or ask the operator.
    Unauthorized,
    /// This record or write is refused for good; others may pass.
    Rejected,
    /// Nothing will pass until the operator changes something: rest the connection and say what.
    Misconfigured,
    /// A write was sent and no answer says what happened. Never send again before verifying.
    OutcomeUnknown,
    /// Our own code met something it must not meet.
    Defect,
}

impl FaultClass {
    /// The name as stored and shown.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Transient => "transient",
            Self::Throttled { .. } => "throttled",
            Self::Unauthorized => "unauthorized",
            Self::Rejected => "rejected",
            Self::Misconfigured => "misconfigured",
            Self::OutcomeUnknown => "outcome_unknown",
            Self::Defect => "defect",
        }
    }
}

/// A failure with its class, what happened, and what to do.
///
/// Neither text may hold a secret or personal data: both reach logs and the failed list. Vendor messages quote values
/// now and then; connectors pass on a vendor's code or category, and its words only where they name no person.
#[derive(Debug)]
pub struct Fault {
    class: FaultClass,
    message: String,
    advice: Option<String>,
    source: Option<Box<dyn Error + Send + Sync>>,
}

impl Fault {
    /// A fault of that class; `message` says what happened, in one sentence without a final stop.
    #[must_use]
    pub fn new(class: FaultClass, message: impl Into<String>) -> Self {
        Self { class, message: message.into(), advice: None, source: None }
    }

    /// Adds what the operator should do.
    #[must_use]
    pub fn advise(mut self, advice: impl Into<String>) -> Self {
        self.advice = Some(advice.into());
        self
    }

    /// Keeps the cause.
    #[must_use]
    pub fn because(mut self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// The same failure in another class: a read's transient failure is an unknown outcome for a write.
    #[must_use]
    pub fn reclassed(mut self, class: FaultClass) -> Self {
        self.class = class;
        self
    }

    /// What the host does about it.
    #[must_use]
    pub fn class(&self) -> FaultClass {
        self.class
    }

    /// What happened.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// What the operator should do.
    #[must_use]
    pub fn advice(&self) -> Option<&str> {
        self.advice.as_deref()
    }

    /// A copy without the cause, for a batch in which one failure befalls every row.
    #[must_use]
    pub fn repeat(&self) -> Self {
        Self { class: self.class, message: self.message.clone(), advice: self.advice.clone(), source: None }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        match &self.advice {
            Some(advice) => write!(f, "; {advice}"),
            None => Ok(()),
        }
    }
}

impl Error for Fault {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|source| source as &(dyn Error + 'static))
    }
}
