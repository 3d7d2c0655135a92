//! Reading by a time filter without losing rows: a keyset over (time, id) as pure state.
//!
//! A *pass* reads everything from `mark − overlap` up to `now − hold_back`, both ends included, sorted by time. There
//! are no offsets: each further page asks again from the last time seen, so no result cap is ever reached. If one time
//! holds more rows than a page, the pass turns to the *ties* at that time, sorted by id, and then goes on behind it.
//! When the pass is complete the mark moves to its upper bound; rows outside the pass never move it.
//!
//! What an index shows late is read again within the overlap. Passes that follow each other closely overlap by a part of
//! it only, for the usual delay of an index; every quarter of the overlap one pass goes back by the whole of it from the
//! last that did, so that nothing escapes both. What shows later still is the work of a second state with a `hold_back`
//! beyond the index's worst delay. Rows come repeatedly by design: drop repeats by
//! (object, id, revision).

use std::cmp::Ordering;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use usher_model::ExternalId;

use crate::fault::{Fault, FaultClass};
use crate::source::Cursor;

mod spans;
#[cfg(test)]
mod tests;

pub use self::spans::Spans;

/// A whole overlap is read again once this part of it has passed.
const WHOLE_EVERY: i32 = 4;
/// The passes in between overlap by this part of it: by 5 s of two minutes.
const SHORT: i32 = 24;

/// How one lane of a source is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// What shows so late is still found. Only the question overlaps; the mark is never lowered.
    pub overlap: SignedDuration,
    /// How far behind the present each pass ends.
    pub hold_back: SignedDuration,
    /// The finest step of the vendor's times, such as a millisecond: two different times are at least so far apart.
    pub grain: SignedDuration,
}

/// What to ask the vendor for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ask {
    /// Rows with `from <= time <= to`, sorted by time, the oldest first.
    Range {
        /// Included.
        from: Timestamp,
        /// Included.
        to: Timestamp,
    },
    /// Rows with exactly this time and `id > after`, sorted by id. Ids count as numbers where they are digits.
    Ties {
        /// The time.
        at: Timestamp,
        /// The last id read; `None` for all.
        after: Option<ExternalId>,
    },
}

/// What a page did to the state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// The pass is complete: everything visible up to its upper bound has been read.
    pub done: bool,
}

/// Paging that goes nowhere: the vendor says that there is more, but shows nothing new. The state is as before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the vendor announces more rows but repeats what it has shown")]
pub struct Stalled;

impl From<Stalled> for Fault {
    fn from(stalled: Stalled) -> Self {
        // Not a defect of ours, and a lagging index heals by itself; the stream stays where it is until then.
        Fault::new(FaultClass::Transient, stalled.to_string())
            .advise("nothing is skipped; if it persists, report the stream to the vendor")
    }
}

/// Where a lane stands. Of constant size; store it in the transaction that stores the rows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WindowState {
    /// Nothing before this instant is ever asked for.
    floor: Timestamp,
    /// Everything visible up to here has been read.
    mark: Timestamp,
    /// The upper bound of the last pass that went back by the whole overlap.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    whole: Option<Timestamp>,
    /// The pass under way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pass: Option<Pass>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Pass {
    /// The upper bound; becomes the mark.
    to: Timestamp,
    /// Where the next page starts.
    from: Timestamp,
    /// It went back by the whole overlap, as every pass once did.
    #[serde(default = "always", skip_serializing_if = "Clone::clone")]
    whole: bool,
    /// The ties at `from` are being read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ties: Option<Ties>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Ties {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    after: Option<ExternalId>,
}

impl WindowState {
    /// The version under which the state is stored.
    pub const VERSION: u16 = 1;

    /// A state that has read nothing and wants nothing older than `start`.
    #[must_use]
    pub fn starting_at(start: Timestamp) -> Self {
        Self { floor: start, mark: start, whole: None, pass: None }
    }

    /// Everything visible up to here has been read.
    #[must_use]
    pub fn mark(&self) -> Timestamp {
        self.mark
    }

    /// The state as a cursor of its own.
    pub fn to_cursor(&self) -> Result<Cursor, Fault> {
        Cursor::of(Self::VERSION, self)
    }

    /// Reads a cursor that [`WindowState::to_cursor`] made.
    pub fn from_cursor(cursor: &Cursor) -> Result<Self, Fault> {
        cursor.state(Self::VERSION)
    }
}

