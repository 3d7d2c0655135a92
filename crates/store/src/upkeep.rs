//! Upkeep: backups and what a restore leaves in doubt, retention, vital signs, counts that must add up, alerts.

use std::path::Path;

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use usher_model::{ConnectionName, EffectKind, ExternalId, LeadId};

use crate::codec::{instant, maybe_instant};
use crate::error::StoreError;
use crate::fault::Fault;

/// A finished and verified backup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backup {
    /// Everything that was committed before is in it.
    pub safe_at: Timestamp,
    /// Its size in bytes.
    pub bytes: u64,
    /// SHA-256 of the file, 64 hexadecimal digits.
    pub checksum: String,
    /// Records, leads and effects in it.
    pub rows: [u64; 3],
}

/// A database put back from a backup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restored {
    /// When the backup was taken.
    pub safe_at: Timestamp,
    /// Effects that will be looked up at the vendor before anything is sent.
    pub in_doubt: u64,
    /// Where the replaced database was put, if there was one.
    pub kept_aside: Option<String>,
}

/// What is kept until when. Rows that something still needs stay longer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cutoffs {
    /// Raw payloads of records that ended before.
    pub payloads: Timestamp,
    /// Raw webhook bodies that were split before.
    pub deliveries: Timestamp,
    /// Single attempts of writes that ended before.
    pub attempts: Timestamp,
}

/// Where a retention pass stands, and what it removed. The next slice goes on from here.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Payloads removed so far.
    pub payloads: u64,
    /// Webhook bodies removed so far.
    pub deliveries: u64,
    /// Attempts removed so far.
    pub attempts: u64,
    /// Opaque: the last row looked at, of each of the three.
    pub(crate) marks: [i64; 3],
    /// Nothing is left to look at.
    pub done: bool,
}

/// Vendors' clocks and ours may differ by so much.
pub(crate) const SKEW: SignedDuration = SignedDuration::from_secs(60);
/// A record whose age the vendor does not tell is as old as the restore if it arrives within this time after it.
pub(crate) const AGELESS: SignedDuration = SignedDuration::from_hours(24);

/// The oldest instant since when work has been due, by the step that should have done it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Overdue {
    /// Webhook bodies to split.
    pub split: Option<Timestamp>,
    /// Hints to fetch.
    pub fetch: Option<Timestamp>,
    /// Records to prepare.
    pub prepare: Option<Timestamp>,
    /// Drafts and waiting leads to decide.
    pub decide: Option<Timestamp>,
    /// Effects to send or to look up.
    pub deliver: Option<Timestamp>,
}

/// What the watchdog looks at: cheap enough for every few seconds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Vitals {
    /// Work that is due.
    pub overdue: Overdue,
    /// When the oldest record that is not decided yet arrived. Records of held connections count.
    pub oldest_undecided: Option<Timestamp>,
    /// When the oldest effect that is not final was planned.
    pub oldest_unwritten: Option<Timestamp>,
    /// Held connections, each with the reason.
    pub held: Vec<(ConnectionName, String)>,
    /// Effects rejected since the instant asked for.
    pub rejected: u64,
    /// Effects parked since then.
    pub parked: u64,
    /// Writes are paused.
    pub paused: bool,
}

/// Due at `$1`, a parameter for both backends. Observed leads wait for nobody once the mode is live, and held connections wait for an operator.
pub(crate) const OVERDUE: &str = "SELECT (SELECT min(received_at) FROM delivery WHERE split_at IS NULL), \
     (SELECT min(first_at) FROM hint), \
     (SELECT min(due_at) FROM record WHERE state = 'fetched' AND due_at <= $1), \
     (SELECT min(at) FROM (SELECT min(due_at) AS at FROM record WHERE state = 'mapped' AND due_at <= $1 \
        AND connection NOT IN (SELECT name FROM connection WHERE held_at IS NOT NULL) \
        UNION ALL SELECT min(wait_until) FROM lead WHERE state = 'waiting' AND wait_until <= $1 \
        AND mode = coalesce((SELECT value FROM meta WHERE name = 'mode'), mode)) ready), \
     (SELECT min(at) FROM (SELECT min(due_at) AS at FROM effect WHERE state = 'planned' AND due_at <= $1 \
        UNION ALL SELECT min(due_at) FROM effect WHERE state = 'unknown' AND due_at <= $1) due)";

/// How old what is not done is, how many writes failed from `$1` on, and whether writes are paused.
pub(crate) const AGES: &str = "SELECT (SELECT min(at) FROM (SELECT min(received_at) AS at FROM record WHERE state = 'fetched' \
        UNION ALL SELECT min(received_at) FROM record WHERE state = 'mapped') undecided), \
     (SELECT min(at) FROM (SELECT min(planned_at) AS at FROM effect WHERE state = 'blocked' \
        UNION ALL SELECT min(planned_at) FROM effect WHERE state = 'planned' \
        UNION ALL SELECT min(planned_at) FROM effect WHERE state = 'sending' \
        UNION ALL SELECT min(planned_at) FROM effect WHERE state = 'unknown') unwritten), \
     (SELECT count(*) FROM effect WHERE state = 'rejected' AND ended_at >= $1), \
     (SELECT count(*) FROM effect WHERE state = 'parked' AND ended_at >= $1), \
     EXISTS (SELECT 1 FROM meta WHERE name = 'paused')";

/// Held connections, each with the reason.
pub(crate) const HELD: &str =
    "SELECT name, held_reason FROM connection WHERE held_at IS NOT NULL ORDER BY name";

