//! Runs Pipedrive's official JavaScript client against the simulator. CI installs it and never skips.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::Command;

use usher_sandbox::PipedriveToken;

use crate::pipedrive::{ANA, Pipe};
use crate::pipedrive_oauth::consent;

/// Where the client is installed, if it and node are.
fn modules() -> Option<PathBuf> {
    let own = std::env::var_os("USHER_NODE_MODULES").map(PathBuf::from);
    let target = std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../target"), PathBuf::from);
    let modules = own.unwrap_or_else(|| target.join("official-clients/node/node_modules"));
    let check =
        Command::new("node").args(["-e", "require('pipedrive/v2')"]).env("NODE_PATH", &modules).output();
    check.is_ok_and(|output| output.status.success()).then_some(modules)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_official_client_finds_a_real_pipedrive() {
    let Some(modules) = modules() else {
        assert!(
            std::env::var_os("CI").is_none(),
            "CI has to install node and crates/sandbox/tests/package.json"
        );
        // Past the test runner's capture, so that a skipped proof does not look like one.
        let skipped = b"SKIPPED: no official Pipedrive client; run npm install for crates/sandbox/tests/package.json and \
            set USHER_NODE_MODULES to its node_modules\n";
        std::io::stderr().write_all(skipped).unwrap();
        return;
    };
    let pipe = Pipe::start().await;
    let sim = pipe.sim();
    let token = "access".to_owned();
    sim.put_token(PipedriveToken { token, user: ANA, oauth: true, expired: false, scopes: None });
    let code = consent(&pipe, &[]).await.1;
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/official_pipedrive.cjs");
    let mut command = Command::new("node");
    command
        .args([script, &pipe.sandbox.pipedrive_url, &pipe.token, "access", &code])
        .env("NODE_PATH", modules)
        .env("NO_PROXY", "*")
        .env_remove("HTTP_PROXY")
        .env_remove("http_proxy");
    let run = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
    let (out, err) = (String::from_utf8_lossy(&run.stdout), String::from_utf8_lossy(&run.stderr));
    assert!(run.status.success() && out.contains("official client: ok"), "{out}{err}");
    let summary = sim.summary();
    assert_eq!((summary.tasks_created, summary.objects["persons"].created_by_api), (1, 5));
}
