//! The told demo: one visitor after the other, and what becomes of each.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use usher_model::LeadState;
use usher_sandbox::CrmVendor;
use usher_store::{FailedFilter, LeadFilter, LeadStory};

use crate::cli::Outcome;
use crate::cli::demo::world::World;
use crate::cli::demo::{self, Visitor};
use crate::failure::Failure;
use crate::output;

/// How long the narrator waits for a lead to come to rest before it goes on.
const PATIENCE: Duration = Duration::from_secs(20);
/// How often it looks.
const LOOK: Duration = Duration::from_millis(100);

pub(super) async fn run(vendor: CrmVendor, pace: u64) -> Outcome {
    output::note(
        "Usher takes leads from forms and the CRM, finds the right owner, and writes owner and task back.",
    );
    output::note(
        "This is the real program; only the CRM and the form tool are simulated, on this machine.\n",
    );
    let world = World::start(vendor).await?;
    output::note(&format!("The installation is in {} until the demo ends.", world.folder.display()));
    output::note(
        "Rules: customers keep their owner; SEO from Germany, Austria, Switzerland goes to Ana (weight 2) and Ben (1);",
    );
    output::note(
        "everybody else is shared fairly by Ana, Ben and Dora; students are dropped; Carla catches the rest.\n",
    );
    let mut told = HashSet::new();
    let result = tell_all(&world, pace, &mut told).await;
    sum_up(&world).await?;
    world.stop().await?;
    result
}

async fn tell_all(world: &World, pace: u64, told: &mut HashSet<String>) -> Outcome {
    for visitor in &demo::VISITORS {
        output::data(&format!("▸ {}", visitor.told));
        let before = settled(world).await?;
        world.accounts.arrive(visitor).map_err(anyhow::Error::from)?;
        await_one_more(world, before).await?;
        tell(world, visitor, told).await?;
        tokio::select! {
            () = tokio::time::sleep(Duration::from_secs(pace)) => {}
            stop = tokio::signal::ctrl_c() => {
                stop.map_err(anyhow::Error::from)?;
                break;
            }
        }
    }
    Ok(())
}

/// Records that have ended, not counting our own echoes.
async fn settled(world: &World) -> Result<u64, Failure> {
    let counts = world.engine.store().counts().await?;
    let ended = ["opened", "updated", "failed"].iter().filter_map(|state| counts.records.get(*state)).sum();
    Ok(ended)
}

async fn await_one_more(world: &World, before: u64) -> Outcome {
    let started = Instant::now();
    while started.elapsed() < PATIENCE {
        let filter = LeadFilter { state: Some(LeadState::Decided), limit: 1, ..LeadFilter::default() };
        let moving = world.engine.store().leads(&filter).await?;
        if settled(world).await? > before && moving.is_empty() {
            return Ok(());
        }
        tokio::time::sleep(LOOK).await;
    }
    Ok(())
}

async fn tell(world: &World, visitor: &Visitor, told: &mut HashSet<String>) -> Outcome {
    let store = world.engine.store();
    let filter = LeadFilter { email: Some(visitor.email.to_lowercase()), limit: 1, ..LeadFilter::default() };
    let found = store.leads(&filter).await?;
    let Some(summary) = found.first() else {
        if let Some(failed) = store.failed(&FailedFilter::newest(1)).await?.first() {
            output::data(&format!("  kept as failed: {}", failed.problem));
        }
        return Ok(());
    };
    let Some(story) = store.lead_story(summary.lead.id).await? else {
        return Ok(());
    };
    if told.insert(story.lead.id.to_string()) {
        tell_new(&story);
    } else {
        let owner = summary.owner.as_deref().unwrap_or("nobody");
        output::data(&format!("  joined the open lead: still {owner}'s, no second person, no second task"));
    }
    Ok(())
}

fn tell_new(story: &LeadStory) {
    for decision in &story.decisions {
        output::data(&format!("  decided: {}", decision.why));
    }
    if let Some(detail) = &story.lead.detail {
        output::data(&format!("  {detail}"));
    }
    for effect in &story.effects {
        let after = effect.ended_at.map(|at| at.duration_since(story.lead.received_at).as_millis());
        let after = after.map(|ms| format!(" after {ms} ms")).unwrap_or_default();
        output::data(&format!(
            "  {}: {}{after}",
            effect.kind.as_str().replace('_', " "),
            effect.state.as_str()
        ));
    }
}

async fn sum_up(world: &World) -> Outcome {
    let verdict = world.accounts.crm.summary();
    output::data("");
    output::data(&format!(
        "The CRM's own log: {} tasks created, {} of them twice; {} people twice.",
        verdict.tasks_created, verdict.duplicate_tasks, verdict.duplicate_persons
    ));
    output::note(
        "Next: `usher init` writes the files for your own accounts, in mode observe. The README has a tour.",
    );
    Ok(())
}
