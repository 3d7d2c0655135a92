//! Paging through one window of submission times, and the cursor that remembers where.
//!
//! Pages come newest first. The next page is asked for by lowering `until` to the oldest second seen (both bounds are
//! inclusive and count whole seconds, so a second is never cut in two); repeats are dropped by the store. Only where
//! one second holds more than a page, `before=<token>` walks through that second. The two ways are variants of
//! [`Step`], so a request can not mix them.

use std::mem::discriminant;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use usher_connector::signature::fingerprint;
use usher_connector::{Cursor, Fault, FaultClass, Pull};
use usher_model::Lane;

/// The vendor's largest page.
pub(crate) const PAGE_SIZE: usize = 1000;
/// How far the live lane looks back behind its mark, in seconds: clocks and late commits of a few seconds.
const OVERLAP: i64 = 10;
/// How far the sweep stays behind now, in seconds. Typeform says that the list may lack responses of the last
/// 30 minutes or so (Responses API, "Retrieve responses").
const HORIZON: i64 = 3600;
/// Version of the cursor's state.
const VERSION: u16 = 1;

/// Where a lane stands. All times are whole seconds since 1970.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Progress {
    /// Everything submitted before this second is read; `None` before the first window ended.
    mark: Option<i64>,
    /// The window that is being read.
    window: Option<Window>,
}

/// A window that is being read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Window {
    since: Option<i64>,
    /// The mark never passes this, whatever the vendor returns.
    bound: i64,
    /// The newest submission seen so far.
    newest: Option<i64>,
    step: Step,
    /// Fingerprint of the last page's tokens, where it was asked for in the same way.
    last: Option<String>,
}

/// What the next request asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "by", rename_all = "snake_case")]
enum Step {
    /// The window, down from `until`.
    Time { until: Option<i64> },
    /// The responses of `second` that were processed before the one with this token.
    Token { before: String, second: i64 },
}

/// What paging needs to know of a page.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// How many responses the whole window has, as the vendor says.
    pub(crate) total: u64,
    /// Items as delivered, unreadable ones included.
    pub(crate) delivered: usize,
    /// Token and submission second of each readable item, in the order of delivery.
    pub(crate) items: Vec<(String, i64)>,
}

impl Progress {
    /// The state of a cursor; an empty one without it.
    pub(crate) fn read(cursor: Option<&Cursor>) -> Result<Self, Fault> {
        cursor.map_or_else(|| Ok(Self::default()), |cursor| cursor.state(VERSION))
    }

    /// The state as a cursor.
    pub(crate) fn cursor(&self) -> Result<Cursor, Fault> {
        Cursor::of(VERSION, self)
    }

    /// Goes on with the open window or opens the next; `None` if there is nothing to read yet.
    pub(crate) fn open(&self, ask: &Pull) -> Option<Window> {
        if let Some(window) = &self.window {
            return Some(window.clone());
        }
        let (now, start) = (ask.now.as_second(), ask.start.as_second());
        let mark = self.mark.unwrap_or(start);
        let window = |since, bound, until| Window {
            since,
            bound,
            newest: None,
            step: Step::Time { until },
            last: None,
        };
        match ask.lane {
            // No `until`: our clock may be slow, and what is newer is welcome.
            Lane::Live => Some(window(Some((mark - OVERLAP).max(start)), now, None)),
            Lane::Sweep => {
                let until = now - HORIZON;
                (until > mark).then(|| window(Some(mark), until, Some(until)))
            }
            Lane::Backfill if self.mark.is_some() => None,
            Lane::Backfill => Some(window(None, now, Some(now))),
        }
    }

    /// Whether no window is open.
    pub(crate) fn rests(&self) -> bool {
        self.window.is_none()
    }

    /// The state within a window.
    pub(crate) fn within(&self, window: Window) -> Self {
        Self { mark: self.mark, window: Some(window) }
    }

    /// The state after a window ended.
    pub(crate) fn closed(&self, lane: Lane, window: &Window) -> Self {
        let mark = match lane {
            // Only what was seen moves the mark; with an empty answer the next poll asks the same cheap question.
            Lane::Live => window.newest.map(|newest| newest.min(window.bound)).max(self.mark),
            Lane::Sweep | Lane::Backfill => Some(window.bound),
        };
        Self { mark, window: None }
    }
}

