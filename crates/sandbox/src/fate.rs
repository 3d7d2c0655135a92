//! What the switches have in mind for one request, whichever vendor it was sent to.

use std::time::Duration;

use crate::clock::Millis;
use crate::faults::{Dice, Faults};
use crate::oracle::Oracle;
use crate::reply::Reply;

/// What becomes of a request's answer.
#[derive(Debug, Default)]
pub(crate) struct Fate {
    pub(crate) wait: Duration,
    /// It is done and the connection closes without a word.
    pub(crate) lose: bool,
    pub(crate) truncate: bool,
    /// It is done when its client has gone.
    pub(crate) late: bool,
    /// It is done and a gateway answers that it took too long.
    pub(crate) gateway_timeout: bool,
}

/// The parts of an account that chance needs, for one request.
#[derive(Debug)]
pub(crate) struct Sky<'a> {
    pub(crate) faults: &'a Faults,
    pub(crate) dice: &'a mut Dice,
    pub(crate) oracle: &'a mut Oracle,
    pub(crate) at: Millis,
    pub(crate) correlation: u64,
}

impl Sky<'_> {
    /// Draws for a switch; a firing is counted and logged.
    pub(crate) fn fires(&mut self, rate: f64, fault: &'static str) -> bool {
        let fires = self.dice.roll(rate);
        if fires {
            self.oracle.fire(self.at, fault, self.correlation);
        }
        fires
    }

    /// The answers of gateways and sign-in walls, where nothing was done.
    pub(crate) fn wall(&mut self) -> Option<Reply> {
        if self.fires(self.faults.server_error, "server_error") {
            let status = if self.dice.roll(0.5) { 502 } else { 503 };
            return Some(Reply::html(status, "Bad gateway"));
        }
        self.fires(self.faults.html, "html").then(|| Reply::html(200, "Sign in"))
    }

    /// What happens to a request that is carried out.
    pub(crate) fn fate(&mut self, write: bool) -> Fate {
        let mut fate = Fate::default();
        if self.fires(self.faults.slow, "slow") {
            fate.wait = Duration::from_millis(self.dice.span(self.faults.slow_ms));
        }
        if write {
            fate.late = self.fires(self.faults.late_commit, "late_commit");
            fate.lose = !fate.late && self.fires(self.faults.lost_response, "lost_response");
            let clear = !fate.late && !fate.lose;
            let rate = self.faults.server_error_after_commit;
            fate.gateway_timeout = clear && self.fires(rate, "server_error_after_commit");
        }
        let clear = !fate.late && !fate.lose && !fate.gateway_timeout;
        fate.truncate = clear && self.fires(self.faults.truncated, "truncated");
        fate
    }
}

/// Cuts a body in the middle, if that is its fate.
pub(crate) fn cut(mut reply: Reply, truncate: bool) -> Reply {
    if truncate {
        reply.body.truncate(reply.body.len() / 2);
    }
    reply
}
