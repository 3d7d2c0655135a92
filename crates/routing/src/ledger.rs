//! The ledger's sums, and the fair pick.
//!
//! The pick is Tijdeman's chairman assignment (R. Tijdeman, "The chairman assignment problem", 1980). Each lead
//! adds to every eligible member's *surplus* (share accrued minus turns taken) the member's part of the weights
//! of those eligible. With `m` eligible members and `t = 1/(2m-2)`, the turn goes to the member with the earliest
//! deadline among those whose surplus has reached `t`; a deadline is when the surplus would reach `1 - t`.
//!
//! - **Fixed weights, everyone eligible**: `|turns - share| <= 1 - 1/(2m-2)`, so always below one turn.
//! - **Eligibility that differs from lead to lead, or weights and members that change**: the surpluses of those
//!   eligible no longer sum to zero, so that nobody may have reached `t`, or somebody may be past `1 - t`. Then the
//!   largest surplus gets the turn. For `n` members in all (`n >= 2`): `|turns - share| <= n - 3/2`.
//!
//! Why the second bound holds: after each pick the winner is at most `2 - 1/(n-1)` below anyone who was eligible.
//! Let `b(k)` be the sum of the `k` smallest surpluses; `b(0) = b(n) = 0`. If a pick lowers `b(k)`, the winner
//! is among these `k` and somebody eligible is not, and moving one out or the other in shows
//! `2 b(k) >= b(k-1) + b(k+1) - (2 - 1/(n-1))`. By induction `b(k) >= -k(n-k)(1 - 1/(2n-2))`, and `k = 1` and
//! `k = n-1` are the bound.
//!
//! A surplus is relative, so a new member who starts at zero turns and zero share starts at the peers' level, and
//! changed weights count from the next lead on without resetting anybody. Whoever is absent accrues nothing.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use usher_model::{Balance, RepKey, Turn};

use crate::{Outcome, TurnLine};

/// Surpluses are sums of many fractions; what differs by less than this is the same.
const SAME: f64 = 1e-9;

/// The balances of every pool, in one mode.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct State {
    pools: BTreeMap<String, BTreeMap<RepKey, Balance>>,
}

impl State {
    /// From stored balances.
    #[must_use]
    pub fn from_balances(balances: impl IntoIterator<Item = (String, RepKey, Balance)>) -> Self {
        let mut state = Self::default();
        for (pool, rep, balance) in balances {
            state.pools.entry(pool).or_default().insert(rep, balance);
        }
        state
    }

    /// From the lines themselves, credits included; to check stored balances against.
    #[must_use]
    pub fn from_turns<'a>(turns: impl IntoIterator<Item = &'a Turn>) -> Self {
        let mut state = Self::default();
        for turn in turns {
            state.add(&turn.pool, &turn.rep, &turn.shares, turn.count);
        }
        state
    }

    /// A member's balance; zero for whoever is new.
    #[must_use]
    pub fn balance(&self, pool: &str, rep: &RepKey) -> Balance {
        self.pools.get(pool).and_then(|pool| pool.get(rep)).copied().unwrap_or_default()
    }

    /// Every balance, by pool and rep.
    pub fn balances(&self) -> impl Iterator<Item = (&str, &RepKey, Balance)> {
        let of = |(pool, reps): (_, _)| (pool, reps);
        self.pools.iter().map(of).flat_map(|(pool, reps): (&String, &BTreeMap<RepKey, Balance>)| {
            reps.iter().map(move |(rep, balance)| (pool.as_str(), rep, *balance))
        })
    }

    /// Enters what a decision did, so that the next one sees it.
    pub fn apply(&mut self, outcome: &Outcome) {
        if let Some(TurnLine { pool, rep, shares }) = &outcome.turn {
            self.add(pool, rep, shares, 1);
        }
    }

    fn add(&mut self, pool: &str, rep: &RepKey, shares: &BTreeMap<RepKey, f64>, count: i32) {
        if !self.pools.contains_key(pool) {
            self.pools.insert(pool.to_owned(), BTreeMap::new());
        }
        let Some(balances) = self.pools.get_mut(pool) else {
            return;
        };
        for (rep, share) in shares {
            balances.entry(rep.clone()).or_default().entitled += share;
        }
        balances.entry(rep.clone()).or_default().taken += f64::from(count);
    }
}

/// A member in the running for one lead.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Entrant {
    /// Part of the weights of all entrants; above 0, sums to 1.
    pub(crate) share: f64,
    /// Share accrued minus turns taken, this lead's share included.
    pub(crate) surplus: f64,
}

/// Who gets the turn.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Pick {
    /// Position among the entrants.
    pub(crate) index: usize,
    /// The chance of each entrant before the seed was drawn.
    pub(crate) propensities: Vec<f64>,
}

/// Picks one entrant; `None` without any. The seed decides between equals only. Hand the entrants over in an order
/// that means nothing (by key), because the seed counts along it.
pub(crate) fn pick(entrants: &[Entrant], seed: u64) -> Option<Pick> {
    let threshold = match entrants.len() {
        0 => return None,
        1 => 0.0,
        count => 1.0 / (2.0 * count as f64 - 2.0),
    };
    let reached = |entrant: &Entrant| entrant.surplus >= threshold - SAME;
    let overdue = |entrant: &Entrant| entrant.surplus > 1.0 - threshold + SAME;
    let rank = |entrant: &Entrant, chairman: bool| match chairman {
        true if !reached(entrant) => f64::INFINITY,
        true => (1.0 - threshold - entrant.surplus) / entrant.share,
        false => -entrant.surplus,
    };
    let chairman = entrants.iter().any(reached) && !entrants.iter().any(overdue);
    let ranks: Vec<f64> = entrants.iter().map(|entrant| rank(entrant, chairman)).collect();
    let best = ranks.iter().copied().fold(f64::INFINITY, f64::min);
    let ties: Vec<usize> =
        (0..ranks.len()).filter(|index| ranks[*index] <= best + SAME * best.abs().max(1.0)).collect();
    let index = *ties.get(draw(seed, ties.len()))?;
    let mut propensities = vec![0.0; entrants.len()];
    for tied in &ties {
        propensities[*tied] = 1.0 / ties.len() as f64;
    }
    Some(Pick { index, propensities })
}

/// A number below `count`, evenly spread over seeds, also over seeds that only count up (splitmix64's finaliser).
fn draw(seed: u64, count: usize) -> usize {
    let mut mixed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^= mixed >> 31;
    usize::try_from(mixed % (count.max(1) as u64)).unwrap_or_default()
}
