//! Deliver: planned writes are sent in batches; an unclear outcome is verified, never guessed.
//!
//! The state machine is in the store; this step decides which edge an answer takes. There is no edge from `sending`
//! back to `planned` unless it is proven that the vendor did nothing. Which batch goes when is for `dispatch`.

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use usher_connector::{
    Capability, Fault, FaultClass, SendFailure, Target, Verdict, VerifyBy, Write, Written,
};
use usher_host::{Lease, Moment};
use usher_model::{ConnectionName, EffectBody, EffectState, ExternalId, crash};
use usher_store::{ClaimedEffect, Direction, EffectEnd, EffectOutcome};

use crate::breaker::Leave;
use crate::connected::Connected;
use crate::engine::Engine;
use crate::error::EngineError;

/// Unclear writes looked up in one step: few, because fresh writes wait meanwhile.
const VERIFY_SLICE: u32 = 10;
/// A rest after a fault that only an operator can mend.
const REST: Duration = Duration::from_secs(60);

/// Writes that were taken up, to be sent before the claim lapses.
pub(super) struct Claim {
    lease: Lease,
    pub(super) effects: Vec<ClaimedEffect>,
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

    pub(super) async fn send_batch(
        &self,
        connected: &Connected,
        target: &dyn Target,
        capability: &Capability,
        claim: Claim,
    ) -> Result<DeliverReport, EngineError> {
        crash::point("deliver.after_claim");
        let now = self.now();
        let (mut outcomes, mut writes, mut sent) = (Vec::new(), Vec::new(), Vec::new());
        for effect in claim.effects {
            match resolve(&effect) {
                Some(write) => {
                    writes.push(write);
                    sent.push(effect);
                }
                None => outcomes.push(outcome(&effect, unresolvable(now))),
            }
        }
        crash::point("deliver.before_send");
        let mut results = usher_host::under(claim.lease, self.node.life(), target.send(&writes)).await;
        crash::point("deliver.after_send");
        self.report_blockage(connected, &results);
        // A connector that answers fewer outcomes than writes leaves the rest unclear.
        results.resize_with(writes.len(), || Err(SendFailure::Fault(unanswered())));
        if !writes.is_empty() {
            self.note(&connected.name, Direction::Write, common_fault(&results)).await?;
        }
        for (effect, result) in sent.iter().zip(results) {
            outcomes.push(outcome(effect, self.judge(effect, result, target, capability)));
        }
        let done = outcomes.iter().filter(|outcome| matches!(outcome.end, EffectEnd::Done { .. })).count();
        self.finish(&outcomes).await?;
        crash::point("deliver.after_finish");
        Ok(DeliverReport { sent: sent.len(), done })
    }

    async fn finish(&self, outcomes: &[EffectOutcome]) -> Result<(), EngineError> {
        loop {
            let stored = self.store.finish_effects(outcomes.to_vec(), self.now()).await;
            if !self.again(&stored).await {
                return Ok(stored?);
            }
        }
    }

