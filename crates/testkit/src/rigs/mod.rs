//! Ready rigs: the simulated vendors, a folder of files, and a sender that only calls.

mod catcher;
mod drive;
mod drive_activity;
mod drive_counter;
mod files;
mod forms;
mod hooks;
mod hub;
mod hub_counter;

use jiff::Timestamp;
use usher_model::{ExternalId, ObjectRef, SlotKind};
use usher_sandbox::{Actor, Change, Event, lead_number};

pub use self::drive::{pipedrive, pipedrive_deals, pipedrive_leads, pipedrive_marked};
pub use self::files::files;
pub use self::forms::typeform;
pub use self::hooks::hooks;
pub use self::hub::{hubspot, hubspot_deals, hubspot_keyed, hubspot_leads};

/// An instant of the simulators' clock.
fn instant(millis: i64) -> Timestamp {
    Timestamp::from_millisecond(millis).unwrap_or_default()
}

/// The number by which a simulator knows an id.
fn number(id: &ExternalId) -> u64 {
    id.as_str().parse().ok().or_else(|| lead_number(id.as_str())).unwrap_or_default()
}

/// What an object is and its number; none while only a slot names it.
fn known(object: &ObjectRef) -> Option<(SlotKind, u64)> {
    match object {
        ObjectRef::Id { kind, id } => Some((*kind, number(id))),
        ObjectRef::Slot { .. } => None,
    }
}

/// Records of a type that the API ever made.
fn made(events: Vec<Event>, object: &str) -> impl Iterator<Item = u64> {
    let by_api = |event: &Event| matches!(event.actor, Actor::Api(_)) && event.change == Change::Create;
    events.into_iter().filter(move |event| event.object() == object && by_api(event)).map(|event| event.id)
}