impl Window {
    /// The next question, opening a pass if none is under way. `None` if there is nothing to read before more time
    /// has passed.
    pub fn ask(&self, state: &mut WindowState, now: Timestamp) -> Option<Ask> {
        if state.pass.is_none() {
            let to = back(now, self.hold_back);
            if to < state.floor {
                return None;
            }
            let due = |last: Timestamp| last > to || to.duration_since(last) >= self.overlap / WHOLE_EVERY;
            let whole = state.whole.is_none_or(due);
            let (last, overlap) = if whole {
                (state.whole.unwrap_or(state.mark), self.overlap)
            } else {
                (state.mark, self.overlap / SHORT)
            };
            // A mark ahead of the clock was set by a clock that ran ahead: go on from the present, or the rows written
            // until then would wait. Lowering a mark only reads again.
            let from = back(last.min(to), overlap).max(state.floor);
            state.pass = Some(Pass { to, from, whole, ties: None });
        }
        state.pass.as_ref().map(|pass| match &pass.ties {
            Some(ties) => Ask::Ties { at: pass.from, after: ties.after.clone() },
            None => Ask::Range { from: pass.from, to: pass.to },
        })
    }

    /// Takes in the page that answered the last question: the time and id of every row, in the page's order, and
    /// whether the vendor has more rows for that question.
    ///
    /// The page as a whole must be the first of its order; within it rows may be shuffled or repeated.
    pub fn absorb(
        &self,
        state: &mut WindowState,
        rows: &[(Timestamp, ExternalId)],
        more: bool,
    ) -> Result<Progress, Stalled> {
        let Some(pass) = &mut state.pass else {
            return Ok(Progress { done: true });
        };
        let complete = match (&mut pass.ties, more) {
            (None, false) => true,
            (None, true) => {
                let reached = reached(rows, pass.from, pass.to).ok_or(Stalled)?;
                if reached == pass.from {
                    pass.ties = Some(Ties { after: None });
                }
                pass.from = reached;
                false
            }
            (Some(ties), true) => {
                ties.after = Some(last_id(rows, pass.from, ties.after.as_ref()).ok_or(Stalled)?);
                false
            }
            (Some(_), false) => {
                pass.ties = None;
                pass.from = pass.from.saturating_add(self.grain).unwrap_or(Timestamp::MAX);
                pass.from > pass.to
            }
        };
        if complete {
            state.mark = pass.to;
            if pass.whole {
                state.whole = Some(pass.to);
            }
            state.pass = None;
        }
        Ok(Progress { done: complete })
    }
}

/// How far in time a page has certainly read; `None` if it shows nothing within the bounds.
///
/// On a sorted page that is its last row. On a shuffled page a late time may belong to a row that changed after the
/// index sorted it, and starting behind it would skip others; half the page is taken as read instead.
fn reached(rows: &[(Timestamp, ExternalId)], from: Timestamp, to: Timestamp) -> Option<Timestamp> {
    let mut times: Vec<Timestamp> =
        rows.iter().map(|(time, _)| *time).filter(|time| (from..=to).contains(time)).collect();
    if times.is_sorted() {
        return times.last().copied();
    }
    times.sort_unstable();
    times.get(times.len() / 2).copied()
}

/// The greatest id beyond `after`. A row older than the ties answers another question and does not count; a newer one
/// does: it changed after the index found it.
fn last_id(
    rows: &[(Timestamp, ExternalId)],
    at: Timestamp,
    after: Option<&ExternalId>,
) -> Option<ExternalId> {
    rows.iter()
        .filter(|(time, id)| *time >= at && after.is_none_or(|after| by_id(id, after) == Ordering::Greater))
        .map(|(_, id)| id)
        .max_by(|a, b| by_id(a, b))
        .cloned()
}

/// Digits compare as numbers of any length, everything else as text.
fn by_id(a: &ExternalId, b: &ExternalId) -> Ordering {
    let (a, b) = (a.as_str(), b.as_str());
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if digits(a) && digits(b) {
        let (a, b) = (a.trim_start_matches('0'), b.trim_start_matches('0'));
        return a.len().cmp(&b.len()).then_with(|| a.cmp(b));
    }
    a.cmp(b)
}

fn always() -> bool {
    true
}

fn back(at: Timestamp, by: SignedDuration) -> Timestamp {
    at.saturating_sub(by).unwrap_or(Timestamp::MIN)
}
