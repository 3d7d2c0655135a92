//! Writes whose object is gone at the CRM (FM-052).
//!
//! What the CRM tells of deletions is followed before (`Following::vanish`): open leads end, and slots are emptied. This is
//! for what it did not tell, or not yet. A lead that came from the CRM ends with its object: somebody deleted it, and a
//! task for it would help nobody. A lead that came by another door is still an inquiry: its person is found or created
//! again, once for a lead. A lead or deal that was made for it and thrown away by somebody is not made again: the
//! inquiry ends with it.

use usher_connector::Write;
use usher_model::{
    Effect, EffectBody, EffectKey, EffectKind, ExternalId, LeadId, ObjectRef, PersonId, Slot, SlotKind,
};
use usher_store::{ClaimedEffect, EffectEnd, NewEffect};

use crate::engine::Engine;
use crate::error::EngineError;
use crate::step::deliver::backoff;

pub(super) const REASON: &str = "the object is gone at the CRM";

impl Engine {
    /// What becomes of a write whose object is gone; the vendor may name the kind of the one that is. A storage that does not
    /// answer only delays it: nothing was written.
    pub(super) async fn gone(
        &self,
        effect: &ClaimedEffect,
        write: &Write,
        named: Option<SlotKind>,
    ) -> EffectEnd {
        self.after_loss(effect, write, named).await.unwrap_or_else(|error| {
            let due_at = self.now() + backoff(effect.attempt);
            EffectEnd::Planned { due_at, reason: error.to_string() }
        })
    }

    /// What becomes of a write that needs a slot which was emptied since it was planned: without anybody who fills it
    /// again it would wait for ever, so it ends; else what is said here.
    pub(super) async fn adrift(
        &self,
        effect: &ClaimedEffect,
        awaited: EffectEnd,
    ) -> Result<EffectEnd, EngineError> {
        let slots: Vec<Slot> = effect.effect.body.needs().cloned().collect();
        let is_awaited = self.store.awaited(&slots).await?;
        Ok(if is_awaited { awaited } else { EffectEnd::Cancelled { reason: REASON.to_owned() } })
    }

    /// What becomes of an unclear write whose slot was emptied. What may have been made for the lost object can not be told
    /// from what is to be made for the next, so somebody has to look; a change of the lost object is lost with it.
    pub(super) async fn lost_unclear(&self, effect: &ClaimedEffect) -> Result<EffectEnd, EngineError> {
        let reason = "its object was deleted before it was clear whether it happened; look at the CRM; if it is not \
                      there and still wanted, `usher failed retry ID --resend`";
        let parked = EffectEnd::Parked { reason: reason.to_owned() };
        match effect.effect.body.kind() {
            EffectKind::CreateTask => Ok(parked),
            kind if kind.ensures() => Ok(parked),
            _ => self.adrift(effect, parked).await,
        }
    }

    async fn after_loss(
        &self,
        effect: &ClaimedEffect,
        write: &Write,
        named: Option<SlotKind>,
    ) -> Result<EffectEnd, EngineError> {
        let cancelled = EffectEnd::Cancelled { reason: REASON.to_owned() };
        use EffectKind::{CreateTask, EnsureInquiry, UpdateObject};
        if !matches!(write.body.kind(), UpdateObject | CreateTask | EnsureInquiry) {
            // Nobody misses a task that is gone, nor its ties.
            return Ok(cancelled);
        }
        // Where the vendor names nobody, an inquiry's object stands for those that hang on it.
        let may_be = |kind| named.is_none_or(|lost| lost == kind);
        let inquiry = object_of(effect, write, |kind| kind.is_inquiry() && may_be(kind));
        if let Some((slot, lost)) = inquiry {
            let reason = format!("its {} was deleted at the CRM", slot.kind.as_str());
            return Ok(EffectEnd::Gone { reason, lost: (slot, lost), again: None });
        }
        let person = object_of(effect, write, |kind| kind == SlotKind::Person && may_be(kind));
        let Some((slot, lost)) = person else {
            return Ok(cancelled);
        };
        let Some(story) = self.store.lead_story(effect.effect.lead).await? else {
            return Ok(cancelled);
        };
        if story.lead.connection == effect.effect.connection {
            let reason = "the record was deleted at the CRM before it could be assigned".to_owned();
            return Ok(EffectEnd::Gone { reason, lost: (slot, lost), again: None });
        }
        let body = EffectBody::EnsurePerson {
            slot: slot.clone(),
            keys: usher_identity::keys(&story.lead.fields),
            fields: story.lead.fields.values.clone(),
        };
        let key = self.second_key(story.lead.person, story.lead.id);
        let again =
            Effect { key, connection: effect.effect.connection.clone(), body, ..effect.effect.clone() };
        let again = NewEffect { effect: again, ordinal: 0, due_at: self.now(), observed: false };
        let reason = "the person was deleted at the CRM".to_owned();
        Ok(EffectEnd::Gone { reason, lost: (slot, lost), again: Some(Box::new(again)) })
    }

    fn second_key(&self, person: PersonId, lead: LeadId) -> EffectKey {
        let connection = self.crm.as_str().as_bytes();
        self.install.derive(&[b"again", connection, person.as_bytes(), lead.as_bytes()])
    }
}

/// The slot of such a kind that the write is about, and the id that was in it.
fn object_of(
    effect: &ClaimedEffect,
    write: &Write,
    fits: impl Fn(SlotKind) -> bool,
) -> Option<(Slot, ExternalId)> {
    let slots = effect.effect.body.refs().filter_map(|object| match object {
        ObjectRef::Slot { slot } if fits(slot.kind) => Some(slot.clone()),
        _ => None,
    });
    let ids = write.body.refs().filter_map(|object| match object {
        ObjectRef::Id { kind, id } if fits(*kind) => Some(id.clone()),
        _ => None,
    });
    slots.zip(ids).next()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::sync::Arc;

    use tokio::sync::Notify;
    use usher_connector::FaultClass;
    use usher_model::{EffectKind, EffectState};

    use crate::tests::world::{Act, World};

    /// The state of the only lead's write of that kind after the contact was deleted while the write was unclear.
    async fn after_deletion(unclear: EffectKind) -> EffectState {
        let world = World::new().await;
        let before = [EffectKind::EnsurePerson, EffectKind::UpdateObject, EffectKind::CreateTask];
        for _ in before.iter().take_while(|kind| **kind != unclear) {
            let at_once = Arc::new(Notify::new());
            at_once.notify_one();
            world.crm.next.lock().unwrap().push_back(Act::Hang(at_once));
        }
        world.crm.next.lock().unwrap().push_back(Act::Fail(FaultClass::OutcomeUnknown));
        world.inquire("ann").await;
        world.decide().await;
        world.deliver().await;
        world.lose_contact().await;
        world.clock.advance(3600);
        assert_eq!(world.engine.verify(world.engine.crm()).await.unwrap(), 1);
        let story = world.story().await;
        story.effects.iter().find(|effect| effect.kind == unclear).unwrap().state
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn fm_052_what_may_have_been_made_for_a_lost_object_is_shown() {
        assert_eq!(after_deletion(EffectKind::CreateTask).await, EffectState::Parked);
        assert_eq!(after_deletion(EffectKind::UpdateObject).await, EffectState::Cancelled);
    }
}
