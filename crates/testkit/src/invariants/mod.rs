//! What must hold whatever went wrong: the program's database held against the simulators' own log.
//!
//! [`Evidence`] is collected while the program rests or lies dead, and then judged by [`RULES`]. Each rule carries the
//! number of the promise that it belongs to:
//!
//! - I1 what was acknowledged, or was there to be read, reaches exactly one end;
//! - I2 nothing happens twice: persons, tasks, inquiries, turns;
//! - I3 the owner at the CRM is the last decision's, unless a human chose another;
//! - I4 no cursor passes a record that is not stored;
//! - I5 nobody is touched who is not ours to touch (one installation serves one client, so there is no other client's
//!   data to reach; what can go wrong is a write to a stranger);
//! - I6 no secret and no person's address in the log;
//! - I7 a clock fires once and never early;
//! - I8 when the faults stop, everything comes to rest;
//! - I9 the vendor never has to refuse us for calling too often;
//! - I10 memory, files and handles stay bounded.

mod arrivals;
mod conduct;
mod evidence;
mod ledger;
mod look;
mod owners;
mod writes;

use serde::Serialize;

pub use self::evidence::{Came, Evidence, Form, Resources, Scene};
pub use self::ledger::{LeadRow, Ledger, Mark, RecordRow, Standing, Waited};
pub use self::owners::Owners;

/// Examples listed for one broken rule.
const LISTED: usize = 10;

/// How far the program is when it is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Things may be on their way.
    Underway,
    /// The faults are over and everything had time to come to rest.
    Drained,
}

/// A rule that does not hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Broken {
    /// Which rule.
    pub rule: &'static str,
    /// How often it is broken.
    pub count: usize,
    /// The first few, by vendor id or our id.
    pub examples: Vec<String>,
}

/// One rule: its name, from when on it holds, and what breaks it.
type Rule = (&'static str, Phase, fn(&Evidence) -> Vec<String>);

/// Every rule.
const RULES: &[Rule] = &[
    ("I1 what was acknowledged is stored", Phase::Underway, arrivals::acknowledged_and_lost),
    ("I1 everybody who came is looked at", Phase::Drained, arrivals::overlooked),
    ("I1 everything that arrived was seen", Phase::Drained, Evidence::unseen),
    ("I1 every record has ended", Phase::Drained, arrivals::unfinished_records),
    ("I1 every lead has closed", Phase::Drained, arrivals::unfinished_leads),
    ("I1 no record is given up because the program died", Phase::Underway, arrivals::given_up),
    ("I1 each opened record is one lead", Phase::Underway, arrivals::opened_without_lead),
    ("I1 no lead counts as written before its writes do", Phase::Underway, arrivals::closed_too_soon),
    ("I1 each written lead's person is at the CRM", Phase::Underway, arrivals::persons_missing),
    ("I1 every task that we call done exists", Phase::Underway, writes::phantom_tasks),
    ("I1 every person that we call made exists", Phase::Underway, writes::phantom_persons),
    ("I2 no person twice at the CRM", Phase::Underway, writes::persons_twice),
    ("I2 nobody without address made twice", Phase::Underway, writes::phones_twice),
    ("I2 no task twice at the CRM", Phase::Underway, writes::tasks_twice),
    ("I2 no lead or deal twice at the CRM", Phase::Underway, writes::inquiries_twice),
    ("I2 every lead or deal that we made is known", Phase::Drained, writes::orphan_inquiries),
    // A merge at the CRM, too, until it is followed.
    ("I2 nobody has several leads or deals", Phase::Drained, writes::several_inquiries),
    ("I2 each e-mail has one inquiry", Phase::Underway, writes::doubled_leads),
    // A merge at the CRM makes one person of two as soon as it is followed.
    ("I2 each e-mail is one person", Phase::Drained, writes::shared_emails),
    ("I2 each written lead has one task", Phase::Underway, writes::wrong_task_counts),
    ("I2 every task at the CRM is known or shown as unclear", Phase::Underway, writes::orphan_tasks),
    ("I2 every person that we made is known", Phase::Drained, writes::orphan_persons),
    ("I2 balances are the sums of their turns", Phase::Underway, writes::wrong_balances),
    ("I3 owners are as decided", Phase::Drained, owners::wrong),
    ("I4 no cursor passes a record that is not stored", Phase::Underway, arrivals::passed_by),
    ("I5 only persons of our leads are written to", Phase::Drained, writes::strangers_touched),
    ("I6 no secret and no person in the log", Phase::Underway, conduct::told_in_the_log),
    ("I7 no wait ends before its time", Phase::Underway, conduct::woken_early),
    ("I8 nothing is on its way any more", Phase::Drained, conduct::still_moving),
    ("I9 no call beyond the vendor's limit", Phase::Underway, conduct::refused_by_limit),
    ("I10 memory, files and handles stay bounded", Phase::Underway, conduct::unbounded),
];

impl Evidence {
    /// Every rule that does not hold in this phase.
    #[must_use]
    pub fn broken(&self, phase: Phase) -> Vec<Broken> {
        let applying = RULES.iter().filter(|(_, from, _)| *from <= phase);
        let judged = applying.map(|(rule, _, breaks)| (*rule, breaks(self)));
        judged
            .filter(|(_, found)| !found.is_empty())
            .map(|(rule, found)| Broken {
                rule,
                count: found.len(),
                examples: found.into_iter().take(LISTED).collect(),
            })
            .collect()
    }
}

#[cfg(test)]
mod tests;
