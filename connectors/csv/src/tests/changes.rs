//! Files that change: appended, rewritten, half written, taken away; and steps that are killed.

use std::path::PathBuf;

use jiff::Timestamp;
use serde_json::json;
use usher_connector::{Cursor, FaultClass, Pull};

use super::{Disk, NOW, ask, read, read_from, source};

const YAML: &str = "path: leads\n";

#[tokio::test]
async fn steps_are_bounded_and_a_kill_repeats_at_most_one() {
    let rows: String = (0..1_750).map(|n| format!("{n}@acme.example\n")).collect();
    let disk = Disk::with("a.csv", format!("mail\n{rows}"));
    let whole = read(&disk).await;
    assert_eq!((whole.ids().len(), whole.records.len(), whole.steps), (1_750, 1_750, 4));
    // The same cursor twice, as after a kill before the commit, gives the same rows.
    let first = source(&disk, YAML).pull(&ask(None)).await.unwrap();
    let second = source(&disk, YAML).pull(&ask(Some(first.next.clone()))).await.unwrap();
    let again = source(&disk, YAML).pull(&ask(Some(first.next))).await.unwrap();
    assert_eq!(second.records, again.records);
    assert_eq!(second.records.len(), 500);
}

#[tokio::test]
async fn an_unchanged_folder_costs_nothing() {
    let disk = Disk::with("a.csv", "mail\na\n");
    disk.write("b.csv", "mail\nb\n", 0);
    let first = read(&disk).await;
    assert_eq!(first.records.len(), 2);
    disk.denied.lock().unwrap().extend([PathBuf::from("leads/a.csv"), PathBuf::from("leads/b.csv")]);
    let again = read_from(&disk, YAML, first.cursor.clone()).await;
    assert_eq!((again.records.len(), again.cursor), (0, first.cursor), "not even opened");
}

#[tokio::test]
async fn an_appended_file_goes_on_where_it_was_left() {
    let disk = Disk::with("a.csv", "mail\na\nb\n");
    let first = read(&disk).await;
    disk.append("a.csv", "c\n", NOW - 30_000);
    let second = read_from(&disk, YAML, first.cursor).await;
    assert_eq!(second.payloads(), [json!({ "mail": "c" })]);
    disk.append("a.csv", "d,e\n", NOW - 20_000);
    let third = read_from(&disk, YAML, second.cursor).await;
    assert!(third.reasons[0].contains("line 5 has 2 cells"), "{:?}", third.reasons);
}

#[tokio::test]
async fn a_rewritten_file_is_read_again_and_keeps_the_ids_of_its_rows() {
    let rows: String = (0..300).map(|n| format!("{n}@acme.example\n")).collect();
    let disk = Disk::with("a.csv", format!("mail\n{rows}"));
    let first = read(&disk).await;
    // One row more on top, which moves all others.
    disk.write("a.csv", format!("mail\nnew@acme.example\n{rows}"), NOW - 30_000);
    let second = read_from(&disk, YAML, first.cursor.clone()).await;
    assert_eq!(second.records.len(), 301);
    let known: std::collections::HashSet<_> =
        first.records.iter().map(|record| (record.external_id.clone(), record.revision.clone())).collect();
    let fresh = second
        .records
        .iter()
        .filter(|record| !known.contains(&(record.external_id.clone(), record.revision.clone())));
    assert_eq!(fresh.count(), 1);
    // One row changed in the middle, size unchanged.
    disk.write(
        "a.csv",
        format!("mail\nnew@acme.example\n{}", rows.replace("150@acme", "150@emca")),
        NOW - 20_000,
    );
    let third = read_from(&disk, YAML, second.cursor.clone()).await;
    assert!(third.payloads().contains(&json!({ "mail": "150@emca.example" })));
    // Shorter than before.
    disk.write("a.csv", "mail\nz\n", NOW - 10_000);
    assert_eq!(read_from(&disk, YAML, third.cursor).await.payloads(), [json!({ "mail": "z" })]);
}

#[tokio::test]
async fn a_corrected_header_makes_new_records() {
    let disk = Disk::with("a.csv", "mial\na\n");
    let first = read(&disk).await;
    disk.write("a.csv", "mail\na\n", NOW - 30_000);
    let second = read_from(&disk, YAML, first.cursor).await;
    assert_eq!(second.payloads(), [json!({ "mail": "a" })]);
    assert_ne!(first.records[0].revision, second.records[0].revision);
}

