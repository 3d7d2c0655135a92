//! Delivering: the outbox, its claims and its outcomes.

use async_trait::async_trait;
use jiff::Timestamp;
use usher_model::{
    ConnectionName, Effect, EffectBody, EffectKey, EffectKind, ExternalId, ObjectRef, ObjectType, Slot,
    SlotOrigin,
};

use crate::deciding::NewEffect;
use crate::error::StoreError;

/// A slot with the id that it holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlotBinding {
    /// The slot.
    pub slot: Slot,
    /// The vendor's id.
    pub id: ExternalId,
    /// We created the object after this instant, and its first try was answered: it had no owner then.
    pub created_at: Option<Timestamp>,
}

/// An effect handed out to be sent or verified.
#[derive(Debug, Clone)]
pub struct ClaimedEffect {
    /// The effect.
    pub effect: Effect,
    /// Every slot that it needs, bound.
    pub bindings: Vec<SlotBinding>,
    /// Which attempt this is, from 1; stored before the attempt.
    pub attempt: u32,
    /// When it was last handed to the vendor before this claim; of an unclear one, when its settle window began.
    pub sent_at: Option<Timestamp>,
    /// When it was planned: it can not have been sent before.
    pub planned_at: Timestamp,
    /// How often its outcome was looked up in vain.
    pub verified: u32,
    /// A restore has forgotten what happened since: the effect may have been sent then, under another key.
    pub doubt_since: Option<Timestamp>,
    /// How often whoever held it died or panicked: from the first time on it is better sent alone.
    pub lapses: u32,
    /// What the first try of a create can do along with it.
    pub along: Option<OwnerAlong>,
}

impl ClaimedEffect {
    /// The slot of what the first try may make with its owner.
    pub(crate) fn makes(&self) -> Option<&Slot> {
        match &self.effect.body {
            EffectBody::EnsurePerson { slot, .. } | EffectBody::EnsureInquiry { slot, .. }
                if self.attempt == 1 =>
            {
                Some(slot)
            }
            _ => None,
        }
    }
}

/// An owner that would be written next, to an object that is about to be made: it waits for nothing else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnerAlong {
    /// The write that waits.
    pub key: EffectKey,
    /// The owner slot that it binds.
    pub slot: Slot,
    /// Who is to own.
    pub owner: ExternalId,
}

/// What happened to a claimed effect.
#[derive(Debug, Clone)]
pub enum EffectEnd {
    /// Done; binds the slot, if it has one.
    Done {
        /// The vendor's id of the slot's object.
        id: Option<ExternalId>,
        /// Whether the object was there already.
        origin: SlotOrigin,
        /// The vendor's object type, for the link to the person.
        object: Option<ObjectType>,
        /// What of it was left out, and why.
        note: Option<String>,
    },
    /// Proven not sent, or proven absent after the settle window: send (again) when due.
    Planned {
        /// Not before.
        due_at: Timestamp,
        /// Why.
        reason: String,
    },
    /// Sent, outcome unclear: look when due.
    Unknown {
        /// Not before.
        due_at: Timestamp,
        /// Why.
        reason: String,
    },
    /// Whoever sent it panicked: as unknown, but after too often it is parked.
    Crashed {
        /// Not before.
        due_at: Timestamp,
        /// Why.
        reason: String,
    },
    /// The vendor's object is not there any more.
    Gone {
        /// In words.
        reason: String,
        /// The slot that held it, and the id that is gone.
        lost: (Slot, ExternalId),
        /// What finds or creates it again: the slot is emptied for it, and what needs the slot waits. A repeat of the same
        /// key ends as rejected, so that nothing is created over and over. `None` if the lead came and went with the
        /// object: the lead is suppressed.
        again: Option<Box<NewEffect>>,
    },
    /// Refused for good.
    Rejected {
        /// The vendor's words, without personal data, and what to do.
        reason: String,
    },
    /// Unclear for good.
    Parked {
        /// Why.
        reason: String,
    },
    /// Not wanted any more: a human won, the object is gone.
    Cancelled {
        /// Why.
        reason: String,
    },
}

