//! The switches for the vendor's bad days, and the seeded dice that decide when one fires.

use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use serde::{Deserialize, Serialize};

/// An inclusive range of milliseconds; `[5, 5]` is a fixed delay and `[0, 0]` is none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Span(pub u64, pub u64);

impl Span {
    /// True when the range can only yield zero.
    #[must_use]
    pub fn is_zero(self) -> bool {
        self.1 == 0 && self.0 == 0
    }
}

/// Every switch. Rates are probabilities in 0..=1 per occasion; all are off by default.
///
/// Changeable at run time, in Rust by `Sandbox::set_faults` and over HTTP by `PUT /_sandbox/faults`
/// with a JSON object of the keys to set (the others return to off).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Faults {
    /// Only requests whose path contains one of these are hit by the request switches; empty means all.
    pub only_paths: Vec<String>,
    /// After so many firings in all, the switches rest (counted from the moment they were set; each CRM counts by
    /// itself).
    pub times: Option<u64>,

    /// Delay before a change appears in HubSpot search.
    pub index_lag_ms: Span,
    /// Delay before a change appears in Pipedrive's search. The vendor names none, so it is on unless switched off.
    pub search_lag_ms: Span,
    /// HubSpot's search result cap, 10,000 when unset; lower it to meet the cap with little data.
    pub search_cap: Option<u64>,
    /// HubSpot times are floored to multiples of this, so that many rows share one stamp; 0 is off.
    pub ties_ms: u32,

    /// How long every answer takes, from the arrival of the request.
    pub latency_ms: Span,
    /// Rate of answers that take `slow_ms` longer.
    pub slow: f64,
    /// How much longer a slow answer takes.
    pub slow_ms: Span,
    /// Rate of 429 with policy TEN_SECONDLY_ROLLING (Typeform, Pipedrive: their own 429).
    pub throttle_burst: f64,
    /// Rate of 429 with policy DAILY.
    pub throttle_daily: f64,
    /// Rate of 429 on searches, without rate headers.
    pub throttle_search: f64,
    /// Rate of 502 or 503 where nothing was done.
    pub server_error: f64,
    /// Rate of HubSpot's 423 (the resource is locked) where nothing was done.
    pub locked: f64,
    /// Rate of HubSpot's 477 (the account moves between data centres), with `Retry-After`, where nothing was done.
    pub moving: f64,
    /// Rate of pages (HubSpot's searches, Typeform's responses, Pipedrive's lists and searches) whose rows come shuffled, a tenth of them twice.
    pub shuffled: f64,
    /// Rate of Pipedrive's 403 with an HTML page, as for those who ignore 429s, where nothing was done.
    pub blocked: f64,
    /// Rate of Pipedrive's 402 (the account is not paid for) where nothing was done.
    pub unpaid: f64,
    /// Rate of Pipedrive's cursors that are refused with 400, for good.
    pub cursor_refused: f64,
    /// Pipedrive's list of webhooks shows neither user nor password.
    pub hidden_hook_password: bool,
    /// Pipedrive's search in one field answers in the shape of its document's example instead of its schema.
    pub flat_field_search: bool,
    /// Rate of 504 on writes that were committed all the same.
    pub server_error_after_commit: f64,
    /// Rate of 200 with an HTML page; a write was not done.
    pub html: f64,
    /// Rate of answers cut in the middle of the JSON; a write was done.
    pub truncated: f64,
    /// Rate of writes that are committed while the connection closes without an answer.
    pub lost_response: f64,
    /// Rate of writes whose connection is dropped and which are committed `late_commit_ms` later.
    pub late_commit: f64,
    /// When a late write is committed, counted from its arrival.
    pub late_commit_ms: Span,
    /// How long the connection of a late write is held open before it is dropped.
    pub late_commit_hold_ms: u64,
    /// Every token answers as expired.
    pub expired_token: bool,
    /// Scopes taken from every token of HubSpot's and every OAuth token of Pipedrive's.
    pub revoked_scopes: Vec<String>,

    /// Rate, per contact that is created at HubSpot with an e-mail, that somebody else creates it just before, which the
    /// vendor then refuses. At Pipedrive nothing is unique and nothing refused, so the switch does nothing there: who is made
    /// in that moment exists twice.
    pub conflict: f64,
    /// Rate, per row of a HubSpot batch that can fail in part, that the row fails. (Pipedrive has no batches.)
    pub partial_row: f64,
    /// The category that such a row reports.
    pub partial_category: String,
    /// Rate, per row of a HubSpot batch update, that the row is written but missing from the answer.
    pub missing_row: f64,
    /// A bad value in one row fails HubSpot's whole batch update.
    pub batch_fails_whole: bool,
    /// Rate of API writes whose owner is dropped without a word.
    pub drop_owner: f64,
    /// Rate of deals made through the API whose origin is another word than `API`: the documents promise that word for
    /// Pipedrive's leads only.
    pub other_origin: f64,

    /// Rate, per API write to a person, that it is archived by a person afterwards.
    pub archive: f64,
    /// Rate, per API write to a person, that somebody merges it with another one afterwards.
    pub merge: f64,
    /// Rate, per API write of an owner, that a person chooses another one afterwards.
    pub human_edit: f64,
    /// Rate, per API write of an owner, that a person chooses another one just before it is applied.
    pub human_first: f64,
    /// Rate, per API write of an owner, that a workflow puts the former one back.
    pub peer_automation: f64,
    /// Rate, per contact created, that HubSpot creates and associates the company of its e-mail domain. (Pipedrive does not.)
    pub auto_company: f64,
    /// How long after the write the five above happen.
    pub aftermath_ms: Span,

    /// Rate of webhook calls that are sent twice.
    pub webhook_duplicate: f64,
    /// Rate of webhook events that overtake or are overtaken.
    pub webhook_reorder: f64,
    /// Rate of webhook events that are never sent.
    pub webhook_drop: f64,
    /// Delay before a webhook is sent.
    pub webhook_delay_ms: Span,

    /// Rate of form answers for which the form tool's own integration creates the HubSpot contact. Nothing stands
    /// between it and a twin at Pipedrive, so it does nothing there, as `conflict`.
    pub form_tool_first: f64,
    /// When it does so, counted from the answer; `[0, 0]` is before the form's webhook leaves.
    pub form_tool_delay_ms: Span,
    /// Delay before a response appears in Typeform's list.
    pub form_lag_ms: Span,
}

