//! The window helper against an in-memory vendor with lag, ties, page caps, changing rows and lies.
#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

const MS: SignedDuration = SignedDuration::from_millis(1);
const LIVE: Window =
    Window { overlap: SignedDuration::from_mins(2), hold_back: SignedDuration::ZERO, grain: MS };
const SWEEP: Window =
    Window { overlap: SignedDuration::from_mins(2), hold_back: SignedDuration::from_hours(1), grain: MS };

fn at(ms: i64) -> Timestamp {
    Timestamp::from_millisecond(1_790_000_000_000 + ms).unwrap()
}

type Rows = Vec<(Timestamp, ExternalId)>;

/// A vendor with a lagging index: (indexed time, id) → when the row becomes visible, and the time it shows.
#[derive(Default)]
struct Vendor {
    by_time: BTreeMap<(Timestamp, u64), (Timestamp, Timestamp)>,
    page: usize,
    requests: usize,
}

impl Vendor {
    fn new(page: usize) -> Self {
        Self { page, ..Self::default() }
    }

    fn put(&mut self, ms: i64, id: u64) {
        self.put_late(ms, id, 0);
    }

    fn put_late(&mut self, ms: i64, id: u64, lag_ms: i64) {
        self.by_time.insert((at(ms), id), (at(ms + lag_ms), at(ms)));
    }

    fn answer(&mut self, ask: &Ask, now: Timestamp) -> (Rows, bool) {
        self.requests += 1;
        let (from, to) = match ask {
            Ask::Range { from, to } => ((*from, 0), (*to, u64::MAX)),
            Ask::Ties { at, after } => {
                let after = after.as_ref().map_or(0, |id| id.as_str().parse::<u64>().unwrap() + 1);
                ((*at, after), (*at, u64::MAX))
            }
        };
        let mut found = self.by_time.range(from..=to).filter(|(_, (visible, _))| *visible <= now);
        let rows: Rows = found
            .by_ref()
            .take(self.page)
            .map(|((_, id), (_, shown))| (*shown, ExternalId::new(id.to_string())))
            .collect();
        (rows, found.next().is_some())
    }
}

/// Runs one pass to its end; answers the ids that it read.
fn pass(window: Window, state: &mut WindowState, vendor: &mut Vendor, now: Timestamp) -> Vec<u64> {
    let mut read = Vec::new();
    while let Some(ask) = window.ask(state, now) {
        let (rows, more) = vendor.answer(&ask, now);
        read.extend(rows.iter().map(|(_, id)| id.as_str().parse::<u64>().unwrap()));
        if window.absorb(state, &rows, more).unwrap().done {
            break;
        }
    }
    read
}

#[test]
fn fm_001_more_rows_than_any_result_cap_are_all_read_in_pages_of_their_own() {
    let mut vendor = Vendor::new(100);
    for id in 0..25_001 {
        vendor.put(i64::try_from(id / 3).unwrap(), id);
    }
    let mut state = WindowState::starting_at(at(0));
    let read = pass(LIVE, &mut state, &mut vendor, at(60_000));
    // No question has an offset at all, so the only thing to show is that nothing is left out, and at what cost.
    assert_eq!(read.iter().collect::<BTreeSet<_>>().len(), 25_001);
    assert!(vendor.requests <= 260, "{} requests", vendor.requests);
}

#[test]
fn fm_002_more_ties_than_the_cap_with_kills_in_their_midst() {
    let mut vendor = Vendor::new(200);
    (0..50_000).for_each(|id| vendor.put(5_000, id));
    vendor.put(5_001, 50_000);
    let mut stored = WindowState::starting_at(at(0));
    let (mut seen, mut pages, mut kills) = (BTreeSet::new(), 0_usize, 0_usize);
    let mut questions: BTreeMap<String, usize> = BTreeMap::new();
    loop {
        let mut state = stored.clone();
        let ask = LIVE.ask(&mut state, at(10_000)).unwrap();
        *questions.entry(format!("{ask:?}")).or_default() += 1;
        let (rows, more) = vendor.answer(&ask, at(10_000));
        let done = LIVE.absorb(&mut state, &rows, more).unwrap().done;
        pages += 1;
        if pages % 12 == 0 && kills < 20 {
            kills += 1;
            continue; // killed before the commit: rows and state are gone
        }
        seen.extend(rows.into_iter().map(|(_, id)| id));
        stored = serde_json::from_str(&serde_json::to_string(&state).unwrap()).unwrap();
        if done {
            break;
        }
    }
    assert_eq!((seen.len(), kills), (50_001, 20));
    assert!(questions.values().all(|times| *times <= 2), "a page is read twice only after a kill");
    assert_eq!(questions.values().filter(|times| **times == 2).count(), 20);
}