/// How often a claimed effect may take its holder down with it before it is parked.
pub const MOST_LAPSES: u32 = 5;

/// One claimed effect's outcome.
#[derive(Debug, Clone)]
pub struct EffectOutcome {
    /// The effect.
    pub key: EffectKey,
    /// The attempt that ended; a claim that was taken over meanwhile is not overwritten.
    pub attempt: u32,
    /// What happened.
    pub end: EffectEnd,
    /// The slot that it binds.
    pub binds: Option<Slot>,
    /// What success binds it to without an id from the vendor: the owner that an update wrote.
    pub confirms: Option<ExternalId>,
    /// Whose object it ensures.
    pub person: Option<String>,
    /// The object was made with this owner: the write that would have set it is done too.
    pub along: Option<OwnerAlong>,
}

impl EffectOutcome {
    /// What became of a claimed effect.
    #[must_use]
    pub fn of(claim: &ClaimedEffect, end: EffectEnd) -> Self {
        let body = &claim.effect.body;
        let confirms = match body {
            EffectBody::UpdateObject { owner: Some(change), slot: Some(_), .. } => change.to.clone(),
            _ => None,
        };
        let person = match body {
            EffectBody::EnsurePerson { slot, .. }
            | EffectBody::EnsureInquiry { person: ObjectRef::Slot { slot }, .. } => Some(slot.of.clone()),
            _ => None,
        };
        let (key, binds) = (claim.effect.key.clone(), body.binds().cloned());
        Self { key, attempt: claim.attempt, end, binds, confirms, person, along: None }
    }
}

/// Planned effects of one kind that are due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DueEffects {
    /// The kind.
    pub kind: EffectKind,
    /// How many; counted up to the limit asked for.
    pub count: u32,
    /// Some of them belong to a fresh lead.
    pub fresh: bool,
}

/// Delivering.
#[async_trait]
pub trait Delivering: Send + Sync {
    /// The kinds of which planned effects are due at a connection; none while writes are paused. Counts end at `limit`.
    async fn due_effects(
        &self,
        connection: &ConnectionName,
        limit: u32,
        now: Timestamp,
    ) -> Result<Vec<DueEffects>, StoreError>;

    /// Claims planned effects of one kind that are due and not in doubt, and marks them `sending`: from here on they are
    /// assumed to have reached the vendor until an outcome says otherwise. Those of fresh leads ([`crate::FRESH`]) come
    /// first, but one in five is the one that is due for longest. One whose stored form can not be read is rejected at
    /// once, alone.
    async fn claim_effects(
        &self,
        connection: &ConnectionName,
        kind: EffectKind,
        limit: u32,
        now: Timestamp,
        lease_until: Timestamp,
    ) -> Result<Vec<ClaimedEffect>, StoreError>;

    /// Claims effects with an unclear outcome that are due to be looked up. They stay `unknown`. One whose stored form
    /// can not be read is parked at once, alone.
    async fn claim_unknown(
        &self,
        connection: &ConnectionName,
        limit: u32,
        now: Timestamp,
        lease_until: Timestamp,
    ) -> Result<Vec<ClaimedEffect>, StoreError>;

    /// Whether a write that has not ended will fill one of the slots.
    async fn awaited(&self, slots: &[Slot]) -> Result<bool, StoreError>;

    /// Stores outcomes in one transaction: states and attempts, bound slots, links of persons that we created,
    /// effects that a bound slot unblocks, effects cancelled because what they need was refused, and leads that
    /// closed by it (written once every effect of the last episode is done, failed once one can not be).
    async fn finish_effects(&self, outcomes: Vec<EffectOutcome>, now: Timestamp) -> Result<(), StoreError>;

    /// Turns `sending` effects whose lease lapsed into `unknown`: they may have been sent by a process that died. One that
    /// did so [`MOST_LAPSES`] times is parked. Effects that are due and that a restore left in doubt become unknown too.
    async fn recover_effects(&self, now: Timestamp) -> Result<u64, StoreError>;
}
