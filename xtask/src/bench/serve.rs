//! A simulated CRM full of contacts in a process of its own, so that its cost is not counted with the reader's.

use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use serde::Deserialize;
use serde_json::json;
use usher_sandbox::{Faults, Limits, Options, Sandbox, Span};

/// Contacts seeded in one call.
const CHUNK: u64 = 10_000;
/// When the first contact was changed, epoch milliseconds; each one after it this much later.
pub(super) const FIRST_CHANGE: i64 = 1_700_000_000_000;
const STEP_MS: i64 = 7;

/// A simulator full of contacts, for `bench pull`; ends when its input ends
#[derive(Debug, Args)]
pub(crate) struct Serve {
    #[arg(long)]
    contacts: u64,
    #[arg(long, default_value_t = 0)]
    latency_ms: u64,
    /// With the vendor's rate limits
    #[arg(long)]
    limits: bool,
    /// Contacts have no owner
    #[arg(long)]
    unowned: bool,
}

/// A simulator in a process of its own, seen from the bench that started it.
pub(super) struct Served {
    child: Child,
    output: BufReader<ChildStdout>,
    pub(super) url: String,
    pub(super) token: String,
}

#[derive(Deserialize)]
struct Hello {
    url: String,
    token: String,
}

impl Served {
    /// Starts it with so many contacts, and waits until it serves.
    pub(super) fn start(contacts: u64, latency_ms: u64, more: &[&str]) -> anyhow::Result<Self> {
        let mut child = Command::new(std::env::current_exe().context("finding this program's own file")?)
            .args(["serve", "--contacts", &contacts.to_string(), "--latency-ms", &latency_ms.to_string()])
            .args(more)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("starting the simulator")?;
        let mut output = BufReader::new(child.stdout.take().context("the simulator's output")?);
        let mut hello = String::new();
        output.read_line(&mut hello)?;
        let Hello { url, token } = serde_json::from_str(&hello).context("the simulator did not start")?;
        Ok(Self { child, output, url, token })
    }

    /// Ends it, and returns its last line.
    pub(super) fn end(&mut self) -> anyhow::Result<String> {
        // Its input ends, so it does.
        drop(self.child.stdin.take());
        let mut last = String::new();
        self.output.read_line(&mut last)?;
        self.child.wait()?;
        Ok(last)
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        // A bench that failed leaves no process behind; one that ended has none any more.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Seeds, says on stdout where it is, and waits.
pub(crate) async fn run(args: &Serve) -> anyhow::Result<()> {
    let faults = Faults { latency_ms: Span(args.latency_ms, args.latency_ms), ..Faults::default() };
    let limits = args.limits.then(Limits::default);
    let options = Options { limits, typeform_per_second: None, faults, ..Options::default() };
    let token = options.hubspot_token.clone();
    let sandbox = Sandbox::start(options).await?;
    (1..=10).for_each(|n| sandbox.hubspot().put_owner(super::rig::owner(n)));
    for start in (0..args.contacts).step_by(usize::try_from(CHUNK)?) {
        sandbox.hubspot().seed(&lines(start..(start + CHUNK).min(args.contacts), args.unowned))?;
    }
    let hello = json!({ "url": sandbox.hubspot_url, "token": token });
    writeln!(std::io::stdout(), "{hello}")?;
    std::io::stdout().flush()?;
    tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new())).await??;
    let summary = sandbox.hubspot().summary();
    writeln!(std::io::stdout(), "{}", json!({ "requests": summary.requests }))?;
    // Nobody calls any more; a connection that is kept alive need not be waited for.
    let _ = tokio::time::timeout(Duration::from_millis(100), sandbox.stop()).await;
    Ok(())
}

/// Contacts with twenty properties set.
fn lines(range: std::ops::Range<u64>, unowned: bool) -> String {
    let mut out = String::new();
    for n in range {
        let at = FIRST_CHANGE + i64::try_from(n).unwrap_or_default() * STEP_MS;
        let owner = if unowned { "" } else { "71" };
        let line = json!({ "object": "contacts", "createdAt": at, "updatedAt": at, "source": "FORM", "properties": {
            "email": format!("lea.laroche{n}@company-{n}.example"), "firstname": "Lea", "lastname": format!("Laroche{n}"),
            "phone": format!("+4930{n:07}"), "mobilephone": format!("+49170{n:07}"), "company": format!("Company {n} GmbH"),
            "website": format!("https://company-{n}.example/"), "jobtitle": "Procurement Manager", "address": "Hauptstr. 12",
            "city": "Berlin", "state": "BE", "zip": "10115", "country": "Germany", "hs_language": "de",
            "message": "Please call me about the offer on your site", "lifecyclestage": "lead", "hs_lead_status": "NEW",
            "hs_analytics_source": "PAID_SEARCH", "hs_analytics_source_data_1": "brand campaign", "hubspot_owner_id": owner } });
        let _ = writeln!(out, "{line}");
    }
    out
}
