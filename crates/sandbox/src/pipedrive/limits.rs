//! The daily budget of tokens, the burst limits, and the page for those who do not listen.
//!
//! API-FACTS Pipedrive: Rate limits. How many ignored 429s bring the 403 page, and for how long, is not documented.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};

use super::errors::Problem;
use super::state::Token;
use crate::clock::Millis;
use crate::reply::Reply;

/// What the company pays for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PipedrivePlan {
    /// 30,000 tokens a day and seat, 20 calls of an API token in two seconds.
    Lite,
    /// Twice the tokens, 40 calls.
    Growth,
    /// Five times the tokens, 100 calls.
    Premium,
    /// Seven times the tokens, 120 calls.
    Ultimate,
}

impl PipedrivePlan {
    fn factor(self) -> u64 {
        match self {
            Self::Lite => 1,
            Self::Growth => 2,
            Self::Premium => 5,
            Self::Ultimate => 7,
        }
    }

    /// Calls of an API token in two seconds; OAuth has four times as many.
    fn burst(self) -> usize {
        match self {
            Self::Lite => 20,
            Self::Growth => 40,
            Self::Premium => 100,
            Self::Ultimate => 120,
        }
    }
}

/// The company's limits; `None` in [`crate::Options`] turns them all off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PipedriveLimits {
    /// The plan.
    pub plan: PipedrivePlan,
    /// Seats paid for.
    pub seats: u64,
    /// Tokens bought on top, a day.
    pub top_up: u64,
    /// The server's time zone, in minutes east of UTC: its midnight starts a new day.
    pub midnight_offset_min: i32,
    /// So many 429s within ten seconds bring the 403 page.
    pub ignored_before_block: usize,
    /// How long the 403 page stays, in seconds.
    pub block_s: u32,
}

impl Default for PipedriveLimits {
    fn default() -> Self {
        Self {
            plan: PipedrivePlan::Lite,
            seats: 1,
            top_up: 0,
            midnight_offset_min: 60,
            ignored_before_block: 10,
            block_s: 30,
        }
    }
}

impl PipedriveLimits {
    /// Tokens a day.
    #[must_use]
    pub fn daily_tokens(&self) -> u64 {
        30_000 * self.plan.factor() * self.seats + self.top_up
    }
}

const WINDOW: Millis = 2_000;
/// Searches in two seconds, on every plan.
const SEARCHES: usize = 10;
const PATIENCE: Millis = 10_000;
const DAY: Millis = 86_400_000;
/// The token headers are missing on the first calls after such a pause (a Pipedrive employee in the developers' forum).
const PAUSE: Millis = 600_000;
const WITHOUT_HEADERS: u32 = 3;
/// The older limit of writes that `x-daily-requests-left` counts down; nothing happens at zero.
const WRITES: u64 = 10_000;

/// One token's recent calls.
#[derive(Debug, Default)]
struct Recent {
    calls: VecDeque<Millis>,
    searches: VecDeque<Millis>,
    refused: VecDeque<Millis>,
    blocked_until: Millis,
    last: Millis,
    /// Calls since the last pause.
    since_pause: u32,
    writes: u64,
}

/// Counts calls against the limits.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    pub(crate) limits: Option<PipedriveLimits>,
    day: Millis,
    spent: u64,
    recent: BTreeMap<u16, Recent>,
}

/// What a call costs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Price {
    pub(crate) tokens: u64,
    pub(crate) search: bool,
    /// POST or PUT.
    pub(crate) counts_as_write: bool,
}

/// Why a call is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    Burst,
    Search,
    Daily,
    Blocked,
}

impl Refusal {
    pub(crate) fn reply(self) -> Reply {
        match self {
            Self::Burst | Self::Search => Problem::throttled("Rate limit exceeded").reply(),
            Self::Daily => Problem::throttled("Daily API token limit exceeded").reply(),
            Self::Blocked => Reply::html(403, "Access denied"),
        }
    }
}

fn drop_before(queue: &mut VecDeque<Millis>, time: Millis) {
    while queue.front().is_some_and(|at| *at <= time) {
        queue.pop_front();
    }
}

impl Meter {
    pub(crate) fn new(limits: Option<PipedriveLimits>) -> Self {
        Self { limits, ..Self::default() }
    }