#[tokio::test]
async fn a_last_row_without_line_break_waits_until_the_file_rests() {
    for (name, head, half, rest) in
        [("a.csv", "mail,n\na,1\n", "b,", "2\n"), ("a.jsonl", "{\"n\":1}\n", "{\"n\":2", "2}\n")]
    {
        let disk = Disk::with(name, "");
        disk.write(name, format!("{head}{half}"), NOW - 500);
        let first = read(&disk).await;
        assert_eq!((first.records.len(), first.reasons.len(), first.steps), (1, 0, 1), "{name}");
        disk.append(name, rest, NOW - 100);
        let second = read_from(&disk, YAML, first.cursor.clone()).await;
        assert_eq!((second.records.len(), second.reasons.len()), (1, 0), "{name}");
        // Left alone instead: then it is complete.
        let disk = Disk::with("other.csv", "n\n");
        disk.write(name, format!("{head}{half}"), NOW - 500);
        let waiting = read(&disk).await;
        let later = Pull { now: Timestamp::from_millisecond(NOW + 1_500).unwrap(), ..ask(waiting.cursor) };
        let taken = source(&disk, YAML).pull(&later).await.unwrap();
        assert_eq!((waiting.records.len(), taken.records.len() + taken.problems.len()), (1, 1), "{name}");
    }
}

#[tokio::test]
async fn a_row_that_was_taken_without_line_break_is_read_again_when_it_grows() {
    let disk = Disk::with("a.csv", "mail\na\nbo");
    let first = read(&disk).await;
    assert_eq!(first.payloads()[1], json!({ "mail": "bo" }));
    disk.append("a.csv", "b\nc\n", NOW - 30_000);
    let second = read_from(&disk, YAML, first.cursor).await;
    assert_eq!(second.payloads(), [json!({ "mail": "bob" }), json!({ "mail": "c" })]);
}

#[tokio::test]
async fn a_header_alone_waits_for_its_line_break() {
    let disk = Disk::with("a.csv", "mail,na");
    let first = read(&disk).await;
    assert_eq!((first.records.len(), first.reasons.len()), (0, 0));
    disk.append("a.csv", "me\na,b\n", NOW - 30_000);
    let second = read_from(&disk, YAML, first.cursor).await;
    assert_eq!(second.payloads(), [json!({ "mail": "a", "name": "b" })]);
}

#[tokio::test]
async fn many_files_are_read_in_bounded_steps_and_gone_ones_are_forgotten() {
    let disk = Disk::with("0.csv", "n\nx\n");
    for n in 0..150 {
        disk.write(&format!("f{n}.csv"), format!("n\n{n}\n"), 0);
    }
    let read = read(&disk).await;
    assert_eq!((read.ids().len(), read.steps), (151, 3));
    disk.files.lock().unwrap().retain(|path, _| path.ends_with("0.csv"));
    let after = read_from(&disk, YAML, read.cursor).await;
    assert_eq!(after.cursor.unwrap().state["files"].as_object().unwrap().len(), 1);
}

#[tokio::test]
async fn missing_and_forbidden_paths_say_what_to_do() {
    let disk = Disk::with("a.dat", "n\n1\n");
    let fails = |yaml: &'static str| {
        let source = source(&disk, yaml);
        async move { source.pull(&ask(None)).await.unwrap_err() }
    };
    let fault = fails("path: nowhere\n").await;
    assert_eq!(fault.class(), FaultClass::Misconfigured);
    assert_eq!(fault.to_string(), "`nowhere` does not exist; create it or correct `path`");
    assert_eq!(
        read_from(&disk, "path: leads/a.dat\n", None).await.records.len(),
        1,
        "a file that is named is read"
    );
    disk.denied.lock().unwrap().insert(PathBuf::from("leads/a.dat"));
    assert_eq!(fails("path: leads/a.dat\n").await.class(), FaultClass::Misconfigured);
}

#[tokio::test]
async fn a_cursor_of_another_version_is_refused() {
    let disk = Disk::with("a.csv", "n\n1\n");
    for cursor in
        [Cursor { version: 9, state: json!({}) }, Cursor { version: 1, state: json!({ "files": 7 }) }]
    {
        let fault = source(&disk, YAML).pull(&ask(Some(cursor))).await.unwrap_err();
        assert_eq!(fault.class(), FaultClass::Misconfigured);
    }
}
