//! Hours in files, on ordinary days, and on days when clocks change.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan as _};
use proptest::prelude::*;
use usher_document::{Diagnostic, SourceFile, load};
use usher_model::{OutOfOffice, WeeklyHours};

use crate::{Absences, Availability, Calendar, CalendarError, Week, WeekError};

const HOUR: Duration = Duration::from_secs(3_600);

fn berlin() -> Calendar {
    read("time_zone: Europe/Berlin\nhours: { mon-thu: \"09:00-17:30\", fri: \"09:00-12:00, 13:00-15:00\" }\n")
        .unwrap()
}

fn read(text: &str) -> Result<Calendar, Vec<Diagnostic>> {
    load(&SourceFile::new("routing.yaml", text))
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn one_block(zone: &str, days: &[u8], start_minute: u16, end_minute: u16) -> Calendar {
    Calendar::from_weekly(zone, &[WeeklyHours { days: days.to_vec(), start_minute, end_minute }]).unwrap()
}

#[test]
fn several_blocks_a_day_are_half_open() {
    let calendar = berlin();
    // 2026-11-20 is a Friday; Berlin is at +01:00.
    for (time, open) in [
        ("2026-11-20T08:59:59.999+01:00", false),
        ("2026-11-20T09:00:00+01:00", true),
        ("2026-11-20T11:59:59.999+01:00", true),
        ("2026-11-20T12:00:00+01:00", false),
        ("2026-11-20T13:00:00+01:00", true),
        ("2026-11-20T15:00:00+01:00", false),
        ("2026-11-21T10:00:00+01:00", false),
        ("2026-11-19T17:29:00+01:00", true),
    ] {
        assert_eq!(calendar.is_open(at(time)), open, "{time}");
    }
    let friday_evening = at("2026-11-20T15:00:00+01:00");
    assert_eq!(calendar.next_opening(friday_evening), Some(at("2026-11-23T09:00:00+01:00")));
    assert_eq!(calendar.next_closing(friday_evening), Some(friday_evening));
    assert_eq!(calendar.next_closing(at("2026-11-20T11:00:00+01:00")), Some(at("2026-11-20T12:00:00+01:00")));
}

#[test]
fn business_time_adds_up_and_back() {
    let calendar = berlin();
    let (from, to) = (at("2026-11-20T11:00:00+01:00"), at("2026-11-23T10:00:00+01:00"));
    assert_eq!(calendar.business_time(from, to), HOUR * 4);
    assert_eq!(calendar.business_time(to, from), Duration::ZERO);
    assert_eq!(calendar.add_business(from, HOUR * 4), Some(to));
    // An hour that ends with the block is over when the block is.
    assert_eq!(calendar.add_business(from, HOUR), Some(at("2026-11-20T12:00:00+01:00")));
    assert_eq!(calendar.add_business(from, Duration::ZERO), Some(from));
}

#[test]
fn searches_are_bounded() {
    let now = at("2026-11-20T11:00:00+01:00");
    let never = Calendar::new(TimeZone::UTC, Week::default());
    assert_eq!(never.next_opening(now), None);
    assert_eq!(never.next_closing(now), Some(now));
    assert_eq!(never.business_time(Timestamp::MIN, Timestamp::MAX), Duration::ZERO);
    assert_eq!(never.add_business(now, HOUR), None);

    let always = one_block("UTC", &[1, 2, 3, 4, 5, 6, 7], 0, 1440);
    assert_eq!(always.next_closing(now), None);
    assert_eq!(always.next_opening(now), Some(now));
    assert_eq!(always.add_business(now, HOUR * 48), Some(now.checked_add(48.hours()).unwrap()));
    assert_eq!(always.add_business(now, Duration::MAX), None);
    for edge in [Timestamp::MIN, Timestamp::MAX] {
        let _ = (berlin().is_open(edge), berlin().next_opening(edge), berlin().next_closing(edge));
        let _ = berlin().add_business(edge, HOUR);
    }
}

#[test]
fn fm_082_a_time_in_a_gap_moves_forward_and_a_repeated_one_is_its_first() {
    // Berlin, 2026-03-29: 02:00 becomes 03:00; a Sunday.
    let in_gap = one_block("Europe/Berlin", &[7], 150, 240);
    assert_eq!(in_gap.next_opening(at("2026-03-29T00:00:00Z")), Some(at("2026-03-29T01:00:00Z")));
    assert_eq!(in_gap.next_closing(at("2026-03-29T01:30:00Z")), Some(at("2026-03-29T02:00:00Z")));
    // A block wholly inside the gap is not there on that day.
    let swallowed = one_block("Europe/Berlin", &[7], 130, 170);
    assert_eq!(swallowed.next_opening(at("2026-03-29T00:00:00Z")), Some(at("2026-04-05T00:10:00Z")));

    // Berlin, 2026-10-25: 03:00 becomes 02:00; a Sunday.
    let repeated = one_block("Europe/Berlin", &[7], 150, 165);
    assert_eq!(repeated.next_opening(at("2026-10-24T22:00:00Z")), Some(at("2026-10-25T00:30:00Z")));
    assert!(!repeated.is_open(at("2026-10-25T01:30:00Z")), "the second 02:30 is not working time");
    // Nine to five is one hour longer or shorter in real time only if the change lies within.
    let night = one_block("Europe/Berlin", &[7], 0, 480);
    let (from, to) = (at("2026-10-24T22:00:00Z"), at("2026-10-25T12:00:00Z"));
    assert_eq!(night.business_time(from, to), HOUR * 9);
}

#[test]
fn fm_082_a_block_from_midnight_stays_open_when_clocks_go_back_over_midnight() {
    // St. John's, 2006-10-29: at 00:01 on Sunday the clock goes back to 23:01 on Saturday.
    let sunday = one_block("America/St_Johns", &[7], 0, 480);
    let opened = at("2006-10-29T02:30:00Z");
    assert_eq!(sunday.next_opening(at("2006-10-28T20:00:00Z")), Some(opened));
    assert!(sunday.is_open(opened));
    assert!(sunday.is_open(at("2006-10-29T02:45:00Z")), "23:15 on Saturday, the second time");
    assert_eq!(sunday.next_closing(at("2006-10-29T02:45:00Z")), Some(at("2006-10-29T11:30:00Z")));
}

#[test]
fn absences_join_and_hide_openings() {
    let away = |from: &str, until: &str| OutOfOffice { from: at(from), until: at(until) };
    let absences = Absences::new([
        away("2026-11-23T12:00:00+01:00", "2026-11-24T09:00:00+01:00"),
        away("2026-11-23T00:00:00+01:00", "2026-11-23T12:00:00+01:00"),
        away("2026-11-30T00:00:00+01:00", "2026-11-29T00:00:00+01:00"),
    ]);
    let end = at("2026-11-24T09:00:00+01:00");
    assert_eq!(absences.away_until(at("2026-11-22T23:59:59+01:00")), None);
    assert_eq!(absences.away_until(at("2026-11-23T00:00:00+01:00")), Some(end));
    assert_eq!(absences.away_until(end), None);

    let rep = Availability { calendar: Some(berlin()), absences };
    assert_eq!(rep.next(at("2026-11-20T16:00:00+01:00")), Some(end));
    let gone = Availability {
        calendar: None,
        absences: Absences::new([away("2026-01-01T00:00:00Z", "2099-01-01T00:00:00Z")]),
    };
    assert_eq!(gone.next(end), None);
    assert_eq!(Availability::default().next(end), Some(end));
}

#[test]
fn wrong_hours_are_all_reported_where_they_stand() {
    let text = "time_zone: Europe/Berln\nhours:\n  mon-fry: \"09:00-17:00\"\n  tue: \"09:00-12:00, 13:00-12:30\"\n  wed: closed\n  thu: 9\n  fri: \"09:00-25:00\"\n  sat: \"10:00-12:00, 11:00-13:00\"\n  sun: \"09:00-09:00\"\nholidays: DE-BE\nhour: 1\n";
    let problems = read(text).unwrap_err();
    let found: Vec<_> = problems.iter().map(|one| (one.code, one.line, one.column)).collect();
    assert_eq!(
        found,
        [
            ("unknown-time-zone", 1, 12),
            ("unknown-day", 3, 3),
            ("bad-hours", 4, 22),
            ("bad-hours", 5, 8),
            ("bad-hours", 6, 8),
            ("bad-hours", 7, 9),
            ("bad-hours", 8, 22),
            ("bad-hours", 9, 9),
            ("not-in-this-version", 10, 1),
            ("unknown-key", 11, 1),
        ]
    );
    assert_eq!(problems[0].suggestion.as_deref(), Some("Europe/Berlin"));
    assert_eq!(problems[1].suggestion.as_deref(), Some("fri"));
    assert_eq!(problems[9].suggestion.as_deref(), Some("hours"));
    assert!(problems[2].message.contains("ends before it starts"));
}

#[test]
fn a_day_named_twice_is_an_error_and_ranges_wrap() {
    let twice =
        read("{time_zone: UTC, hours: {mon-fri: \"09:00-17:00\", Wednesday: \"09:00-12:00\"}}").unwrap_err();
    assert_eq!(twice[0].code, "duplicate-day");
    assert!(twice[0].message.contains("`mon-fri`"));
    assert_eq!(read("{time_zone: UTC, hours: {}}").unwrap_err()[0].code, "no-hours");

    let weekend = read("{time_zone: UTC, hours: {\"sat-mon, wed\": \"10:00-11:00\"}}").unwrap();
    let open: Vec<bool> =
        (16..23).map(|day| weekend.is_open(at(&format!("2026-11-{day}T10:30:00Z")))).collect();
    assert_eq!(open, [true, false, true, false, false, true, true]);
}

#[test]
fn hours_that_a_crm_lists_wrongly_are_refused() {
    let hours = |days: &[u8], start_minute, end_minute| {
        Week::from_weekly(&[WeeklyHours { days: days.to_vec(), start_minute, end_minute }])
    };
    assert_eq!(hours(&[0], 0, 60), Err(WeekError::Day(0)));
    assert_eq!(hours(&[8], 0, 60), Err(WeekError::Day(8)));
    assert_eq!(hours(&[1], 60, 60), Err(WeekError::Block { start: 60, end: 60 }));
    assert_eq!(hours(&[1], 0, 1441), Err(WeekError::Block { start: 0, end: 1441 }));
    assert!(matches!(Calendar::from_weekly("Mars/Base", &[]), Err(CalendarError::Zone { .. })));
}

/// Zones with ordinary changes, changes at midnight, half-hour changes, a skipped day, and none.
const ZONES: [&str; 9] = [
    "Europe/Berlin",
    "America/New_York",
    "America/St_Johns",
    "America/Havana",
    "America/Sao_Paulo",
    "Australia/Lord_Howe",
    "Pacific/Apia",
    "Asia/Kathmandu",
    "UTC",
];

/// Minute by minute through several days: a block opens when the clock first shows its start or later, and
/// closes when it first shows its end or later.
fn reference(zone: &TimeZone, hours: &[WeeklyHours], from: Timestamp, minutes: usize) -> Vec<bool> {
    let step = |count: usize| from.checked_add(SignedDuration::from_mins(count as i64)).unwrap();
    let local: Vec<_> = (0..minutes).map(|count| zone.to_datetime(step(count))).collect();
    let mut open = vec![false; minutes];
    let mut date = local[0].date();
    let last = local.iter().map(|local| local.date()).max().unwrap();
    while date <= last {
        let weekday = u8::try_from(date.weekday().to_monday_one_offset()).unwrap();
        for block in hours.iter().filter(|block| block.days.contains(&weekday)) {
            let first = |minute: u16| {
                let shown = date.at(0, 0, 0, 0).checked_add(i64::from(minute).minutes()).unwrap();
                local.iter().position(|local| *local >= shown).unwrap_or(minutes)
            };
            let (start, end) = (first(block.start_minute), first(block.end_minute));
            open.iter_mut().take(end).skip(start).for_each(|slot| *slot = true);
        }
        date = date.tomorrow().unwrap();
    }
    open
}

fn any_hours() -> impl Strategy<Value = Vec<WeeklyHours>> {
    let block = (proptest::collection::vec(1_u8..=7, 1..7), 0_u16..1440, 1_u16..=1440)
        .prop_map(|(days, a, b)| WeeklyHours { days, start_minute: a.min(b - 1), end_minute: b.max(a + 1) });
    proptest::collection::vec(block, 1..5)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn fm_082_hours_agree_with_a_walk_minute_by_minute(
        zone in 0_usize..ZONES.len(),
        hours in any_hours(),
        year in 2000_i16..2030,
        pick in 0_usize..4,
        probe in 1_500_usize..5_000,
        more in 0_usize..3_000,
    ) {
        let name = ZONES[zone];
        let tz = TimeZone::get(name).unwrap();
        let calendar = Calendar::from_weekly(name, &hours).unwrap();
        // Around a change of clocks where the zone has one in these years, at local midnight two days before.
        let start = jiff::civil::date(year, 1, 1).to_zoned(tz.clone()).unwrap().timestamp();
        let change = tz.following(start).nth(pick).map_or(start, |change| change.timestamp());
        let midnight = tz.to_datetime(change).date().checked_sub(2.days()).unwrap();
        let from = tz.to_timestamp(midnight.at(0, 0, 0, 0)).unwrap();
        let minutes = 9 * 1_440;
        let open = reference(&tz, &hours, from, minutes);
        let instant = |count: usize| from.checked_add(SignedDuration::from_mins(count as i64)).unwrap();

        // The walk starts at a midnight, so its first day is complete.
        for count in (0..minutes - 1_440).step_by(7).chain(probe..probe + 130) {
            prop_assert_eq!(calendar.is_open(instant(count)), open[count], "{} {}", name, instant(count));
        }
        let inside = |index: Option<usize>| index.filter(|index| *index < minutes - 1_440);
        if let Some(next) = inside((probe..minutes).find(|count| open[*count])) {
            prop_assert_eq!(calendar.next_opening(instant(probe)), Some(instant(next)));
        }
        if let Some(next) = inside((probe..minutes).find(|count| !open[*count])) {
            prop_assert_eq!(calendar.next_closing(instant(probe)), Some(instant(next)));
        }
        let worked = open[probe..probe + more].iter().filter(|open| **open).count();
        let time = Duration::from_secs(60 * worked as u64);
        prop_assert_eq!(calendar.business_time(instant(probe), instant(probe + more)), time);
        let done = calendar.add_business(instant(probe), time).unwrap();
        prop_assert!(done <= instant(probe + more));
        prop_assert_eq!(calendar.business_time(instant(probe), done), time);
        if worked > 0 {
            let before = done.checked_sub(SignedDuration::from_mins(1)).unwrap();
            prop_assert!(calendar.business_time(instant(probe), before) < time);
        }
    }
}