#[test]
fn fm_003_a_tie_written_after_its_page_is_read_later() {
    let mut vendor = Vendor::new(10);
    let mut state = WindowState::starting_at(at(0));
    let mut seen = BTreeSet::new();
    for poll in 0..100_u64 {
        let now = i64::try_from(poll * 1_000).unwrap();
        vendor.put(now, poll * 2);
        seen.extend(pass(LIVE, &mut state, &mut vendor, at(now)));
        vendor.put(now, poll * 2 + 1); // the same millisecond, just after the read
    }
    seen.extend(pass(LIVE, &mut state, &mut vendor, at(100_000)));
    assert_eq!(seen.len(), 200);
    // Once the overlap has passed, an empty poll reads nothing again.
    pass(LIVE, &mut state, &mut vendor, at(600_000));
    let before = vendor.requests;
    for poll in 0..100 {
        assert!(pass(LIVE, &mut state, &mut vendor, at(600_000 + poll)).is_empty());
    }
    assert_eq!(vendor.requests, before + 100);
}

#[test]
fn fm_004_index_lag_is_covered_by_overlap_and_sweep_and_the_mark_does_not_lag() {
    let mut vendor = Vendor::new(50);
    for id in 0..2_000_u64 {
        let lag = if id % 10 == 0 { id % 56 * 60_000 } else { id % 31 * 60_000 };
        vendor.put_late(i64::try_from(id).unwrap() * 1_000, id, i64::try_from(lag).unwrap());
    }
    let (mut live, mut sweep) = (WindowState::starting_at(at(0)), WindowState::starting_at(at(0)));
    let (mut seen_live, mut seen) = (BTreeSet::new(), BTreeSet::new());
    for minute in 0..=100 {
        let now = at(minute * 60_000);
        seen_live.extend(pass(LIVE, &mut live, &mut vendor, now));
        assert_eq!(live.mark(), now);
        seen.extend(pass(SWEEP, &mut sweep, &mut vendor, now));
    }
    assert!(seen_live.len() < 2_000, "the lag must be worse than the overlap for this to prove anything");
    assert_eq!(seen.len(), 2_000);
}

#[test]
fn fm_004_a_row_shown_late_but_within_the_overlap_is_read_by_the_next_poll() {
    let mut vendor = Vendor::new(50);
    vendor.put_late(29_000, 1, 90_000);
    let mut live = WindowState::starting_at(at(0));
    let mut seen = Vec::new();
    for poll in 0..=4 {
        seen.extend(pass(LIVE, &mut live, &mut vendor, at(poll * 30_000)));
    }
    assert_eq!(seen, [1], "visible at 119 s, when the mark stood at 90 s");
}

proptest! {
    #[test]
    fn fm_004_polling_every_second_loses_nothing_that_shows_within_the_overlap(
        rows in prop::collection::vec((0i64..300_000, 0i64..=120_000), 1..200), every in 200i64..40_000,
    ) {
        let mut vendor = Vendor::new(50);
        for (id, (ms, lag)) in (0_u64..).zip(&rows) {
            vendor.put_late(*ms, id, *lag);
        }
        let (mut live, mut seen) = (WindowState::starting_at(at(0)), BTreeSet::new());
        // Until the last row shows, and the next whole pass after it.
        for now in (0..=460_000 + every).step_by(usize::try_from(every).unwrap()) {
            seen.extend(pass(LIVE, &mut live, &mut vendor, at(now)));
            prop_assert_eq!(live.mark(), at(now));
            live = serde_json::from_str(&serde_json::to_string(&live).unwrap()).unwrap();
        }
        prop_assert_eq!(seen.len(), rows.len());
    }
}

