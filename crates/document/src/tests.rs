//! Tests of the whole crate: wrong files and what is said about them.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use crate::{
    Cursor, Decode, Diagnostics, Located, OneOrMany, SecretRef, SourceFile, Value, load, load_into, nearest,
    parse, parse_duration, render,
};

fn file(text: &str) -> SourceFile {
    SourceFile::new("routing.yaml", text)
}

fn json(text: &str) -> serde_json::Value {
    parse(&file(text)).unwrap().to_json()
}

fn codes(text: &str) -> Vec<(&'static str, usize, usize)> {
    let problems = parse(&file(text)).unwrap_err();
    problems.iter().map(|one| (one.code, one.line, one.column)).collect()
}

#[test]
fn core_schema_keeps_norway_postcodes_and_long_ids() {
    let read = json(
        "[NO, no, yes, on, 01067, -007, 12345678901234567890, 1.10, 1e3, 0x1F, 0o17, 0, -5, .5, 1., 1_000, 2026-12-01, 08:30, ~, null, True, '12', !!str 12]",
    );
    let expected = serde_json::json!([
        "NO",
        "no",
        "yes",
        "on",
        "01067",
        "-007",
        "12345678901234567890",
        1.10,
        1000.0,
        31,
        15,
        0,
        -5,
        0.5,
        1.0,
        "1_000",
        "2026-12-01",
        "08:30",
        null,
        null,
        true,
        "12",
        "12"
    ]);
    assert_eq!(read, expected);
    assert_eq!(
        json("{NO: a, 1: b, true: c, 01: d}"),
        serde_json::json!({"NO": "a", "1": "b", "true": "c", "01": "d"})
    );
    assert_eq!(json(""), serde_json::Value::Null);
    assert_eq!(json("# only a comment\n"), serde_json::Value::Null);
}

#[test]
fn numbers_read_as_text_stay_as_written() {
    let texts: Vec<String> = load(&file("[1.10, 0815, 1e3, 4711]")).unwrap();
    assert_eq!(texts, ["1.10", "0815", "1e3", "4711"]);
}

#[test]
fn every_duplicate_key_is_reported_where_it_stands() {
    assert_eq!(
        codes("a: 1\nb: {c: 1, c: 2}\na: 2\n\"a\": 3\n"),
        [("duplicate-key", 2, 11), ("duplicate-key", 3, 1), ("duplicate-key", 4, 1)]
    );
}

#[test]
fn aliases_work_within_a_budget() {
    assert_eq!(json("a: &x [1, 2]\nb: *x\n"), serde_json::json!({"a": [1, 2], "b": [1, 2]}));
    let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..9 {
        let below = format!("*a{}", level - 1);
        bomb += &format!("a{level}: &a{level} [{}]\n", vec![below; 10].join(", "));
    }
    let found = codes(&bomb);
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0].0, "alias-budget");
    let used = |times: usize| {
        format!("a: &x [{}]\nb: [{}]\n", vec!["1"; 99].join(", "), vec!["*x"; times].join(", "))
    };
    assert!(parse(&file(&used(100))).is_ok());
    assert_eq!(codes(&used(101)).len(), 1);
    assert_eq!(codes("a: &a [*a]\n"), [("alias-cycle", 1, 8)]);
    assert_eq!(codes("a: *nobody\nb: *none\n"), [("unknown-alias", 1, 4), ("unknown-alias", 2, 4)]);
}

#[test]
fn depth_and_size_are_bounded() {
    assert_eq!(codes(&"[".repeat(100_000))[0].0, "syntax");
    assert_eq!(codes(&"- ".repeat(100_000))[0].0, "syntax");
    assert_eq!(codes(&"a".repeat((4 << 20) + 1))[0].0, "too-large");
}

