//! `usher try`: a connection is tried out; for the CRM a marked test lead goes the whole way and is removed.

use std::sync::Arc;

use clap::Args;
use serde_json::json;
use usher_model::ConnectionName;

use crate::cli::{Common, Outcome};
use crate::failure::Failure;
use crate::heart::Heart;
use crate::output;
use crate::setup::{self, Access};

/// Send one marked test lead through every step, then remove it
#[derive(Debug, Args)]
pub(crate) struct Trial {
    /// The connection, by its name in usher.yaml
    connection: String,
}

pub(crate) async fn run(common: &Common, args: &Trial) -> Outcome {
    let loaded = setup::load(&common.config)?;
    let store = setup::open_store(&loaded.settings, Access::Daemon).await?;
    let engine = Arc::new(setup::assemble(&loaded, store).await?);
    let heart = Heart::start(&engine).await?;
    let result = engine.trial(&ConnectionName::new(args.connection.as_str()), tokio::time::sleep).await;
    heart.stop().await;
    engine.store().close().await?;
    let report = result?;
    if common.json {
        let steps: Vec<_> = report
            .steps
            .iter()
            .map(|step| json!({ "name": step.name, "ok": step.ok, "detail": step.detail }))
            .collect();
        output::json(&json!({ "ok": report.ok(), "steps": steps }));
    } else {
        for step in &report.steps {
            let mark = if step.ok { "ok     " } else { "PROBLEM" };
            output::data(&format!("{mark} {:14} {}", step.name, step.detail));
        }
    }
    if report.ok() {
        Ok(())
    } else {
        Err(Failure::input(format!("`{}` does not work as it should", args.connection)))
    }
}
