//! Absences, and availability as hours minus absences.

use jiff::{SignedDuration, Timestamp};
use usher_model::OutOfOffice;

use crate::{Calendar, HORIZON_DAYS};

/// Times when somebody is away, in any order as given.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Absences {
    /// Sorted, without overlaps; absences that touch are one.
    list: Vec<OutOfOffice>,
}

impl Absences {
    /// From a list in any order; one that ends before it starts counts for nothing.
    #[must_use]
    pub fn new(list: impl IntoIterator<Item = OutOfOffice>) -> Self {
        let mut list: Vec<_> = list.into_iter().filter(|absence| absence.from < absence.until).collect();
        list.sort_unstable_by_key(|absence| (absence.from, absence.until));
        list.dedup_by(|next, kept| {
            let joins = next.from <= kept.until;
            if joins {
                kept.until = kept.until.max(next.until);
            }
            joins
        });
        Self { list }
    }

    /// The end of the absence that contains the instant.
    #[must_use]
    pub fn away_until(&self, at: Timestamp) -> Option<Timestamp> {
        let after = self.list.partition_point(|absence| absence.until <= at);
        self.list.get(after).filter(|absence| absence.from <= at).map(|absence| absence.until)
    }
}

/// When somebody can take a lead: working hours, or always, minus absences.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Availability {
    /// Working hours; `None` is around the clock.
    pub calendar: Option<Calendar>,
    /// Times away.
    pub absences: Absences,
}

impl Availability {
    /// Whether it is working time, absences aside.
    #[must_use]
    pub fn on_hours(&self, at: Timestamp) -> bool {
        self.calendar.as_ref().is_none_or(|calendar| calendar.is_open(at))
    }

    /// `at` itself if available, else the next instant that is; `None` beyond the horizon.
    #[must_use]
    pub fn next(&self, at: Timestamp) -> Option<Timestamp> {
        let horizon = at.checked_add(SignedDuration::from_hours(24 * HORIZON_DAYS as i64)).ok()?;
        let mut at = at;
        // Each round leaves an absence behind, so there are no more rounds than absences.
        for _ in 0..=self.absences.list.len() {
            at = match &self.calendar {
                Some(calendar) => calendar.next_opening(at)?,
                None => at,
            };
            match self.absences.away_until(at) {
                None => return Some(at),
                Some(until) if until > horizon => return None,
                Some(until) => at = until,
            }
        }
        None
    }
}
