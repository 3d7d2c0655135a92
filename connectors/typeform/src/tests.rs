//! Tests against a form of canned responses that pages, filters and refuses as Typeform documents it.
#![allow(clippy::unwrap_used)]

mod form;
mod hooks;
mod pulls;
mod subscriptions;

use std::sync::Arc;

use usher_connector::{Configured, Connector};
use usher_document::{Cursor, Diagnostics, SourceFile, parse};

use crate::Typeform;

/// Configures a connection from YAML; the second part has every problem's message and hint.
fn configure(yaml: &str) -> (Option<Arc<dyn Configured>>, Vec<String>) {
    let file = SourceFile::new("usher.yaml", yaml);
    let node = parse(&file).unwrap();
    let log = Diagnostics::default();
    let mut map = Cursor::root(&file, &node, &log).map().unwrap();
    let configured = Typeform.configure(&mut map);
    // The host reads these.
    for key in ["connector", "auth", "base_url", "mapping", "pull"] {
        let _ = map.optional_at(key);
    }
    map.finish();
    let problems = log.into_sorted();
    let words =
        problems.into_iter().map(|p| format!("{} | {}", p.message, p.help.unwrap_or_default())).collect();
    (configured, words)
}

#[test]
fn the_example_for_init_configures() {
    let (configured, problems) = configure(Typeform.manifest().example.yaml);
    assert_eq!(problems, Vec::<String>::new());
    assert_eq!(configured.unwrap().secrets().len(), 1);
}

#[test]
fn every_problem_is_reported_with_what_to_do() {
    let (configured, problems) = configure(
        "form: https://acme.typeform.com/to/abc123\nresponses: partial\ninbound: { secret: hunter2 }\nforms: x\n",
    );
    assert!(configured.is_none());
    let all = problems.join("\n");
    for expected in [
        "this is no form id",
        "`partial` is not in this version",
        "a secret must not stand",
        "unknown key `forms`",
    ] {
        assert!(all.contains(expected), "{expected} missing in:\n{all}");
    }
    assert!(!all.contains("hunter2"));
}

#[test]
fn several_secrets_may_be_active() {
    let yaml = "form: abc\ninbound: { secret: [{ env: NEW }, { env: OLD }] }\n";
    assert_eq!(configure(yaml).0.unwrap().secrets().len(), 2);
    let (configured, problems) = configure("form: abc\ninbound: { secret: [] }\n");
    assert!(configured.is_none());
    assert!(problems[0].contains("expected 1 to 3 secrets, found 0"), "{problems:?}");
}
