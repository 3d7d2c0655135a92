//! What exports do to files: encodings, delimiters, quotes, headers, ragged rows.

use serde_json::{Value, json};

use super::{Disk, csv, read, read_from};

fn utf16(text: &str, low_first: bool) -> Vec<u8> {
    text.encode_utf16()
        .flat_map(|unit| if low_first { unit.to_le_bytes() } else { unit.to_be_bytes() })
        .collect()
}

#[tokio::test]
async fn a_list_as_a_spreadsheet_saves_it() {
    let read = csv(include_bytes!("../../fixtures/fair.csv")).await;
    let expected: Vec<Value> = serde_json::from_str(include_str!("../../fixtures/fair.json")).unwrap();
    assert_eq!(read.payloads(), expected);
    assert_eq!(read.reasons.len(), 2, "{:?}", read.reasons);
    assert!(read.reasons[0].contains("`Notiz` more than once"));
    assert!(
        read.reasons[1].starts_with("a.csv: line 4 has 9 cells but the header has 7"),
        "{:?}",
        read.reasons
    );
}

#[tokio::test]
async fn everything_is_text_and_empty_cells_are_left_out() {
    let read = csv("zip,phone,empty,n,flag\n01067,+49 30 1,,1.50,true\n").await;
    assert_eq!(
        read.payloads(),
        [json!({ "zip": "01067", "phone": "+49 30 1", "n": "1.50", "flag": "true" })]
    );
    assert!(read.reasons.is_empty());
    let record = &read.records[0];
    assert!(
        record.external_id.as_str().starts_with("a.csv:") && !record.imported && record.created_at.is_none()
    );
}

#[tokio::test]
async fn encodings_read_the_same() {
    let text = "name,city\nZoë,Köln\nŽofie,\"a\nb\"\n";
    let cp1252: &[u8] = b"name,city\nZo\xeb,K\xf6ln\n\x8eofie,\"a\nb\"\n";
    let expected = vec![json!({ "name": "Zoë", "city": "Köln" }), json!({ "name": "Žofie", "city": "a\nb" })];
    let marked = |mark: &[u8], rest: Vec<u8>| [mark, &rest].concat();
    for (name, bytes) in [
        ("UTF-8", text.as_bytes().to_vec()),
        ("UTF-8 with mark", marked(b"\xef\xbb\xbf", text.as_bytes().to_vec())),
        ("UTF-16LE", marked(b"\xff\xfe", utf16(text, true))),
        ("UTF-16BE", marked(b"\xfe\xff", utf16(text, false))),
        ("UTF-16LE without mark", utf16(text, true)),
        ("UTF-16BE without mark", utf16(text, false)),
        ("Windows-1252", cp1252.to_vec()),
    ] {
        let read = csv(bytes).await;
        assert_eq!(read.payloads(), expected, "{name}");
        assert!(read.reasons.is_empty(), "{name}");
    }
    let forced =
        read_from(&Disk::with("a.csv", "n\nK\u{f6}ln\n"), "path: leads\nencoding: windows-1252\n", None)
            .await;
    assert_eq!(forced.payloads(), [json!({ "n": "K\u{c3}\u{b6}ln" })]);
}

#[tokio::test]
async fn rows_of_utf16_and_windows_1252_resume_exactly() {
    let mut text = String::from("name;note\r\n");
    for index in 0..1_300 {
        text.push_str(&format!("ä{index};\"😀 é\r\n{index}\"\r\n"));
    }
    for bytes in [[b"\xff\xfe".to_vec(), utf16(&text, true)].concat(), text.clone().into_bytes()] {
        let read = csv(bytes).await;
        assert_eq!(read.ids().len(), 1_300);
        assert_eq!((read.records.len(), read.reasons.len(), read.steps), (1_300, 0, 3));
        assert_eq!(read.payloads()[1_299], json!({ "name": "ä1299", "note": "😀 é\r\n1299" }));
    }
}

