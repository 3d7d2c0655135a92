//! `usher compare`: in mode observe, our owner beside the one that the incumbent routing chose.

use clap::Args;
use serde_json::json;

use crate::cli::{Common, Outcome, when};
use crate::output;
use crate::setup::{self, Access};

/// Our owners beside the ones that the incumbent chose
#[derive(Debug, Args)]
pub(crate) struct Compare {
    /// How far to look back, as 7d or 12h
    #[arg(long, default_value = "7d")]
    since: String,
}

pub(crate) async fn run(common: &Common, args: &Compare) -> Outcome {
    let loaded = setup::load(&common.config)?;
    let store = setup::open_store(&loaded.settings, Access::Command).await?;
    let rows = store.comparisons(when::instant(&args.since)?).await?;
    let owners = store.owners(&loaded.settings.crm).await?.0;
    store.close().await?;
    let name = |id: &Option<usher_model::ExternalId>| match id {
        None => "-".to_owned(),
        Some(id) => owners
            .iter()
            .find(|owner| owner.id == *id)
            .map_or_else(|| id.to_string(), |owner| owner.name.clone()),
    };
    let decided = rows.iter().filter(|row| row.incumbent.is_some()).count();
    let same = rows.iter().filter(|row| row.incumbent.is_some() && row.incumbent == row.ours).count();
    if common.json {
        let lines: Vec<_> = rows
            .iter()
            .map(|row| json!({ "lead": row.lead, "received_at": row.received_at, "path": row.path, "ours": row.ours, "incumbent": row.incumbent }))
            .collect();
        output::json(
            &json!({ "leads": rows.len(), "incumbent_decided": decided, "same_owner": same, "rows": lines }),
        );
        return Ok(());
    }
    let lines: Vec<Vec<String>> = rows
        .iter()
        .map(|row| vec![row.lead.to_string(), row.path.clone(), name(&row.ours), name(&row.incumbent)])
        .collect();
    output::data(&output::table(&["lead", "path", "ours", "incumbent"], &lines));
    output::note(&format!(
        "{} leads observed; the incumbent has decided {decided}, {same} of them as we would",
        rows.len()
    ));
    Ok(())
}
