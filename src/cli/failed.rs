//! `usher failed list|show|retry`.

use clap::{Args, Subcommand, ValueEnum};
use jiff::Timestamp;
use serde_json::{Value, json};
use usher_model::{ConnectionName, EffectKey, LeadId, RecordId};
use usher_store::{FailedFilter, FailedItem, FailedKind, Store};

use crate::cli::{Common, Outcome, when};
use crate::failure::Failure;
use crate::output;
use crate::setup::{self, Access};

/// A retry by filter takes at most so many at once.
const AT_ONCE: u32 = 10_000;

/// List what failed, and give it another try
#[derive(Debug, Args)]
pub(crate) struct Failed {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// What failed, newest first, with the reason
    List {
        #[command(flatten)]
        which: Which,
        /// At most so many
        #[arg(long, default_value_t = 100)]
        limit: u32,
    },
    /// One failure with every try that led to it
    Show {
        /// Its id as `usher failed list` prints it
        id: String,
    },
    /// Try again: a parked write is first looked up at the CRM
    Retry {
        /// Ids as `usher failed list` prints them
        ids: Vec<String>,
        /// Everything that failed
        #[arg(long, conflicts_with = "ids")]
        all: bool,
        #[command(flatten)]
        which: Which,
        /// You looked at the CRM and a parked write is not there: send it again without looking it up
        #[arg(long, conflicts_with = "all")]
        resend: bool,
    },
}

