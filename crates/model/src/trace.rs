//! The trace: the ordered reasons behind a decision, complete enough to replay it.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::id::RepKey;

/// One line of reasoning.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "step", rename_all = "snake_case")]
pub enum Step {
    /// A guard that looked at the lead before any rule.
    Guard {
        /// Which guard.
        name: String,
        /// What it found.
        finding: String,
        /// True if it settled the decision.
        settled: bool,
    },
    /// A rule that was tried.
    Rule {
        /// The rule's name.
        name: String,
        /// Whether its `when` held.
        held: bool,
        /// The part of the condition that decided, with its value.
        why: String,
    },
    /// A candidate that was looked at.
    Candidate {
        /// Who.
        rep: RepKey,
        /// What eliminated the rep; `None` if eligible.
        eliminated: Option<String>,
    },
    /// The strategy's pick among the eligible.
    Pick {
        /// The pool's name.
        pool: String,
        /// The strategy's name.
        strategy: String,
        /// Who was picked.
        rep: RepKey,
        /// The ledger's words for it, as "turns 3 of 3.50 due".
        why: String,
        /// Every eligible rep with the probability that this pick had before the seed was drawn.
        propensities: Vec<(RepKey, f64)>,
    },
    /// Nobody could take the lead, and what follows.
    Nobody {
        /// The pool's or rep's name.
        target: String,
        /// What follows: wait, overflow, fallback.
        then: String,
        /// The next instant at which somebody could take it, where known.
        opens_at: Option<Timestamp>,
    },
    /// The fallback was taken.
    Fallback {
        /// Why no rule settled it.
        why: String,
    },
}

/// Why a decision came out as it did.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Trace {
    /// In the order in which they were taken.
    pub steps: Vec<Step>,
    /// Breaks ties; recorded so that a replay draws the same.
    pub seed: u64,
    /// Content hash of the policy that decided.
    pub policy: String,
}
