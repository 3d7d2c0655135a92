//! The book of alerts: from conditions that hold at a look to notices that are sent once each.
//!
//! An alert ends when its condition was absent for a while, so that one that comes and goes is one alert. Between two
//! notices of one alert lies a rest. What was told is stored, so a restart neither repeats nor forgets; a store that can
//! not be written (which is itself an alert) holds nothing up.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use usher_store::{Alert, Told};

/// A condition must be absent for so long before its alert is over.
const SETTLED: SignedDuration = SignedDuration::from_secs(60);
/// Between two notices of one alert.
const REST: SignedDuration = SignedDuration::from_mins(5);
/// How long an alert that is over is remembered.
const REMEMBERED: SignedDuration = SignedDuration::from_hours(24 * 7);
/// Notices in one message.
const MOST: usize = 20;

/// What a notice says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum NoticeKind {
    /// The condition holds.
    Raised,
    /// It holds no more.
    Recovered,
}

/// One notice to send. Serialises to what an alert's receiver gets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Notice {
    /// What it is about, as `held/site-form`.
    pub key: String,
    /// Raised or recovered.
    pub status: NoticeKind,
    /// What is wrong and what to do.
    pub problem: String,
    /// Since when.
    pub since: Timestamp,
    /// When it was over.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
}

/// The alerts, as stored and as they stand.
#[derive(Debug, Default)]
pub(super) struct Book {
    alerts: BTreeMap<String, Alert>,
    /// When each condition was last found to hold.
    seen: BTreeMap<String, Timestamp>,
    unstored: BTreeSet<String>,
}

impl Book {
    /// Goes on from what is stored.
    pub(super) fn load(&mut self, stored: Vec<Alert>) {
        for alert in stored {
            self.alerts.entry(alert.key.clone()).or_insert(alert);
        }
    }

    /// Enters which conditions hold now, by their keys, with what is wrong in words.
    pub(super) fn enter(&mut self, conditions: BTreeMap<String, String>, now: Timestamp) {
        for (key, problem) in conditions {
            self.seen.insert(key.clone(), now);
            let entry = self.alerts.entry(key.clone());
            let fresh = Alert {
                key: key.clone(),
                problem: problem.clone(),
                raised_at: now,
                ended_at: None,
                told: None,
            };
            let alert = entry.or_insert_with(|| {
                self.unstored.insert(key.clone());
                fresh
            });
            if alert.ended_at.take().is_some() {
                alert.raised_at = now;
                self.unstored.insert(key.clone());
            }
            if alert.problem != problem {
                alert.problem = problem;
                self.unstored.insert(key);
            }
        }
        for (key, alert) in &mut self.alerts {
            let seen = *self.seen.entry(key.clone()).or_insert(now);
            if alert.ended_at.is_none() && now.duration_since(seen) >= SETTLED {
                alert.ended_at = Some(now);
                self.unstored.insert(key.clone());
            }
        }
    }

    /// The notices that are due, the longest standing first.
    pub(super) fn due(&self, now: Timestamp) -> Vec<Notice> {
        let mut due: Vec<Notice> = self.alerts.values().filter_map(|alert| notice(alert, now)).collect();
        due.sort_by_key(|notice| notice.since);
        due.truncate(MOST);
        due
    }

    /// Notes that these arrived.
    pub(super) fn told(&mut self, notices: &[Notice], now: Timestamp) {
        for notice in notices {
            if let Some(alert) = self.alerts.get_mut(&notice.key) {
                let told = match notice.status {
                    NoticeKind::Raised => Told::Raised,
                    NoticeKind::Recovered => Told::Recovered,
                };
                alert.told = Some((told, now));
                self.unstored.insert(notice.key.clone());
            }
        }
    }

    /// What the store does not know yet.
    pub(super) fn unstored(&self) -> Vec<Alert> {
        self.unstored.iter().filter_map(|key| self.alerts.get(key)).cloned().collect()
    }

    /// Notes that the store knows everything, and forgets what is long over. Returns from when on the store keeps.
    pub(super) fn stored(&mut self, now: Timestamp) {
        self.unstored.clear();
        let forget = forget_before(now);
        self.alerts.retain(|_, alert| alert.ended_at.is_none_or(|ended| ended >= forget));
        self.seen.retain(|key, _| self.alerts.contains_key(key));
    }
}

/// Alerts that were over before this are forgotten.
pub(super) fn forget_before(now: Timestamp) -> Timestamp {
    now.checked_sub(REMEMBERED).unwrap_or(Timestamp::MIN)
}

fn notice(alert: &Alert, now: Timestamp) -> Option<Notice> {
    let (status, told) = match alert.ended_at {
        None => (NoticeKind::Raised, Told::Raised),
        Some(_) => (NoticeKind::Recovered, Told::Recovered),
    };
    let news = alert.told.is_none_or(|(last, at)| last != told && now.duration_since(at) >= REST);
    news.then(|| Notice {
        key: alert.key.clone(),
        status,
        problem: alert.problem.clone(),
        since: alert.raised_at,
        until: alert.ended_at,
    })
}
