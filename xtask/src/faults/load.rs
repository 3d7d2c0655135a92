//! Who gets in touch while the program is struck, and how: by a form that calls, a form that is polled, the CRM, and a
//! sender of webhooks that comes again until it is answered with 2xx.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use usher_sandbox::{Crm, CrmObject, TypeformSim};
use usher_testkit::invariants::Came;

use crate::data::{Company, Inquirer};
use crate::field::world;

/// Companies that the CRM knows.
const COMPANIES: u64 = 200;
/// Before a sender comes again.
const AGAIN: Duration = Duration::from_millis(100);
/// A sender's own limit for one call.
const PATIENCE: Duration = Duration::from_secs(5);

/// The connection that takes webhooks from our own sender.
pub(super) const HOOK: &str = "site-hook";
/// What that sender proves itself with.
pub(super) const TOKEN: &str = "fault-run-token";

/// Its lines in usher.yaml.
pub(super) const SETTINGS: &str = "  site-hook:
    connector: webhook
    inbound: { shared_secret: { secret: { file: site.token }, header: X-Hook-Token } }
    id: id
";

/// Webhooks that were answered with 2xx: (connection, external id).
pub(super) type Acknowledged = Arc<Mutex<Vec<(String, String)>>>;

/// The companies.
pub(super) fn companies() -> Vec<Company> {
    let company = |n: u64| Company {
        account_id: n.to_string(),
        name: format!("Firm {n}"),
        website: format!("firm{n}.example"),
        phone: String::new(),
        street: String::new(),
        city: String::new(),
        state: String::new(),
        zip: String::new(),
        country: "DE".to_owned(),
    };
    (0..COMPANIES).map(company).collect()
}

/// The n-th person: two of fifty have no address, and so no strong read tells whether they were made; one of ten is
/// somebody who came by another door a moment ago.
fn person(n: u64) -> Inquirer {
    let who = if n % 10 == 9 { n - 5 } else { n };
    let nameless = matches!(who % 50, 21 | 43);
    let email = format!("p{who}@firm{}.example", who % (2 * COMPANIES));
    let phone = format!("+49151{:08}", 20_000_000 + who);
    Inquirer {
        lead_id: who.to_string(),
        first_name: format!("Pat{who}"),
        last_name: "Example".to_owned(),
        email: if nameless { String::new() } else { email },
        company: String::new(),
        website: String::new(),
        phone: if nameless { phone } else { String::new() },
        street: String::new(),
        city: String::new(),
        state: String::new(),
        zip: String::new(),
        country: ["DE", "US", "IN", "BR"][usize::try_from(who % 4).unwrap_or_default()].to_owned(),
        title: String::new(),
    }
}

/// Of so many people, how many were entered at the CRM and how many answered a form; the others come by webhooks, which are
/// counted as they are acknowledged.
pub(super) fn came(people: u64) -> Came {
    let by = |door: u64| usize::try_from((people + 3 - door) / 4).unwrap_or(usize::MAX);
    Came { entered: by(0), answers: by(1) + by(2) }
}

/// Where people turn to.
pub(super) struct Doors {
    pub(super) crm: Arc<dyn Crm>,
    /// What people are entered as there.
    pub(super) object: CrmObject,
    pub(super) forms: TypeformSim,
    /// Where the program listens.
    pub(super) address: String,
    pub(super) acknowledged: Acknowledged,
}

impl Doors {
    /// Lets people come at a rate per second until told to stop, or until so many have come; then waits until the
    /// program has taken every webhook. Returns how many came.
    pub(super) async fn open(self, rate: f64, most: u64, stop: CancellationToken) -> anyhow::Result<u64> {
        let client = reqwest::Client::builder().no_proxy().timeout(PATIENCE).build()?;
        let started = Instant::now();
        let mut senders = JoinSet::new();
        let mut count = 0;
        while count < most {
            let due = started + Duration::from_secs_f64(count as f64 / rate);
            tokio::select! {
                () = stop.cancelled() => break,
                () = tokio::time::sleep_until(due) => {}
            }
            let who = person(count);
            // Each door of its own, so that those who come again come by another one.
            if count % 4 == 3 {
                let url = format!("{}/hooks/{HOOK}", self.address);
                senders.spawn(send(client.clone(), url, count, who, Arc::clone(&self.acknowledged)));
            } else {
                world::arrive(
                    (&*self.crm, self.object),
                    &self.forms,
                    [0, 1, 3][usize::try_from(count % 4)?],
                    &who,
                )?;
            }
            count += 1;
        }
        senders.join_all().await;
        Ok(count)
    }
}

async fn send(client: reqwest::Client, url: String, n: u64, who: Inquirer, acknowledged: Acknowledged) {
    let id = format!("hook-{n}-of-{}", who.lead_id);
    let body = json!({ "id": id, "first_name": who.first_name, "last_name": who.last_name, "email": who.email,
                       "phone": who.phone, "country": who.country });
    loop {
        let post = client.post(&url).header("X-Hook-Token", TOKEN).json(&body);
        if post.send().await.is_ok_and(|answer| answer.status().is_success()) {
            break;
        }
        tokio::time::sleep(AGAIN).await;
    }
    acknowledged.lock().unwrap_or_else(PoisonError::into_inner).push((HOOK.to_owned(), id));
}
