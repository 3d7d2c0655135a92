//! Decide: the ready leads are folded over in order, so that each sees the turns of those before it, and the whole
//! fold is one transaction.

mod company;
mod fold;
mod guard;
mod item;
mod people;
mod plan;

use std::panic::AssertUnwindSafe;
use std::sync::atomic::Ordering;

use jiff::{SignedDuration, Timestamp};
use usher_model::{Draft, SlotKind, crash};
use usher_store::{DecisionCommit, DecisionView, Fence, LinkKey, Ready, StoreError, ViewAsk};

use crate::engine::Engine;
use crate::error::EngineError;
use crate::step::decide::company::Companies;
use crate::step::decide::fold::Fold;
use crate::step::decide::guard::Allowance;
use crate::step::decide::item::{Item, Unreadable};
use crate::wake::Step;

/// Leads decided in one transaction.
pub(crate) const SLICE: u32 = 256;

impl Engine {
    /// Decides over the next ready leads. Returns how many records and leads were settled; 0 if nothing was ready, or if
    /// another node leads.
    ///
    /// # Errors
    /// If the storage fails; nothing of the fold is stored then, and the next fold is half as long, so that one record
    /// that can not be stored, or decided, does not hold its neighbours up.
    pub async fn decide(&self) -> Result<usize, EngineError> {
        let Some(fence) = self.leads() else {
            return Ok(0);
        };
        let (now, slice) = (self.now(), self.slice.load(Ordering::Relaxed));
        let mut ready = self.store.ready(slice, now).await?;
        if slice == 1 && !ready.waiting.is_empty() {
            // The culprit of a failed fold must stand alone.
            ready.drafts.clear();
        }
        let count = ready.drafts.len() + ready.waiting.len();
        let unreadable = Unreadable::take(&mut ready);
        if count + unreadable.len() == 0 {
            return Ok(0);
        }
        if count + unreadable.len() >= slice as usize {
            self.wake().ring(Step::Decide);
        }
        if unreadable.len() > 0 {
            self.store.commit_decisions(unreadable.failed(fence), now).await?;
        }
        let alone = Item::alone(&ready);
        let view = self.store.decision_view(&self.view_ask(&ready, now)).await?;
        let companies = self.companies_to_make(&ready, &view).await?;
        let allowance = Allowance::new(self, now).await?;
        let work = || fold(self, ready, view, companies, allowance, now);
        let folded = std::panic::catch_unwind(AssertUnwindSafe(work));
        let Ok((mut commit, allowance)) = folded else {
            self.narrow();
            self.wake().ring(Step::Decide);
            if let Some(culprit) = alone {
                tracing::error!(%culprit, "deciding panicked, which is a mistake of ours; it fails alone");
                let problem = "usher made a mistake in deciding this; report it, then `usher failed retry`";
                self.store.commit_decisions(culprit.failed(fence, problem), now).await?;
            }
            return Ok(count);
        };
        commit.fence = Some(fence);
        crash::point("decide.before_commit");
        self.store_fold(commit, alone, fence, now).await?;
        crash::point("decide.after_commit");
        allowance.hold_flooded(self, now).await?;
        self.wake().ring(Step::Deliver);
        Ok(count)
    }

    async fn store_fold(
        &self,
        commit: DecisionCommit,
        alone: Option<Item>,
        fence: Fence,
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
        self.narrow();
        if let (Some(culprit), false) = (alone, matches!(error, StoreError::Stale)) {
            tracing::error!(%culprit, error = &error as &dyn std::error::Error, "a decision can not be stored");
            let failed = culprit.failed(fence, "its decision could not be stored; usher's log says why");
            return Ok(self.store.commit_decisions(failed, now).await?);
        }
        Err(error.into())
    }

    /// Halves the next fold: its culprit will stand alone in the end.
    fn narrow(&self) {
        let slice = self.slice.load(Ordering::Relaxed);
        self.slice.store((slice / 2).max(1), Ordering::Relaxed);
    }

    /// The CRM's object for the person whom it names for a lead from elsewhere.
    fn object_at_crm(&self, draft: &Draft) -> Option<LinkKey> {
        let kind = self.kind_at_crm(&draft.connection, &draft.object);
        let external_id = draft.crm_person.clone().filter(|_| kind != Some(SlotKind::Person))?;
        let target = self.connections.get(&self.crm)?.roles.target.as_ref()?;
        Some(LinkKey {
            connection: self.crm.clone(),
            object: target.object_of(SlotKind::Person)?,
            external_id,
        })
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
            ask.links.extend(self.object_at_crm(draft));
            ask.accounts.extend(draft.account);
        }
        let carrier = self.carrier();
        if carrier.is_inquiry() {
            ask.inquiries = Some((carrier, ready.waiting.iter().map(|waiting| waiting.lead.id).collect()));
        }
        ask.domains = self.domains(ready).into_iter().collect();
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

fn fold(
    engine: &Engine,
    ready: Ready,
    view: DecisionView,
    companies: Companies,
    allowance: Allowance,
    now: Timestamp,
) -> (DecisionCommit, Allowance) {
    let roster = engine.roster();
    let mut fold = Fold::new(engine, &roster, view, companies, allowance, now);
    for waiting in &ready.waiting {
        fold.reconsider(waiting);
    }
    for draft in ready.drafts {
        crash::poison("decide", || format!("{:?}", draft.fields));
        fold.take(draft);
    }
    fold.finish()
}
