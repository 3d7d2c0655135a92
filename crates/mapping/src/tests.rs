//! Tests of the whole crate: wrong files and what is said about them, payloads and what becomes of them.
#![allow(clippy::unwrap_used)]

use serde_json::json;
use usher_document::{Diagnostic, Diagnostics, SourceFile, render};
use usher_model::{Enrollment, Fields};

use crate::{Mapped, Mapping};

mod cleaners;
mod payloads;
mod shipped;

const EXAMPLE: &str = r#"
version: 1
enroll: { on: created }
lead:
  email:        { from: answers.email, clean: email, required: true }
  full_name:    { from: [hidden.name, answers.name] }
  phone:        { from: answers.phone, clean: { phone: { region: US } } }
  company:      { from: answers.company, clean: company }
  country:      { from: answers.country, clean: country }
  service_line: { from: 'answers["What do you need?"]', values: { SEO: seo, "Paid ads": ppc }, default: other }
  urgency:      { from: 'answers["When?"]', values: { "This week": high }, default: normal }
  budget:       { from: answers.budget, clean: number }
  source_detail: { value: website form }
keep: [hidden.utm_source, landing_page]
reject:
  - { when: 'record.hidden.test == "1"', reason: test submission }
tests:
  - name: typical answer
    record: { answers: { email: " Ana@Acme.EXAMPLE ", "What do you need?": SEO } }
    lead:   { email: ana@acme.example, service_line: seo, urgency: normal, phone: null }
  - name: test submissions are turned away
    record: { hidden: { test: "1" } }
    rejected: test submission
  - name: no address
    record: { answers: { name: Ana } }
    failed: "`email` is required"
"#;

fn problems(text: &str) -> Vec<Diagnostic> {
    let diagnostics = Diagnostics::default();
    let mapping = Mapping::load(&SourceFile::new("form.yaml", text), &diagnostics);
    assert_eq!(mapping.is_none(), diagnostics.has_errors());
    diagnostics.into_sorted()
}

fn mapping(text: &str) -> Mapping {
    let source = SourceFile::new("form.yaml", text);
    let diagnostics = Diagnostics::default();
    match Mapping::load(&source, &diagnostics) {
        Some(mapping) => mapping,
        None => panic!("{:#?}", diagnostics.into_sorted()),
    }
}

/// A mapping with these lines under `lead:`.
fn lead(lines: &str) -> Mapping {
    mapping(&format!("version: 1\nlead:\n{lines}\n"))
}

