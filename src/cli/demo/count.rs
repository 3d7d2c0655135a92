//! The counted demo: N leads to the end as fast as it goes, judged against the simulator's own log.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde::Serialize;
use usher_sandbox::{CrmObject, CrmVendor};
use usher_store::Counts;

use crate::cli::Outcome;
use crate::cli::demo::world::World;
use crate::failure::Failure;
use crate::output;

/// How often the counts are read.
const LOOK: Duration = Duration::from_millis(50);
/// Without any progress for so long, the run is over.
const STALLED: Duration = Duration::from_secs(60);

/// What N leads came to. "Owners wrong": the CRM's owner is not our last decision though no human changed it later.
#[derive(Debug, Serialize)]
struct Tally {
    seen: u64,
    opened: u64,
    updated: u64,
    ignored: u64,
    assigned: u64,
    merged: u64,
    suppressed: u64,
    failed: u64,
    waiting: u64,
    persons_created: usize,
    duplicate_persons: usize,
    tasks_created: usize,
    duplicate_tasks: usize,
    owners_wrong: usize,
    seconds: f64,
    p50_ms: u64,
    p99_ms: u64,
}

pub(super) async fn run(vendor: CrmVendor, leads: usize, as_json: bool) -> Outcome {
    let world = World::start(vendor).await?;
    let began = crate::daemon::now();
    let started = Instant::now();
    for n in 0..leads {
        world.accounts.arrive_numbered(n).map_err(anyhow::Error::from)?;
        if n.is_multiple_of(256) {
            tokio::task::yield_now().await;
        }
    }
    let expected = u64::try_from(leads).unwrap_or(u64::MAX);
    let counts = await_end(&world, expected).await?;
    let seconds = started.elapsed().as_secs_f64();
    let tally = tally(&world, &counts, began, seconds).await?;
    world.stop().await?;
    if as_json {
        output::json(&tally);
    } else {
        output::data(&format!(
            "{} leads in {:.1} s: {} assigned, {} waiting, {} failed; {} tasks created, {} twice; {} people twice; {} wrong owners; p50 {} ms, p99 {} ms",
            tally.opened,
            tally.seconds,
            tally.assigned,
            tally.waiting,
            tally.failed,
            tally.tasks_created,
            tally.duplicate_tasks,
            tally.duplicate_persons,
            tally.owners_wrong,
            tally.p50_ms,
            tally.p99_ms
        ));
    }
    Ok(())
}

/// Waits until every lead has come to rest, or nothing moves any more.
async fn await_end(world: &World, expected: u64) -> Result<Counts, Failure> {
    let store = world.engine.store();
    let mut last = store.counts().await?;
    let mut moved = Instant::now();
    loop {
        let counts = store.counts().await?;
        let of = |group: &std::collections::BTreeMap<String, u64>, names: &[&str]| -> u64 {
            names.iter().filter_map(|name| group.get(*name)).sum()
        };
        let arrived = of(&counts.records, &["opened", "updated", "failed"]);
        let moving = of(&counts.leads, &["decided"])
            + of(&counts.records, &["fetched", "mapped"])
            + of(&counts.effects, &["blocked", "planned", "sending", "unknown"]);
        if arrived >= expected && moving == 0 {
            return Ok(counts);
        }
        if counts != last {
            last = counts;
            moved = Instant::now();
        }
        if moved.elapsed() > STALLED {
            output::note("nothing has moved for a minute: the counts are as they stand");
            return Ok(last);
        }
        tokio::time::sleep(LOOK).await;
    }
}

async fn tally(world: &World, counts: &Counts, began: Timestamp, seconds: f64) -> Result<Tally, Failure> {
    let store = world.engine.store();
    let crm = &world.accounts.crm;
    let verdict = crm.summary();
    let persons = crm.vendor().objects(CrmObject::Person);
    let owners: HashMap<String, String> = crm
        .persons()
        .into_iter()
        .filter(|owned| owned.changed_later_by.is_none())
        .map(|owned| (owned.id.to_string(), owned.owner.to_string()))
        .collect();
    let decided = store.decided_owners().await?;
    let wrong = decided
        .iter()
        .filter(|each| owners.get(each.person.as_str()).is_some_and(|owner| owner != each.owner.as_str()));
    let mut latencies = store.task_latencies(began).await?;
    latencies.sort_unstable();
    let record = |name: &str| counts.records.get(name).copied().unwrap_or_default();
    let lead = |name: &str| counts.leads.get(name).copied().unwrap_or_default();
    Ok(Tally {
        seen: counts.records.values().sum(),
        opened: record("opened"),
        updated: record("updated"),
        ignored: record("ignored"),
        assigned: lead("closed:written") + lead("decided"),
        merged: lead("closed:merged"),
        suppressed: lead("closed:suppressed"),
        failed: lead("closed:failed") + record("failed"),
        waiting: lead("waiting"),
        persons_created: verdict.objects.get(persons).map_or(0, |persons| persons.created_by_api),
        duplicate_persons: verdict.duplicate_persons,
        tasks_created: verdict.tasks_created,
        duplicate_tasks: verdict.duplicate_tasks,
        owners_wrong: wrong.count(),
        seconds,
        p50_ms: percentile(&latencies, 50),
        p99_ms: percentile(&latencies, 99),
    })
}

/// The value below which that many percent lie; 0 without values.
fn percentile(sorted: &[u64], percent: usize) -> u64 {
    let index = (sorted.len() * percent / 100).min(sorted.len().saturating_sub(1));
    sorted.get(index).copied().unwrap_or_default()
}
