//! The account's state: tables, associations, owners, the oracle and what is yet to happen.

use std::collections::BTreeMap;

use super::kinds::KINDS;
use super::later::Later;
use super::limits::Meter;
use super::links::Links;
use super::oauth::OAuthServer;
use super::owners::Owner;
use super::table::Table;
use super::webhooks::{HookEvent, Subscription};
use crate::clock::Millis;
use crate::faults::{Dice, Faults};
use crate::oracle::{Actor, Oracle};

/// Who changes something, when, and in which request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stamp {
    pub(crate) at: Millis,
    pub(crate) actor: Actor,
    pub(crate) correlation: u64,
}

/// An API token and what it may do.
#[derive(Debug, Clone)]
pub(crate) struct Grant {
    pub(crate) number: u16,
    pub(crate) token: String,
    /// None means every scope.
    pub(crate) scopes: Option<Vec<String>>,
    pub(crate) expired: bool,
    /// When it ends, for a token that OAuth gave out.
    pub(crate) until: Option<Millis>,
    /// The consent that it goes back to, for such a token.
    pub(crate) family: Option<usize>,
}

impl Grant {
    pub(crate) fn is_over(&self, now: Millis) -> bool {
        self.expired || self.until.is_some_and(|until| until <= now)
    }
}

/// The whole account. One lock guards it; nothing waits while holding that lock.
#[derive(Debug)]
pub(crate) struct Hub {
    pub(crate) tables: Vec<Table>,
    pub(crate) links: Links,
    pub(crate) owners: BTreeMap<u64, Owner>,
    pub(crate) grants: Vec<Grant>,
    pub(crate) oauth: OAuthServer,
    pub(crate) oracle: Oracle,
    pub(crate) faults: Faults,
    pub(crate) dice: Dice,
    pub(crate) later: BTreeMap<(Millis, u64), Later>,
    pub(crate) meter: Meter,
    pub(crate) subscriptions: Vec<Subscription>,
    pub(crate) outbox: Vec<HookEvent>,
    pub(crate) sequence: u64,
}

impl Hub {
    pub(crate) fn new(seed: u64, faults: Faults, meter: Meter) -> Self {
        let mut dice = Dice::new(seed);
        dice.allow(faults.times);
        Self {
            tables: (0..KINDS.len()).map(Table::new).collect(),
            links: Links::default(),
            owners: BTreeMap::new(),
            grants: Vec::new(),
            oauth: OAuthServer::default(),
            oracle: Oracle::default(),
            faults,
            dice,
            later: BTreeMap::new(),
            meter,
            subscriptions: Vec::new(),
            outbox: Vec::new(),
            sequence: 0,
        }
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.sequence += 1;
        self.sequence
    }

    pub(crate) fn schedule(&mut self, at: Millis, what: Later) {
        let sequence = self.next();
        self.later.insert((at, sequence), what);
    }

    /// Draws for a switch; a firing is counted and logged.
    pub(crate) fn fires(&mut self, rate: f64, fault: &'static str, at: Millis, correlation: u64) -> bool {
        let fires = self.dice.roll(rate);
        if fires {
            self.oracle.fire(at, fault, correlation);
        }
        fires
    }

    /// A moment after now, drawn from the range.
    pub(crate) fn after(&mut self, now: Millis, span: crate::faults::Span) -> Millis {
        now + i64::try_from(self.dice.span(span)).unwrap_or(0)
    }
}
