//! The roster: the policy's reps tied to the owners of the CRM, with what both say about availability.

use std::collections::BTreeMap;

use usher_model::{CrmOwner, ExternalId, OwnerAvailability};
use usher_schedule::{Absences, Availability, Calendar};

use crate::policy::{Policy, Rep, RepIndex};

/// Who of the policy's reps exists in the CRM, and when they can take a lead. Belongs to the policy that it was
/// made for; make a new one when either the policy or the directory changes.
#[derive(Debug, Clone)]
pub struct Roster {
    /// In the order of the policy's reps.
    pub(crate) seats: Vec<Seat>,
    owners: BTreeMap<ExternalId, Owner>,
    problems: Vec<String>,
}

/// A rep's place in the roster.
#[derive(Debug, Clone)]
pub(crate) struct Seat {
    /// The name to show.
    pub(crate) name: String,
    pub(crate) standing: Standing,
    /// Set to "away" by hand in the CRM, without an end.
    pub(crate) away: bool,
    pub(crate) availability: Availability,
}

/// What a rep is to the CRM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Standing {
    /// An active owner.
    Active(ExternalId),
    /// Archived or deactivated.
    Inactive,
    /// No owner has the rep's e-mail address.
    Unknown,
}

/// An owner of the CRM, by id.
#[derive(Debug, Clone)]
pub(crate) struct Owner {
    pub(crate) name: String,
    pub(crate) email: String,
    pub(crate) active: bool,
    pub(crate) rep: Option<RepIndex>,
}

impl Roster {
    /// Ties reps to owners by e-mail. The file's hours win over the CRM's; absences from the CRM always count.
    #[must_use]
    pub fn new(policy: &Policy, owners: &[CrmOwner]) -> Self {
        let mut by_email: BTreeMap<String, Vec<&CrmOwner>> = BTreeMap::new();
        for owner in owners {
            by_email.entry(owner.email.trim().to_lowercase()).or_default().push(owner);
        }
        let mut roster = Self { seats: Vec::new(), owners: BTreeMap::new(), problems: Vec::new() };
        let mut rep_of: BTreeMap<&str, RepIndex> = BTreeMap::new();
        for (index, rep) in policy.reps().iter().enumerate() {
            let candidates = by_email.get_mut(&rep.email).map(Vec::as_mut_slice).unwrap_or_default();
            let seat = roster.seat(rep, candidates);
            roster.seats.push(seat);
            rep_of.insert(&rep.email, RepIndex(index));
        }
        for owner in owners {
            let email = owner.email.trim().to_lowercase();
            let rep = rep_of.get(email.as_str()).copied();
            let entry =
                Owner { name: shown(&owner.name, &email).to_owned(), email, active: owner.active, rep };
            roster.owners.insert(owner.id.clone(), entry);
        }
        roster
    }

    /// What `check --online` tells an admin: reps without an owner, archived owners, hours that can not be read.
    #[must_use]
    pub fn problems(&self) -> &[String] {
        &self.problems
    }

    pub(crate) fn seat_of(&self, rep: RepIndex) -> Option<&Seat> {
        self.seats.get(rep.0)
    }

    pub(crate) fn owner(&self, id: &ExternalId) -> Option<&Owner> {
        self.owners.get(id)
    }

    pub(crate) fn owners(&self) -> impl Iterator<Item = &ExternalId> {
        self.owners.keys()
    }

    fn seat(&mut self, rep: &Rep, owners: &mut [&CrmOwner]) -> Seat {
        // Several owners with one address: the active one counts, then the lowest id, whatever the CRM's order.
        owners.sort_by_key(|owner| (!owner.active, owner.id.clone()));
        let Some(owner) = owners.first() else {
            self.problem(
                rep,
                "no owner in the CRM has this e-mail address; add the user there or correct the file",
            );
            let availability = Availability { calendar: rep.calendar.clone(), absences: Absences::default() };
            let name = rep.key.to_string();
            return Seat { name, standing: Standing::Unknown, away: false, availability };
        };
        let standing = match owner.active {
            true => Standing::Active(owner.id.clone()),
            false => Standing::Inactive,
        };
        if !owner.active {
            self.problem(
                rep,
                "the owner is archived or deactivated in the CRM; remove the rep or restore the user",
            );
        }
        if owners.iter().filter(|owner| owner.active).count() > 1 {
            let text = format!(
                "several active owners in the CRM have this e-mail address; owner {} is used",
                owner.id
            );
            self.problem(rep, &text);
        }
        let crm = owner.availability.clone().unwrap_or_default();
        let calendar = rep.calendar.clone().or_else(|| self.crm_calendar(rep, &crm));
        let name = shown(&owner.name, rep.key.as_str()).to_owned();
        let absences = Absences::new(crm.out_of_office);
        Seat { name, standing, away: crm.away, availability: Availability { calendar, absences } }
    }

    /// Hours that the CRM keeps; none, or ones that can not be read, mean always.
    fn crm_calendar(&mut self, rep: &Rep, crm: &OwnerAvailability) -> Option<Calendar> {
        if crm.hours.is_empty() {
            return None;
        }
        let Some(zone) = &crm.time_zone else {
            self.problem(
                rep,
                "the CRM has working hours without a time zone; they are ignored until it has one",
            );
            return None;
        };
        let calendar = Calendar::from_weekly(zone, &crm.hours);
        if let Err(error) = &calendar {
            let cause =
                std::error::Error::source(error).map(|cause| format!(": {cause}")).unwrap_or_default();
            self.problem(rep, &format!("the CRM's working hours are ignored: {error}{cause}"));
        }
        calendar.ok()
    }

    fn problem(&mut self, rep: &Rep, text: &str) {
        self.problems.push(format!("rep `{}` ({}): {text}", rep.key, rep.email));
    }
}

fn shown<'n>(name: &'n str, otherwise: &'n str) -> &'n str {
    match name.trim() {
        "" => otherwise,
        name => name,
    }
}