#[tokio::test]
async fn delimiters_and_line_breaks_are_found() {
    for delimiter in [",", ";", "\t", "|"] {
        for line_break in ["\n", "\r\n", "\r"] {
            let text = ["a;b".replace(';', delimiter), "1;\"x, y\"".replace(';', delimiter), String::new()];
            let read = csv(text.join(line_break)).await;
            assert_eq!(read.payloads(), [json!({ "a": "1", "b": "x, y" })], "{delimiter:?} {line_break:?}");
        }
    }
    assert_eq!(csv("sep=;\r\na;b,c\r\n1;2\r\n").await.payloads(), [json!({ "a": "1", "b,c": "2" })]);
    assert_eq!(csv("\"a;b;c\",d\n1,2\n").await.payloads(), [json!({ "a;b;c": "1", "d": "2" })]);
    assert_eq!(csv("mail\nx; y\n").await.reasons.len(), 0);
    let forced =
        read_from(&Disk::with("a.csv", "a,b;c\n1,2;3\n"), "path: leads\ndelimiter: \";\"\n", None).await;
    assert_eq!(forced.payloads(), [json!({ "a,b": "1,2", "c": "3" })]);
}

#[tokio::test]
async fn headers_are_made_different_and_that_is_reported() {
    let read = csv(" mail ,name,name,,name_2,\n1,2,3,4,5,6\n").await;
    let expected =
        json!({ "mail": "1", "name": "2", "name_3": "3", "column_4": "4", "name_2": "5", "column_6": "6" });
    assert_eq!(read.payloads(), [expected]);
    assert_eq!(read.reasons.len(), 1);
    assert!(
        read.reasons[0].contains("`name` more than once: the later one is read as `name_3`"),
        "{:?}",
        read.reasons
    );
}

#[tokio::test]
async fn ragged_rows_are_missing_cells_or_bad_rows() {
    let read = csv("a,b,c\n1,2\n1,2,3,4\n\n,,\n5,6,7,,,\n\"x\ny\",2,3,4\n8,9,0\n").await;
    let payloads = read.payloads();
    assert_eq!(payloads[0], json!({ "a": "1", "b": "2" }));
    assert_eq!(payloads[1], json!({ "a": "5", "b": "6", "c": "7" }), "empty cells too many are harmless");
    assert_eq!(payloads[2], json!({ "a": "8", "b": "9", "c": "0" }));
    assert_eq!(payloads.len(), 3);
    assert_eq!(read.reasons.len(), 2);
    assert!(
        read.reasons[0].starts_with("a.csv: line 3 has 4 cells but the header has 3: put"),
        "{:?}",
        read.reasons
    );
    assert!(read.reasons[1].starts_with("a.csv: lines 7 to 8 have 4 cells"), "{:?}", read.reasons);
}

#[tokio::test]
async fn a_quote_that_is_never_closed_costs_its_own_line_only() {
    let read = csv("a,b\n1,2\n3,\"oops\n4,5\n6,7\n").await;
    assert_eq!(
        read.payloads(),
        [json!({"a": "1", "b": "2"}), json!({"a": "4", "b": "5"}), json!({"a": "6", "b": "7"})]
    );
    assert!(read.reasons[0].contains("line 3 opens a quote"), "{:?}", read.reasons);
    let inch = csv("a,b\n1,5\" pipe\n").await;
    assert_eq!(inch.payloads(), [json!({ "a": "1", "b": "5\" pipe" })]);
    // Larger than any chunk.
    let mut large = String::from("a,b\n3,\"oops\n");
    while large.len() < 9 * 1024 * 1024 {
        large.push_str(&"x".repeat(1_000_000));
        large.push('\n');
    }
    large.push_str("4,5\n");
    let read = csv(&large).await;
    assert!(read.reasons[0].contains("line 2 opens a quote"));
    assert_eq!(read.payloads().last(), Some(&json!({ "a": "4", "b": "5" })));
}

