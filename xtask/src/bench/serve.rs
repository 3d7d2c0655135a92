//! A simulated CRM full of contacts in a process of its own, so that its cost is not counted with the reader's.

use std::fmt::Write as _;
use std::io::{Read, Write as _};
use std::time::Duration;

use clap::Args;
use serde_json::json;
use usher_sandbox::{Faults, Options, Sandbox, Span};

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
}

/// Seeds, says on stdout where it is, and waits.
pub(crate) async fn run(args: &Serve) -> anyhow::Result<()> {
    let faults = Faults { latency_ms: Span(args.latency_ms, args.latency_ms), ..Faults::default() };
    let options = Options { limits: None, typeform_per_second: None, faults, ..Options::default() };
    let token = options.hubspot_token.clone();
    let sandbox = Sandbox::start(options).await?;
    for start in (0..args.contacts).step_by(usize::try_from(CHUNK)?) {
        sandbox.hubspot().seed(&lines(start..(start + CHUNK).min(args.contacts)))?;
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
fn lines(range: std::ops::Range<u64>) -> String {
    let mut out = String::new();
    for n in range {
        let at = FIRST_CHANGE + i64::try_from(n).unwrap_or_default() * STEP_MS;
        let line = json!({ "object": "contacts", "createdAt": at, "updatedAt": at, "source": "FORM", "properties": {
            "email": format!("lea.laroche{n}@company-{n}.example"), "firstname": "Lea", "lastname": format!("Laroche{n}"),
            "phone": format!("+4930{n:07}"), "mobilephone": format!("+49170{n:07}"), "company": format!("Company {n} GmbH"),
            "website": format!("https://company-{n}.example/"), "jobtitle": "Procurement Manager", "address": "Hauptstr. 12",
            "city": "Berlin", "state": "BE", "zip": "10115", "country": "Germany", "hs_language": "de",
            "message": "Please call me about the offer on your site", "lifecyclestage": "lead", "hs_lead_status": "NEW",
            "hs_analytics_source": "PAID_SEARCH", "hs_analytics_source_data_1": "brand campaign", "hubspot_owner_id": "71" } });
        let _ = writeln!(out, "{line}");
    }
    out
}
