//! A pool's members before one lead, and the turn that one of them gets.

use std::collections::BTreeMap;

use jiff::Timestamp;
use usher_model::{RepKey, Step};

use crate::case::{Case, earliest};
use crate::ledger::{Entrant, pick};
use crate::outcome::TurnLine;
use crate::policy::{Member, Pool, RepIndex};

/// What looking at all members found.
#[derive(Debug, Default)]
pub(crate) struct Field {
    /// Can take the lead now.
    pub(crate) eligible: Vec<Member>,
    /// Out only because of the hour, an absence or being away: a fallback may still choose them.
    pub(crate) only_off_now: Vec<Member>,
    /// Whether waiting could help.
    pub(crate) somebody_returns: bool,
    /// When the first of them can, where known.
    pub(crate) opens_at: Option<Timestamp>,
}

impl Case<'_> {
    /// Looks at every member and leaves a line for each.
    pub(crate) fn look_at(&mut self, pool: &Pool) -> Field {
        let mut field = Field::default();
        for member in &pool.members {
            match self.candidate(member.rep) {
                Ok(()) => field.eligible.push(*member),
                Err(Some(out)) if !out.lasting() => {
                    field.only_off_now.push(*member);
                    field.somebody_returns = true;
                    field.opens_at = earliest(field.opens_at, out.back());
                }
                Err(_) => {}
            }
        }
        field
    }

    /// Deals the turn among `members`; `None` if there are none.
    pub(crate) fn pick(&mut self, pool: &Pool, members: &[Member]) -> Option<(RepIndex, TurnLine)> {
        let policy = self.policy;
        let keys: Vec<&RepKey> =
            members.iter().map(|member| policy.rep(member.rep).map(|rep| &rep.key)).collect::<Option<_>>()?;
        let total: f64 = members.iter().map(|member| member.weight).sum();
        let entrants: Vec<Entrant> = members
            .iter()
            .zip(&keys)
            .map(|(member, key)| {
                let share = member.weight / total;
                let balance = self.state.balance(&pool.name, key);
                Entrant { share, surplus: balance.entitled + share - balance.taken }
            })
            .collect();
        let picked = pick(&entrants, self.seed)?;
        let (rep, key) = (members.get(picked.index)?.rep, *keys.get(picked.index)?);
        let balance = self.state.balance(&pool.name, key);
        let due = balance.entitled + entrants.get(picked.index)?.share;
        let propensities = keys.iter().map(|key| (*key).clone()).zip(picked.propensities).collect();
        self.step(Step::Pick {
            pool: pool.name.clone(),
            strategy: pool.strategy.as_str().to_owned(),
            rep: key.clone(),
            why: format!("turns {} of {due:.2} due", balance.taken),
            propensities,
        });
        let shares: BTreeMap<RepKey, f64> =
            keys.iter().zip(&entrants).map(|(key, entrant)| ((*key).clone(), entrant.share)).collect();
        Some((rep, TurnLine { pool: pool.name.clone(), rep: key.clone(), shares }))
    }
}