#[tokio::test]
async fn files_that_are_no_tables_are_reported_and_harm_no_others() {
    let disk = Disk::with("b.csv", "a\n1\n");
    disk.write("a.xlsx", b"PK\x03\x04", 0);
    disk.write("c.csv", b"PK\x03\x04\x00\x00, \x00\n\x00", 0);
    disk.write("d.csv", format!("\"{}", "x".repeat(70_000)), 0);
    disk.write("e.csv", "", 0);
    disk.write("notes.md", "# no", 0);
    let first = read(&disk).await;
    assert_eq!(first.payloads(), [json!({ "a": "1" })]);
    let words =
        ["a.xlsx: this is a spreadsheet", "c.csv: the file is no text", "d.csv: the header does not end"];
    assert_eq!(first.reasons.len(), 3, "{:?}", first.reasons);
    for (reason, word) in first.reasons.iter().zip(words) {
        assert!(reason.starts_with(word), "{reason}");
    }
    let again = read_from(&disk, "path: leads\n", first.cursor).await;
    assert_eq!((again.records.len(), again.reasons.len()), (0, 0));
}

#[tokio::test]
async fn a_column_names_the_rows() {
    let disk = Disk::with("a.csv", "Ticket,n\nT-1,a\n,b\nT-1,c\n");
    let read = read_from(&disk, "path: leads\nid: Ticket\n", None).await;
    assert_eq!(read.ids().into_iter().collect::<Vec<_>>(), ["T-1"]);
    assert_ne!(read.records[0].revision, read.records[1].revision);
    assert!(read.reasons[0].contains("line 3 has nothing in the column"), "{:?}", read.reasons);
    let without = read_from(&disk, "path: leads\nid: ticket\n", None).await;
    assert_eq!((without.records.len(), without.reasons.len()), (0, 1));
    assert!(without.reasons[0].contains("no column `ticket`"));
}

#[tokio::test]
async fn json_lines_are_read_one_by_one() {
    let text = "\u{feff}{\"id\": 12345678901234567890123, \"zip\": \"01067\"}\r\n\n[1]\n{\"a\":\n{\"id\": \"x\", \"n\": 1.10}";
    let disk = Disk::with("a.jsonl", text);
    let all = read(&disk).await;
    assert_eq!(all.records.len(), 2);
    assert_eq!(all.records[1].payload.get(), r#"{"id": "x", "n": 1.10}"#, "numbers keep their digits");
    assert_eq!(all.reasons.len(), 2);
    assert!(all.reasons[0].starts_with("a.jsonl: line 3 is no JSON object"), "{:?}", all.reasons);
    assert!(all.reasons[1].starts_with("a.jsonl: line 4"));
    let named = read_from(&disk, "path: leads\nid: id\n", None).await;
    assert!(named.ids().contains("x"));
    assert!(Disk::with("a.jsonl", "{}").files.lock().unwrap().len() == 1);
    let nameless = read_from(&Disk::with("a.jsonl", "{}\n"), "path: leads\nid: id\n", None).await;
    assert!(nameless.reasons[0].contains("line 1 has no text or number"), "{:?}", nameless.reasons);
}

#[tokio::test]
async fn fm_088_odd_texts_pass_unchanged_and_nothing_panics() {
    let texts =
        ["\u{202e}abc", "a\u{200b}b", "<b>x</b>", "👩‍👩‍👧", "e\u{301} \u{e9}", " x ", &"y".repeat(100_000)];
    let body: String = texts.iter().map(|text| format!("\"{text}\"\n")).collect();
    let read = csv(format!("note\n{body}")).await;
    let expected: Vec<Value> = texts.iter().map(|text| json!({ "note": text })).collect();
    assert_eq!(read.payloads(), expected);
    let mut seed = 7_u64;
    for round in 0..400 {
        let mut next = || {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            usize::try_from(seed >> 40).unwrap()
        };
        const PARTS: [&[u8]; 12] = [
            b"\"",
            b",",
            b"\n",
            b"\r\n",
            b"a",
            b"\xff",
            b"\xfe",
            b"\x00",
            b";",
            "é".as_bytes(),
            b"{",
            b"\xef\xbb\xbf",
        ];
        let bytes: Vec<u8> = (0..next() % 60).flat_map(|_| PARTS[next() % PARTS.len()].to_vec()).collect();
        let disk = Disk::with(if round % 2 == 0 { "a.csv" } else { "a.jsonl" }, bytes);
        let _ = super::read(&disk).await;
    }
}
