//! Verify: unclear writes are looked up by strong reads until the settle window has passed.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures::FutureExt;
use jiff::Timestamp;
use usher_connector::{Capability, FaultClass, Target, Verdict, VerifyBy};
use usher_model::crash;
use usher_store::{ClaimedEffect, Direction, EffectEnd};

use crate::breaker::Leave;
use crate::connected::Connected;
use crate::engine::Engine;
use crate::error::EngineError;
use crate::step::deliver::{backoff, done, lease, outcome, resolve, signed};

/// Unclear writes looked up in one step: few, because fresh writes wait meanwhile.
const SLICE: u32 = 10;

impl Engine {
    /// Verification looks at growing delays until the settle window has passed.
    pub(super) fn look_after(&self, looks: u32) -> Duration {
        let step = self.write.settle / 8;
        (step * (looks + 1)).min(self.write.settle).max(Duration::from_millis(200))
    }

    /// Looks up unclear writes that are due. Returns how many.
    pub(super) async fn look_up(
        &self,
        connected: &Connected,
        target: &dyn Target,
        capabilities: &[Capability],
    ) -> Result<usize, EngineError> {
        let now = self.now();
        self.store.recover_effects(now).await?;
        let leave = self.may_call(&connected.name, Direction::Write);
        let slice = match leave {
            Leave::Go => SLICE,
            Leave::Probe => 1,
            Leave::Rest(_) => return Ok(0),
        };
        let claimed = self.store.claim_unknown(&connected.name, slice, now, now + lease(connected)).await?;
        if claimed.is_empty() {
            self.unasked(&connected.name, Direction::Write, leave);
        }
        if !claimed.is_empty() {
            crash::point("verify.after_claim");
        }
        let (mut outcomes, mut owners) = (Vec::with_capacity(claimed.len()), Vec::new());
        for effect in &claimed {
            // The rest is looked up after the restart, which takes these claims over.
            if self.is_stopping() {
                break;
            }
            let kind = effect.effect.body.kind();
            let by = capabilities.iter().find(|capability| capability.kind == kind);
            let by = by.map_or(VerifyBy::Nothing, |capability| capability.verify);
            // A panic costs only this write.
            let end = AssertUnwindSafe(self.look(connected, effect, target, by)).catch_unwind().await;
            let end = end.unwrap_or_else(|_| Ok(EffectEnd::Parked { reason: MISTAKE.to_owned() }))?;
            if matches!(end, EffectEnd::Done { .. }) {
                owners
                    .extend(resolve(effect).and_then(|write| self.owner_write(effect, &write, target, now)));
            }
            outcomes.push(outcome(effect, end));
        }
        let count = outcomes.len();
        if count > 0 {
            crash::point("verify.before_finish");
            self.finish(&outcomes, &owners).await?;
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
            return self.lost_unclear(effect).await;
        };
        if by == VerifyBy::Nothing {
            return Ok(EffectEnd::Parked {
                reason: "nothing can tell whether it happened: look at the CRM; if it is not there, `usher failed retry ID --resend`"
                    .to_owned(),
            });
        }
        // When it was sent is not known: its settle window may have begun long after. What is in doubt after a restore may
        // have been sent at any time since.
        let since =
            effect.sent_at.into_iter().chain(effect.doubt_since).fold(effect.planned_at, Timestamp::min);
        let verdict = match target.verify(&write, since).await {
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
            // Looking again tells the same: somebody has to mend something first.
            Err(fault) if fault.class() == FaultClass::Defect => {
                EffectEnd::Parked { reason: fault.to_string() }
            }
            Err(fault) => {
                EffectEnd::Unknown { due_at: now + backoff(effect.verified + 1), reason: fault.to_string() }
            }
        })
    }
}

/// What is said of a write that made us panic.
pub(super) const MISTAKE: &str =
    "usher made a mistake with this write; report it, look at the CRM, then `usher failed retry`";
