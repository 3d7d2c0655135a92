//! The nouns of the house: what a record, a person, a lead, a decision and an effect are.
//!
//! Plain data with serde shapes, typed ids and the [`Clock`] trait; no I/O. Every other room speaks in these words
//! (`docs/ARCHITECTURE.md` has the glossary), so a type that two rooms exchange is at home here.

mod account;
mod clock;
pub mod crash;
mod decision;
mod effect;
mod event;
pub mod field;
mod id;
mod lead;
mod person;
mod record;
mod rep;
mod token;
mod trace;
mod turn;

pub use account::{Account, AccountKey, AccountKeyKind};
pub use clock::{Clock, SystemClock};
pub use decision::{Decision, Resolution, Trigger, WaitReason};
pub use effect::{
    Effect, EffectBody, EffectKey, EffectKind, EffectState, InstallKey, ObjectRef, OwnerChange, Slot,
    SlotKind, SlotOrigin, SlotOwner,
};
pub use event::{ChangedBy, CrmEvent, Happening, Outcome, TouchKind};
pub use field::{FieldSpec, FieldType, Fields, Provenance};
pub use id::{
    AccountId, ConnectionName, DecisionId, DeliveryId, EpisodeId, ExternalId, LeadId, ObjectType,
    ParseIdError, PersonId, RecordId, RepKey,
};
pub use lead::{CloseReason, Draft, Enrollment, Lead, LeadState, Mode, OwnedObject};
pub use person::{IdentityKey, IdentityKind, Person};
pub use record::{IgnoreReason, Lane, Record, RecordState};
pub use rep::{CrmOwner, OutOfOffice, OwnerAvailability, WeeklyHours};
pub use token::{SealedTokens, TokenGrant, TokenRow, TokenTrouble, TroubleKind};
pub use trace::{Step, Trace};
pub use turn::{Balance, Turn};
