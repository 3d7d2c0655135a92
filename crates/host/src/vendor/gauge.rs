//! A connection's limits as seen from outside: how short they are, and what of them outlives the process.

use std::time::Duration;

use jiff::SignedDuration;
use usher_connector::{CallLane, Gauge, LimitStanding};

use super::{VendorHttp, forward};
use crate::limiter::Standing;

impl Gauge for VendorHttp {
    fn wait(&self, lane: CallLane) -> Duration {
        self.limiter.wait(lane)
    }

    fn waiting(&self, lane: CallLane) -> usize {
        self.limiter.waiting(lane)
    }

    fn standing(&self) -> Vec<LimitStanding> {
        let now = self.clock.now();
        let told = |standing: Standing| LimitStanding {
            limit: standing.limit.to_owned(),
            blocked_until: Some(standing.blocked_for)
                .filter(|pause| !pause.is_zero())
                .and_then(|pause| now.checked_add(pause).ok()),
            strikes: standing.strikes,
            units: standing.units,
            spent: standing
                .spent
                .iter()
                .filter_map(|(age, calls)| Some((now.checked_sub(*age).ok()?, *calls)))
                .collect(),
        };
        self.limiter.standing().into_iter().map(told).collect()
    }

    fn resume(&self, standing: Vec<LimitStanding>) {
        let now = self.clock.now();
        let known = self.limiter.snapshot();
        let taken = standing.into_iter().filter_map(|standing| {
            let limit = known.iter().find(|limit| limit.name == standing.limit)?.name;
            let blocked_for =
                standing.blocked_until.map_or(SignedDuration::ZERO, |until| until.duration_since(now));
            let spent =
                standing.spent.iter().map(|(at, calls)| (forward(now.duration_since(*at)), *calls)).collect();
            let LimitStanding { strikes, units, .. } = standing;
            Some(Standing { limit, blocked_for: forward(blocked_for), strikes, units, spent })
        });
        self.limiter.resume(&taken.collect::<Vec<_>>());
    }
}
