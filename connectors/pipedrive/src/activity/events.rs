//! From rows to events: what people did, how deals ended, who changed what.

use jiff::Timestamp;
use serde_json::Value;
use usher_connector::{ChangedBy, MARKER, Sight};
use usher_model::{CrmEvent, ExternalId, Happening, ObjectType, Outcome, TouchKind};

use crate::api::{ACTIVITIES, DEALS, LEADS, NOTES, PERSONS};
use crate::changelog::Change;
use crate::wire::{self, Object};

/// An activity that was done; none of one that is still to do, or that the token's user did. The outer none is a row that
/// can not be read.
///
/// Pipedrive does not tell who marked it: its owner counts. Nor when it took place: due times are plans, so the time at
/// which it was marked counts.
pub(super) fn activity(row: &Object, me: u64) -> Option<Option<CrmEvent>> {
    let id = wire::id(row)?;
    if !wire::flag(row, "done") || number(row, "owner_id") == Some(me) {
        return Some(None);
    }
    let at = wire::time(row, "marked_as_done_time").or_else(|| wire::time(row, "add_time"))?;
    let ours = wire::text(row, "note").is_some_and(|note| note.contains(MARKER));
    let how = match wire::text(row, "type") {
        _ if ours => TouchKind::TaskDone,
        Some("call") => TouchKind::Call,
        Some("email") => TouchKind::Mail,
        Some("meeting" | "lunch") => TouchKind::Meeting,
        _ => TouchKind::TaskDone,
    };
    let participants = row.get("participants").and_then(Value::as_array).into_iter().flatten();
    let mut about: Vec<(ObjectType, ExternalId)> = participants
        .filter_map(|participant| wire::refers(participant.as_object()?, "person_id"))
        .map(|person| (PERSONS.into(), person.into()))
        .collect();
    let further: Vec<_> = referred(row).into_iter().filter(|object| !about.contains(object)).collect();
    about.extend(further);
    let task = ours.then(|| ExternalId::new(id.clone()));
    Some(Some(touch(format!("{ACTIVITIES}/{id}"), about, wire::refers(row, "owner_id"), at, (how, task))))
}

/// A note, unless the token's user wrote it. One can be dated by whoever enters it, into the future too (v1 document,
/// addNote: `add_time`), but did not change before it was there.
pub(super) fn note(row: &Object, me: u64) -> Option<Option<CrmEvent>> {
    let id = wire::id(row)?;
    if number(row, "user_id") == Some(me) {
        return Some(None);
    }
    let added = wire::time(row, "add_time")?;
    let at = wire::time(row, "update_time").map_or(added, |changed| changed.min(added));
    let by = wire::refers(row, "user_id");
    Some(Some(touch(format!("{NOTES}/{id}"), referred(row), by, at, (TouchKind::Note, None))))
}

fn touch(
    id: String,
    about: Vec<(ObjectType, ExternalId)>,
    by: Option<String>,
    at: Timestamp,
    (how, task): (TouchKind, Option<ExternalId>),
) -> CrmEvent {
    let what = Happening::Touch { how, logged_at: at, task };
    CrmEvent { id, about, by: by.map(ExternalId::new), hand: ChangedBy::Human, at, what }
}

/// The person, lead and deal that a row names.
fn referred(row: &Object) -> Vec<(ObjectType, ExternalId)> {
    let named = [(PERSONS, "person_id"), (LEADS, "lead_id"), (DEALS, "deal_id")];
    let found = named.into_iter().filter_map(|(objects, field)| Some((objects, wire::refers(row, field)?)));
    found.map(|(objects, id)| (objects.into(), id.into())).collect()
}

/// How a deal ended, if it did. It is credited to its owner: who closed it, the list does not say.
pub(super) fn outcome(row: &Object, id: &str) -> Option<CrmEvent> {
    let (outcome, field) = match wire::text(row, "status")? {
        "won" => (Outcome::Won, "won_time"),
        "lost" => (Outcome::Lost, "lost_time"),
        _ => return None,
    };
    let at = wire::time(row, field).or_else(|| wire::time(row, "close_time"))?;
    let mut about: Vec<(ObjectType, ExternalId)> = vec![(DEALS.into(), id.into())];
    about.extend(wire::refers(row, "person_id").map(|person| (PERSONS.into(), person.into())));
    let what = Happening::Outcome {
        outcome,
        value: row.get("value").filter(|value| value.is_number()).map(Value::to_string),
        currency: wire::text(row, "currency").map(str::to_owned),
        began_at: wire::time(row, "add_time"),
    };
    let by = wire::refers(row, "owner_id").map(ExternalId::new);
    let id = format!("{DEALS}/{id}/{}/{}", outcome.as_str(), at.as_second());
    Some(CrmEvent { id, about, by, hand: ChangedBy::Unknown, at, what })
}

/// How an object looks: its owner, and of a deal its stage and status.
pub(super) fn sight(list: &'static str, row: &Object, id: &str) -> Option<Sight> {
    let owner = wire::refers(row, "owner_id");
    let of = |field: &str| row.get(field).map(Value::to_string).unwrap_or_default();
    let print = match list {
        DEALS => format!("{}/{}/{}", of("owner_id"), of("stage_id"), of("status")),
        _ => of("owner_id"),
    };
    let at = wire::time(row, "update_time")?;
    Some(Sight { object: list.into(), id: id.into(), owner: owner.map(ExternalId::new), print, at })
}

/// What a line of a changelog says: another owner, another stage, or that a deal goes on after all. That it was won or
/// lost, the list has told with its worth.
pub(super) fn change(objects: &'static str, id: &ExternalId, change: &Change) -> Option<CrmEvent> {
    let at = change.at()?;
    let new = change.after();
    let what = match change.field.as_str() {
        _ if change.is_of_owner() => Happening::OwnerChange { from: change.before(), to: new.clone() },
        "stage_id" if change.by() == ChangedBy::Human => {
            Happening::Touch { how: TouchKind::StageChange, logged_at: at, task: None }
        }
        "status" if new.as_ref().is_some_and(|status| status.as_str() == "open") => {
            let outcome = Outcome::Reopened;
            Happening::Outcome { outcome, value: None, currency: None, began_at: None }
        }
        _ => return None,
    };
    let to = new.as_ref().map_or("nobody", ExternalId::as_str);
    Some(CrmEvent {
        id: format!("{objects}/{id}/{}/{}/{to}", change.field, at.as_second()),
        about: vec![(objects.into(), id.clone())],
        by: change.actor(),
        hand: change.by(),
        at,
        what,
    })
}

fn number(row: &Object, field: &str) -> Option<u64> {
    row.get(field)?.as_u64()
}
