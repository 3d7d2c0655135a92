//! The registry of cleaners.

use serde_json::json;

use super::{fields, lead, problems};
use crate::CLEANERS;

#[test]
fn every_registered_cleaner_can_be_named() {
    for cleaner in CLEANERS {
        let field = if cleaner.name == "number" { "budget" } else { "message" };
        let text = format!("version: 1\nlead:\n  {field}: {{ from: x, clean: {} }}\n", cleaner.name);
        assert_eq!(problems(&text), [], "{}", cleaner.name);
    }
}

#[test]
fn cleaners_clean_and_leave_a_note() {
    let table = [
        ("email", " Ana@Acme.EXAMPLE ", Some("ana@acme.example")),
        ("email", "not an address", None),
        ("phone", "+49 (0)30 1234567", Some("+49301234567")),
        ("phone", "030 1234567", None),
        ("{ phone: { region: DE } }", "030 1234567", Some("+49301234567")),
        ("domain", "https://www.Shop.Acme.co.uk/about", Some("acme.co.uk")),
        ("domain", "https://acme.github.io/", Some("acme.github.io")),
        ("domain", "https://facebook.com/acme", None),
        ("country", "Deutschland", Some("DE")),
        ("country", "Atlantis", None),
        ("company", " ACME\u{200b}  GmbH ", Some("ACME GmbH")),
        ("company", "n/a", None),
        ("text", "a \u{200b} b", Some("a b")),
        ("[text, lower]", "A  B", Some("a b")),
    ];
    for (cleaner, text, expected) in table {
        let mapping = lead(&format!("  message: {{ from: x, clean: {cleaner} }}"));
        let fields = fields(mapping.map(&json!({ "x": text }).to_string()));
        assert_eq!(fields.text("message"), expected, "{cleaner} {text}");
        let note = fields.provenance["message"].note.as_deref().unwrap();
        let start = if expected.is_some() { "cleaned by" } else { "left empty: " };
        assert!(note.starts_with(start), "{note}");
    }
}
