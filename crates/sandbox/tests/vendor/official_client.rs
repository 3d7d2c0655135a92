//! Runs the official Python client against the simulator. CI installs it and never skips.

use std::path::PathBuf;

use serde_json::json;

use crate::api::{ANA, Api, BEN, GONE, map, owner};

fn python() -> Option<PathBuf> {
    let own = std::env::var_os("USHER_PYTHON").map(PathBuf::from);
    let target = std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../target"), PathBuf::from);
    let python = own.unwrap_or_else(|| target.join("official-clients/bin/python"));
    let check = std::process::Command::new(&python).args(["-c", "import hubspot"]).output();
    check.is_ok_and(|output| output.status.success()).then_some(python)
}

#[tokio::test(flavor = "multi_thread")]
#[allow(clippy::print_stderr)]
async fn the_official_client_finds_a_real_hubspot() {
    let Some(python) = python() else {
        assert!(std::env::var_os("CI").is_none(), "CI has to install crates/sandbox/tests/requirements.txt");
        eprintln!(
            "SKIPPED: no official client; set USHER_PYTHON to a python with tests/requirements.txt installed"
        );
        return;
    };
    let api = Api::start().await;
    let hubspot = api.sandbox.hubspot();
    hubspot.put_owner(owner(BEN, "ben@agency.example", true));
    hubspot.put_owner(owner(GONE, "gone@agency.example", true));
    hubspot.put_owner(owner(ANA, "ana@agency.example", false));
    for n in 0..3 {
        hubspot.create("contacts", &map(&json!({"email": format!("s{n}@x.example")})), "CRM_UI").unwrap();
    }
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/official_client.py");
    let mut command = std::process::Command::new(python);
    command
        .args([script, &api.sandbox.hubspot_url, &api.token])
        .env_remove("HTTP_PROXY")
        .env_remove("http_proxy");
    let run =
        tokio::task::spawn_blocking(move || command.env("NO_PROXY", "*").output()).await.unwrap().unwrap();
    let text = String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success(), "{}{text}", String::from_utf8_lossy(&run.stdout));
    assert!(String::from_utf8_lossy(&run.stdout).contains("official client: ok"));
    assert_eq!(hubspot.summary().tasks_created, 1);
}