    /// Says once for a batch that nothing will pass until an operator acts.
    fn report_blockage(&self, connected: &Connected, results: &[Result<Written, SendFailure>]) {
        let faults = results.iter().filter_map(|result| match result {
            Err(SendFailure::Fault(fault)) => Some(fault),
            _ => None,
        });
        let mut blocked = faults
            .filter(|fault| matches!(fault.class(), FaultClass::Unauthorized | FaultClass::Misconfigured));
        if let Some(fault) = blocked.next() {
            self.signs().failed(&connected.name, "writing", fault);
            tracing::error!(connection = %connected.name, %fault, writes = blocked.count() + 1, "writes rest until this is mended");
        } else if results.iter().any(Result::is_ok) {
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
            Err(SendFailure::HumanWon { owner }) => {
                let owner = owner.map_or_else(|| "nobody".to_owned(), |owner| format!("owner {owner}"));
                EffectEnd::Cancelled { reason: format!("a human decided meanwhile: the CRM shows {owner}") }
            }
            Err(SendFailure::Gone) => EffectEnd::Rejected {
                reason: "the object is gone at the CRM; restore it there, then `usher failed retry`"
                    .to_owned(),
            },
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

    /// Verification looks at growing delays until the settle window has passed.
    fn look_after(&self, looks: u32) -> Duration {
        let step = self.write.settle / 8;
        (step * (looks + 1)).min(self.write.settle).max(Duration::from_millis(200))
    }

    async fn look_up(
        &self,
        connected: &Connected,
        target: &dyn Target,
        capabilities: &[Capability],
    ) -> Result<usize, EngineError> {
        let now = self.now();
        self.store.recover_effects(now).await?;
        let leave = self.may_call(&connected.name, Direction::Write);
        let slice = match leave {
            Leave::Go => VERIFY_SLICE,
            Leave::Probe => 1,
            Leave::Rest(_) => return Ok(0),
        };
        let claimed = self.store.claim_unknown(&connected.name, slice, now, now + lease(connected)).await?;
        if claimed.is_empty() {
            self.unasked(&connected.name, Direction::Write, leave);
        }
        let mut outcomes = Vec::with_capacity(claimed.len());
        if !claimed.is_empty() {
            crash::point("verify.after_claim");
        }
        for effect in &claimed {
            // The rest is looked up after the restart, which takes these claims over.
            if self.is_stopping() {
                break;
            }
            let kind = effect.effect.body.kind();
            let by = capabilities
                .iter()
                .find(|capability| capability.kind == kind)
                .map(|capability| capability.verify);
            let end = self.look(connected, effect, target, by.unwrap_or(VerifyBy::Nothing)).await?;
            outcomes.push(outcome(effect, end));
        }
        let count = outcomes.len();
        if count > 0 {
            crash::point("verify.before_finish");
            self.finish(&outcomes).await?;
            crash::point("verify.after_finish");
        }
        Ok(count)
    }

    async fn look(
        &self,
        connected: &Connected,
        effect: &ClaimedEffect,
        target: &dyn Target,
        by: VerifyBy,
    ) -> Result<EffectEnd, EngineError> {
        let Some(write) = resolve(effect) else {
            return Ok(unresolvable(self.now()));
        };
        if by == VerifyBy::Nothing {
            return Ok(EffectEnd::Parked {
                reason: "nothing can tell whether it happened: look at the CRM; if it is not there, `usher failed retry ID --resend`"
                    .to_owned(),
            });
        }
        let verdict = match target.verify(&write).await {
            Ok(Verdict::Absent) => self.forgotten(effect, &write, target).await,
            verdict => verdict,
        };
        self.note(&connected.name, Direction::Write, verdict.as_ref().err()).await?;
        let now = self.now();
        let settled = effect.sent_at.is_none_or(|sent| now.duration_since(sent) >= signed(self.write.settle));
        let again = now + self.look_after(effect.verified);
        Ok(match verdict {
            Ok(Verdict::Found(written)) => done(effect, written, target),
            Ok(Verdict::Absent) if settled => EffectEnd::Planned {
                due_at: now,
                reason: "verified absent after the settle window".to_owned(),
            },
            Ok(Verdict::Unsure) if settled => EffectEnd::Parked {
                reason: "the CRM does not tell whether it happened: look there; if it is not there, `usher failed retry ID --resend`"
                    .to_owned(),
            },
            Ok(Verdict::Absent | Verdict::Unsure) => {
                EffectEnd::Unknown { due_at: again, reason: "not found yet; may still land".to_owned() }
            }
            Err(fault) => {
                EffectEnd::Unknown { due_at: now + backoff(effect.verified + 1), reason: fault.to_string() }
            }
        })
    }
}

/// Far longer than a batch usually takes. What of a batch is not sent before it ends is not sent.
fn lease(connected: &Connected) -> Duration {
    connected.timeout * 12
}

/// The fault of a batch of which nothing came through.
fn common_fault(results: &[Result<Written, SendFailure>]) -> Option<&Fault> {
    let faults = results.iter().map(|result| match result {
        Err(SendFailure::Fault(fault)) => Some(fault),
        _ => None,
    });
    faults.collect::<Option<Vec<&Fault>>>()?.first().copied()
}

/// Waits of 1, 2, 4 … seconds, at most a minute.
fn backoff(attempt: u32) -> Duration {
    Duration::from_secs(1 << attempt.saturating_sub(1).min(6)).min(Duration::from_secs(60))
}

fn signed(duration: Duration) -> SignedDuration {
    SignedDuration::try_from(duration).unwrap_or(SignedDuration::MAX)
}

fn unanswered() -> Fault {
    Fault::new(FaultClass::OutcomeUnknown, "the vendor's answer does not mention this write")
}

fn unresolvable(now: Timestamp) -> EffectEnd {
    EffectEnd::Planned { due_at: now + REST, reason: "an object that it needs is not known yet".to_owned() }
}

fn outcome(effect: &ClaimedEffect, end: EffectEnd) -> EffectOutcome {
    let state = match &end {
        EffectEnd::Rejected { .. } => Some(EffectState::Rejected),
        EffectEnd::Parked { .. } => Some(EffectState::Parked),
        _ => None,
    };
    if let Some(state) = state {
        tracing::warn!(key = %effect.effect.key, kind = effect.effect.body.kind().as_str(), state = state.as_str(), "a write ended badly; see `usher failed list`");
    }
    EffectOutcome { key: effect.effect.key.clone(), attempt: effect.attempt, end }
}

fn resolve(effect: &ClaimedEffect) -> Option<Write> {
    let body = effect.effect.body.resolved(|slot| {
        effect.bindings.iter().find(|binding| binding.slot == *slot).map(|binding| binding.id.clone())
    })?;
    Some(Write { key: effect.effect.key.clone(), body })
}

fn done(effect: &ClaimedEffect, written: Written, target: &dyn Target) -> EffectEnd {
    let slot = effect.effect.body.binds();
    let id: Option<ExternalId> = match &effect.effect.body {
        // The owner slot holds the owner that is now confirmed.
        EffectBody::UpdateObject { owner: Some(change), .. } => Some(change.to.clone()),
        _ => written.id,
    };
    EffectEnd::Done { id, origin: written.origin, object: slot.and_then(|slot| target.object_of(slot.kind)) }
}
