//! `usher failed list|retry`.

use clap::{Args, Subcommand};
use serde_json::json;
use usher_model::{EffectKey, RecordId};
use usher_store::{FailedItem, FailedKind};

use crate::cli::{Common, Outcome};
use crate::failure::Failure;
use crate::output;
use crate::setup::{self, Access};

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
        /// At most so many
        #[arg(long, default_value_t = 100)]
        limit: u32,
    },
    /// Try again: a parked write is first looked up at the CRM
    Retry {
        /// Ids as `usher failed list` prints them
        ids: Vec<String>,
        /// Everything that failed
        #[arg(long, conflicts_with = "ids")]
        all: bool,
        /// You looked at the CRM and a parked write is not there: send it again without looking it up
        #[arg(long, conflicts_with = "all")]
        resend: bool,
    },
}

pub(crate) async fn run(common: &Common, args: Failed) -> Outcome {
    match args.verb {
        Verb::List { limit } => list(common, limit).await,
        Verb::Retry { ids, all, resend } => retry(common, &ids, all, resend).await,
    }
}

fn id_and_kind(item: &FailedItem) -> (String, String) {
    match &item.kind {
        FailedKind::Record(id) => (id.to_string(), "record".to_owned()),
        FailedKind::Rejected(key, kind) => (key.to_string(), format!("{} rejected", kind.as_str())),
        FailedKind::Parked(key, kind) => (key.to_string(), format!("{} parked", kind.as_str())),
    }
}

async fn list(common: &Common, limit: u32) -> Outcome {
    let loaded = setup::load(&common.config)?;
    let store = setup::open_store(&loaded.settings, Access::Command).await?;
    let failed = store.failed(limit).await?;
    store.close().await?;
    if common.json {
        let rows: Vec<_> = failed
            .iter()
            .map(|item| {
                let (id, kind) = id_and_kind(item);
                json!({ "id": id, "kind": kind, "connection": item.connection, "about": item.about, "at": item.at, "problem": item.problem })
            })
            .collect();
        output::json(&rows);
        return Ok(());
    }
    for item in &failed {
        let (id, kind) = id_and_kind(item);
        output::data(&format!(
            "{id}  {kind}  {} {}  {}\n    {}",
            item.connection, item.about, item.at, item.problem
        ));
    }
    if failed.is_empty() {
        output::note("nothing has failed");
    }
    Ok(())
}

async fn retry(common: &Common, ids: &[String], all: bool, resend: bool) -> Outcome {
    if ids.is_empty() && !all {
        return Err(Failure::input("say what to retry: ids as `usher failed list` prints them, or --all"));
    }
    let loaded = setup::load(&common.config)?;
    let store = setup::open_store(&loaded.settings, Access::Command).await?;
    let records: Vec<RecordId> = ids.iter().filter_map(|id| id.parse().ok()).collect();
    let keys: Vec<EffectKey> = ids.iter().map(|id| EffectKey::new(id.trim())).collect();
    let now = crate::daemon::now();
    let mut count = 0;
    if all || !records.is_empty() {
        count += store.retry_records(&records, now).await?;
    }
    if all || !keys.is_empty() {
        count += store.retry_effects(&keys, resend, now).await?;
    }
    store.close().await?;
    if count == 0 && !all {
        return Err(Failure::input("none of these has failed; `usher failed list` shows what has"));
    }
    output::note(&format!("{count} will be tried again by the daemon or `usher sync`"));
    Ok(())
}
