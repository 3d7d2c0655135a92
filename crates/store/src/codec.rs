//! How values are stored: ids and enumerations as text, times as milliseconds, shapes as JSON.

use std::borrow::Cow;
use std::str::FromStr;

use jiff::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;
use usher_model::{
    CloseReason, EffectKind, EffectState, Lane, LeadState, Mode, RecordState, Slot, SlotKind, TroubleKind,
};

use crate::fault::Fault;

/// An instant as stored.
pub(crate) fn ms(instant: Timestamp) -> i64 {
    instant.as_millisecond()
}

/// From here on a lead is fresh.
pub(crate) fn fresh_since(now: Timestamp) -> Timestamp {
    now.saturating_sub(crate::quota::FRESH).unwrap_or(Timestamp::MIN)
}

/// A stored instant.
pub(crate) fn instant(ms: i64) -> Result<Timestamp, Fault> {
    Timestamp::from_millisecond(ms).map_err(|error| Fault::unreadable("instant", error))
}

/// A stored instant that may be absent.
pub(crate) fn maybe_instant(ms: Option<i64>) -> Result<Option<Timestamp>, Fault> {
    ms.map(instant).transpose()
}

/// Text that every backend can hold: U+0000 ends a text in SQLite's functions and is refused by Postgres.
pub(crate) fn clean(text: &str) -> Cow<'_, str> {
    if text.contains('\0') { Cow::Owned(text.replace('\0', "\u{fffd}")) } else { Cow::Borrowed(text) }
}

/// [`clean`] for what is bound.
pub(crate) fn text(value: impl AsRef<str>) -> String {
    clean(value.as_ref()).into_owned()
}

/// A value as JSON. Serde escapes U+0000, so the text is clean.
pub(crate) fn json<T: Serialize + ?Sized>(value: &T) -> Result<String, Fault> {
    serde_json::to_string(value).map_err(|error| Fault::unreadable("value", error))
}

/// A stored JSON value.
pub(crate) fn from_json<T: DeserializeOwned>(what: &'static str, text: &str) -> Result<T, Fault> {
    serde_json::from_str(text).map_err(|error| Fault::unreadable(what, error))
}

/// A stored id.
pub(crate) fn id<T: FromStr<Err = usher_model::ParseIdError>>(text: &str) -> Result<T, Fault> {
    text.parse().map_err(|error| Fault::unreadable("id", error))
}

/// A list of texts as one JSON array.
pub(crate) fn list<T: AsRef<str>>(items: impl IntoIterator<Item = T>) -> Result<String, Fault> {
    json(&items.into_iter().map(|item| text(item.as_ref())).collect::<Vec<_>>())
}

/// A list of ids as one JSON array. Ids need no escapes.
pub(crate) fn ids<T: std::fmt::Display>(items: impl IntoIterator<Item = T>) -> String {
    use std::fmt::Write;
    let mut out = String::from("[");
    for item in items {
        if out.len() > 1 {
            out.push(',');
        }
        // Writing to a String can not fail.
        let _ = write!(out, "\"{item}\"");
    }
    out.push(']');
    out
}

/// A list of row numbers as one JSON array.
pub(crate) fn numbers(items: &[i64]) -> Result<String, Fault> {
    json(items)
}

/// A stored count.
pub(crate) fn count(stored: i64) -> Result<u32, Fault> {
    u32::try_from(stored).map_err(|error| Fault::unreadable("count", error))
}

/// The name of a slot, `kind/of/connection`: whose object it is comes first, so that a person's or a company's slots at
/// all connections are neighbours. `of` is an id or a key and holds no `/`.
pub(crate) fn slot_name(slot: &Slot) -> String {
    format!("{}/{}/{}", slot.kind.as_str(), clean(&slot.of), clean(slot.connection.as_str()))
}

/// The order of lanes in the queues.
pub(crate) fn lane_rank(lane: Lane) -> i64 {
    match lane {
        Lane::Live => 0,
        Lane::Sweep => 1,
        Lane::Backfill => 2,
    }
}

/// The lane of that rank.
pub(crate) fn lane(rank: i64) -> Result<Lane, Fault> {
    match rank {
        0 => Ok(Lane::Live),
        1 => Ok(Lane::Sweep),
        2 => Ok(Lane::Backfill),
        other => Err(Fault::unreadable("lane", format!("rank {other}"))),
    }
}

fn named<T: Copy>(
    what: &'static str,
    name: &str,
    all: &[T],
    as_str: fn(T) -> &'static str,
) -> Result<T, Fault> {
    let found = all.iter().copied().find(|value| as_str(*value) == name);
    found.ok_or_else(|| Fault::unreadable(what, format!("found `{name}`")))
}

pub(crate) fn record_state(name: &str) -> Result<RecordState, Fault> {
    use RecordState::{Failed, Fetched, Ignored, Mapped, Opened, Updated};
    named("record state", name, &[Fetched, Mapped, Opened, Updated, Ignored, Failed], RecordState::as_str)
}

pub(crate) fn lead_state(name: &str) -> Result<LeadState, Fault> {
    named("lead state", name, &[LeadState::Decided, LeadState::Waiting, LeadState::Closed], LeadState::as_str)
}

pub(crate) fn close_reason(name: &str) -> Result<CloseReason, Fault> {
    use CloseReason::{Failed, Merged, Suppressed, Written};
    named("close reason", name, &[Written, Merged, Suppressed, Failed], CloseReason::as_str)
}

pub(crate) fn mode(name: &str) -> Result<Mode, Fault> {
    named("mode", name, &[Mode::Observe, Mode::Live], Mode::as_str)
}

pub(crate) fn effect_state(name: &str) -> Result<EffectState, Fault> {
    use EffectState::{Blocked, Cancelled, Done, Parked, Planned, Rejected, Sending, Unknown};
    let all = [Blocked, Planned, Sending, Unknown, Done, Rejected, Parked, Cancelled];
    named("effect state", name, &all, EffectState::as_str)
}

pub(crate) fn slot_kind(name: &str) -> Result<SlotKind, Fault> {
    named("slot kind", name, &SlotKind::ALL, SlotKind::as_str)
}

pub(crate) fn effect_kind(name: &str) -> Result<EffectKind, Fault> {
    EffectKind::parse(name).ok_or_else(|| Fault::unreadable("effect kind", format!("found `{name}`")))
}

pub(super) fn trouble_kind(name: &str) -> Result<TroubleKind, Fault> {
    let all = [TroubleKind::Outage, TroubleKind::Refused, TroubleKind::Revoked];
    named("kind of trouble", name, &all, TroubleKind::as_str)
}