impl Default for Faults {
    fn default() -> Self {
        Self {
            only_paths: Vec::new(),
            times: None,
            index_lag_ms: Span::default(),
            search_lag_ms: Span(2_000, 5_000),
            search_cap: None,
            ties_ms: 0,
            latency_ms: Span::default(),
            slow: 0.0,
            slow_ms: Span(1_000, 3_000),
            throttle_burst: 0.0,
            throttle_daily: 0.0,
            throttle_search: 0.0,
            server_error: 0.0,
            locked: 0.0,
            moving: 0.0,
            shuffled: 0.0,
            blocked: 0.0,
            unpaid: 0.0,
            cursor_refused: 0.0,
            hidden_hook_password: false,
            flat_field_search: false,
            server_error_after_commit: 0.0,
            html: 0.0,
            truncated: 0.0,
            lost_response: 0.0,
            late_commit: 0.0,
            late_commit_ms: Span(500, 2_000),
            late_commit_hold_ms: 0,
            expired_token: false,
            revoked_scopes: Vec::new(),
            conflict: 0.0,
            partial_row: 0.0,
            partial_category: "INTERNAL_ERROR".to_owned(),
            missing_row: 0.0,
            batch_fails_whole: false,
            drop_owner: 0.0,
            other_origin: 0.0,
            archive: 0.0,
            merge: 0.0,
            human_edit: 0.0,
            human_first: 0.0,
            peer_automation: 0.0,
            auto_company: 0.0,
            aftermath_ms: Span(0, 2_000),
            webhook_duplicate: 0.0,
            webhook_reorder: 0.0,
            webhook_drop: 0.0,
            webhook_delay_ms: Span::default(),
            form_tool_first: 0.0,
            form_tool_delay_ms: Span::default(),
            form_lag_ms: Span::default(),
        }
    }
}

