//! A calendar: weekly hours in a time zone, and questions about instants.

use std::time::Duration;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use crate::local::first_instant;
use crate::week::{Week, WeekError};
use usher_model::WeeklyHours;

/// How far searches for an opening or a closing look ahead, in days.
pub const HORIZON_DAYS: usize = 60;

/// How far [`Calendar::add_business`] goes at most, in days.
const REACH_DAYS: usize = 3_660;

/// Weekly working hours in one time zone.
#[derive(Debug, Clone, PartialEq)]
pub struct Calendar {
    zone: TimeZone,
    week: Week,
}

/// Working hours, as a CRM lists them, that no calendar can be made of.
#[derive(Debug, thiserror::Error)]
pub enum CalendarError {
    /// The time zone is no IANA name.
    #[error("`{name}` is no known time zone: expected an IANA name such as Europe/Berlin")]
    Zone {
        /// The name as given.
        name: String,
        /// What the zone database says.
        #[source]
        source: jiff::Error,
    },
    /// The hours make no sense.
    #[error("the weekly hours cannot be read")]
    Week(#[source] WeekError),
}

/// A stretch of working time, end excluded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stretch {
    start: Timestamp,
    end: Timestamp,
}

impl Calendar {
    /// A calendar of these hours in that zone.
    #[must_use]
    pub fn new(zone: TimeZone, week: Week) -> Self {
        Self { zone, week }
    }

    /// From what a CRM lists: an IANA zone name and weekly blocks.
    pub fn from_weekly(zone: &str, hours: &[WeeklyHours]) -> Result<Self, CalendarError> {
        let zone =
            TimeZone::get(zone).map_err(|source| CalendarError::Zone { name: zone.to_owned(), source })?;
        Ok(Self::new(zone, Week::from_weekly(hours).map_err(CalendarError::Week)?))
    }

    /// The time zone.
    #[must_use]
    pub fn zone(&self) -> &TimeZone {
        &self.zone
    }

    /// Whether it is working time.
    #[must_use]
    pub fn is_open(&self, at: Timestamp) -> bool {
        self.stretch_at(at).is_some()
    }

    /// `at` itself if it is working time, else the next instant that is.
    #[must_use]
    pub fn next_opening(&self, at: Timestamp) -> Option<Timestamp> {
        self.stretches(at, HORIZON_DAYS).find(|stretch| stretch.end > at).map(|stretch| stretch.start.max(at))
    }

    /// The first instant that is not working time, from `at` on: `at` itself while closed. `None` if there is none
    /// within the horizon, as for hours around the clock.
    #[must_use]
    pub fn next_closing(&self, at: Timestamp) -> Option<Timestamp> {
        let mut open_until = at;
        for stretch in self.stretches(at, HORIZON_DAYS) {
            if stretch.start > open_until {
                return Some(open_until);
            }
            open_until = open_until.max(stretch.end);
        }
        // Nothing more within the horizon: only a calendar that closed before its end has a known closing.
        let horizon = at.checked_add(SignedDuration::from_hours(24 * (HORIZON_DAYS as i64 - 2))).ok()?;
        (open_until < horizon).then_some(open_until)
    }

    /// Working time between two instants; zero if `to` is not after `from`. Costs time in proportion to the days
    /// between them.
    #[must_use]
    pub fn business_time(&self, from: Timestamp, to: Timestamp) -> Duration {
        if self.week.is_empty() || to <= from {
            return Duration::ZERO;
        }
        self.stretches(from, usize::MAX)
            .take_while(|stretch| stretch.start < to)
            .filter_map(|stretch| length(stretch.start.max(from), stretch.end.min(to)))
            .sum()
    }

    /// The earliest instant by which `duration` of working time has passed since `at`. `None` if that takes more
    /// than ten years.
    #[must_use]
    pub fn add_business(&self, at: Timestamp, duration: Duration) -> Option<Timestamp> {
        if duration.is_zero() {
            return Some(at);
        }
        if self.week.is_empty() {
            return None;
        }
        let mut left = duration;
        for stretch in self.stretches(at, REACH_DAYS) {
            let start = stretch.start.max(at);
            let Some(open) = length(start, stretch.end) else {
                continue;
            };
            if left <= open {
                return start.checked_add(SignedDuration::try_from(left).ok()?).ok();
            }
            left -= open;
        }
        None
    }

    /// The stretch that contains the instant.
    fn stretch_at(&self, at: Timestamp) -> Option<Stretch> {
        // A day's block can begin before the local date says so, where clocks go back over midnight.
        let today = self.zone.to_datetime(at).date();
        let tomorrow = today.tomorrow().ok();
        let contains = |stretch: &Stretch| stretch.start <= at && at < stretch.end;
        self.day(today).chain(tomorrow.into_iter().flat_map(|date| self.day(date))).find(contains)
    }

    /// The stretches of the days from the one that contains `at`, in order, some perhaps before `at`.
    fn stretches(&self, at: Timestamp, days: usize) -> impl Iterator<Item = Stretch> + '_ {
        let first = self.zone.to_datetime(at).date();
        std::iter::successors(Some(first), |date| date.tomorrow().ok())
            .take(days)
            .flat_map(|date| self.day(date))
    }

    /// The stretches of one local day. A block that falls into a gap as a whole has none.
    fn day(&self, date: Date) -> impl Iterator<Item = Stretch> + '_ {
        let weekday = date.weekday().to_monday_zero_offset();
        let blocks = self.week.blocks(usize::try_from(weekday).unwrap_or_default());
        blocks.iter().filter_map(move |block| {
            let start = first_instant(&self.zone, date, block.start)?;
            let end = first_instant(&self.zone, date, block.end)?;
            (start < end).then_some(Stretch { start, end })
        })
    }
}

/// The time from one instant to a later one.
fn length(from: Timestamp, to: Timestamp) -> Option<Duration> {
    Duration::try_from(to.duration_since(from)).ok()
}
