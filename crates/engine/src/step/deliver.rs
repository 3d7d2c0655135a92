//! Deliver: planned writes are sent in batches; an unclear outcome is verified, never guessed.
//!
//! The state machine is in the store; this step decides which edge an answer takes. There is no edge from `sending`
//! back to `planned` unless it is proven that the vendor did nothing. Which batch goes when is for `dispatch`.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures::FutureExt;
use jiff::{SignedDuration, Timestamp};
use usher_connector::{
    Capability, Fault, FaultClass, OwnerRead, SendFailure, Target, VerifyBy, Write, Written,
};
use usher_host::{Lease, Moment};
use usher_model::{ConnectionName, EffectBody, EffectKind, EffectState, ExternalId, crash};
use usher_store::{ClaimedEffect, Direction, EffectEnd, EffectOutcome, OwnerWrite};

use crate::connected::Connected;
use crate::engine::Engine;
use crate::error::EngineError;
use crate::step::entered;
use crate::step::verify::MISTAKE;

/// A rest after a fault that only an operator can mend.
const REST: Duration = Duration::from_secs(60);

/// Writes that were taken up, to be sent before the claim lapses.
pub(super) struct Claim {
    lease: Lease,
    pub(super) effects: Vec<ClaimedEffect>,
}

/// What of a claim can be sent.
#[derive(Default)]
struct Ready<'a> {
    writes: Vec<Write>,
    /// The effects of these writes, in the same order.
    sent: Vec<&'a ClaimedEffect>,
    /// What became of the others.
    outcomes: Vec<EffectOutcome>,
}

/// What a step did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DeliverReport {
    /// Writes handed to the vendor.
    pub sent: usize,
    /// Of these, done.
    pub done: usize,
}

impl Engine {
    /// Sends what is planned and due at a connection, until nothing of it is left. Does nothing while writes are paused
    /// or in observe mode.
    ///
    /// # Errors
    /// If the storage fails. A vendor's faults are outcomes of the writes.
    pub async fn deliver(&self, connection: &ConnectionName) -> Result<DeliverReport, EngineError> {
        match self.writes_to(connection).await? {
            Some((connected, target)) => self.dispatch(connected, &*target).await,
            None => Ok(DeliverReport::default()),
        }
    }

    /// Looks up what is unclear at a connection: a few writes. Returns how many. Does nothing while writes are paused or
    /// in observe mode.
    ///
    /// # Errors
    /// If the storage fails.
    pub async fn verify(&self, connection: &ConnectionName) -> Result<usize, EngineError> {
        match self.writes_to(connection).await? {
            Some((connected, target)) => self.look_up(connected, &*target, &target.capabilities()).await,
            None => Ok(0),
        }
    }

    /// The connection and its target, if it may be written to.
    async fn writes_to(
        &self,
        connection: &ConnectionName,
    ) -> Result<Option<(&Connected, Arc<dyn Target>)>, EngineError> {
        let connected = self.connection(connection)?;
        let Some(target) = connected.roles.target.clone() else {
            return Ok(None);
        };
        let silent = !self.node.life().goes_on()
            || self.mode == usher_model::Mode::Observe
            || self.store.paused().await?.is_some();
        Ok((!silent).then_some((connected, target)))
    }

    pub(super) async fn claim_batch(
        &self,
        connected: &Connected,
        capability: &Capability,
    ) -> Result<Claim, EngineError> {
        let (now, asked) = (self.now(), Moment::now());
        let limit = u32::try_from(capability.max_batch).unwrap_or(u32::MAX);
        let until = now + lease(connected);
        let effects = self.store.claim_effects(&connected.name, capability.kind, limit, now, until).await?;
        Ok(Claim { lease: Lease::new(asked, lease(connected)), effects })
    }