#[test]
fn fm_009_polling_every_second_reads_a_row_ten_times_and_no_hundred_and_twenty() {
    let mut vendor = Vendor::new(200);
    (0..30_000).for_each(|id| vendor.put(i64::try_from(id).unwrap() * 20, id));
    let (mut live, mut read) = (WindowState::starting_at(at(0)), 0);
    for second in 0..=600 {
        let rows = pass(LIVE, &mut live, &mut vendor, at(second * 1_000));
        read += rows.len();
        // What shows at once is read by the next poll.
        let last = u64::try_from(second).unwrap() * 50;
        assert!(last > 29_999 || rows.contains(&last), "{second}");
    }
    assert!(read < 12 * 30_000, "{read}");
}

#[test]
fn a_position_stored_when_every_pass_was_whole_goes_on() {
    let before = format!(
        r#"{{"floor":"{0}","mark":"{1}","pass":{{"to":"{2}","from":"{1}"}}}}"#,
        at(0),
        at(200_000),
        at(230_000)
    );
    let mut state: WindowState = serde_json::from_str(&before).unwrap();
    assert_eq!(LIVE.ask(&mut state, at(231_000)), Some(Ask::Range { from: at(200_000), to: at(230_000) }));
    assert!(LIVE.absorb(&mut state, &[], false).unwrap().done);
    assert_eq!(LIVE.ask(&mut state, at(231_000)), Some(Ask::Range { from: at(225_000), to: at(231_000) }));
}

#[test]
fn fm_005_rows_committed_late_are_found_up_to_the_horizon() {
    let mut vendor = Vendor::new(50);
    for id in 0..1_000_u64 {
        let late = if id % 100 == 0 { i64::try_from(id).unwrap() * 1_200 } else { 0 }; // up to 20 min
        vendor.put_late(i64::try_from(id).unwrap() * 500, id, late);
    }
    let mut sweep = WindowState::starting_at(at(0));
    let mut seen = BTreeSet::new();
    for minute in 0..=90 {
        seen.extend(pass(SWEEP, &mut sweep, &mut vendor, at(minute * 60_000)));
    }
    assert_eq!(seen.len(), 1_000);
}

#[test]
fn fm_006_rows_that_move_between_pages_hide_no_others() {
    let mut vendor = Vendor::new(20);
    (0..2_000_u64).for_each(|id| vendor.put(i64::try_from(id).unwrap(), id));
    let mut state = WindowState::starting_at(at(0));
    let mut seen = BTreeSet::new();
    let mut page = 0_u64;
    for poll in 1..=3 {
        let now = at(poll * 10_000);
        while let Some(ask) = LIVE.ask(&mut state, now) {
            let (rows, more) = vendor.answer(&ask, now);
            seen.extend(rows.iter().map(|(_, id)| id.as_str().parse::<u64>().unwrap()));
            if LIVE.absorb(&mut state, &rows, more).unwrap().done {
                break;
            }
            // One of 20 rows is edited: it leaves its place and comes back at the end.
            let id = page * 37 % 2_000;
            page += 1;
            vendor.by_time.retain(|(_, have), _| *have != id);
            vendor.put(poll * 10_000 + i64::try_from(page).unwrap(), id);
        }
    }
    seen.extend(pass(LIVE, &mut state, &mut vendor, at(100_000)));
    assert_eq!(seen.len(), 2_000);
}

#[test]
fn fm_007_rows_outside_the_window_never_move_the_mark() {
    let mut vendor = Vendor::new(10);
    (0..100).for_each(|id| vendor.put(i64::try_from(id).unwrap() * 10, id));
    // Every tenth row was changed since the index saw it, and shows it; the first such is the last of its page.
    for ((_, id), (_, shown)) in &mut vendor.by_time {
        if id % 10 == 9 {
            *shown = at(9_000_000);
        }
    }
    let mut state = WindowState::starting_at(at(0));
    let mut seen = BTreeSet::new();
    while let Some(ask) = LIVE.ask(&mut state, at(2_000)) {
        let (rows, more) = vendor.answer(&ask, at(2_000));
        seen.extend(rows.iter().map(|(_, id)| id.clone()));
        let done = LIVE.absorb(&mut state, &rows, more).unwrap().done;
        assert!(state.mark() <= at(2_000));
        if done {
            break;
        }
    }
    assert_eq!((seen.len(), state.mark()), (100, at(2_000)));
}

