//! Decide: the ready leads are folded over in order, so that each sees the turns of those before it, and the whole
//! fold is one transaction.

mod fold;
mod guard;
mod people;
mod plan;

use std::sync::atomic::Ordering;

use jiff::{SignedDuration, Timestamp};
use usher_model::{RecordId, RecordState, crash};
use usher_store::{DecisionCommit, LinkKey, Ready, RecordEnd, StoreError, ViewAsk};

use crate::engine::Engine;
use crate::error::EngineError;
use crate::step::decide::fold::Fold;
use crate::step::decide::guard::Allowance;
use crate::wake::Step;

/// Leads decided in one transaction.
pub(crate) const SLICE: u32 = 256;

impl Engine {
    /// Decides over the next ready leads. Returns how many records and leads were settled; 0 if nothing was ready, or if
    /// another node leads.
    ///
    /// # Errors
    /// If the storage fails; nothing of the fold is stored then, and the next fold is half as long, so that one record
    /// that can not be stored does not hold its neighbours up.
    pub async fn decide(&self) -> Result<usize, EngineError> {
        let Some(fence) = self.leads() else {
            return Ok(0);
        };
        let (now, slice) = (self.now(), self.slice.load(Ordering::Relaxed));
        let ready = self.store.ready(slice, now).await?;
        let count = ready.drafts.len() + ready.waiting.len();
        if count == 0 {
            return Ok(0);
        }
        let alone = ready.drafts.first().filter(|_| count == 1).map(|draft| draft.record);
        let view = self.store.decision_view(&self.view_ask(&ready, now)).await?;
        let allowance = Allowance::new(self, now).await?;
        let roster = self.roster();
        let mut fold = Fold::new(self, &roster, view, allowance, now);
        for waiting in &ready.waiting {
            fold.reconsider(waiting);
        }
        for draft in ready.drafts {
            fold.take(draft);
        }
        let (mut commit, allowance) = fold.finish();
        commit.fence = Some(fence);
        crash::point("decide.before_commit");
        self.store_fold(commit, alone, now).await?;
        crash::point("decide.after_commit");
        allowance.hold_flooded(self, now).await?;
        self.wake().ring(Step::Deliver);
        if count >= slice as usize {
            self.wake().ring(Step::Decide);
        }
        Ok(count)
    }

    async fn store_fold(
        &self,
        commit: DecisionCommit,
        alone: Option<RecordId>,
        now: Timestamp,
    ) -> Result<(), EngineError> {
        let error = match self.store.commit_decisions(commit, now).await {
            Ok(()) => {
                self.slice.store(SLICE, Ordering::Relaxed);
                return Ok(());
            }
            // Of no record's making.
            Err(
                error @ (StoreError::NoSpace { .. }
                | StoreError::Closed
                | StoreError::Away { .. }
                | StoreError::Fenced),
            ) => return Err(error.into()),
            Err(error) => error,
        };
        let slice = self.slice.load(Ordering::Relaxed);
        self.slice.store((slice / 2).max(1), Ordering::Relaxed);
        if let (Some(record), false) = (alone, matches!(error, StoreError::Stale)) {
            tracing::error!(%record, error = &error as &dyn std::error::Error, "a decision can not be stored");
            let detail = Some("its decision could not be stored; usher's log says why".to_owned());
            let end = RecordEnd { record, state: RecordState::Failed, reason: None, lead: None, detail };
            let failed = DecisionCommit { records: vec![end], ..DecisionCommit::default() };
            return Ok(self.store.commit_decisions(failed, now).await?);
        }
        Err(error.into())
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
}