    /// Refuses some of what is due of a kind that the connection does not offer: somebody has to look, and nothing was
    /// sent. False if there was none.
    pub(super) async fn refuse_kind(
        &self,
        connected: &Connected,
        kind: EffectKind,
    ) -> Result<bool, EngineError> {
        let capability =
            Capability { kind, object: "", max_batch: 100, keyed: false, verify: VerifyBy::Nothing };
        let claim = self.claim_batch(connected, &capability).await?;
        let reason = format!(
            "connection {} does not offer `{}` with its present settings (`usher status --capabilities`); change them \
             back, then `usher failed retry`",
            connected.name,
            kind.as_str()
        );
        let refused = |effect| outcome(effect, EffectEnd::Rejected { reason: reason.clone() });
        let outcomes: Vec<_> = claim.effects.iter().map(refused).collect();
        self.finish(&outcomes, &[]).await?;
        Ok(!outcomes.is_empty())
    }

    /// Sends what was taken up; `called` is set when the vendor is called, so that the limits know of it.
    pub(super) async fn send_batch(
        &self,
        connected: &Connected,
        target: &dyn Target,
        capability: &Capability,
        claim: Claim,
        called: &AtomicBool,
    ) -> Result<DeliverReport, EngineError> {
        crash::point("deliver.after_claim");
        let now = self.now();
        let Ready { writes, sent, mut outcomes } = match self.ready(connected, &claim.effects, now).await {
            Ok(ready) => ready,
            Err(error) => {
                // Nothing was sent: what was taken up need not wait until the claim lapses.
                let planned = || EffectEnd::Planned { due_at: now, reason: error.to_string() };
                let outcomes: Vec<_> =
                    claim.effects.iter().map(|effect| outcome(effect, planned())).collect();
                self.finish(&outcomes, &[]).await?;
                return Err(error);
            }
        };
        crash::point("deliver.before_send");
        called.store(true, Ordering::Relaxed);
        let answers = usher_host::under(claim.lease, self.node.life(), send(target, &writes, &sent)).await;
        crash::point("deliver.after_send");
        self.report_blockage(connected, &answers);
        let noted = match answers.iter().any(Option::is_some) {
            true => self.note(&connected.name, Direction::Write, common_fault(&answers)).await,
            false => Ok(()),
        };
        let mut owners = Vec::new();
        for ((effect, write), answer) in sent.iter().copied().zip(&writes).zip(answers) {
            if matches!(answer, Some(Ok(_))) {
                owners.extend(self.owner_write(effect, write, target, now));
            }
            let owned = matches!(&answer, Some(Ok(written)) if written.owned);
            let along = effect.along.clone().filter(|_| owned);
            let end = match answer {
                Some(Err(SendFailure::Gone)) => self.gone(effect, write, None).await,
                Some(Err(SendFailure::Lost { kind, .. })) => self.gone(effect, write, Some(kind)).await,
                Some(result) => self.judge(effect, result, target, capability),
                None => {
                    EffectEnd::Crashed { due_at: self.now() + self.look_after(0), reason: MISTAKE.to_owned() }
                }
            };
            outcomes.push(EffectOutcome { along, ..outcome(effect, end) });
        }
        let done = outcomes.iter().filter(|outcome| matches!(outcome.end, EffectEnd::Done { .. })).count();
        self.finish(&outcomes, &owners).await?;
        crash::point("deliver.after_finish");
        // Not sooner: what the vendor answered must not be lost with it.
        noted?;
        Ok(DeliverReport { sent: sent.len(), done })
    }

