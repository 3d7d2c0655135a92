//! `bench decide`: prepared records to stored decisions on SQLite, and where the time goes.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Instant;

use clap::Args;
use jiff::Timestamp;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use usher_engine::Engine;
use usher_model::{
    AccountId, ConnectionName, CrmOwner, ExternalId, Lane, ObjectType, Record, RecordId, SystemClock,
};
use usher_store::{AccountRow, DirectoryStore, Inspection, Intake, NewRecord, OpenOptions, SqliteStore};

use super::engine::{CRM, engine};
use super::timed::Timed;
use crate::process::Usage;
use crate::report::{print, progress, round};

const REPS: u64 = 10;
const RULES: u64 = 20;
/// Records handed to the store in one call while preparing the bench.
const CHUNK: usize = 1_000;

/// Prepared records to stored decisions
#[derive(Debug, Args)]
pub(crate) struct Decide {
    /// How many leads
    #[arg(long, default_value_t = 20_000)]
    leads: u64,
    /// How many companies the CRM has; every other lead belongs to one
    #[arg(long, default_value_t = 10_000)]
    accounts: u64,
}

/// A phase: what it cost and which calls of the store it made.
struct Phase {
    count: u64,
    seconds: f64,
    cpu: f64,
    store: Vec<(&'static str, u64, f64)>,
}

/// Fills a database, prepares everything, then measures deciding alone.
pub(crate) async fn run(args: &Decide) -> anyhow::Result<()> {
    let folder = tempfile::Builder::new().prefix("usher-bench-").tempdir()?;
    let path = folder.path().join("usher.db").display().to_string();
    let sqlite = Arc::new(SqliteStore::open(&path, OpenOptions::daemon()).await?);
    fill(&sqlite, args).await?;
    let store = Arc::new(Timed::new(sqlite.clone()));
    let engine =
        engine(store.clone(), &routing(), None, Timestamp::UNIX_EPOCH, Arc::new(SystemClock)).await?;
    progress("preparing");
    let prepare =
        phase(&store, async || drain(&engine, async |engine| Ok(engine.prepare().await?)).await).await?;
    progress("deciding");
    let decide =
        phase(&store, async || drain(&engine, async |engine| Ok(engine.decide().await?)).await).await?;
    let counts = sqlite.counts().await?;
    let owned = sqlite
        .leads(&usher_store::LeadFilter { limit: u32::try_from(args.leads)?, ..Default::default() })
        .await?;
    let with_account = owned.iter().filter(|summary| summary.lead.account.is_some()).count();
    print(
        &json!({
            "leads": args.leads, "accounts": args.accounts, "reps": REPS, "rules": RULES,
            "opened": counts.leads, "effects_planned": counts.effects, "leads_with_account": with_account,
            "decide": decide.figures(), "prepare": prepare.figures(),
            "measured": {
                "per_second, cpu_ms_each": "wall and CPU (user and kernel of this process, /proc) of Engine::decide from the first ready record to the last commit, SQLite with WAL and synchronous=FULL",
                "where": "wall seconds inside each call of the store, by a timing wrapper; `engine itself` is the rest: identity, rules, pools, trace, plan of writes" },
        }),
        None,
    )
}

async fn phase(store: &Timed, work: impl AsyncFnOnce() -> anyhow::Result<u64>) -> anyhow::Result<Phase> {
    store.take();
    let (before, started) = (Usage::own(), Instant::now());
    let count = work().await?;
    let (seconds, after) = (started.elapsed().as_secs_f64(), Usage::own());
    let store = store.take().into_iter().map(|(name, (calls, time))| (name, calls, time)).collect();
    Ok(Phase { count, seconds, cpu: after.cpu() - before.cpu(), store })
}

async fn drain(engine: &Engine, step: impl AsyncFn(&Engine) -> anyhow::Result<usize>) -> anyhow::Result<u64> {
    let mut count = 0;
    loop {
        match step(engine).await? {
            0 => return Ok(count),
            some => count += some as u64,
        }
    }
}

impl Phase {
    fn figures(&self) -> Value {
        let inside: f64 = self.store.iter().map(|(_, _, time)| time).sum();
        let mut places: serde_json::Map<String, Value> = self
            .store
            .iter()
            .map(|(name, calls, time)| {
                (format!("store {name}"), json!({ "calls": calls, "seconds": round(*time) }))
            })
            .collect();
        places.insert("engine itself".to_owned(), json!({ "seconds": round(self.seconds - inside) }));
        let count = self.count as f64;
        json!({ "count": self.count, "seconds": round(self.seconds), "per_second": round(count / self.seconds),
                "cpu_seconds": round(self.cpu), "cpu_ms_each": round(self.cpu * 1000.0 / count), "where": places })
    }
}

async fn fill(store: &SqliteStore, args: &Decide) -> anyhow::Result<()> {
    let (crm, now) = (ConnectionName::new(CRM), Timestamp::now());
    store.connect(&crm, Timestamp::UNIX_EPOCH).await?;
    let owners: Vec<CrmOwner> = (1..=REPS).map(owner).collect();
    store.put_owners(&crm, &owners, now).await?;
    let accounts: Vec<AccountRow> = (0..args.accounts).map(|n| account(n, now)).collect();
    for chunk in accounts.chunks(CHUNK) {
        store.put_accounts(&crm, "accounts/refresh", &json!({}), chunk.to_vec(), now).await?;
    }
    let records =
        (0..args.leads).map(|n| record(n, args.accounts, now)).collect::<anyhow::Result<Vec<_>>>()?;
    for chunk in records.chunks(CHUNK) {
        store.store_records(chunk.to_vec()).await?;
    }
    Ok(())
}

fn owner(n: u64) -> CrmOwner {
    CrmOwner {
        id: ExternalId::new((100 + n).to_string()),
        email: format!("rep{n}@agency.example"),
        name: format!("Rep {n}"),
        active: true,
        availability: None,
    }
}

/// Every other company has an owner.
fn account(n: u64, now: Timestamp) -> AccountRow {
    let name = format!("Company {n} GmbH");
    let keys = usher_matching::account_keys(&name, &[format!("company-{n}.example")]);
    let owner = n.is_multiple_of(2).then(|| ExternalId::new((101 + n / 2 % REPS).to_string()));
    AccountRow {
        id: AccountId::new(now),
        external_id: ExternalId::new((1_000 + n).to_string()),
        name,
        owner,
        country: Some("DE".to_owned()),
        gone: false,
        keys,
    }
}

/// Every other lead writes from a known company's domain, the rest from nowhere known.
fn record(n: u64, accounts: u64, now: Timestamp) -> anyhow::Result<NewRecord> {
    let domain = if n.is_multiple_of(2) {
        format!("company-{}.example", n / 2 % accounts)
    } else {
        format!("stranger-{n}.example")
    };
    let country = ["DE", "US", "FR", "IN", "GB", "NL", "IT", "ES", "BR", "JP"][usize::try_from(n % 10)?];
    let payload = json!({ "id": n.to_string(), "properties": {
        "email": format!("lea{n}@{domain}"), "firstname": "Lea", "lastname": format!("Laroche{n}"), "jobtitle": "Buyer",
        "country": country, "city": "Berlin", "message": "Please call me", "hs_analytics_source": "PAID_SEARCH" } });
    let record = Record {
        connection: ConnectionName::new(CRM),
        object: ObjectType::new("contacts"),
        external_id: ExternalId::new(n.to_string()),
        revision: "1".to_owned(),
        created_at: Some(now),
        modified_at: Some(now),
        imported: false,
        gone: false,
        payload: RawValue::from_string(payload.to_string())?,
    };
    Ok(NewRecord { id: RecordId::new(now), record, lane: Lane::Live, received_at: now, problem: None })
}

/// Twenty rules, of which most leads pass through many before one fits.
fn routing() -> String {
    let mut text = "version: 1\nreps:\n".to_owned();
    for n in 1..=REPS {
        let _ = writeln!(text, "  rep{n}: {{ email: rep{n}@agency.example }}");
    }
    text.push_str("pools:\n");
    let reps: Vec<String> = (1..=REPS).map(|n| format!("rep{n}")).collect();
    let half = reps.len() / 2;
    for (name, members) in [("first", &reps[..half]), ("second", &reps[half..]), ("everyone", &reps[..])] {
        let members = members.join(", ");
        let _ = writeln!(
            text,
            "  {name}: {{ members: [{members}], strategy: round_robin, if_nobody: {{ wait: 30m, then: {{ rep: rep1 }} }} }}"
        );
    }
    text.push_str("rules:\n  - name: Customers\n    when: 'account.owner != null'\n    assign: { to: account.owner, if_unavailable: { pool: everyone } }\n");
    let countries = ["DE", "US", "FR", "IN", "GB", "NL", "IT", "ES", "BR"];
    for n in 0..RULES - 2 {
        let country = countries[usize::try_from(n).unwrap_or_default() % countries.len()];
        let title = if n < RULES / 2 { "Chief" } else { "Buyer" };
        let pool = if n % 2 == 0 { "first" } else { "second" };
        let _ = writeln!(
            text,
            "  - name: Rule {n}\n    when: 'lead.country == \"{country}\" && lead.title == \"{title}\" && lead.email != null'\n    assign: {{ pool: {pool} }}"
        );
    }
    text.push_str("  - name: Everybody else\n    when: 'true'\n    assign: { pool: everyone }\nfallback: { rep: rep1 }\n");
    text
}