impl Faults {
    /// Every switch on at a moderate rate, for runs that must survive all of them together.
    #[must_use]
    pub fn moderate() -> Self {
        Self {
            index_lag_ms: Span(0, 3_000),
            ties_ms: 50,
            slow: 0.01,
            slow_ms: Span(200, 800),
            throttle_burst: 0.01,
            throttle_search: 0.02,
            server_error: 0.01,
            locked: 0.005,
            moving: 0.002,
            shuffled: 0.05,
            blocked: 0.001,
            cursor_refused: 0.01,
            server_error_after_commit: 0.01,
            html: 0.005,
            truncated: 0.005,
            lost_response: 0.01,
            late_commit: 0.01,
            late_commit_ms: Span(100, 1_000),
            conflict: 0.02,
            partial_row: 0.005,
            missing_row: 0.005,
            archive: 0.002,
            merge: 0.002,
            human_edit: 0.01,
            peer_automation: 0.005,
            auto_company: 0.05,
            webhook_duplicate: 0.05,
            webhook_reorder: 0.05,
            webhook_drop: 0.02,
            webhook_delay_ms: Span(0, 500),
            form_tool_first: 0.2,
            form_tool_delay_ms: Span(0, 500),
            form_lag_ms: Span(0, 2_000),
            ..Self::default()
        }
    }

    /// The request switches so high that they disturb about three calls of ten, for runs that count what such days cost;
    /// people and workflows stay as in [`Faults::moderate`].
    #[must_use]
    pub fn rough() -> Self {
        Self {
            slow: 0.06,
            throttle_burst: 0.09,
            throttle_search: 0.09,
            server_error: 0.09,
            server_error_after_commit: 0.03,
            html: 0.04,
            truncated: 0.07,
            lost_response: 0.05,
            late_commit: 0.03,
            conflict: 0.05,
            partial_row: 0.02,
            missing_row: 0.02,
            ..Self::moderate()
        }
    }

    /// Whether the request switches apply to this path.
    pub(crate) fn covers(&self, path: &str) -> bool {
        self.only_paths.is_empty() || self.only_paths.iter().any(|part| path.contains(part.as_str()))
    }
}

/// The seeded source of chance; the same seed and order of calls give the same run.
#[derive(Debug)]
pub(crate) struct Dice {
    rng: StdRng,
    left: Option<u64>,
}

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self { rng: StdRng::seed_from_u64(seed), left: None }
    }

    /// Starts a new budget of firings.
    pub(crate) fn allow(&mut self, times: Option<u64>) {
        self.left = times;
    }

    /// True with the given probability, while the budget lasts. A rate of zero draws nothing.
    pub(crate) fn roll(&mut self, rate: f64) -> bool {
        if rate <= 0.0 || self.left == Some(0) {
            return false;
        }
        let fires = rate >= 1.0 || self.rng.random_bool(rate);
        if fires && let Some(left) = &mut self.left {
            *left -= 1;
        }
        fires
    }

    /// A value of the range, both ends included.
    pub(crate) fn span(&mut self, span: Span) -> u64 {
        if span.1 <= span.0 { span.0 } else { self.rng.random_range(span.0..=span.1) }
    }

    /// Puts a page's rows out of order and repeats about one in ten.
    pub(crate) fn untidy<T: Clone>(&mut self, rows: &mut Vec<T>) {
        let repeats: Vec<T> = rows.iter().filter(|_| self.rng.random_bool(0.1)).cloned().collect();
        rows.extend(repeats);
        rows.shuffle(&mut self.rng);
    }

    /// An index below `len`, or none of an empty range.
    pub(crate) fn pick(&mut self, len: usize) -> Option<usize> {
        (len > 0).then(|| self.rng.random_range(0..len))
    }

    /// 64 bits for tokens and ids.
    pub(crate) fn bits(&mut self) -> u64 {
        self.rng.random()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn same_seed_same_run_and_the_budget_ends_it() {
        let run = |seed| {
            let mut dice = Dice::new(seed);
            (0..64).map(|_| dice.roll(0.5)).collect::<Vec<_>>()
        };
        assert_eq!(run(7), run(7));
        assert_ne!(run(7), run(8));
        let mut dice = Dice::new(1);
        dice.allow(Some(2));
        assert_eq!((0..10).filter(|_| dice.roll(1.0)).count(), 2);
    }

    #[test]
    fn unknown_switches_are_refused() {
        assert!(serde_json::from_str::<Faults>(r#"{"lost_responce": 1}"#).is_err());
        let faults: Faults = serde_json::from_str(r#"{"index_lag_ms":[5,9]}"#).unwrap();
        assert_eq!(faults.index_lag_ms, Span(5, 9));
    }
}