    /// What of a claim can be sent, and what became of the rest.
    async fn ready<'a>(
        &self,
        connected: &Connected,
        effects: &'a [ClaimedEffect],
        now: Timestamp,
    ) -> Result<Ready<'a>, EngineError> {
        let mut ready = Ready::default();
        for effect in effects {
            // HubSpot and others make companies of their own by addresses, and searches show them late (FM-054).
            if effect.attempt == 1 && effect.effect.body.kind() == EffectKind::EnsureCompany {
                let reason = "the CRM may know the person's company by itself in a moment".to_owned();
                let later = EffectEnd::Planned { due_at: now + self.write.settle, reason };
                ready.outcomes.push(outcome(effect, later));
                continue;
            }
            match resolve(effect) {
                Some(mut write) => {
                    write.owner_read = self.owner_read(effect, now);
                    entered::spare_the_look(effect, &mut write, now);
                    ready.writes.push(write);
                    ready.sent.push(effect);
                }
                None => {
                    let reason = "an object that it needs is made anew".to_owned();
                    let later = EffectEnd::Planned { due_at: now + backoff(effect.attempt), reason };
                    ready.outcomes.push(outcome(effect, self.adrift(effect, later).await?));
                }
            }
        }
        let over = self.beyond_budget(&connected.name, &ready.writes, now).await?;
        for (position, reason) in over.into_iter().rev() {
            ready.writes.remove(position);
            let effect = ready.sent.remove(position);
            ready.outcomes.push(outcome(effect, EffectEnd::Rejected { reason }));
        }
        Ok(ready)
    }

    /// Stores outcomes. Owner writes are noted first: one that is noted twice is one, one that is forgotten is no check.
    pub(super) async fn finish(
        &self,
        outcomes: &[EffectOutcome],
        owners: &[OwnerWrite],
    ) -> Result<(), EngineError> {
        while !owners.is_empty() {
            let noted = self.store.note_owner_writes(owners.to_vec()).await;
            if !self.again(&noted).await {
                noted?;
                break;
            }
        }
        loop {
            let stored = self.store.finish_effects(outcomes.to_vec(), self.now()).await;
            if !self.again(&stored).await {
                return Ok(stored?);
            }
        }
    }

    /// Says once for a batch that nothing will pass until an operator acts.
    fn report_blockage(&self, connected: &Connected, answers: &[Answer]) {
        let faults = answers.iter().filter_map(|answer| match answer {
            Some(Err(SendFailure::Fault(fault))) => Some(fault),
            _ => None,
        });
        let mut blocked = faults
            .filter(|fault| matches!(fault.class(), FaultClass::Unauthorized | FaultClass::Misconfigured));
        if let Some(fault) = blocked.next() {
            self.signs().failed(&connected.name, "writing", fault);
            tracing::error!(connection = %connected.name, %fault, writes = blocked.count() + 1, "writes rest until this is mended");
        } else if answers.iter().any(|answer| matches!(answer, Some(Ok(_)))) {
            self.signs().went_well(&connected.name, "writing");
        }
    }

    /// Which edge an answer takes.
    fn judge(
        &self,
        effect: &ClaimedEffect,
        result: Result<Written, SendFailure>,
        target: &dyn Target,
        capability: &Capability,
    ) -> EffectEnd {
        let now = self.now();
        match result {
            Ok(written) => done(effect, written, target),
            Err(SendFailure::HumanWon { owner }) => entered::keeps(effect, owner),
            Err(SendFailure::Gone | SendFailure::Lost { .. }) => {
                EffectEnd::Cancelled { reason: super::gone::REASON.to_owned() }
            }
            Err(SendFailure::Touched) => {
                EffectEnd::Cancelled { reason: "somebody has worked on the task meanwhile".to_owned() }
            }
            Err(SendFailure::OwnerRejected { reason }) => EffectEnd::Rejected {
                reason: format!(
                    "the CRM refuses this owner ({reason}); activate the owner or take the rep out of routing.yaml, then `usher failed retry`"
                ),
            },
            Err(SendFailure::Fault(fault)) => self.after_fault(effect, &fault, capability, now),
        }
    }

    fn after_fault(
        &self,
        effect: &ClaimedEffect,
        fault: &Fault,
        capability: &Capability,
        now: Timestamp,
    ) -> EffectEnd {
        let reason = fault.to_string();
        match fault.class() {
            FaultClass::Transient => EffectEnd::Planned { due_at: now + backoff(effect.attempt), reason },
            FaultClass::Throttled { retry_after, .. } => {
                let wait = retry_after.unwrap_or_else(|| signed(backoff(effect.attempt)));
                EffectEnd::Planned { due_at: now.saturating_add(wait).unwrap_or(now + REST), reason }
            }
            FaultClass::Unauthorized | FaultClass::Misconfigured => {
                EffectEnd::Planned { due_at: now + REST, reason }
            }
            FaultClass::Rejected => EffectEnd::Rejected { reason },
            FaultClass::OutcomeUnknown if capability.verify == VerifyBy::Nothing => EffectEnd::Parked {
                reason: format!(
                    "{reason}; nothing can tell whether it happened: look at the CRM; if it is not there, `usher failed retry ID --resend`"
                ),
            },
            FaultClass::OutcomeUnknown => EffectEnd::Unknown { due_at: now + self.look_after(0), reason },
            FaultClass::Defect => EffectEnd::Parked { reason },
        }
    }
}

