//! `usher backup`: a verified copy while the daemon runs. `usher restore`: puts one back.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;
use usher_store::SqliteStore;

use crate::cli::{Common, Outcome};
use crate::failure::Failure;
use crate::output;
use crate::setup::{self, Access};

/// Copy the database to a file, verified, while the daemon runs
#[derive(Debug, Args)]
pub(crate) struct Backup {
    /// The file to write; its checksum goes beside it as FILE.sha256
    file: PathBuf,
}

/// Put a backup in the place of the database; the daemon must be stopped
#[derive(Debug, Args)]
pub(crate) struct Restore {
    /// A file that `usher backup` wrote
    file: PathBuf,
}

pub(crate) async fn back_up(common: &Common, args: &Backup) -> Outcome {
    let loaded = setup::load(&common.config)?;
    let store = setup::open_store(&loaded.settings, Access::Command).await?;
    let made = store.back_up(&args.file, crate::daemon::now()).await;
    store.close().await?;
    let made = made?;
    let [records, leads, writes] = made.rows;
    if common.json {
        output::json(&json!({
            "file": args.file, "safe_at": made.safe_at, "bytes": made.bytes, "sha256": made.checksum,
            "records": records, "leads": leads, "writes": writes,
        }));
        return Ok(());
    }
    let file = args.file.display();
    output::data(&format!("{}  {file}", made.checksum));
    output::note(&format!(
        "verified: {records} records, {leads} leads, {writes} writes as of {}",
        made.safe_at
    ));
    Ok(())
}

pub(crate) async fn restore(common: &Common, args: &Restore) -> Outcome {
    let loaded = setup::load(&common.config)?;
    let Some(place) = setup::sqlite_path(&loaded.settings) else {
        return Err(Failure::input(
            "the database is on a server: put its dump back with `pg_restore` into an empty database, and name that one in \
             `store:`. What may have been sent since the dump is looked up then before anything is sent",
        ));
    };
    let place = place.display().to_string();
    let restored = SqliteStore::restore(&args.file, &place, crate::daemon::now()).await?;
    if common.json {
        output::json(&json!({
            "safe_at": restored.safe_at, "in_doubt": restored.in_doubt, "kept_aside": restored.kept_aside,
        }));
        return Ok(());
    }
    output::data(&format!("{place} is as it was at {}", restored.safe_at));
    if let Some(aside) = &restored.kept_aside {
        output::note(&format!("what was there is now {aside}"));
    }
    output::note(&format!(
        "{} writes may have been sent since: each is looked up before anything is sent, and so is what is decided anew. \
         Sources that can be pulled are read again from then on; webhooks of others that came in since are not in it.",
        restored.in_doubt
    ));
    Ok(())
}