fn fields(mapped: Mapped) -> Fields {
    match mapped {
        Mapped::Lead { fields, .. } => fields,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_example_of_the_design_works() {
    let outcomes = mapping(EXAMPLE).run_tests();
    assert_eq!(outcomes.len(), 3);
    for outcome in outcomes {
        assert!(outcome.passed, "{}: {:?}", outcome.name, outcome.differences);
    }
}

#[test]
fn failing_tests_say_what_differs_and_where() {
    let mapping = mapping(
        "version: 1
lead:
  email: { from: email, clean: email }
  city: { from: city }
tests:
  - name: wrong
    record: { email: nonsense, city: Bonn }
    lead: { email: a@b.example, city: Bonn, country: DE, extra: { x: 1 } }
  - name: not rejected
    record: { email: a@b.example }
    rejected: spam
",
    );
    let outcomes = mapping.run_tests();
    assert!(!outcomes[0].passed);
    assert_eq!(outcomes[0].differences.len(), 3, "{:?}", outcomes[0].differences);
    assert!(
        outcomes[0].differences[0]
            .starts_with("`email`: expected \"a@b.example\", found nothing (left empty: ")
    );
    assert_eq!(outcomes[0].differences[1], "`country`: expected \"DE\", found nothing");
    assert_eq!(outcomes[0].to_diagnostic().unwrap().line, 6);
    assert_eq!(outcomes[1].differences, ["expected that it is rejected as \"spam\", found a lead"]);
}

#[test]
fn fm_085_every_problem_is_reported_at_once_with_the_nearest_name() {
    let text = r#"
version: 1
enrol: { on: created }
lead:
  emial: { from: answers.email }
  phone: { from: answers.phone, clean: phnoe }
  email: { from: answers.email, clean: email, requird: true }
  city: { from: answers.What city }
  state: { value: NRW, from: answers.state }
  country: { }
  title: answers.title
  budget: { from: answers.budget, clean: email }
  message: { from: answers.message, clean: number }
  company: { from: answers.company, clean: { company: { regoin: US } } }
  urgency: { from: a, values: { High: high, " high": low } }
  website: { from: [] }
  street: { from: street, clean: { phone: { region: Germany } } }
keep: [utm.source, ad.source, "list[0]"]
reject:
  - { when: 'lead.contry == "DE"', reason: no }
tests:
  - { name: a, record: { x: 1 }, lead: { emal: x } }
  - { name: a, record: [1], lead: {} }
write: { contact: {} }
"#;
    let source = SourceFile::new("form.yaml", text);
    insta::assert_snapshot!(render(&problems(text), &[source]));
}

#[test]
fn what_is_not_in_this_version_says_so() {
    let found = problems(
        "version: 1\nlead:\n  budget: { from: b, clean: { money: { currency: USD } } }\nwrite: {}\n",
    );
    let codes: Vec<_> = found.iter().map(|one| (one.code, one.line)).collect();
    assert_eq!(codes, [("not-in-this-version", 3), ("not-in-this-version", 4)]);
}

#[test]
fn enroll_is_checked() {
    let first = |enroll: &str| {
        problems(&format!("version: 1\nlead: {{ city: {{ from: a }} }}\nenroll: {enroll}\n"))[0].code
    };
    assert_eq!(first("{ on: becomes_true }"), "missing-key");
    assert_eq!(first("{ on: created, when: 'true' }"), "one-of");
    assert_eq!(first("{ on: sometimes }"), "unknown-value");
    assert_eq!(first("{ on: becomes_true, when: 'lead.lifecyle == \"mql\"' }"), "expression");
    assert_eq!(first("created"), "wrong-type");
}

#[test]
fn problems_in_paths_and_conditions_have_exact_columns() {
    let found = problems("version: 1\nlead:\n  city: { from: 'answers.What city' }\n");
    assert_eq!((found[0].line, found[0].column), (3, 30));
    let found = problems(
        "version: 1\nlead: { city: { from: a } }\nreject:\n  - { when: 'lead.contry == \"DE\"', reason: no }\n",
    );
    assert_eq!((found[0].line, found[0].suggestion.as_deref()), (4, Some("lead.country")));
    assert!((13..=18).contains(&found[0].column), "{found:?}");
}

#[test]
fn a_path_that_starts_at_record_is_warned_about() {
    let source = SourceFile::new("form.yaml", "version: 1\nlead:\n  email: { from: record.email }\n");
    let diagnostics = Diagnostics::default();
    assert!(Mapping::load(&source, &diagnostics).is_some());
    assert_eq!(diagnostics.into_sorted()[0].code, "path-root");
}

#[test]
fn enrollment_by_condition_says_what_decided() {
    let mapping = mapping(
        "version: 1
enroll: { on: becomes_true, when: 'lead.lifecycle == \"mql\"' }
lead:
  lifecycle: { from: stage, values: { MQL: mql, Lead: lead } }
",
    );
    let Mapped::Lead { enrollment, enrolled, why, .. } = mapping.map(r#"{"stage": "Lead"}"#) else {
        panic!()
    };
    assert_eq!((enrollment, enrolled), (Enrollment::BecomesTrue, false));
    assert!(why.contains("lead.lifecycle"), "{why}");
    let Mapped::Lead { enrolled, .. } = mapping.map(r#"{"stage": "mql"}"#) else { panic!() };
    assert!(enrolled);
    let Mapped::Lead { enrolled, .. } = mapping.map("{}") else { panic!() };
    assert!(!enrolled, "null is not mql");
}

#[test]
fn a_rejection_goes_before_a_failure() {
    let mapping = mapping(EXAMPLE);
    let rejected = mapping.map(&json!({"hidden": {"test": "1"}}).to_string());
    assert_eq!(rejected, Mapped::Rejected { reason: "test submission".to_owned() });
}