#[test]
fn spans_count_characters_after_umlauts_and_byte_order_mark() {
    let source = file("\u{feff}größe: {äh: 'x''y', b: [1]}\n");
    let root = parse(&source).unwrap();
    let Value::Map(entries) = &root.value else { panic!("a map") };
    assert_eq!((entries[0].0.span.line, entries[0].0.span.column, entries[0].0.span.len), (1, 1, 5));
    let Value::Map(inner) = &entries[0].1.value else { panic!("a map") };
    assert_eq!((inner[0].1.span.column, inner[0].1.span.len), (13, 6));
    assert_eq!(source.slice(inner[0].1.span), "'x''y'");
    assert_eq!(source.slice(inner[1].1.span), "[1]");
}

#[test]
fn a_place_inside_a_text_points_through_quotes_escapes_and_folding() {
    let cases = [
        "when: lead.x == 1 && TARGET\n",
        "when: 'it''s && TARGET'\n",
        "when: \"a \\\"b\\\" \\u00e4\\t TARGET\"\n",
        "when: |\n  first\n    second\n\n  TARGET here\n",
        "rules:\n  when: |2- # why\n    TARGET\n".get(7..).unwrap(),
        "when:\n  first |\n  TARGET\n",
        "when: >-\n  first\n  second TARGET\n",
        "when: first\n  second\n  TARGET\n",
        "when: \"first\n\n  second \\\n  TARGET\"\n",
    ];
    for text in cases {
        let source = file(text);
        let node = parse(&source).unwrap();
        let log = Diagnostics::default();
        let when: Located<String> =
            Cursor::root(&source, &node, &log).map().unwrap().required("when").unwrap();
        let place = when.place.within(when.value.find("TARGET").unwrap(), 6);
        assert_eq!(source.slice(place.span), "TARGET", "{text}");
        assert_eq!(place.path, "when");
    }
}