#[test]
fn fm_008_a_state_that_was_not_stored_costs_a_page_and_loses_none() {
    let mut vendor = Vendor::new(10);
    (0..500).for_each(|id| vendor.put(i64::try_from(id / 4).unwrap(), id));
    for kill_at in 1..40 {
        let mut stored = WindowState::starting_at(at(0));
        let mut seen = BTreeSet::new();
        for step in 1.. {
            let mut state = stored.clone();
            let ask = LIVE.ask(&mut state, at(1_000)).unwrap();
            let (rows, more) = vendor.answer(&ask, at(1_000));
            let progress = LIVE.absorb(&mut state, &rows, more).unwrap();
            if step == kill_at {
                continue;
            }
            seen.extend(rows.into_iter().map(|(_, id)| id));
            stored = state;
            if progress.done {
                break;
            }
        }
        assert_eq!(seen.len(), 500, "killed at step {kill_at}");
    }
}

#[test]
fn fm_009_state_and_polls_stay_small_whatever_was_read() {
    let mut vendor = Vendor::new(200);
    (0..1_000_000).for_each(|id| vendor.put(0, id));
    let mut state = WindowState::starting_at(at(0));
    let size = |state: &WindowState| serde_json::to_string(state).unwrap().len();
    let mut largest = 0;
    while let Some(ask) = LIVE.ask(&mut state, at(1_000)) {
        let (rows, more) = vendor.answer(&ask, at(1_000));
        let done = LIVE.absorb(&mut state, &rows, more).unwrap().done;
        largest = largest.max(size(&state));
        if done {
            break;
        }
    }
    assert!(largest < 400, "{largest} bytes");
    assert!(vendor.requests <= 5_003, "{} requests", vendor.requests);
    let poll = |poll: i64| at(1_000_000 + poll * 30_000);
    // The first poll still looks back to the ties; then the mark has left them, though every window is empty.
    for number in 0..1_000 {
        let before = vendor.requests;
        pass(LIVE, &mut state, &mut vendor, poll(number));
        assert_eq!(state.mark(), poll(number));
        assert!(size(&state) < 400);
        assert!(number == 0 || vendor.requests == before + 1, "poll {number}");
    }
}

#[test]
fn fm_013_a_page_that_repeats_for_ever_fails_within_three_requests() {
    let mut vendor = Vendor::new(10);
    (0..1_000).for_each(|id| vendor.put(i64::try_from(id).unwrap(), id));
    let mut state = WindowState::starting_at(at(0));
    let mut repeated = Vec::new();
    for _ in 0..3 {
        let ask = LIVE.ask(&mut state, at(5_000)).unwrap();
        let (rows, more) = vendor.answer(&ask, at(5_000));
        LIVE.absorb(&mut state, &rows, more).unwrap();
        repeated = rows;
    }
    let failed = (1..=3).find(|_| {
        LIVE.ask(&mut state, at(5_000)).unwrap();
        LIVE.absorb(&mut state, &repeated, true).is_err()
    });
    assert!(failed.is_some());
    assert!(state.mark() < at(5_000), "a pass that failed is not complete");
    // So does one that ignores the ids within ties.
    let mut state = WindowState::starting_at(at(0));
    let ties: Rows = (0..10).map(|id| (at(7), ExternalId::new(id.to_string()))).collect();
    let failed = (1..=4).find(|_| {
        LIVE.ask(&mut state, at(5_000)).unwrap();
        LIVE.absorb(&mut state, &ties, true).is_err()
    });
    assert_eq!(failed, Some(4), "range to 7, range at 7, ties, and then the same ties");
    // And one that says "more" without showing anything.
    let mut state = WindowState::starting_at(at(0));
    LIVE.ask(&mut state, at(5_000)).unwrap();
    assert_eq!(LIVE.absorb(&mut state, &[], true), Err(Stalled));
}

