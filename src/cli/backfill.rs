//! `usher backfill`: learn from what the CRM knows already. A dry run unless `--apply` is given.

use std::sync::Arc;

use clap::Args;
use serde_json::json;
use usher_model::ConnectionName;

use crate::cli::{Common, Outcome};
use crate::heart::Heart;
use crate::output;
use crate::setup::{self, Access};

/// Learn from what the CRM knows already; opens no leads
#[derive(Debug, Args)]
pub(crate) struct Backfill {
    /// The connection; the CRM of record unless named
    connection: Option<String>,
    /// Really read it; without this only the plan is shown
    #[arg(long)]
    apply: bool,
}

pub(crate) async fn run(common: &Common, args: &Backfill) -> Outcome {
    let loaded = setup::load(&common.config)?;
    let store = setup::open_store(&loaded.settings, Access::Daemon).await?;
    let engine = Arc::new(setup::assemble(&loaded, store).await?);
    let name = args.connection.as_deref().map_or_else(|| engine.crm().clone(), ConnectionName::from);
    let plan = engine.backfill_plan(&name)?;
    if !args.apply {
        let streams: Vec<&str> = plan.streams.iter().map(usher_model::ObjectType::as_str).collect();
        if common.json {
            output::json(
                &json!({ "connection": name, "streams": streams, "directory": plan.directory, "applied": false }),
            );
        } else {
            let directory = if plan.directory { "owners, companies" } else { "no directory" };
            output::data(&format!("would read from {name}: {directory}; history of: {}", list(&streams)));
            output::data("No lead is opened and nothing is written. Run again with --apply to read it.");
        }
        return Ok(engine.store().close().await?);
    }
    let heart = Heart::start(&engine).await?;
    let result = engine.backfill(&name).await;
    heart.stop().await;
    engine.store().close().await?;
    let report = result?;
    if common.json {
        let counts = json!({ "connection": name, "owners": report.owners, "accounts": report.accounts, "records": report.records, "applied": true });
        output::json(&counts);
    } else {
        let counts =
            format!("{} owners, {} companies, {} records", report.owners, report.accounts, report.records);
        output::data(&format!("learned from {name}: {counts}; no lead was opened"));
    }
    Ok(())
}

fn list(names: &[&str]) -> String {
    if names.is_empty() { "nothing".to_owned() } else { names.join(", ") }
}
