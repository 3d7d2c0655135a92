//! A week of working hours: blocks of minutes by weekday.

use usher_model::WeeklyHours;

pub(crate) const MINUTES_A_DAY: u16 = 24 * 60;

/// Part of a day in minutes after midnight, end excluded; `start < end <= 1440`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Block {
    pub(crate) start: u16,
    pub(crate) end: u16,
}

/// A week of working hours, Monday first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Week {
    /// Sorted, without overlaps; blocks that touch are one.
    days: [Vec<Block>; 7],
}

/// Hours that make no sense.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum WeekError {
    /// A weekday outside 1 to 7.
    #[error("{0} is no weekday: expected 1 (Monday) to 7 (Sunday)")]
    Day(u8),
    /// A block that ends before it starts, or beyond its day.
    #[error(
        "working hours from minute {start} to minute {end} of a day: expected an end after the start and by minute 1440"
    )]
    Block {
        /// Minutes after midnight.
        start: u16,
        /// Minutes after midnight.
        end: u16,
    },
}

impl Week {
    /// From the blocks that a CRM lists.
    pub fn from_weekly(hours: &[WeeklyHours]) -> Result<Self, WeekError> {
        let mut week = Self::default();
        for block in hours {
            let (start, end) = (block.start_minute, block.end_minute);
            if start >= end || end > MINUTES_A_DAY {
                return Err(WeekError::Block { start, end });
            }
            for day in &block.days {
                let index = usize::from(*day).wrapping_sub(1);
                let blocks = week.days.get_mut(index).ok_or(WeekError::Day(*day))?;
                blocks.push(Block { start, end });
            }
        }
        week.days.iter_mut().for_each(unite);
        Ok(week)
    }

    /// Sets one day, Monday is 0.
    pub(crate) fn set(&mut self, day: usize, mut blocks: Vec<Block>) {
        unite(&mut blocks);
        if let Some(slot) = self.days.get_mut(day) {
            *slot = blocks;
        }
    }

    /// The blocks of a day, Monday is 0.
    pub(crate) fn blocks(&self, day: usize) -> &[Block] {
        self.days.get(day).map_or(&[], Vec::as_slice)
    }

    /// Whether no day has hours.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.days.iter().all(Vec::is_empty)
    }
}

/// Sorts blocks and joins those that overlap or touch.
fn unite(blocks: &mut Vec<Block>) {
    blocks.sort_unstable();
    blocks.dedup_by(|next, kept| {
        let joins = next.start <= kept.end;
        if joins {
            kept.end = kept.end.max(next.end);
        }
        joins
    });
}
