//! The book of alerts: told once, over only when it is, and the same after a restart.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use super::book::{Book, NoticeKind};

fn at(seconds: i64) -> Timestamp {
    Timestamp::UNIX_EPOCH + SignedDuration::from_secs(1_790_000_000 + seconds)
}

fn conditions(keys: &[&str]) -> BTreeMap<String, String> {
    keys.iter().map(|key| ((*key).to_owned(), format!("{key} is wrong"))).collect()
}

/// Sends what is due; (key, raised?) each.
fn send(book: &mut Book, now: i64) -> Vec<(String, bool)> {
    let due = book.due(at(now));
    book.told(&due, at(now));
    due.into_iter().map(|notice| (notice.key, notice.status == NoticeKind::Raised)).collect()
}

fn told(key: &str, raised: bool) -> Vec<(String, bool)> {
    vec![(key.to_owned(), raised)]
}

#[test]
fn an_alert_is_told_once_and_its_end_once() {
    let mut book = Book::default();
    book.enter(conditions(&["held/form"]), at(0));
    assert_eq!(send(&mut book, 0), told("held/form", true));
    for now in (5..600).step_by(5) {
        book.enter(conditions(&["held/form"]), at(now));
        assert_eq!(send(&mut book, now), [], "at {now}");
    }
    for now in (600..655).step_by(5) {
        book.enter(conditions(&[]), at(now));
        assert_eq!(send(&mut book, now), [], "it may be back in a moment: {now}");
    }
    book.enter(conditions(&[]), at(660));
    assert_eq!(send(&mut book, 660), told("held/form", false));
    book.enter(conditions(&[]), at(9_000));
    assert_eq!(send(&mut book, 9_000), []);
}

#[test]
fn what_comes_and_goes_is_one_alert_and_never_a_flood() {
    let mut book = Book::default();
    let mut notices = 0;
    for now in (0..3_600).step_by(5) {
        let holds = now % 40 < 20;
        book.enter(conditions(if holds { &["step/deliver"] } else { &[] }), at(now));
        notices += send(&mut book, now).len();
    }
    assert_eq!(notices, 1);
    // Even one that is over for a while each time is told every five minutes at most.
    let mut book = Book::default();
    let mut notices = 0;
    for now in (0..3_600).step_by(5) {
        book.enter(conditions(if now % 200 < 100 { &["step/deliver"] } else { &[] }), at(now));
        notices += send(&mut book, now).len();
    }
    assert!((2..=12).contains(&notices), "{notices}");
}

#[test]
fn a_restart_neither_repeats_nor_forgets() {
    let mut book = Book::default();
    book.enter(conditions(&["held/form"]), at(0));
    send(&mut book, 0);
    book.enter(conditions(&["held/form", "counts"]), at(10));
    let stored = book.unstored();
    assert_eq!(stored.len(), 2);
    book.stored(at(10));
    assert!(book.unstored().is_empty());

    // The process dies before it told of the counts; the hold is released while nobody looks.
    let mut book = Book::default();
    book.load(stored);
    book.enter(conditions(&["counts"]), at(500));
    assert_eq!(send(&mut book, 500), told("counts", true));
    book.enter(conditions(&["counts"]), at(560));
    assert_eq!(send(&mut book, 560), told("held/form", false));
}

#[test]
fn what_did_not_arrive_is_due_again() {
    let mut book = Book::default();
    book.enter(conditions(&["storage"]), at(0));
    assert_eq!(book.due(at(0)).len(), 1);
    assert_eq!(book.due(at(60)).len(), 1, "nobody said that it arrived");
    // It was over before anybody could be told: one notice says both.
    book.enter(conditions(&[]), at(100));
    book.enter(conditions(&[]), at(200));
    let due = book.due(at(200));
    assert_eq!((due.len(), due[0].status, due[0].since), (1, NoticeKind::Recovered, at(0)));
    assert_eq!(due[0].until, Some(at(100)));
}

#[test]
fn a_message_holds_no_more_than_twenty_and_the_next_one_the_rest() {
    let mut book = Book::default();
    let keys: Vec<String> = (0..30).map(|n| format!("held/form-{n}")).collect();
    book.enter(conditions(&keys.iter().map(String::as_str).collect::<Vec<_>>()), at(0));
    assert_eq!(send(&mut book, 0).len(), 20);
    assert_eq!(send(&mut book, 10).len(), 10);
    assert_eq!(send(&mut book, 20), []);
}

#[test]
fn what_is_long_over_is_forgotten() {
    let mut book = Book::default();
    book.enter(conditions(&["clock"]), at(0));
    send(&mut book, 0);
    book.enter(conditions(&[]), at(400));
    book.enter(conditions(&[]), at(460));
    send(&mut book, 800);
    let week = 7 * 24 * 3_600;
    book.enter(conditions(&["storage"]), at(900 + week));
    book.stored(at(900 + week));
    assert!(book.due(at(900 + week)).iter().all(|notice| notice.key == "storage"));
}
