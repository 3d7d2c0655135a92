//! What the vendor says is left of a limit, for a quota that others spend too.

use std::time::Duration;

use usher_connector::CallLane;

/// The part of the quota that a lane leaves to the lanes before it.
pub(super) fn reserve(lane: CallLane, units: u32) -> u32 {
    let percent = match lane {
        CallLane::Write | CallLane::Verify => 0,
        CallLane::Pull => 5,
        CallLane::Watch | CallLane::Refresh => 10,
        CallLane::Backfill => 20,
    };
    u32::try_from(u64::from(units) * percent / 100).unwrap_or(units)
}

/// Units left by the vendor's last word, less what we have spent since.
#[derive(Debug, Clone, Copy)]
pub(super) struct Headroom {
    left: u32,
    told: Duration,
    next_probe: Duration,
    pause: Duration,
    lifetime: Duration,
}

impl Headroom {
    /// The vendor has just said that `left` units remain. The word is believed for `lifetime`; while it says that
    /// nothing is left, one call in each `pause` asks again.
    pub(super) fn new(left: u32, now: Duration, lifetime: Duration) -> Self {
        let pause = lifetime / 10;
        Self { left, told: now, next_probe: now + pause, pause, lifetime }
    }

    /// How long until so many units may be spent, with `reserve` left to others; zero if they may be now.
    pub(super) fn wait(&self, units: u32, reserve: u32, now: Duration) -> Duration {
        let forgotten = self.told + self.lifetime;
        if self.left >= reserve.saturating_add(units) || now >= forgotten {
            return Duration::ZERO;
        }
        self.next_probe.min(forgotten).saturating_sub(now)
    }

    /// Counts units that `wait` has just allowed.
    pub(super) fn take(&mut self, units: u32, reserve: u32, now: Duration) {
        if self.left < reserve.saturating_add(units) {
            self.next_probe = now + self.pause;
        }
        self.left = self.left.saturating_sub(units);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn fm_066_backfill_pauses_while_writes_still_flow() {
        // Others have eaten 80 % of 100 calls.
        let room = Headroom::new(20, SECOND, 10 * SECOND);
        assert_eq!(room.wait(1, reserve(CallLane::Write, 100), SECOND), Duration::ZERO);
        assert_eq!(room.wait(1, reserve(CallLane::Pull, 100), SECOND), Duration::ZERO);
        assert_eq!(room.wait(1, reserve(CallLane::Backfill, 100), SECOND), SECOND);
    }

    #[test]
    fn an_exhausted_limit_is_probed_and_then_forgotten() {
        let mut room = Headroom::new(1, Duration::ZERO, 10 * SECOND);
        room.take(1, 0, Duration::ZERO);
        assert_eq!(room.wait(1, 0, Duration::ZERO), SECOND);
        assert_eq!(room.wait(1, 0, SECOND), Duration::ZERO);
        room.take(1, 0, SECOND);
        assert_eq!(room.wait(1, 0, SECOND), SECOND);
        assert_eq!(room.wait(1, 0, 10 * SECOND), Duration::ZERO);
    }
}