/// Which failures; every bound that is given must hold.
#[derive(Debug, Default, PartialEq, Eq, Args)]
struct Which {
    /// Only at this connection
    #[arg(long)]
    connection: Option<String>,
    /// Only of this sort
    #[arg(long)]
    kind: Option<Sort>,
    /// Only those whose reason holds this text
    #[arg(long)]
    reason_contains: Option<String>,
    /// Only since then: an instant, or how long ago, as 2h
    #[arg(long)]
    since: Option<String>,
    /// Only until then
    #[arg(long)]
    until: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Sort {
    /// Records that could not be processed
    Record,
    /// Waiting leads that could not be decided
    Lead,
    /// Writes that the CRM refused
    Rejected,
    /// Writes that stay unclear
    Parked,
}

impl Which {
    fn filter(self, limit: u32) -> Result<FailedFilter, Failure> {
        let sort = self.kind.and_then(|kind| kind.to_possible_value());
        Ok(FailedFilter {
            id: None,
            connection: self.connection.map(ConnectionName::new),
            sort: sort.map(|sort| sort.get_name().to_owned()),
            reason: self.reason_contains,
            since: self.since.as_deref().map(when::instant).transpose()?,
            until: self.until.as_deref().map(when::instant).transpose()?,
            limit,
        })
    }
}

pub(crate) async fn run(common: &Common, args: Failed) -> Outcome {
    let loaded = setup::load(&common.config)?;
    let store = setup::open_store(&loaded.settings, Access::Command).await?;
    let outcome = match args.verb {
        Verb::List { which, limit } => list(common, &*store, &which.filter(limit)?).await,
        Verb::Show { id } => show(common, &*store, id).await,
        Verb::Retry { ids, all, which, resend } => retry(&*store, ids, all, which, resend).await,
    };
    store.close().await?;
    outcome
}

/// The sort, and of a write its kind.
fn kind(item: &FailedItem) -> String {
    match &item.kind {
        FailedKind::Record(_) | FailedKind::Lead(_) => item.kind.sort().to_owned(),
        FailedKind::Rejected(_, kind) | FailedKind::Parked(_, kind) => {
            format!("{} {}", kind.as_str(), item.kind.sort())
        }
    }
}

fn as_json(item: &FailedItem) -> Value {
    json!({
        "id": item.kind.id(), "kind": kind(item), "connection": item.connection, "about": item.about, "at": item.at,
        "problem": item.problem,
    })
}

fn as_text(item: &FailedItem) -> String {
    let FailedItem { connection, about, at, problem, .. } = item;
    format!("{}  {}  {connection} {about}  {at}\n    {problem}", item.kind.id(), kind(item))
}

async fn list(common: &Common, store: &dyn Store, filter: &FailedFilter) -> Outcome {
    let failed = store.failed(filter).await?;
    if common.json {
        output::json(&failed.iter().map(as_json).collect::<Vec<_>>());
        return Ok(());
    }
    for item in &failed {
        output::data(&as_text(item));
    }
    if failed.is_empty() {
        output::note("nothing like that has failed");
    }
    Ok(())
}

async fn show(common: &Common, store: &dyn Store, id: String) -> Outcome {
    let filter = FailedFilter { id: Some(id.trim().to_owned()), ..FailedFilter::newest(1) };
    let Some(item) = store.failed(&filter).await?.pop() else {
        return Err(Failure::input("this has not failed; `usher failed list` shows what has"));
    };
    let lead: Option<LeadId> = item.about.parse().ok();
    let story = match lead {
        Some(lead) => store.lead_story(lead).await?,
        None => None,
    };
    let tries = story.map(|story| story.attempts).unwrap_or_default();
    let tries: Vec<_> = tries.into_iter().filter(|each| each.key.as_str() == item.kind.id()).collect();
    if common.json {
        let tries: Vec<Value> = tries
            .iter()
            .map(|each| json!({ "number": each.number, "at": each.at, "outcome": each.outcome, "detail": each.detail }))
            .collect();
        let mut shown = as_json(&item);
        shown["attempts"] = tries.into();
        output::json(&shown);
        return Ok(());
    }
    output::data(&as_text(&item));
    for each in &tries {
        let detail = each.detail.as_deref().unwrap_or_default();
        output::data(&format!("    try {}  {}  {}  {detail}", each.number, each.at, each.outcome.as_str()));
    }
    Ok(())
}

async fn retry(store: &dyn Store, mut ids: Vec<String>, all: bool, which: Which, resend: bool) -> Outcome {
    let filtered = which != Which::default();
    if ids.is_empty() && !all && !filtered {
        let text =
            "say what to retry: ids as `usher failed list` prints them, a filter as --connection, or --all";
        return Err(Failure::input(text));
    }
    if filtered {
        let chosen = store.failed(&which.filter(AT_ONCE)?).await?.into_iter().map(|item| item.kind.id());
        let named = std::mem::take(&mut ids);
        ids = chosen.filter(|id| all || named.is_empty() || named.contains(id)).collect();
    }
    let count =
        if all && !filtered { retry_all(store).await? } else { retry_ids(store, &ids, resend).await? };
    if count == 0 && !all {
        return Err(Failure::input("none of these has failed; `usher failed list` shows what has"));
    }
    output::note(&format!("{count} will be tried again by the daemon or `usher sync`"));
    Ok(())
}

async fn retry_all(store: &dyn Store) -> Result<u64, Failure> {
    let now = crate::daemon::now();
    let records = store.retry_records(&[], now).await?;
    Ok(records + store.retry_leads(&[], now).await? + store.retry_effects(&[], false, now).await?)
}

async fn retry_ids(store: &dyn Store, ids: &[String], resend: bool) -> Result<u64, Failure> {
    let now: Timestamp = crate::daemon::now();
    let records: Vec<RecordId> = ids.iter().filter_map(|id| id.parse().ok()).collect();
    let leads: Vec<LeadId> = ids.iter().filter_map(|id| id.parse().ok()).collect();
    let keys: Vec<EffectKey> = ids.iter().map(|id| EffectKey::new(id.trim())).collect();
    let mut count = 0;
    // An empty list would mean everything.
    if !records.is_empty() {
        count += store.retry_records(&records, now).await?;
    }
    if !leads.is_empty() {
        count += store.retry_leads(&leads, now).await?;
    }
    if !keys.is_empty() {
        count += store.retry_effects(&keys, resend, now).await?;
    }
    Ok(count)
}
