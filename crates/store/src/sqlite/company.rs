//! Company: a group of commands waits a moment for those that are surely on their way, if the disk is slow, and does not
//! keep them waiting longer than it must.
//!
//! Senders that were answered together come again together. The first of them would be stored alone, and all others wait
//! for two syncs of the disk instead of one. Postgres knows the same as `commit_delay` with `commit_siblings`.

use std::time::Duration;

/// So many senders are company.
const SEVERAL: usize = 4;
/// Nobody waits for a disk that is faster: timers are not finer.
const SLOW: Duration = Duration::from_millis(2);
/// The longest wait.
const LONGEST: Duration = Duration::from_millis(20);
/// No further command joins a group that is older than this.
const SLICE: Duration = Duration::from_millis(25);
/// A disk whose commits take longer lets the senders wait for little else.
const SLUGGISH: Duration = Duration::from_millis(8);

/// What the last groups were like.
#[derive(Debug, Default)]
pub(super) struct Company {
    /// Senders that were on the way after each of the last two: answered by it, or waiting by then.
    senders: [usize; 2],
    /// How long a commit takes, smoothed.
    commit: Duration,
}

impl Company {
    /// A group was committed, which answers so many senders while others wait already.
    pub(super) fn note(&mut self, answered: usize, waiting: usize, commit: Duration) {
        self.senders = [answered + waiting, self.senders[0]];
        self.commit = (self.commit * 3 + commit) / 4;
    }

    /// Whether more than those that have `arrived` are on their way.
    pub(super) fn misses(&self, arrived: usize) -> bool {
        let most = self.senders.into_iter().max().unwrap_or_default();
        self.commit >= SLOW && most >= SEVERAL && arrived < most
    }

    /// For how long further commands may join a group with so many senders in it. A larger group costs less for each of
    /// its commands; but where the disk takes most of the time anyhow, the senders' next ones are late by what is done
    /// between two commits, and the leads' steps grow together while they wait.
    pub(super) fn slice(&self, senders: usize) -> Duration {
        if senders > 0 && self.commit >= SLUGGISH { self.commit / 6 } else { SLICE }
    }

    /// How long a group waits for them, counted from its beginning.
    pub(super) fn patience(&self) -> Duration {
        (self.commit * 3 / 4).min(LONGEST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// After groups of so many senders answered, so many waiting, and so many milliseconds.
    fn after(groups: &[(usize, usize, u64)]) -> Company {
        let mut company = Company::default();
        for (answered, waiting, ms) in groups {
            company.note(*answered, *waiting, Duration::from_millis(*ms));
        }
        company
    }

    #[test]
    fn who_comes_alone_or_to_a_fast_disk_waits_for_nobody() {
        assert!(!Company::default().misses(0));
        assert!(!after(&[(1, 1, 20); 9]).misses(1));
        assert!(!after(&[(16, 0, 1); 9]).misses(1));
    }

    #[test]
    fn on_a_slow_disk_senders_wait_for_little_besides_it() {
        let (slow, fast) = (after(&[(16, 0, 20); 20]), after(&[(16, 0, 2); 20]));
        assert!(slow.slice(16) < Duration::from_millis(6));
        assert_eq!((slow.slice(0), fast.slice(16)), (SLICE, SLICE));
    }

    #[test]
    fn those_who_came_together_are_waited_for_until_they_are_there() {
        let company = after(&[(10, 6, 20), (0, 0, 20), (6, 10, 20), (0, 0, 20)]);
        assert!(company.misses(0) && company.misses(15) && !company.misses(16));
        assert!(company.patience() > Duration::from_millis(5) && company.patience() <= LONGEST);
        // Two groups without them, and they are forgotten.
        assert!(!after(&[(16, 0, 20), (0, 0, 20), (1, 0, 20)]).misses(0));
    }
}