#[test]
fn fm_015_shuffled_pages_with_repeats_are_read_whole() {
    let mut vendor = Vendor::new(30);
    (0..3_000).for_each(|id| vendor.put(i64::try_from(id / 7).unwrap(), id));
    let mut state = WindowState::starting_at(at(0));
    let mut seen = BTreeSet::new();
    let mut turn = 0;
    while let Some(ask) = LIVE.ask(&mut state, at(5_000)) {
        let (mut rows, more) = vendor.answer(&ask, at(5_000));
        turn += 1;
        let length = rows.len().max(1);
        rows.rotate_left(turn * 7 % length);
        rows.reverse();
        let repeats: Rows = rows.iter().step_by(10).cloned().collect();
        rows.extend(repeats);
        seen.extend(rows.iter().map(|(_, id)| id.clone()));
        if LIVE.absorb(&mut state, &rows, more).unwrap().done {
            break;
        }
    }
    assert_eq!(seen.len(), 3_000);
}

#[test]
fn a_changed_row_on_a_page_hides_no_rows_between() {
    // Ids 0..10 lie at 0..10 ms; row 2 shows a later time that is still within the pass.
    let page: Rows = (0..10)
        .map(|id: i64| (if id == 2 { at(500) } else { at(id) }, ExternalId::new(id.to_string())))
        .collect();
    let mut state = WindowState::starting_at(at(0));
    LIVE.ask(&mut state, at(1_000)).unwrap();
    LIVE.absorb(&mut state, &page, true).unwrap();
    let Some(Ask::Range { from, .. }) = LIVE.ask(&mut state, at(1_000)) else { panic!("a range goes on") };
    assert!(from > at(0) && from <= at(9), "goes on at {from}");
}

#[test]
fn nothing_before_the_start_is_asked_for() {
    let mut state = WindowState::starting_at(at(0));
    assert_eq!(SWEEP.ask(&mut state, at(3_599_999)), None);
    let ask = LIVE.ask(&mut state, at(10)).unwrap();
    assert_eq!(ask, Ask::Range { from: at(0), to: at(10) });
}

#[test]
fn a_clock_that_ran_ahead_stops_nothing_once_it_is_right() {
    let mut vendor = Vendor::new(10);
    let mut state = WindowState::starting_at(at(0));
    pass(LIVE, &mut state, &mut vendor, at(9_000_000));
    vendor.put(1_000, 1);
    assert_eq!(pass(LIVE, &mut state, &mut vendor, at(1_000)), [1]);
}

#[test]
fn a_position_of_an_unknown_version_is_refused() {
    let state = WindowState::starting_at(at(0));
    let mut cursor = state.to_cursor().unwrap();
    assert_eq!(WindowState::from_cursor(&cursor).unwrap(), state);
    cursor.version = 9;
    assert_eq!(WindowState::from_cursor(&cursor).unwrap_err().class(), FaultClass::Misconfigured);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Rows with random times, ties and delays below the horizon; polls at random times, killed at random.
    #[test]
    fn every_row_that_becomes_visible_is_read(
        rows in prop::collection::vec((0_i64..400, 0_i64..3_599), 1..120),
        steps in prop::collection::vec((1_i64..300, any::<bool>()), 1..40),
        page in 1_usize..7,
    ) {
        let mut vendor = Vendor::new(page);
        for (id, (second, lag)) in (0_u64..).zip(&rows) {
            vendor.put_late(second * 1_000, id, lag * 1_000);
        }
        let mut stored = [(LIVE, WindowState::starting_at(at(0))), (SWEEP, WindowState::starting_at(at(0)))];
        let mut seen = BTreeSet::new();
        let mut now = 0;
        let ends = [(8_000, false), (1, false)];
        for (seconds, killed) in steps.iter().copied().chain(ends) {
            now += seconds * 1_000;
            for (window, state) in &mut stored {
                let mut budget = 3_000;
                loop {
                    let mut next = state.clone();
                    let Some(ask) = window.ask(&mut next, at(now)) else { break };
                    let (page, more) = vendor.answer(&ask, at(now));
                    let progress = window.absorb(&mut next, &page, more).unwrap();
                    budget -= 1;
                    prop_assert!(budget > 0, "a pass must end");
                    if killed && budget % 2 == 0 {
                        break;
                    }
                    seen.extend(page.into_iter().map(|(_, id)| id));
                    *state = next;
                    if progress.done {
                        break;
                    }
                }
            }
        }
        prop_assert_eq!(seen.len(), rows.len());
    }
}