    /// Tokens spent since the server's last midnight.
    pub(crate) fn spent(&self) -> u64 {
        self.spent
    }

    /// Spends so much of the day.
    pub(crate) fn spend(&mut self, now: Millis, tokens: u64) {
        self.roll(now);
        self.spent += tokens;
    }

    /// Spends what is left of the day.
    pub(crate) fn exhaust(&mut self, now: Millis) {
        self.roll(now);
        self.spent = self.limits.map_or(0, |limits| limits.daily_tokens());
    }

    fn roll(&mut self, now: Millis) {
        let offset = self.limits.map_or(0, |limits| i64::from(limits.midnight_offset_min) * 60_000);
        let day = (now + offset).div_euclid(DAY);
        if self.day != day {
            (self.day, self.spent) = (day, 0);
            self.recent.values_mut().for_each(|recent| recent.writes = 0);
        }
    }

    /// Counts a call, or says why it is refused. A refused call costs no tokens and counts in the window all the same.
    pub(crate) fn take(&mut self, now: Millis, token: &Token, price: Price) -> Result<(), Refusal> {
        let Some(limits) = self.limits else { return Ok(()) };
        self.roll(now);
        let left = limits.daily_tokens().saturating_sub(self.spent);
        let recent = self.recent.entry(token.number).or_default();
        recent.since_pause =
            if now - recent.last >= PAUSE { 1 } else { recent.since_pause.saturating_add(1) };
        recent.last = now;
        if recent.blocked_until > now {
            return Err(Refusal::Blocked);
        }
        drop_before(&mut recent.calls, now - WINDOW);
        drop_before(&mut recent.searches, now - WINDOW);
        let burst = limits.plan.burst() * if token.oauth { 4 } else { 1 };
        let refusal = if recent.calls.len() >= burst {
            Some(Refusal::Burst)
        } else if price.search && recent.searches.len() >= SEARCHES {
            Some(Refusal::Search)
        } else if price.tokens > left {
            Some(Refusal::Daily)
        } else {
            None
        };
        recent.calls.push_back(now);
        if price.search {
            recent.searches.push_back(now);
        }
        let Some(refusal) = refusal else {
            self.spent += price.tokens;
            recent.writes += u64::from(price.counts_as_write);
            return Ok(());
        };
        drop_before(&mut recent.refused, now - PATIENCE);
        recent.refused.push_back(now);
        if recent.refused.len() >= limits.ignored_before_block {
            recent.blocked_until = now + i64::from(limits.block_s) * 1_000;
            recent.refused.clear();
        }
        Err(refusal)
    }

    /// The headers of an answer. On a spent day they still speak of the burst window, whose reset helps nobody.
    /// A limit that a switch called used up shows nothing left.
    pub(crate) fn headers(
        &self,
        reply: Reply,
        now: Millis,
        token: &Token,
        search: bool,
        struck: Option<Refusal>,
    ) -> Reply {
        let (Some(limits), Some(recent)) = (self.limits, self.recent.get(&token.number)) else {
            return reply;
        };
        let burst = limits.plan.burst() * if token.oauth { 4 } else { 1 };
        let (limit, window) = if search { (SEARCHES, &recent.searches) } else { (burst, &recent.calls) };
        let reset = window.front().map_or(0, |first| first + WINDOW - now).max(0);
        let full = matches!(struck, Some(Refusal::Burst | Refusal::Search));
        let room = if full { 0 } else { limit.saturating_sub(window.len()) };
        let mut reply = reply
            .header("x-ratelimit-limit", limit.to_string())
            .header("x-ratelimit-remaining", room.to_string())
            .header("x-ratelimit-reset", ((reset + 999) / 1_000).to_string());
        if !token.oauth {
            let left = WRITES.saturating_sub(recent.writes);
            reply = reply.header("x-daily-requests-left", left.to_string());
        }
        if recent.since_pause <= WITHOUT_HEADERS {
            return reply;
        }
        let spent = if struck == Some(Refusal::Daily) { limits.daily_tokens() } else { self.spent };
        let left = limits.daily_tokens().saturating_sub(spent);
        reply
            .header("x-daily-ratelimit-token-limit", limits.daily_tokens().to_string())
            .header("x-daily-ratelimit-token-remaining", left.to_string())
    }
}
