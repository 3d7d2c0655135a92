//! What the CRM knows of the people who can own leads.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::id::ExternalId;

/// One owner as the CRM lists it; a rep of `routing.yaml` is tied to it by e-mail.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CrmOwner {
    /// The CRM's owner id.
    pub id: ExternalId,
    /// The owner's e-mail, lower case.
    pub email: String,
    /// The name to show.
    pub name: String,
    /// False once the CRM archived or deactivated the owner: nobody may get a lead then.
    pub active: bool,
    /// Working hours and absences from the CRM, where it keeps them.
    #[serde(default)]
    pub availability: Option<OwnerAvailability>,
}

/// Availability as the CRM keeps it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct OwnerAvailability {
    /// The owner set themselves to "away" by hand.
    #[serde(default)]
    pub away: bool,
    /// IANA zone name.
    #[serde(default)]
    pub time_zone: Option<String>,
    /// Absences as half-open intervals.
    #[serde(default)]
    pub out_of_office: Vec<OutOfOffice>,
    /// Weekly working hours in `time_zone`.
    #[serde(default)]
    pub hours: Vec<WeeklyHours>,
}

/// One absence, `from` included, `until` not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutOfOffice {
    /// First instant of the absence.
    pub from: Timestamp,
    /// First instant after it.
    pub until: Timestamp,
}

/// One block of a working week.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WeeklyHours {
    /// ISO weekdays, Monday is 1.
    pub days: Vec<u8>,
    /// Minutes after midnight, included.
    pub start_minute: u16,
    /// Minutes after midnight, not included.
    pub end_minute: u16,
}
