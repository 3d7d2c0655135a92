//! What becomes of payloads, good and bad.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{EXAMPLE, fields, lead, mapping};
use crate::Mapped;
use crate::text::MAX_TEXT;

#[test]
fn the_first_path_that_says_something_wins_and_is_noted() {
    let mapping = lead("  full_name: { from: [hidden.name, answers.name] }");
    for nothing in [json!(null), json!("  "), json!([]), json!(["", null]), json!({})] {
        let payload = json!({"hidden": {"name": nothing}, "answers": {"name": " Ana  Silva "}});
        let fields = fields(mapping.map(&payload.to_string()));
        assert_eq!(fields.text("full_name"), Some("Ana  Silva"), "{nothing}");
        assert_eq!(fields.provenance["full_name"].from, "answers.name");
    }
}

#[test]
fn values_of_every_json_type_become_text() {
    let mapping = lead("  message: { from: x }");
    let table = [
        (json!("a"), Some("a")),
        (json!(5), Some("5")),
        (json!(1.5), Some("1.5")),
        (json!(true), Some("true")),
        (json!(["a", "b", 3]), Some("a, b, 3")),
        (json!([["a"], ["b"]]), Some("a, b")),
        (json!({"a": 1}), None),
        (json!([{"a": 1}]), None),
    ];
    for (value, expected) in table {
        let fields = fields(mapping.map(&json!({"x": value}).to_string()));
        assert_eq!(fields.text("message"), expected, "{value}");
        assert_eq!(fields.provenance["message"].note.is_some(), expected.is_none(), "{value}");
    }
}

#[test]
fn tables_compare_without_case_and_blanks_and_take_the_first_answer_that_fits() {
    let mapping = lead(
        "  service_line: { from: x, values: { SEO: seo, Été: summer } }\n  urgency: { from: x, values: { SEO: high }, default: low }",
    );
    let table = [
        (json!("seo"), Some("seo"), "high"),
        (json!(" SEO "), Some("seo"), "high"),
        (json!("ÉTÉ"), Some("summer"), "low"),
        (json!(["Other", "SEO"]), Some("seo"), "high"),
        (json!("Other"), None, "low"),
        (json!(null), None, "low"),
    ];
    for (value, service, urgency) in table {
        let fields = fields(mapping.map(&json!({"x": value}).to_string()));
        assert_eq!(
            (fields.text("service_line"), fields.text("urgency")),
            (service, Some(urgency)),
            "{value}"
        );
    }
    let fields = fields(mapping.map(r#"{"x": "Other"}"#));
    assert_eq!(
        fields.provenance["service_line"].note.as_deref(),
        Some("left empty: not in its table of values")
    );
    assert_eq!(fields.provenance["urgency"].from, "default");
}

#[test]
fn required_fields_fail_the_record_with_all_problems_and_no_values() {
    let mapping = lead(
        "  email: { from: email, clean: email, required: true }\n  city: { from: [a, b], required: true }",
    );
    let Mapped::Failed { problems } = mapping.map(r#"{"email": "no-address-secret"}"#) else { panic!() };
    assert_eq!(problems.len(), 2);
    assert!(problems[0].starts_with("`email` is required, but `email` does not fit: "), "{problems:?}");
    assert_eq!(problems[1], "`city` is required, but `a` and `b` is absent");
    assert!(!problems.concat().contains("secret"));
}

#[test]
fn payloads_that_are_no_objects_fail_with_words() {
    let mapping = lead("  city: { from: a }");
    let deep = format!("{}{}", "[".repeat(5_000), "]".repeat(5_000));
    for payload in ["", "[]", "7", "{", "\u{0}", "{\"a\": nan}", &deep] {
        let Mapped::Failed { problems } = mapping.map(payload) else { panic!("{payload}") };
        assert_eq!(problems.len(), 1);
    }
}

#[test]
fn fm_076_bad_text_is_cleaned_with_a_note() {
    let mapping = lead("  city: { from: city }\n  message: { from: message }");
    let fields = fields(mapping.map(r#"{"city": "Bo\u0000nn", "message": "cut emoji \ud83d"}"#));
    assert_eq!(fields.text("city"), Some("Bonn"));
    assert_eq!(fields.provenance["city"].note.as_deref(), Some("1 NUL characters removed"));
    assert_eq!(fields.text("message"), Some("cut emoji \u{fffd}"));
}

#[test]
fn fm_088_long_texts_are_cut_with_a_note_in_fields_and_in_what_is_kept() {
    let mapping = mapping("version: 1\nlead: { message: { from: m } }\nkeep: [m, list]\n");
    let payload = json!({"m": "é".repeat(MAX_TEXT), "list": vec!["x".repeat(1_000); 100]});
    let fields = fields(mapping.map(&payload.to_string()));
    assert_eq!(fields.text("message").unwrap().len(), MAX_TEXT);
    assert!(fields.provenance["message"].note.as_deref().unwrap().starts_with("cut from"));
    assert_eq!(fields.extra["m"].as_str().unwrap().len(), MAX_TEXT);
    assert!(!fields.extra.contains_key("list"));
    assert!(fields.provenance["extra.list"].note.as_deref().unwrap().starts_with("left out"));
}

#[test]
fn what_is_kept_goes_by_its_last_name() {
    let payload = json!({"hidden": {"utm_source": "ads"}, "landing_page": ""});
    let mut payload = payload;
    payload["answers"] = json!({"email": "a@b.example"});
    let fields = fields(mapping(EXAMPLE).map(&payload.to_string()));
    assert_eq!(serde_json::to_value(&fields.extra).unwrap(), json!({"utm_source": "ads"}));
}

#[test]
fn numbers_stay_numbers() {
    let mapping = lead("  budget: { from: b, clean: number }\n  title: { from: b }");
    let table = [
        (json!(5000), json!(5000)),
        (json!(0.5), json!(0.5)),
        (json!("5000"), json!(5000)),
        (json!("2.5"), json!(2.5)),
    ];
    for (value, expected) in table {
        let fields = fields(mapping.map(&json!({"b": value}).to_string()));
        assert_eq!(fields.values["budget"], expected, "{value}");
    }
    let fields = fields(mapping.map(r#"{"b": "a lot"}"#));
    assert!(!fields.values.contains_key("budget"));
    assert!(fields.provenance["budget"].note.is_some());
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "\\PC{0,12}".prop_map(Value::from),
        Just(Value::from("a\0b")),
    ];
    leaf.prop_recursive(4, 32, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec(("email|answers|hidden|test|phone", inner), 0..4)
                .prop_map(|entries| Value::Object(entries.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn no_payload_panics_and_what_comes_out_is_storable(answers in any_json(), hidden in any_json(), text in "\\PC{0,30}") {
        let mapping = mapping(EXAMPLE);
        let _ = mapping.map(&text);
        let payload = json!({"answers": {"email": "a@b.example", "name": answers, "company": hidden}, "hidden": hidden});
        if let Mapped::Lead { fields, .. } = mapping.map(&payload.to_string()) {
            prop_assert!(!serde_json::to_string(&fields).unwrap().contains("\\u0000"));
        }
    }
}
