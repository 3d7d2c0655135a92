//! The ledger's promises: bounds on turns against shares, newcomers, changes, ties.

use std::collections::BTreeMap;

use proptest::prelude::*;
use usher_model::{Balance, DecisionId, Mode, Turn};

use super::{agency, assigned, friday, input, key, load, owners, seo};
use crate::ledger::{Entrant, pick};
use crate::{Outcome, Roster, State, decide};

/// Rounding over tens of thousands of leads.
const ROUNDING: f64 = 1e-6;

/// A pool without names: weights, shares accrued, turns taken.
struct Pool {
    weights: Vec<f64>,
    entitled: Vec<f64>,
    taken: Vec<f64>,
}

impl Pool {
    fn new(weights: Vec<f64>) -> Self {
        let zero = vec![0.0; weights.len()];
        Self { weights, entitled: zero.clone(), taken: zero }
    }

    /// Deals one turn among those eligible; answers the largest distance of turns from share.
    fn deal(&mut self, eligible: &[usize], seed: u64) -> f64 {
        let total: f64 = eligible.iter().map(|index| self.weights[*index]).sum();
        let entrants: Vec<Entrant> = eligible
            .iter()
            .map(|index| {
                let share = self.weights[*index] / total;
                self.entitled[*index] += share;
                Entrant { share, surplus: self.entitled[*index] - self.taken[*index] }
            })
            .collect();
        if let Some(picked) = pick(&entrants, seed) {
            assert!((picked.propensities.iter().sum::<f64>() - 1.0).abs() < 1e-9);
            assert!(picked.propensities[picked.index] > 0.0);
            self.taken[eligible[picked.index]] += 1.0;
        }
        let gaps = self.entitled.iter().zip(&self.taken).map(|(entitled, taken)| (entitled - taken).abs());
        gaps.fold(0.0, f64::max)
    }
}

fn weights() -> impl Strategy<Value = Vec<f64>> {
    prop_oneof![
        proptest::collection::vec((1_u32..=20).prop_map(f64::from), 1..14),
        proptest::collection::vec(0.01_f64..100.0, 1..14),
        // One large member and many small ones: where the largest deficit goes wrong.
        (1_u32..60, 1_usize..12).prop_map(|(large, small)| {
            std::iter::once(f64::from(large)).chain(std::iter::repeat_n(1.0, small)).collect()
        }),
    ]
}

/// Subsets of a pool by bits, never empty.
fn subset(bits: u32, members: usize) -> Vec<usize> {
    let chosen: Vec<usize> = (0..members).filter(|index| bits >> index & 1 == 1).collect();
    if chosen.is_empty() { vec![bits as usize % members] } else { chosen }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

    #[test]
    fn with_fixed_weights_turns_stay_within_one_of_the_share(weights in weights(), seed: u64) {
        let everyone: Vec<usize> = (0..weights.len()).collect();
        let bound = match weights.len() { 1 => 0.0, count => 1.0 - 1.0 / (2.0 * count as f64 - 2.0) };
        let mut pool = Pool::new(weights);
        for lead in 0..4_000_u64 {
            let gap = pool.deal(&everyone, seed.wrapping_add(lead));
            prop_assert!(gap < 1.0 && gap <= bound + ROUNDING, "{gap} after {lead} leads");
        }
    }

    #[test]
    fn with_eligibility_by_lead_turns_stay_within_the_stated_bound(
        weights in weights(),
        pattern in proptest::collection::vec(any::<u32>(), 1..40),
        cyclic: bool,
        seed: u64,
    ) {
        let members = weights.len();
        let bound = match members { 1 => 0.0, count => count as f64 - 1.5 };
        let mut pool = Pool::new(weights);
        for lead in 0..3_000_usize {
            let bits = pattern[lead % pattern.len()];
            let bits = if cyclic { bits } else { bits.rotate_left(lead as u32 / 7) };
            let gap = pool.deal(&subset(bits, members), seed.wrapping_add(lead as u64));
            prop_assert!(gap <= bound + ROUNDING, "{gap} after {lead} leads, bound {bound}");
        }
    }

    #[test]
    fn against_an_adversary_turns_stay_within_the_stated_bound(
        weights in weights(), seed: u64, spread in 2_usize..5,
    ) {
        // Always asks for members whose surpluses are alike: what drives them apart the most.
        let members = weights.len();
        let bound = match members { 1 => 0.0, count => count as f64 - 1.5 };
        let mut pool = Pool::new(weights);
        for lead in 0..1_500_usize {
            let mut order: Vec<usize> = (0..members).collect();
            let surplus = |index: &usize| pool.entitled[*index] - pool.taken[*index];
            order.sort_by(|a, b| surplus(a).total_cmp(&surplus(b)));
            let size = spread.min(members);
            let start = (0..=members - size)
                .min_by(|a, b| {
                    let width = |start: &usize| surplus(&order[start + size - 1]) - surplus(&order[*start]);
                    width(a).total_cmp(&width(b))
                })
                .unwrap();
            let eligible = order[start..start + size].to_vec();
            let gap = pool.deal(&eligible, seed.wrapping_add(lead as u64));
            prop_assert!(gap <= bound + ROUNDING, "{gap} after {lead} leads, bound {bound}");
        }
    }

    #[test]
    fn changed_weights_reset_nobody_and_keep_the_bound(
        first in weights(), factors in proptest::collection::vec(0.1_f64..10.0, 14), at in 1_usize..500, seed: u64,
    ) {
        let everyone: Vec<usize> = (0..first.len()).collect();
        let bound = match first.len() { 1 => 0.0, count => (count as f64 - 1.5).max(1.0) };
        let mut pool = Pool::new(first);
        for lead in 0..2_000_usize {
            if lead % at == 0 {
                pool.weights.iter_mut().zip(&factors).for_each(|(weight, factor)| *weight *= factor);
                let most = pool.weights.iter().copied().fold(0.0, f64::max);
                pool.weights.iter_mut().for_each(|weight| *weight = (*weight / most).max(0.0001));
            }
            prop_assert!(pool.deal(&everyone, seed.wrapping_add(lead as u64)) <= bound + ROUNDING);
        }
    }

    #[test]
    fn ties_are_drawn_by_the_seed_and_evenly(count in 2_usize..9, start: u64) {
        let share = 1.0 / count as f64;
        let entrants = vec![Entrant { share, surplus: share }; count];
        let mut wins = vec![0_u32; count];
        for offset in 0..(400 * count as u64) {
            let picked = pick(&entrants, start.wrapping_add(offset)).unwrap();
            prop_assert_eq!(&picked, &pick(&entrants, start.wrapping_add(offset)).unwrap());
            prop_assert!(picked.propensities.iter().all(|chance| (chance - share).abs() < 1e-12));
            wins[picked.index] += 1;
        }
        prop_assert!(wins.iter().all(|wins| (280..520).contains(wins)), "{wins:?}");
    }
}

