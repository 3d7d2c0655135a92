//! `usher explain`: why a lead went where it went, in plain sentences or as the recorded trace.

use clap::Args;
use usher_model::{Decision, Step};

use crate::cli::{Common, Outcome, leads};
use crate::output;
use crate::setup::{self, Access};

/// Why a lead went where it went
#[derive(Debug, Args)]
pub(crate) struct Explain {
    /// A lead id, the person's e-mail address, or the CRM's id or URL
    lead: String,
}

pub(crate) async fn run(common: &Common, args: &Explain) -> Outcome {
    let loaded = setup::load(&common.config)?;
    let store = setup::open_store(&loaded.settings, Access::Command).await?;
    let story = leads::find(&*store, &args.lead).await;
    store.close().await?;
    let story = story?;
    if common.json {
        output::json(&story.decisions);
        return Ok(());
    }
    output::data(&format!(
        "{} arrived {} through {}.",
        story.lead.fields.display_name(),
        story.lead.received_at,
        story.lead.connection
    ));
    for decision in &story.decisions {
        output::data(&told(decision));
    }
    Ok(())
}

fn told(decision: &Decision) -> String {
    let mut lines =
        vec![format!("\nDecided {} ({}): {}", decision.at, decision.trigger.as_str(), decision.why)];
    lines.extend(decision.trace.steps.iter().map(|step| format!("  - {}", sentence(step))));
    lines.push(format!("  Policy {}, seed {}.", decision.trace.policy, decision.trace.seed));
    lines.join("\n")
}

fn sentence(step: &Step) -> String {
    match step {
        Step::Guard { name, finding, settled } => {
            let end = if *settled { ", which settled it" } else { "" };
            format!("Guard {name}: {finding}{end}.")
        }
        Step::Rule { name, held: true, why } => format!("Rule \"{name}\" applies: {why}."),
        Step::Rule { name, held: false, why } => format!("Rule \"{name}\" does not apply: {why}."),
        Step::Candidate { rep, eliminated: None } => format!("{rep} could take it."),
        Step::Candidate { rep, eliminated: Some(reason) } => format!("{rep} could not take it: {reason}."),
        Step::Pick { pool, strategy, rep, why, .. } => format!("{pool} ({strategy}) picks {rep}: {why}."),
        Step::Nobody { target, then, opens_at } => {
            let opens = opens_at.map(|at| format!("; next opening {at}")).unwrap_or_default();
            format!("Nobody in {target} can take it: {then}{opens}.")
        }
        Step::Fallback { why } => format!("Fallback: {why}."),
    }
}