/// A row of [`OVERDUE`].
type Due = (Option<i64>, Option<i64>, Option<i64>, Option<i64>, Option<i64>);

impl Vitals {
    /// From [`OVERDUE`], [`AGES`] and [`HELD`].
    pub(crate) fn of(
        (split, fetch, prepare, decide, deliver): Due,
        (undecided, unwritten, rejected, parked, paused): (Option<i64>, Option<i64>, i64, i64, bool),
        held: Vec<(String, String)>,
    ) -> Result<Self, Fault> {
        Ok(Self {
            overdue: Overdue {
                split: maybe_instant(split)?,
                fetch: maybe_instant(fetch)?,
                prepare: maybe_instant(prepare)?,
                decide: maybe_instant(decide)?,
                deliver: if paused { None } else { maybe_instant(deliver)? },
            },
            oldest_undecided: maybe_instant(undecided)?,
            oldest_unwritten: maybe_instant(unwritten)?,
            held: held.into_iter().map(|(name, reason)| (name.into(), reason)).collect(),
            rejected: rejected.unsigned_abs(),
            parked: parked.unsigned_abs(),
            paused,
        })
    }
}

/// Two counts that should be equal and are not, or rows that nothing will ever move.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Discrepancy {
    /// What does not add up, in words.
    pub what: String,
    /// By how many rows.
    pub rows: u64,
}

/// Which notice of an alert arrived last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    /// That it was raised.
    Raised,
    /// That it is over.
    Recovered,
}

/// A condition that somebody should know of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alert {
    /// What it is about, as `held/site-form`; at most one row each.
    pub key: String,
    /// What is wrong and what to do, without personal data.
    pub problem: String,
    /// Since when.
    pub raised_at: Timestamp,
    /// When it was over; `None` while it lasts.
    pub ended_at: Option<Timestamp>,
    /// The last notice that arrived, and when.
    pub told: Option<(Told, Timestamp)>,
}

/// An alert as stored: key, problem, raised_at, ended_at, told, told_at.
pub(crate) type AlertRow = (String, String, i64, Option<i64>, Option<String>, Option<i64>);

impl Alert {
    /// Reads a stored alert.
    pub(crate) fn of((key, problem, raised_at, ended_at, told, told_at): AlertRow) -> Result<Self, Fault> {
        let told = told.as_deref().map(Told::parse).transpose()?;
        Ok(Self {
            key,
            problem,
            raised_at: instant(raised_at)?,
            ended_at: maybe_instant(ended_at)?,
            told: told.zip(maybe_instant(told_at)?),
        })
    }
}

impl Told {
    /// The name as stored.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Raised => "raised",
            Self::Recovered => "recovered",
        }
    }

    fn parse(name: &str) -> Result<Self, Fault> {
        match name {
            "raised" => Ok(Self::Raised),
            "recovered" => Ok(Self::Recovered),
            other => Err(Fault::unreadable("alert", format!("found `{other}`"))),
        }
    }
}

/// Upkeep.
#[async_trait]
pub trait Upkeep: Send + Sync {
    /// Writes a verified copy of everything, as it is now, to a new file. Others read and write meanwhile.
    ///
    /// [`StoreError::Backup`] if the file exists already or the copy does not hold what it should; always where the
    /// server's own tools make copies.
    async fn back_up(&self, to: &Path, now: Timestamp) -> Result<Backup, StoreError>;

    /// To be called once on a store that was put back from a backup of `safe_at`: what was not done then may have been
    /// sent since, so each such effect is marked in doubt and becomes `unknown` as soon as it could be sent, and so does
    /// what will be planned for leads whose record the vendor had before `now`. Returns how many are in doubt.
    async fn distrust(&self, safe_at: Timestamp, now: Timestamp) -> Result<u64, StoreError>;

    /// What writes of this kind are known to have made for the leads of this lead's person, by the vendors' ids.
    async fn known_made(&self, lead: LeadId, kind: EffectKind) -> Result<Vec<ExternalId>, StoreError>;

    /// Removes what is older than the cutoffs and needed by nothing: one small slice, from where `so_far` ended.
    async fn prune(&self, keep: Cutoffs, so_far: Pruned) -> Result<Pruned, StoreError>;

    /// Bounds what writes have left behind beside the data (SQLite: the write-ahead log). Returns its size in bytes.
    async fn tidy(&self) -> Result<u64, StoreError>;

    /// The vital signs; effects that failed are counted since `since`.
    async fn vitals(&self, now: Timestamp, since: Timestamp) -> Result<Vitals, StoreError>;

    /// Commits a row, to prove that the storage takes writes.
    async fn prove_writable(&self, now: Timestamp) -> Result<(), StoreError>;

    /// Everything that does not add up; empty if all is well.
    async fn discrepancies(&self) -> Result<Vec<Discrepancy>, StoreError>;

    /// This machine's clock was moved by this much: moves the instants that stand for a duration (leases, next tries, when
    /// an unclear write was sent), so that none of them lapses early or late; none where a server's clock measures them.
    async fn shift(&self, by: SignedDuration) -> Result<(), StoreError>;

    /// The alerts, those that are over included until they are forgotten.
    async fn alerts(&self) -> Result<Vec<Alert>, StoreError>;

    /// Stores alerts by their keys, and forgets those that were over before `forget`.
    async fn put_alerts(&self, alerts: Vec<Alert>, forget: Timestamp) -> Result<(), StoreError>;
}