/// Without the guard for those past their deadline, a light member's deadline looks the more urgent.
#[test]
fn out_of_bounds_the_largest_surplus_goes_first_whatever_the_weights() {
    let winner = |entrants: &[(f64, f64)]| {
        let entrants: Vec<_> =
            entrants.iter().map(|(share, surplus)| Entrant { share: *share, surplus: *surplus }).collect();
        pick(&entrants, 1).unwrap().index
    };
    assert_eq!(winner(&[(0.1, 1.0), (0.9, 1.4)]), 1, "both overdue");
    assert_eq!(winner(&[(0.9, -0.9), (0.1, -0.2)]), 1, "nobody has reached the threshold");
    assert_eq!(winner(&[(0.1, 0.6), (0.3, 0.7), (0.6, -0.3)]), 1, "within bounds the deadline decides");
    assert!(pick(&[], 1).is_none());
}

/// Routes so many leads to `dach-seo` on Friday morning and counts.
fn run(text: &str, state: &mut State, leads: u64) -> BTreeMap<String, u32> {
    let policy = load(text).unwrap();
    let mut list = owners();
    list.push(super::owner("5", "eva@agency.example", "Eva"));
    let roster = Roster::new(&policy, &list);
    let lead = seo();
    let mut counts = BTreeMap::new();
    for seed in 0..leads {
        let outcome = decide(&policy, &roster, &input(&lead), state, friday(), seed);
        *counts.entry(assigned(&outcome).to_owned()).or_default() += 1;
        state.apply(&outcome);
    }
    counts
}

#[test]
fn a_newcomer_starts_at_the_peers_level_without_catching_up() {
    let mut state = State::default();
    assert_eq!(
        run(super::AGENCY, &mut state, 900),
        BTreeMap::from([("ana".to_owned(), 600), ("ben".to_owned(), 300)])
    );
    let grown = super::AGENCY
        .replace("reps:\n", "reps:\n  eva: { email: eva@agency.example }\n")
        .replace("{ ana: 2, ben: 1 }", "{ ana: 2, ben: 1, eva: 1 }");
    let counts = run(&grown, &mut state, 8);
    assert_eq!(counts, BTreeMap::from([("ana".to_owned(), 4), ("ben".to_owned(), 2), ("eva".to_owned(), 2)]));
}

#[test]
fn balances_are_the_sums_of_the_lines_and_credits_count() {
    let policy = agency();
    let roster = Roster::new(&policy, &owners());
    let (lead, mut state, mut lines) = (seo(), State::default(), Vec::new());
    for seed in 0..50 {
        let outcome: Outcome = decide(&policy, &roster, &input(&lead), &state, friday(), seed);
        state.apply(&outcome);
        let turn = outcome.turn.unwrap();
        lines.push(Turn {
            pool: turn.pool,
            mode: Mode::Live,
            decision: DecisionId::new(friday()),
            at: friday(),
            rep: turn.rep,
            shares: turn.shares,
            count: 1,
            reason: "assigned".to_owned(),
        });
    }
    assert_eq!(State::from_turns(&lines), state);
    let stored = state.balances().map(|(pool, rep, balance)| (pool.to_owned(), rep.clone(), balance));
    assert_eq!(State::from_balances(stored), state);
    let before = state.balance("dach-seo", &key("ana"));
    assert!((before.entitled - 100.0 / 3.0).abs() < 1e-9, "{before:?}");
    assert!((before.taken - before.entitled).abs() < 1.0);

    let mut credit = lines[0].clone();
    credit.rep = key("ana");
    credit.shares.clear();
    credit.count = -1;
    lines.push(credit);
    let credited = State::from_turns(&lines).balance("dach-seo", &key("ana"));
    assert_eq!(credited, Balance { taken: before.taken - 1.0, ..before });
    assert_eq!(state.balance("dach-seo", &key("nobody")), Balance::default());
}
