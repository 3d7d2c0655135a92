//! Pools as admins write them.

use std::time::Duration;

use usher_document::{Cursor, Diagnostic, Located, Value};

use crate::policy::{IfNobody, Member, Pool, Strategy, Target};
use crate::resolve::Names;

const STRATEGIES: [(&str, Strategy); 2] =
    [("round_robin", Strategy::RoundRobin), ("weighted_round_robin", Strategy::WeightedRoundRobin)];

/// Longer waits are slips of the pen: a lead is not to be forgotten in a pool.
const LONGEST_WAIT: Duration = Duration::from_secs(30 * 24 * 3_600);

/// Larger weights are slips of the pen; smaller shares than one in 10,000 mean nobody.
const WEIGHTS: std::ops::RangeInclusive<f64> = 0.01..=100.0;

/// A pool and the places that later checks point at.
pub(crate) struct Read {
    pub(crate) pool: Pool,
    pub(crate) then: Option<Located<Target>>,
}

pub(crate) fn read(name: &Located<String>, at: &Cursor<'_>, names: &Names) -> Option<Read> {
    let mut map = at.map()?;
    map.not_in_this_version(&["limits", "catch_up", "sticky", "territory", "needs"]);
    let members_at = map.required_at("members");
    let strategy_at = map.optional_at("strategy");
    let if_nobody = map.optional_at("if_nobody");
    map.finish();

    let members = members_at.as_ref().and_then(|at| members(at, names));
    let later = ["least_loaded", "best_skill", "in_order"];
    let strategy = strategy_at.as_ref().map(|at| at.choice_or_later(&STRATEGIES, &later));
    let (if_nobody, then) = if_nobody.map(|at| read_if_nobody(&at, names)).unwrap_or_default();

    let (mut members, weighted) = members?;
    let strategy = match strategy {
        Some(strategy) => strategy?,
        None if weighted => Strategy::WeightedRoundRobin,
        None => Strategy::RoundRobin,
    };
    if let (Strategy::RoundRobin, true, Some(at)) = (strategy, weighted, &strategy_at) {
        at.error(
            "weights-ignored",
            "`round_robin` gives everyone the same share, but the members have weights",
        )
        .hint("write `strategy: weighted_round_robin`, or list the members as `[ana, ben]`")
        .report();
    }
    members.sort_by(|a, b| names.reps[a.rep.0].cmp(&names.reps[b.rep.0]));
    let pool = Pool { name: name.value.clone(), members, strategy, if_nobody };
    Some(Read { pool, then })
}

/// The members, and whether they have weights.
fn members(at: &Cursor<'_>, names: &Names) -> Option<(Vec<Member>, bool)> {
    let (members, weighted) = match at.node().value {
        Value::List(_) => (listed(at, names)?, false),
        Value::Map(_) => (weighed(at, names)?, true),
        _ => {
            at.wrong_type("a list such as `[ana, ben]`, or weights such as `{ ana: 2, ben: 1 }`");
            return None;
        }
    };
    if members.is_empty() {
        at.error("no-members", "a pool needs at least one member").hint("write `members: [ana]`").report();
        return None;
    }
    Some((members, weighted))
}

fn listed(at: &Cursor<'_>, names: &Names) -> Option<Vec<Member>> {
    let mut fine = true;
    let mut members: Vec<Member> = Vec::new();
    for item in at.list()? {
        match names.rep(&item) {
            Some(rep) if members.iter().any(|member| member.rep == rep) => {
                item.error("duplicate-member", format!("`{}` is a member already", item.raw()))
                    .hint("for a larger share use weights, as in `{ ana: 2, ben: 1 }`")
                    .report();
                fine = false;
            }
            Some(rep) => members.push(Member { rep, weight: 1.0 }),
            None => fine = false,
        }
    }
    fine.then_some(members)
}

fn weighed(at: &Cursor<'_>, names: &Names) -> Option<Vec<Member>> {
    let mut map = at.map()?;
    let mut fine = true;
    let mut members = Vec::new();
    for (key, at) in map.entries() {
        if key.value == "crm_team" && !names.reps.contains(&key.value) {
            at.not_in_this_version("crm_team");
            fine = false;
            continue;
        }
        let weight = weight(&at);
        match (names.rep_key(&at, &key), weight) {
            (Some(rep), Some(weight)) => members.push(Member { rep, weight }),
            _ => fine = false,
        }
    }
    map.finish();
    fine.then_some(members)
}

fn weight(at: &Cursor<'_>) -> Option<f64> {
    let weight: f64 = at.read()?;
    if WEIGHTS.contains(&weight) {
        return Some(weight);
    }
    let (least, most) = (WEIGHTS.start(), WEIGHTS.end());
    at.error("bad-weight", format!("expected a weight from {least} to {most}, found {weight}"))
        .hint("leave out whoever should get nothing")
        .report();
    None
}

fn read_if_nobody(at: &Cursor<'_>, names: &Names) -> (IfNobody, Option<Located<Target>>) {
    let Some(mut map) = at.map() else {
        return Default::default();
    };
    let wait_at = map.optional_at("wait");
    let then_at = map.optional_at("then");
    map.finish();
    let wait = wait_at.as_ref().and_then(Cursor::duration);
    if let (Some(wait), Some(at)) = (wait, &wait_at)
        && (wait.is_zero() || wait > LONGEST_WAIT)
    {
        at.error("bad-wait", "a lead may wait for up to 30 days, and not for 0")
            .hint("leave `wait` out to hand over at once")
            .report();
    }
    let then = then_at.and_then(|at| names.target(&at).map(|value| Located { value, place: at.place() }));
    (IfNobody { wait, then: then.as_ref().map(|then| then.value) }, then)
}

/// Overflow that comes back to where it started would pass a lead around for ever, past the fallback.
pub(crate) fn check_cycles(at: &Cursor<'_>, pools: &[Option<Read>], names: &Names) {
    let next = |index: usize| match pools.get(index)?.as_ref()?.pool.if_nobody.then? {
        Target::Pool(pool) => Some(pool.0),
        Target::Rep(_) => None,
    };
    let mut reported = vec![false; pools.len()];
    for start in 0..pools.len() {
        let path: Vec<usize> =
            std::iter::successors(Some(start), |index| next(*index)).take(pools.len() + 1).collect();
        let Some(back) = path.iter().skip(1).position(|index| *index == start) else {
            continue;
        };
        let cycle = &path[..=back];
        if cycle.iter().any(|index| reported[*index]) {
            continue;
        }
        cycle.iter().for_each(|index| reported[*index] = true);
        let words: Vec<&str> = path[..=back + 1].iter().map(|index| names.pools[*index].as_str()).collect();
        let message = format!("overflow runs in a circle: {}", words.join(" → "));
        let then = pools[start].as_ref().and_then(|read| read.then.as_ref());
        let place = then.map_or_else(|| at.place(), |then| then.place.clone());
        at.diagnostics().push(
            Diagnostic::error("overflow-cycle", &place, message)
                .help("let one of these pools hand over to a rep, or leave its `then` out for the fallback"),
        );
    }
}
