//! The account's state: records, users, fields, tokens, webhooks, the oracle and what is yet to happen.

use std::collections::{BTreeMap, BTreeSet};

use super::changelog::Edits;
use super::fields::Fields;
use super::hooks::{Hook, Parcel};
use super::index::Index;
use super::kinds::Kind;
use super::labels::Label;
use super::later::Later;
use super::limits::Meter;
use super::oauth::OAuthServer;
use super::row::{Row, Table};
use super::scopes::Granted;
use super::users::{ActivityType, PipedriveUser};
use crate::clock::Millis;
use crate::faults::{Dice, Faults, Span};
use crate::oracle::Oracle;

/// A token and in whose name it acts.
#[derive(Debug, Clone)]
pub(crate) struct Token {
    pub(crate) number: u16,
    pub(crate) token: String,
    pub(crate) user: u64,
    /// Given out by OAuth: sent as Bearer, with a burst limit four times as high.
    pub(crate) oauth: bool,
    pub(crate) expired: bool,
    pub(crate) granted: Granted,
    /// When it ends, if OAuth gave it out.
    pub(crate) until: Option<Millis>,
}

/// The whole account. One lock guards it; nothing waits while holding that lock.
#[derive(Debug)]
pub(crate) struct Drive {
    tables: [Table; 6],
    pub(crate) users: BTreeMap<u64, PipedriveUser>,
    pub(crate) activity_types: Vec<ActivityType>,
    pub(crate) labels: Vec<Label>,
    pub(crate) fields: Fields,
    pub(crate) tokens: Vec<Token>,
    pub(crate) oauth: OAuthServer,
    pub(crate) meter: Meter,
    pub(crate) hooks: BTreeMap<u64, Hook>,
    pub(crate) index: Index,
    pub(crate) oracle: Oracle,
    pub(crate) faults: Faults,
    pub(crate) dice: Dice,
    pub(crate) later: BTreeMap<(Millis, u64), Later>,
    pub(crate) outbox: Vec<Parcel>,
    /// What changed in each person and deal, the oldest first.
    pub(crate) edits: Edits,
    /// Cursors that were refused once and stay so.
    pub(crate) dead_cursors: BTreeSet<String>,
    sequence: u64,
}

impl Drive {
    pub(crate) fn new(seed: u64, faults: Faults, meter: Meter) -> Self {
        let mut dice = Dice::new(seed);
        dice.allow(faults.times);
        Self {
            tables: Default::default(),
            users: BTreeMap::new(),
            activity_types: ActivityType::usual(),
            labels: Label::usual(),
            fields: Fields::default(),
            tokens: Vec::new(),
            oauth: OAuthServer::default(),
            meter,
            hooks: BTreeMap::new(),
            index: Index::default(),
            oracle: Oracle::default(),
            faults,
            dice,
            later: BTreeMap::new(),
            outbox: Vec::new(),
            edits: Edits::default(),
            dead_cursors: BTreeSet::new(),
            sequence: 0,
        }
    }

    pub(crate) fn table(&self, kind: Kind) -> &Table {
        &self.tables[kind as usize]
    }

    pub(crate) fn table_mut(&mut self, kind: Kind) -> &mut Table {
        &mut self.tables[kind as usize]
    }

    pub(crate) fn living(&self, kind: Kind, id: u64) -> Option<&Row> {
        self.table(kind).living(id)
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
    pub(crate) fn after(&mut self, now: Millis, span: Span) -> Millis {
        now + i64::try_from(self.dice.span(span)).unwrap_or(0)
    }
}
