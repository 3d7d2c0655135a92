//! Decide: the ready leads are folded over in order, so that each sees the turns of those before it, and the whole
//! fold is one transaction.

mod fold;
mod people;
mod plan;

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use usher_model::ConnectionName;
use usher_store::{LinkKey, Ready, StoreError, ViewAsk};

use crate::engine::Engine;
use crate::error::EngineError;
use crate::step::decide::fold::Fold;
use crate::wake::Step;

/// Leads decided in one transaction.
const SLICE: u32 = 256;

impl Engine {
    /// Decides over the next ready leads. Returns how many records and leads were settled; 0 if nothing was ready.
    ///
    /// # Errors
    /// If the storage fails; nothing of the fold is stored then.
    pub async fn decide(&self) -> Result<usize, EngineError> {
        let now = self.now();
        let mut ready = self.store.ready(SLICE, now).await?;
        self.guard(&mut ready, now).await?;
        let count = ready.drafts.len() + ready.waiting.len();
        if count == 0 {
            return Ok(0);
        }
        let view = self.store.decision_view(&self.view_ask(&ready, now)).await?;
        let roster = self.roster();
        let mut fold = Fold::new(self, &roster, view, now);
        for waiting in &ready.waiting {
            fold.reconsider(waiting);
        }
        for draft in ready.drafts {
            fold.take(draft);
        }
        match self.store.commit_decisions(fold.finish(), now).await {
            Ok(()) => {}
            // Somebody changed what the fold was based on: the next call reads afresh.
            Err(StoreError::Stale) => tracing::debug!("a fold was based on stale state and is repeated"),
            Err(error) => return Err(error.into()),
        }
        usher_model::crash::point("decide.after_commit");
        self.wake().ring(Step::Deliver);
        Ok(count)
    }

    fn view_ask(&self, ready: &Ready, now: Timestamp) -> ViewAsk {
        let window = SignedDuration::try_from(self.write.same_inquiry_within)
            .unwrap_or(SignedDuration::from_hours(24));
        let mut ask =
            ViewAsk { mode: Some(self.mode), open_since: now.checked_sub(window).ok(), ..ViewAsk::default() };
        for draft in &ready.drafts {
            ask.keys.extend(draft.keys.iter().cloned());
            ask.links.push(LinkKey {
                connection: draft.connection.clone(),
                object: draft.object.clone(),
                external_id: draft.external_id.clone(),
            });
            ask.accounts.extend(draft.account);
        }
        for waiting in &ready.waiting {
            ask.persons.push(waiting.lead.person);
            ask.accounts.extend(waiting.lead.account);
        }
        ask.keys.sort_unstable();
        ask.keys.dedup();
        ask.accounts.sort_unstable();
        ask.accounts.dedup();
        ask
    }

    /// Holds a connection that would open more leads within an hour than the operator expects: an import of 20,000
    /// rows is no 20,000 tasks. Its records wait until `usher pause --resume` releases them.
    async fn guard(&self, ready: &mut Ready, now: Timestamp) -> Result<(), EngineError> {
        let Some(limit) = self.write.max_leads_per_hour else {
            return Ok(());
        };
        let Ok(since) = now.checked_sub(SignedDuration::from_hours(1)) else {
            return Ok(());
        };
        let mut counts: BTreeMap<ConnectionName, u64> = self.store.opened_since(since).await?;
        let mut flooded = BTreeSet::new();
        ready.drafts.retain(|draft| {
            let count = counts.entry(draft.connection.clone()).or_default();
            *count += 1;
            let passes = *count <= limit;
            if !passes {
                flooded.insert(draft.connection.clone());
            }
            passes
        });
        for connection in flooded {
            let reason = format!(
                "more than {limit} leads within an hour; look at them with `usher leads list`, then \
                 `usher pause {connection} --resume`, or raise write.guard.max_per_hour"
            );
            tracing::warn!(%connection, limit, "flood guard: the connection is held");
            self.store.hold(&connection, Some(&reason), now).await?;
        }
        Ok(())
    }
}
