//! `usher undo`: takes back what was decided and written; without `--yes` it only says what it would do.

use clap::Args;
use jiff::Timestamp;
use serde_json::json;
use usher_engine::UndoPlan;
use usher_model::LeadId;
use usher_store::UndoFilter;

use crate::cli::{Common, Outcome, when};
use crate::failure::Failure;
use crate::output;
use crate::setup::{self, Access};

/// Take back what was decided and written
#[derive(Debug, Args)]
pub(crate) struct Undo {
    /// What was decided since then: an instant, or how long ago, as 2h
    #[arg(long, required_unless_present = "lead")]
    since: Option<String>,
    /// Only what was decided until then
    #[arg(long)]
    until: Option<String>,
    /// Only by this rule, or this path as `usher leads list` shows it
    #[arg(long, visible_alias = "path")]
    rule: Option<String>,
    /// Only this lead, by its id
    #[arg(long)]
    lead: Option<LeadId>,
    /// Also archive the persons that usher created
    #[arg(long)]
    archive: bool,
    /// Why, for the ledger and for whoever looks at the leads
    #[arg(long, default_value = "usher undo")]
    reason: String,
    /// At most so many leads, newest first
    #[arg(long, default_value_t = 1_000)]
    limit: u32,
    /// Do it
    #[arg(long)]
    yes: bool,
}

pub(crate) async fn run(common: &Common, args: &Undo) -> Outcome {
    let loaded = setup::load(&common.config)?;
    let filter = UndoFilter {
        since: args.since.as_deref().map_or(Ok(Timestamp::UNIX_EPOCH), when::instant)?,
        until: args.until.as_deref().map_or(Ok(Timestamp::MAX), when::instant)?,
        path: args.rule.clone(),
        lead: args.lead,
        limit: args.limit,
    };
    let store = setup::open_store(&loaded.settings, Access::Command).await?;
    let engine = setup::assemble(&loaded, store).await?;
    let plan = if args.yes {
        engine.undo(&filter, args.archive, &args.reason).await
    } else {
        engine.plan_undo(&filter, args.archive).await
    };
    engine.store().close().await?;
    let plan = plan?;
    if common.json {
        let leads: Vec<_> = plan
            .lines
            .iter()
            .map(|line| {
                json!({
                    "lead": line.lead, "path": line.path, "decided_at": line.decided_at, "steps": line.steps,
                    "left": line.left,
                })
            })
            .collect();
        output::json(&json!({ "applied": args.yes, "leads": leads }));
        return Ok(());
    }
    show(&plan);
    say(args, &plan)
}

fn show(plan: &UndoPlan) {
    let rows: Vec<Vec<String>> = plan
        .lines
        .iter()
        .flat_map(|line| {
            let steps = line.steps.iter().map(|step| ("do", step));
            let left = line.left.iter().map(|left| ("leave", left));
            steps.chain(left).enumerate().map(|(place, (what, text))| {
                let first = place == 0;
                let once = |text: String| if first { text } else { String::new() };
                vec![once(line.lead.to_string()), once(line.path.clone()), what.to_owned(), text.clone()]
            })
        })
        .collect();
    if !rows.is_empty() {
        output::data(&output::table(&["lead", "path", "", "what"], &rows));
    }
}

fn say(args: &Undo, plan: &UndoPlan) -> Outcome {
    let leads = plan.lines.len();
    if leads == 0 {
        return Err(Failure::input(
            "nothing fits: no live lead was decided then, by that rule, that still stands",
        ));
    }
    let more =
        if leads as u64 == u64::from(args.limit) { "; there may be more, repeat for them" } else { "" };
    output::note(&if args.yes {
        format!("{leads} leads are taken back; the daemon or `usher sync` does the writing{more}")
    } else {
        format!("{leads} leads would be taken back{more}; nothing was done yet: repeat with --yes")
    });
    Ok(())
}
