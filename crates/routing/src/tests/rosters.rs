//! Reps and owners: who is tied to whom, and what an admin is told.

use usher_model::{OutOfOffice, OwnerAvailability, Step, WeeklyHours};

use super::{agency, at, away, friday, input, key, owner, owners, route_with, saturday, seo, waits};
use crate::{Outcome, Roster};

fn eliminated(outcome: &Outcome, rep: &str) -> Option<String> {
    outcome.trace.steps.iter().find_map(|step| match step {
        Step::Candidate { rep: who, eliminated } if *who == key(rep) => eliminated.clone(),
        _ => None,
    })
}

#[test]
fn fm_047_unknown_and_archived_owners_are_out_and_told() {
    let mut list = owners();
    list[0].active = false;
    list.remove(1);
    let policy = agency();
    let problems = Roster::new(&policy, &list).problems().to_vec();
    assert_eq!(problems.len(), 2);
    assert!(problems[0].starts_with("rep `ana` (ana@agency.example): the owner is archived"), "{problems:?}");
    assert!(problems[1].starts_with("rep `ben` (ben@agency.example): no owner"), "{problems:?}");
    let outcome = route_with(&list, &input(&seo()), friday());
    assert_eq!(eliminated(&outcome, "ana").unwrap(), "deactivated in the CRM");
    assert_eq!(eliminated(&outcome, "ben").unwrap(), "unknown to the CRM");
    // No waiting for those who will not come: carla, by overflow, at once.
    assert_eq!(super::assigned(&outcome), "carla");
    assert_eq!(outcome.path, "SEO in DACH → dach-seo → carla");
}

#[test]
fn the_active_one_of_two_owners_with_one_address_counts() {
    let mut list = owners();
    list[0].active = false;
    list.push(owner("11", "ana@agency.example", "Ana again"));
    let policy = agency();
    assert_eq!(Roster::new(&policy, &list).problems(), [] as [&str; 0]);
    list.push(owner("10", "ana@agency.example", "Ana twice"));
    let roster = Roster::new(&policy, &list);
    assert!(roster.problems()[0].contains("owner 10 is used"), "{:?}", roster.problems());
}

#[test]
fn the_files_hours_win_and_absences_always_count() {
    let mut list = owners();
    let nights = vec![WeeklyHours { days: vec![6], start_minute: 600, end_minute: 900 }];
    let crm = OwnerAvailability {
        time_zone: Some("Europe/Berlin".to_owned()),
        hours: nights,
        out_of_office: vec![OutOfOffice {
            from: at("2026-11-19T00:00:00Z"),
            until: at("2026-11-20T10:30:00+01:00"),
        }],
        away: false,
    };
    list[0].availability = Some(crm.clone());
    list[1] = away(list[1].clone());
    list[2].availability = Some(crm);
    let outcome = route_with(&list, &input(&seo()), friday());
    assert_eq!(eliminated(&outcome, "ana").unwrap(), "on leave until Fri 10:30");
    assert_eq!(eliminated(&outcome, "ben").unwrap(), "away");
    assert_eq!(waits(&outcome).until, at("2026-11-20T10:30:00+01:00"));
    // On Saturday noon the CRM has Ana at work, the file has not; Carla has no hours in the file.
    let lead = seo();
    let mut saturdays = input(&lead);
    saturdays.received_at = at("2026-11-21T11:00:00+01:00");
    let outcome = route_with(&list, &saturdays, saturday());
    assert_eq!(eliminated(&outcome, "ana").unwrap(), "off hours until Mon 09:00");
    assert_eq!(super::assigned(&outcome), "carla");
    assert_eq!(eliminated(&outcome, "carla"), None);
}

#[test]
fn hours_of_the_crm_that_can_not_be_read_are_told_and_ignored() {
    let mut list = owners();
    let hours = vec![WeeklyHours { days: vec![9], start_minute: 600, end_minute: 900 }];
    let crm = |zone: Option<&str>| {
        let time_zone = zone.map(str::to_owned);
        Some(OwnerAvailability { time_zone, hours: hours.clone(), ..OwnerAvailability::default() })
    };
    let policy = agency();
    for (zone, expected) in [
        (None, "without a time zone"),
        (Some("Mars/Base"), "`Mars/Base` is no known time zone"),
        (Some("UTC"), "9 is no weekday"),
    ] {
        list[2].availability = crm(zone);
        let roster = Roster::new(&policy, &list);
        assert!(roster.problems()[0].contains(expected), "{:?}", roster.problems());
    }
    // Ana's hours come from the file, so that nothing is said about hers.
    list[2].availability = None;
    list[0].availability = crm(None);
    assert_eq!(Roster::new(&policy, &list).problems(), [] as [&str; 0]);
}
