//! Inquiries that come by a form and are entered by hand at once: the lead or deal that somebody has entered carries them,
//! and whoever owns it gets the task.

use jiff::{SignedDuration, Timestamp};
use usher_connector::Write;
use usher_model::{EffectBody, ExternalId, ObjectRef, OwnerChange, SlotOrigin};
use usher_store::{ClaimedEffect, EffectEnd};

/// Nobody enters an inquiry of a person who has only been at the CRM for so long.
const JUST_MADE: SignedDuration = SignedDuration::from_mins(2);

/// Takes the look for one that somebody entered out of a write for a person whom we have just made.
pub(super) fn spare_the_look(effect: &ClaimedEffect, write: &mut Write, now: Timestamp) {
    let (EffectBody::EnsureInquiry { person, .. }, EffectBody::EnsureInquiry { entered_since, .. }) =
        (&effect.effect.body, &mut write.body)
    else {
        return;
    };
    let ObjectRef::Slot { slot } = person else { return };
    let binding = effect.bindings.iter().find(|binding| binding.slot == *slot);
    let made = binding.and_then(|binding| binding.created_at);
    if made.is_some_and(|made| now.duration_since(made) < JUST_MADE) {
        *entered_since = None;
    }
}

/// What becomes of an owner write that found a human's choice. Who entered the inquiry keeps it, as the owner of one that was
/// there before it was decided would.
pub(super) fn keeps(effect: &ClaimedEffect, owner: Option<ExternalId>) -> EffectEnd {
    let shown = owner.as_ref().map_or_else(|| "nobody".to_owned(), |owner| format!("owner {owner}"));
    match (&effect.effect.body, owner) {
        (
            EffectBody::UpdateObject {
                owner: Some(OwnerChange { entered: Some(_), .. }), slot: Some(_), ..
            },
            Some(owner),
        ) => EffectEnd::Done {
            id: Some(owner),
            origin: SlotOrigin::Found,
            object: None,
            note: Some(format!("somebody has chosen {shown} at the CRM, who keeps it and gets the task")),
        },
        _ => EffectEnd::Cancelled { reason: format!("a human decided meanwhile: the CRM shows {shown}") },
    }
}
