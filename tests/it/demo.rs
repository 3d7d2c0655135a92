//! The demo, told and counted, with each CRM that can be simulated.

use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};
use usher_sandbox::CrmVendor;

use crate::installation::text;

fn demo(vendor: CrmVendor, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_usher"));
    command.args(["demo", "--crm", vendor.id()]).args(args).stdin(Stdio::null());
    let output = command.env_remove("USHER_LOG").output().unwrap();
    assert!(output.status.success(), "{vendor}: {}", text(&output.stderr));
    output
}

#[test]
fn the_demo_tells_the_same_story_with_every_crm() {
    for vendor in CrmVendor::ALL {
        let told = text(&demo(vendor, &["--pace", "0"]).stdout);
        let visitors = told.lines().filter(|line| line.starts_with('▸')).count();
        assert_eq!(visitors, 8, "{vendor}:\n{told}");
        for part in [
            "Dora Dahl owns Keller Bau GmbH",
            "joined the open lead: still ana's, no second person, no second task",
            "student",
            "kept as failed: `email` is required",
            "5 tasks created, 0 of them twice; 0 people twice.",
        ] {
            assert!(told.contains(part), "{vendor}: no `{part}` in\n{told}");
        }
    }
}

#[test]
fn the_counted_demo_adds_up_with_every_crm() {
    for vendor in CrmVendor::ALL {
        let counted = demo(vendor, &["--leads", "40", "--json"]);
        let tally: Value = serde_json::from_slice(&counted.stdout).unwrap();
        let ends = ["opened", "assigned", "tasks_created", "persons_created", "failed", "waiting"];
        let ends = ends.map(|end| tally[end].as_u64().unwrap());
        assert_eq!(ends, [40, 40, 40, 20, 0, 0], "{vendor}: {tally}");
        for twice in ["duplicate_persons", "duplicate_tasks", "owners_wrong"] {
            assert_eq!(tally[twice], json!(0), "{vendor}: {tally}");
        }
    }
}

#[test]
fn an_unknown_crm_is_refused_with_those_that_there_are() {
    let output =
        Command::new(env!("CARGO_BIN_EXE_usher")).args(["demo", "--crm", "siebel"]).output().unwrap();
    let said = text(&output.stderr);
    assert!(!output.status.success());
    assert!(CrmVendor::ALL.iter().all(|vendor| said.contains(vendor.id())), "{said}");
}