/// What came of a write that was handed to a connector; `None` if the connector panicked.
type Answer = Option<Result<Written, SendFailure>>;

/// Sends a batch, but one by one what has taken its sender down before. One answer for each write, whatever the
/// connector answers.
async fn send(target: &dyn Target, writes: &[Write], effects: &[&ClaimedEffect]) -> Vec<Answer> {
    let mut answers: Vec<Answer> = Vec::with_capacity(writes.len());
    for together in effects.chunk_by(|a, b| a.lapses + b.lapses == 0) {
        let end = answers.len() + together.len();
        let batch = writes.get(answers.len()..end).unwrap_or_default();
        let sending = async {
            crash::poison("deliver", || format!("{batch:?}"));
            target.send(batch).await
        };
        match AssertUnwindSafe(sending).catch_unwind().await {
            Ok(results) => {
                answers.extend(results.into_iter().map(Some).take(batch.len()));
                // A connector that answers fewer outcomes than writes leaves the rest unclear.
                answers.resize_with(end, || Some(Err(unanswered().into())));
            }
            Err(_) => answers.resize_with(end, || None),
        }
    }
    answers
}

/// Far longer than a batch usually takes. What of a batch is not sent before it ends is not sent.
pub(super) fn lease(connected: &Connected) -> Duration {
    connected.timeout * 12
}

/// The fault of a batch of which nothing came through.
fn common_fault(answers: &[Answer]) -> Option<&Fault> {
    let faults = answers.iter().map(|answer| match answer {
        Some(Err(SendFailure::Fault(fault))) => Some(fault),
        _ => None,
    });
    faults.collect::<Option<Vec<&Fault>>>()?.first().copied()
}

/// Waits of 1, 2, 4 … seconds, at most a minute.
pub(super) fn backoff(attempt: u32) -> Duration {
    Duration::from_secs(1 << attempt.saturating_sub(1).min(6)).min(Duration::from_secs(60))
}

pub(super) fn signed(duration: Duration) -> SignedDuration {
    SignedDuration::try_from(duration).unwrap_or(SignedDuration::MAX)
}

fn unanswered() -> Fault {
    Fault::new(FaultClass::OutcomeUnknown, "the vendor's answer does not mention this write")
}

pub(super) fn outcome(effect: &ClaimedEffect, end: EffectEnd) -> EffectOutcome {
    let state = match &end {
        EffectEnd::Rejected { .. } => Some(EffectState::Rejected),
        EffectEnd::Parked { .. } => Some(EffectState::Parked),
        _ => None,
    };
    if let Some(state) = state {
        tracing::warn!(key = %effect.effect.key, kind = effect.effect.body.kind().as_str(), state = state.as_str(), "a write ended badly; see `usher failed list`");
    }
    EffectOutcome::of(effect, end)
}

pub(super) fn resolve(effect: &ClaimedEffect) -> Option<Write> {
    let body = effect.effect.body.resolved(|slot| {
        effect.bindings.iter().find(|binding| binding.slot == *slot).map(|binding| binding.id.clone())
    })?;
    let owner_read = OwnerRead { fresh: false, until: Instant::now() };
    let owner = effect.along.as_ref().map(|along| along.owner.clone());
    Some(Write { key: effect.effect.key.clone(), body, owner_read, owner })
}

pub(super) fn done(effect: &ClaimedEffect, written: Written, target: &dyn Target) -> EffectEnd {
    let slot = effect.effect.body.binds();
    let id: Option<ExternalId> = match &effect.effect.body {
        // The owner slot holds the owner that is now confirmed.
        EffectBody::UpdateObject { owner: Some(change), .. } => change.to.clone(),
        _ => written.id,
    };
    let object = slot.and_then(|slot| target.object_of(slot.kind));
    EffectEnd::Done { id, origin: written.origin, object, note: written.note }
}