#[test]
fn durations() {
    let seconds = |text| parse_duration(text).map(|duration| duration.as_secs());
    assert_eq!(seconds("30s"), Ok(30));
    assert_eq!(seconds("7d"), Ok(7 * 86_400));
    assert_eq!(seconds("1h30m"), Ok(5_400));
    assert_eq!(seconds("2w 1d"), Ok(15 * 86_400));
    assert_eq!(parse_duration("250ms"), Ok(Duration::from_millis(250)));
    for wrong in
        ["", "5", "m", "5 minutes", "-5m", "5 m m", "99999999999999999999s", "18446744073709551615w", "5m!"]
    {
        assert!(parse_duration(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn suggestions_take_slips_and_leave_other_words_alone() {
    let keys = ["assign", "when", "name", "first_touch_within"];
    assert_eq!(nearest("asign", keys), Some("assign"));
    assert_eq!(nearest("When", keys), Some("when"));
    assert_eq!(nearest("first-touch-within", keys), Some("first_touch_within"));
    assert_eq!(nearest("first_touch", keys), Some("first_touch_within"));
    assert_eq!(nearest("fallback", keys), None);
    assert_eq!(nearest(&"x".repeat(100_000), keys), None);
}

#[derive(Debug)]
struct Rules {
    rules: Vec<Rule>,
}

#[derive(Debug)]
struct Rule {
    name: String,
    limit: u8,
    keys: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Strategy {
    RoundRobin,
    Weighted,
}

impl Decode for Rules {
    fn decode(at: &Cursor<'_>) -> Option<Self> {
        let mut map = at.map()?;
        map.version(1);
        let rules = map.required("rules");
        let _: Option<SecretRef> = map.optional("token");
        if let Some(reps) = map.optional_at("reps") {
            let mut reps = reps.map()?;
            for (_, rep) in reps.entries() {
                let _: Option<f64> = rep.read();
            }
        }
        map.not_in_this_version(&["sla"]);
        map.finish();
        Some(Self { rules: rules? })
    }
}

impl Decode for Rule {
    fn decode(at: &Cursor<'_>) -> Option<Self> {
        let mut map = at.map()?;
        let name = map.required("name");
        let limit = map.or("limit", 3);
        let OneOrMany(keys) = map.or("keys", OneOrMany(Vec::new()));
        let _: Option<bool> = map.optional("active");
        let _: Option<Duration> = map.optional("every");
        if let Some(strategy) = map.optional_at("strategy") {
            let options = [("round_robin", Strategy::RoundRobin), ("weighted", Strategy::Weighted)];
            let _ = strategy.choice_or_later(&options, &["best_skill"]);
        }
        if let Some(assign) = map.optional_at("assign").and_then(|assign| assign.map()) {
            let mut assign = assign;
            if assign.exactly_one_of(&["pool", "rep"]).is_some() {
                assign.finish();
            }
        }
        map.finish();
        Some(Self { name: name?, limit, keys })
    }
}

#[test]
fn a_right_file_is_read_whole() {
    let rules: Rules = load(&file(
        "version: 1\ntoken: { env: TOKEN }\nreps: { ana: 2, \"ben o\": 1.5 }\nrules:\n  - name: first\n    keys: a\n    every: 30s\n    active: false\n    assign: { pool: x }\n  - { name: 12, limit: 255, keys: [a, b], strategy: weighted }\n",
    ))
    .unwrap();
    assert_eq!(rules.rules[0].keys, ["a"]);
    assert_eq!((rules.rules[1].name.as_str(), rules.rules[1].limit), ("12", 255));
}

#[test]
fn warnings_alone_refuse_nothing() {
    struct Warned;
    impl Decode for Warned {
        fn decode(at: &Cursor<'_>) -> Option<Self> {
            at.warning("odd", "this is odd").report();
            Some(Self)
        }
    }
    assert!(load::<Warned>(&file("a: 1")).is_ok());
    let log = Diagnostics::default();
    assert!(load_into::<Warned>(&file("a: 1"), &log).is_some());
    assert_eq!(log.into_sorted().len(), 1);
}

#[test]
fn all_problems_of_a_file_come_at_once_in_order() {
    let text = "version: 2\nrules:\n  - naem: x\n    limit: 300\n  - name: [1]\n    active: yes\nslaa: 1\n";
    let problems = load::<Rules>(&file(text)).unwrap_err();
    let seen: Vec<_> = problems.iter().map(|one| (one.line, one.code, one.path.as_str())).collect();
    assert_eq!(
        seen,
        [
            (1, "bad-version", "version"),
            (3, "missing-key", "rules[0]"),
            (3, "unknown-key", "rules[0].naem"),
            (4, "out-of-range", "rules[0].limit"),
            (5, "wrong-type", "rules[1].name"),
            (6, "wrong-type", "rules[1].active"),
            (7, "unknown-key", "slaa"),
        ]
    );
}

#[test]
fn diagnostics_as_json_have_the_documented_names() {
    let problems = load::<Rules>(&file("version: 1\nrules: []\nruels: 1\n")).unwrap_err();
    let json = serde_json::to_value(&problems).unwrap();
    assert_eq!(
        json,
        serde_json::json!([{
            "severity": "error", "code": "unknown-key", "file": "routing.yaml", "line": 3, "col": 1, "len": 5,
            "path": "ruels", "msg": "unknown key `ruels`", "found": "ruels",
            "allowed": ["version", "rules", "token", "reps"], "suggestion": "rules"
        }])
    );
}

#[test]
fn a_pasted_secret_is_refused_and_never_shown() {
    for text in [
        "version: 1\nrules: []\ntoken: pat-canary-123",
        "version: 1\nrules: []\ntoken: { env: pat-canary-123 }",
    ] {
        let source = file(text);
        let problems = load::<Rules>(&source).unwrap_err();
        assert_eq!(problems.len(), 1);
        let json = serde_json::to_string(&problems).unwrap();
        assert!(!json.contains("canary"), "{json}");
    }
}

/// Each is a file that is wrong in one way; the snapshot is what the admin reads.
const WRONG: &[(&str, &str)] = &[
    ("unknown key", "version: 1\nrules:\n  - name: a\n    asign: { pool: x }\n"),
    ("unknown key far from all", "version: 1\nrules: []\nzebra: 1\n"),
    ("missing key", "version: 1\nrules:\n  - limit: 1\n"),
    ("empty key", "version: 1\nrules:\n"),
    ("wrong version", "version: 7\nrules: []\n"),
    ("a text for a list", "version: 1\nrules: none\n"),
    ("a list for a map", "- version: 1\n"),
    ("missing space", "version: 1\nrules:\n  - name:first\n"),
    ("boolean for a text", "version: 1\nrules: [{ name: true }]\n"),
    ("old boolean", "version: 1\nrules: [{ name: a, active: on }]\n"),
    ("text for a number", "version: 1\nrules: [{ name: a, limit: many }]\n"),
    ("number out of range", "version: 1\nrules: [{ name: a, limit: -1 }]\n"),
    ("infinite number", "version: 1\nrules: []\nreps: { ana: .inf }\n"),
    ("duration without unit", "version: 1\nrules: [{ name: a, every: 30 }]\n"),
    ("duration with a word", "version: 1\nrules: [{ name: a, every: 30 minutes }]\n"),
    ("unknown word", "version: 1\nrules: [{ name: a, strategy: round-robin }]\n"),
    ("word of a later version", "version: 1\nrules: [{ name: a, strategy: best_skill }]\n"),
    ("key of a later version", "version: 1\nrules: []\nsla: {}\n"),
    ("two of one", "version: 1\nrules: [{ name: a, assign: { pool: x, rep: y } }]\n"),
    ("none of one", "version: 1\nrules: [{ name: a, assign: {} }]\n"),
    ("mistyped one", "version: 1\nrules: [{ name: a, assign: { pol: x } }]\n"),
    ("secret in the file", "version: 1\nrules: []\ntoken: abc\n"),
    ("duplicate key", "version: 1\nrules: []\nversion: 1\n"),
    ("tab", "version: 1\nrules:\n\t- name: a\n"),
    ("unclosed quote", "version: 1\nrules: [{ name: 'a }]\n"),
    ("unclosed bracket", "version: 1\nrules: [{ name: a }\n"),
    ("wrong bracket", "version: 1\nrules: [{ name: a ]\n"),
    ("bad indentation", "version: 1\nrules:\n  - name: a\n   limit: 1\n"),
    ("colon in a text", "version: 1\nrules:\n  - name: a: b\n"),
    ("text behind a quote", "version: 1\nrules: [{ name: 'it's' }]\n"),
    ("backslash", "version: 1\nrules: [{ name: \"\\d\" }]\n"),
    ("at sign", "version: 1\nrules: [{ name: @ana }]\n"),
    ("tag", "version: 1\nrules: [{ name: !secret x }]\n"),
    ("merge key", "version: 1\nrules:\n  - <<: {}\n    name: a\n"),
    ("list as key", "version: 1\nrules: []\n? [a]\n: 1\n"),
    ("two documents", "version: 1\nrules: []\n---\nversion: 1\n"),
    ("no line at all", ""),
    (
        "long line",
        "version: 1\nrules: [{ name: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa, limit: 256, keys: [aaaaaaaaaaaaaaaaaaaaaa] }]\n",
    ),
];

#[test]
fn wrong_files_say_what_to_do() {
    let mut all = String::new();
    for (name, text) in WRONG {
        let source = file(text);
        let problems = load::<Rules>(&source).expect_err(name);
        all += &format!("== {name}\n{}\n", render(&problems, &[source]));
    }
    insta::assert_snapshot!(all);
}

#[test]
fn arbitrary_text_never_panics() {
    // A small generator of its own: a few hundred thousand mixtures of the characters that matter to YAML.
    let pieces = [
        "a", ": ", "- ", "\n", "  ", "'", "\"", "[", "]", "{", "}", "&x", "*x", "!t", "|", ">", "#", "\t",
        "ä", "\u{feff}", "\r", "\\", "%", "---", "?", ",", "\u{0}", "😀", "<<",
    ];
    let mut seed: u64 = 7;
    for _ in 0..30_000 {
        let mut text = String::new();
        for _ in 0..12 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            text += pieces[(seed >> 33) as usize % pieces.len()];
        }
        let source = file(&text);
        if let Err(problems) = load::<Rules>(&source) {
            assert!(!problems.is_empty());
            let _ = render(&problems, &[source]);
        }
    }
}