impl Window {
    /// The query pairs that choose the page.
    pub(crate) fn query(&self) -> Vec<(&'static str, String)> {
        match &self.step {
            Step::Time { until } => {
                let bounds = [("since", self.since), ("until", *until)];
                bounds.into_iter().filter_map(|(name, at)| Some((name, iso(at?)?))).collect()
            }
            Step::Token { before, .. } => vec![("before", before.clone())],
        }
    }

    /// Whether a response is wanted: the walk by token knows no lower bound of its own.
    pub(crate) fn wants(&self, second: i64) -> bool {
        self.since.is_none_or(|since| second >= since)
    }

    /// The window behind this page, or `None` if the page was the last.
    ///
    /// Only a page that proves it ends the window: a short one alone does not, and one that says less than it should
    /// or repeats the one before is a fault, which leaves the window open.
    pub(crate) fn advance(mut self, seen: &Seen) -> Result<(Self, bool), Fault> {
        self.newest = seen.items.iter().map(|(_, second)| *second).chain(self.newest).max();
        let next = match &self.step {
            Step::Time { until } => self.after_time(*until, seen)?,
            Step::Token { before, second } => self.after_token(before, *second, seen)?,
        };
        let Some(step) = next else {
            return Ok((self, true));
        };
        let page = tokens(seen);
        if self.last.as_ref() == Some(&page) {
            return Err(misread("it sent the same page twice"));
        }
        // The other way of asking may well bring the same responses once.
        self.last = (discriminant(&step) == discriminant(&self.step)).then_some(page);
        self.step = step;
        Ok((self, false))
    }

    fn after_time(&self, until: Option<i64>, seen: &Seen) -> Result<Option<Step>, Fault> {
        let Some(oldest) = seen.items.iter().map(|(_, second)| *second).min() else {
            let explained = seen.total <= seen.delivered as u64;
            return if explained { Ok(None) } else { Err(misread("it counts responses but sent none")) };
        };
        if seen.total <= distinct(seen) && seen.delivered < PAGE_SIZE {
            return Ok(None);
        }
        let newest = seen.items.iter().map(|(_, second)| *second).max().unwrap_or(oldest);
        // A row below the window must not widen it.
        let oldest = self.since.map_or(oldest, |since| oldest.max(since));
        if oldest < newest && until.is_none_or(|until| oldest < until) {
            return Ok(Some(Step::Time { until: Some(oldest) }));
        }
        let second = until.map_or(oldest, |until| oldest.min(until));
        Ok(last_of_oldest(seen).map(|before| Step::Token { before, second }))
    }

    fn after_token(&self, before: &str, second: i64, seen: &Seen) -> Result<Option<Step>, Fault> {
        let Some(token) = last_of_oldest(seen) else {
            let empty = seen.delivered == 0;
            return if empty { Ok(None) } else { Err(misread("no response of the page can be read")) };
        };
        if token == before {
            return Err(misread("it sent the same page twice"));
        }
        if seen.items.iter().all(|(_, at)| *at >= second) {
            return Ok(Some(Step::Token { before: token, second }));
        }
        let below = second - 1;
        Ok(self.wants(below).then_some(Step::Time { until: Some(below) }))
    }
}

/// The token from which a walk goes down: of the oldest responses the one sent last.
fn last_of_oldest(seen: &Seen) -> Option<String> {
    let oldest = seen.items.iter().map(|(_, second)| *second).min()?;
    seen.items.iter().rev().find(|(_, second)| *second == oldest).map(|(token, _)| token.clone())
}

fn sorted(seen: &Seen) -> Vec<&str> {
    let mut tokens: Vec<&str> = seen.items.iter().map(|(token, _)| token.as_str()).collect();
    tokens.sort_unstable();
    tokens.dedup();
    tokens
}

fn distinct(seen: &Seen) -> u64 {
    (sorted(seen).len() + (seen.delivered - seen.items.len())) as u64
}

fn tokens(seen: &Seen) -> String {
    let parts: Vec<&[u8]> = sorted(seen).into_iter().map(str::as_bytes).collect();
    fingerprint(&parts)
}

/// UTC to the second with an explicit `Z`.
fn iso(second: i64) -> Option<String> {
    Timestamp::from_second(second).ok().map(|at| at.to_string())
}

fn misread(what: &str) -> Fault {
    Fault::new(FaultClass::Transient, format!("Typeform's list of responses can not be followed: {what}"))
        .advise("nothing is lost, the window stays open; if it goes on, ask Typeform's support")
}
