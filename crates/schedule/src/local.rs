//! Local times to instants, on ordinary days and on those when clocks change.

use jiff::Timestamp;
use jiff::civil::{Date, Time};
use jiff::tz::{AmbiguousOffset, TimeZone};

use crate::week::MINUTES_A_DAY;

/// The first instant at which the clock of `zone` shows `minute` of `date`, or later. `minute` runs from 0 to
/// 1440, which is the midnight that ends the day. `None` outside the range of instants.
pub(crate) fn first_instant(zone: &TimeZone, date: Date, minute: u16) -> Option<Timestamp> {
    let (date, minute) = match minute {
        MINUTES_A_DAY.. => (date.tomorrow().ok()?, 0),
        _ => (date, minute),
    };
    let hour = i8::try_from(minute / 60).ok()?;
    let time = Time::new(hour, i8::try_from(minute % 60).ok()?, 0, 0).ok()?;
    let local = date.to_datetime(time);
    match zone.to_ambiguous_timestamp(local).offset() {
        AmbiguousOffset::Unambiguous { offset } => offset.to_timestamp(local).ok(),
        AmbiguousOffset::Fold { before, .. } => before.to_timestamp(local).ok(),
        AmbiguousOffset::Gap { before, .. } => {
            // By the offset before the gap, the left-out time lies behind the gap's end, and nothing between.
            let behind = before.to_timestamp(local).ok()?;
            let search_from = Timestamp::from_second(behind.as_second().checked_add(1)?).ok()?;
            zone.preceding(search_from).next().map(|transition| transition.timestamp())
        }
    }
}
