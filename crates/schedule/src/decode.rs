//! Calendars as admins write them.
//!
//! ```yaml
//! time_zone: Europe/Berlin
//! hours: { mon-thu: "09:00-17:30", fri: "09:00-12:00, 13:00-15:00" }
//! ```

use jiff::tz::TimeZone;
use usher_document::{Cursor, Decode, Diagnostic, Located};

use crate::Calendar;
use crate::week::{Block, MINUTES_A_DAY, Week};

const DAYS: [(&str, &str); 7] = [
    ("mon", "monday"),
    ("tue", "tuesday"),
    ("wed", "wednesday"),
    ("thu", "thursday"),
    ("fri", "friday"),
    ("sat", "saturday"),
    ("sun", "sunday"),
];

impl Decode for Calendar {
    fn decode(at: &Cursor<'_>) -> Option<Self> {
        let mut map = at.map()?;
        map.not_in_this_version(&["holidays"]);
        let zone = map.required_at("time_zone").and_then(|at| time_zone(&at));
        let week = map.required::<Week>("hours");
        map.finish();
        Some(Self::new(zone?, week?))
    }
}

fn time_zone(at: &Cursor<'_>) -> Option<TimeZone> {
    let name = at.text()?;
    let zone = TimeZone::get(name).ok();
    if zone.is_none() {
        let near: Vec<String> = jiff::tz::db().available().map(|name| name.to_string()).collect();
        let near = usher_document::nearest(name, near.iter().map(String::as_str));
        at.error("unknown-time-zone", format!("`{name}` is no known time zone"))
            .found(name)
            .allowed(name, near)
            .hint("use an IANA name such as Europe/Berlin or America/New_York")
            .report();
    }
    zone
}

impl Decode for Week {
    fn decode(at: &Cursor<'_>) -> Option<Self> {
        let mut map = at.map()?;
        let entries = map.entries();
        let mut week = Self::default();
        let mut named: [Option<String>; 7] = Default::default();
        let mut fine = true;
        for (key, at) in &entries {
            let blocks = at.text().and_then(|text| blocks(at, text));
            let days = days(at, key);
            let (Some(blocks), Some(days)) = (blocks, days) else {
                fine = false;
                continue;
            };
            for day in days {
                if let Some(before) = named[day].replace(key.value.clone()) {
                    duplicate(at, key, DAYS[day].0, &before);
                    fine = false;
                }
                week.set(day, blocks.clone());
            }
        }
        if entries.is_empty() {
            at.error("no-hours", "a calendar without hours is never open")
                .hint("write at least one day, as in `mon-fri: \"09:00-17:00\"`")
                .report();
            fine = false;
        }
        fine.then_some(week)
    }
}

fn duplicate(at: &Cursor<'_>, key: &Located<String>, day: &str, before: &str) {
    let message = format!("`{day}` has hours already, by `{before}`");
    at.diagnostics().push(
        Diagnostic::error("duplicate-day", &key.place, message)
            .help("write several blocks of one day in one line, as in \"09:00-12:00, 13:00-17:00\""),
    );
}

/// The days named by a key such as `mon`, `mon-thu` or `mon, wed`; Monday is 0.
fn days(at: &Cursor<'_>, key: &Located<String>) -> Option<Vec<usize>> {
    let mut list = Vec::new();
    for part in key.value.split(',') {
        let (from, to) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (day(at, key, from)?, day(at, key, to)?);
        // A range may run over the end of the week: `sat-mon`.
        let count = (last + 7 - first) % 7;
        list.extend((0..=count).map(|step| (first + step) % 7));
    }
    Some(list)
}

fn day(at: &Cursor<'_>, key: &Located<String>, name: &str) -> Option<usize> {
    let name = name.trim().to_lowercase();
    let found = DAYS.iter().position(|(short, long)| name == *short || name == *long);
    if found.is_none() {
        let message = format!("`{name}` is no weekday");
        at.diagnostics().push(
            Diagnostic::error("unknown-day", &key.place, message)
                .found(&key.value)
                .allowed(&name, DAYS.map(|(short, _)| short))
                .help("write a day or a range, as in `mon-thu`"),
        );
    }
    found
}

fn blocks(at: &Cursor<'_>, text: &str) -> Option<Vec<Block>> {
    let mut list: Vec<Block> = Vec::new();
    let mut offset = 0;
    for part in text.split(',') {
        let block = block(part).and_then(|block| {
            let overlaps = list.iter().any(|other| block.start < other.end && other.start < block.end);
            if overlaps { Err("it overlaps an earlier block".to_owned()) } else { Ok(block) }
        });
        match block {
            Ok(block) => list.push(block),
            Err(why) => {
                let place =
                    at.place().within(offset + part.len() - part.trim_start().len(), part.trim().len());
                let message = format!("expected hours such as `09:00-17:30`: {why}");
                let help = "several blocks are separated by commas; leave out days that are closed";
                at.diagnostics()
                    .push(Diagnostic::error("bad-hours", &place, message).found(part.trim()).help(help));
                return None;
            }
        }
        offset += part.len() + 1;
    }
    Some(list)
}

fn block(part: &str) -> Result<Block, String> {
    let part = part.trim();
    let (from, to) = part.split_once(['-', '–']).ok_or_else(|| format!("`{part}` has no `-`"))?;
    let (start, end) = (minute(from)?, minute(to)?);
    if start == end {
        return Err(format!("`{part}` is empty"));
    }
    if start > end {
        return Err(format!(
            "`{part}` ends before it starts; hours over midnight are written as `22:00-24:00` and, the next day, `00:00-06:00`"
        ));
    }
    Ok(Block { start, end })
}

/// Minutes after midnight of `H:MM` or `HH:MM`, up to `24:00`.
fn minute(text: &str) -> Result<u16, String> {
    let text = text.trim();
    let no_time = || format!("`{text}` is no time of day");
    let (hours, minutes) = text.split_once(':').ok_or_else(no_time)?;
    let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if !matches!(hours.len(), 1 | 2) || minutes.len() != 2 || !digits(hours) || !digits(minutes) {
        return Err(no_time());
    }
    let hours: u16 = hours.parse().map_err(|_| no_time())?;
    let minutes: u16 = minutes.parse().map_err(|_| no_time())?;
    let total = hours * 60 + minutes;
    if minutes > 59 || total > MINUTES_A_DAY {
        return Err(no_time());
    }
    Ok(total)
}
