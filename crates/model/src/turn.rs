//! The ledger of turns: what fairness is summed from.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::id::{DecisionId, RepKey};
use crate::lead::Mode;

/// One line of a pool's ledger, append-only.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Turn {
    /// The pool.
    pub pool: String,
    /// Observed turns never mix with live ones.
    pub mode: Mode,
    /// The decision that made the line.
    pub decision: DecisionId,
    /// When.
    pub at: Timestamp,
    /// Who took the turn.
    pub rep: RepKey,
    /// What each eligible rep became entitled to by this lead; sums to 1.
    pub shares: BTreeMap<RepKey, f64>,
    /// Turns counted: 1 for an assignment, -1 for one that is credited back.
    pub count: i32,
    /// Why the line was written, as "assigned" or "credited: duplicate".
    pub reason: String,
}

/// The sums over a pool's ledger for one rep: a cache, checked against the lines.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Balance {
    /// Share accrued while eligible.
    pub entitled: f64,
    /// Turns taken, credits subtracted.
    pub taken: f64,
}
