//! `overlap` and `horizon` under `pull:`, as an administrator sets them.

use std::time::Duration;

use jiff::SignedDuration;
use usher_document::MapReader;

use super::Window;

const HOUR: Duration = Duration::from_secs(3_600);

/// How the two lanes that follow the present read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spans {
    /// What each pass reads again.
    pub overlap: SignedDuration,
    /// How far behind the present the second look ends: beyond the worst delay of the vendor's index.
    pub horizon: SignedDuration,
}

impl Default for Spans {
    fn default() -> Self {
        Self { overlap: SignedDuration::from_mins(2), horizon: SignedDuration::from_hours(1) }
    }
}

impl Spans {
    /// Reads both. `None` if one is wrong, which was reported.
    pub fn read(map: &mut MapReader<'_>) -> Option<Self> {
        let usual = Self::default();
        let overlap = span(map, "overlap", usual.overlap, 24 * HOUR);
        let horizon = span(map, "horizon", usual.horizon, 7 * 24 * HOUR);
        Some(Self { overlap: overlap?, horizon: horizon? })
    }

    /// At the edge of now, for times of that grain.
    #[must_use]
    pub fn live(self, grain: SignedDuration) -> Window {
        Window { overlap: self.overlap, hold_back: SignedDuration::ZERO, grain }
    }

    /// Once more, for what an index has shown late.
    #[must_use]
    pub fn sweep(self, grain: SignedDuration) -> Window {
        Window { hold_back: self.horizon, ..self.live(grain) }
    }
}

fn span(map: &mut MapReader<'_>, key: &str, usual: SignedDuration, most: Duration) -> Option<SignedDuration> {
    let Some(at) = map.optional_at(key) else { return Some(usual) };
    let span = at.duration()?;
    if span > most {
        let hours = most.as_secs() / HOUR.as_secs();
        at.error("out-of-range", format!("`{key}` is at most {hours}h")).found(at.raw()).report();
        return None;
    }
    SignedDuration::try_from(span).ok()
}
