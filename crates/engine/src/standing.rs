//! What is wrong with connections, as the steps find it: kept in the store for status, written only when it changes.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use jiff::{SignedDuration, Timestamp};
use usher_model::ConnectionName;
use usher_store::HookTally;

use crate::engine::Engine;
use crate::error::EngineError;

/// The topic of everything about webhooks.
pub(crate) const WEBHOOKS: &str = "webhooks";
/// A poll that finds something new so long after the last webhook: the webhooks should have told it.
const SILENCE: SignedDuration = SignedDuration::from_hours(1);

/// What the process remembers, so that it need not ask the store at every step.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    /// The words last stored by connection and topic; `None` if all was well.
    told: Mutex<BTreeMap<(ConnectionName, String), Option<String>>>,
    /// What came to webhook addresses and is not stored yet.
    tallies: Mutex<BTreeMap<ConnectionName, HookTally>>,
    heard: Mutex<BTreeMap<ConnectionName, Heard>>,
}

/// When a connection last had news.
#[derive(Debug, Clone, Copy, Default)]
struct Heard {
    webhook: Option<Timestamp>,
    /// By a poll that found something new.
    poll: Option<Timestamp>,
}

impl Engine {
    /// Notes a vendor's failure as trouble of the topic, and a success as its end. Passes the result on.
    pub(crate) async fn watched<T>(
        &self,
        connection: &ConnectionName,
        topic: &str,
        result: Result<T, EngineError>,
    ) -> Result<T, EngineError> {
        match &result {
            Ok(_) => self.trouble(connection, topic, None).await?,
            Err(EngineError::Vendor { fault, .. }) => {
                self.trouble(connection, topic, Some(fault.to_string())).await?;
            }
            Err(_) => {}
        }
        result
    }

    /// Says what is wrong with the topic, or that nothing is.
    pub(crate) async fn trouble(
        &self,
        connection: &ConnectionName,
        topic: &str,
        problem: Option<String>,
    ) -> Result<(), EngineError> {
        let key = (connection.clone(), topic.to_owned());
        if lock(&self.memory.told).get(&key) == Some(&problem) {
            return Ok(());
        }
        self.store.set_trouble(connection, topic, problem.as_deref(), self.now()).await?;
        lock(&self.memory.told).insert(key, problem);
        Ok(())
    }

    /// Counts a genuine webhook.
    pub(crate) fn heard(&self, connection: &ConnectionName, now: Timestamp) {
        lock(&self.memory.tallies).entry(connection.clone()).or_default().heard_at = Some(now);
        lock(&self.memory.heard).entry(connection.clone()).or_default().webhook = Some(now);
    }

    /// Counts a webhook that was refused.
    pub(crate) fn refused(&self, connection: &ConnectionName, now: Timestamp, reason: &str) {
        let mut tallies = lock(&self.memory.tallies);
        let tally = tallies.entry(connection.clone()).or_default();
        tally.refused += 1;
        tally.last_refused = Some((now, reason.to_owned()));
    }

    /// Remembers that a poll found something that no webhook had told.
    pub(crate) fn found_by_poll(&self, connection: &ConnectionName, now: Timestamp) {
        lock(&self.memory.heard).entry(connection.clone()).or_default().poll = Some(now);
    }

    /// Stores what came to webhook addresses since the last time. Returns 0: there is never more to do at once.
    ///
    /// # Errors
    /// If the storage fails; the counts stay for the next time.
    pub async fn store_tallies(&self) -> Result<usize, EngineError> {
        let tallies = std::mem::take(&mut *lock(&self.memory.tallies));
        if tallies.is_empty() {
            return Ok(0);
        }
        let stored = self.store.add_hook_tallies(tallies.clone().into_iter().collect()).await;
        if stored.is_err() {
            let mut kept = lock(&self.memory.tallies);
            for (connection, old) in tallies {
                let tally = kept.entry(connection).or_default();
                tally.refused += old.refused;
                tally.heard_at = tally.heard_at.or(old.heard_at);
                tally.last_refused = tally.last_refused.take().or(old.last_refused);
            }
        }
        Ok(stored.map(|()| 0)?)
    }

    /// What to say of webhooks that do not come although there is news; `None` if they do, or if there is none.
    pub(crate) fn silence(&self, connection: &ConnectionName, since: Timestamp) -> Option<String> {
        let heard = lock(&self.memory.heard).get(connection).copied().unwrap_or_default();
        let silent = heard.poll?.duration_since(heard.webhook.unwrap_or(since));
        (silent > SILENCE).then(|| {
            format!(
                "no webhook for {} minutes before a poll found something new; the poll covers it, but leads come later: \
                 check the webhook at the vendor",
                silent.as_secs() / 60
            )
        })
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
