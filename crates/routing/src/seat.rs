//! Why a candidate is out.

use jiff::Timestamp;

use crate::outcome::Input;
use crate::policy::Rep;
use crate::roster::{Roster, Seat, Standing};
use crate::words;

/// Why a rep can not take a lead now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Out {
    Unknown,
    Inactive,
    Excluded(String),
    /// Set to away by hand, until further notice.
    Away,
    /// Absent, back at the instant, where it is near enough to know.
    Absent(Option<Timestamp>),
    /// Off hours, until the instant.
    OffHours(Option<Timestamp>),
}

impl Out {
    /// Whether no waiting helps, and the fallback neither.
    pub(crate) fn lasting(&self) -> bool {
        matches!(self, Self::Unknown | Self::Inactive | Self::Excluded(_))
    }

    /// When the rep can take a lead again, where known.
    pub(crate) fn back(&self) -> Option<Timestamp> {
        match self {
            Self::Absent(back) | Self::OffHours(back) => *back,
            _ => None,
        }
    }

    /// In words that follow "Ana is".
    pub(crate) fn words(&self, seat: &Seat, now: Timestamp) -> String {
        let zone = seat.availability.calendar.as_ref().map(usher_schedule::Calendar::zone);
        let until = |back: &Option<Timestamp>| match back {
            Some(back) => format!(" until {}", words::when(*back, now, zone)),
            None => String::new(),
        };
        match self {
            Self::Unknown => "unknown to the CRM".to_owned(),
            Self::Inactive => "deactivated in the CRM".to_owned(),
            Self::Excluded(reason) => format!("passed over ({reason})"),
            Self::Away => "away".to_owned(),
            Self::Absent(back) => format!("on leave{}", until(back)),
            Self::OffHours(back) => format!("off hours{}", until(back)),
        }
    }
}

/// Looks at one rep; `None` is eligible.
pub(crate) fn look(rep: &Rep, seat: &Seat, input: &Input<'_>, now: Timestamp) -> Option<Out> {
    match seat.standing {
        Standing::Unknown => return Some(Out::Unknown),
        Standing::Inactive => return Some(Out::Inactive),
        Standing::Active(_) => {}
    }
    if let Some((_, reason)) = input.excluded.iter().find(|(key, _)| *key == rep.key) {
        return Some(Out::Excluded(reason.clone()));
    }
    if seat.away {
        return Some(Out::Away);
    }
    let availability = &seat.availability;
    if availability.absences.away_until(now).is_some() {
        return Some(Out::Absent(availability.next(now)));
    }
    (!availability.on_hours(now)).then(|| Out::OffHours(availability.next(now)))
}

/// Whether an owner of the CRM stands for nobody, by the ids or e-mails of those who do.
#[must_use]
pub fn stands_for_nobody(roster: &Roster, nobodies: &[String], owner: &usher_model::ExternalId) -> bool {
    let email = roster.owner(owner).map(|owner| owner.email.as_str());
    nobodies.iter().any(|nobody| {
        let nobody = nobody.trim();
        nobody == owner.as_str() || email.is_some_and(|email| email.eq_ignore_ascii_case(nobody))
    })
}

/// The CRM's owners who stand for nobody.
#[must_use]
pub fn nobodies(roster: &Roster, listed: &[String]) -> Vec<usher_model::ExternalId> {
    roster.owners().filter(|owner| stands_for_nobody(roster, listed, owner)).cloned().collect()
}
