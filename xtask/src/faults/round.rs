//! One round: a fresh installation, load, strikes with a look after each, calm, and the verdict.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use usher_sandbox::{Crm, CrmVendor, Faults as Weather, Sandbox, Span, Summary};
use usher_testkit::invariants::{Came, Evidence, Ledger, Phase, Resources, Scene};
use usher_testkit::{Cluster, Detour, Honesty, LossyDisk};

use super::fleet::{self, Fleet};
use super::load::{self, Acknowledged, Doors};
use super::record::Round;
use super::strike::{Strike, Struck};
use super::{Faults, Plan};
use crate::field::installation::{Installation, Tuning};
use crate::field::{self, world};
use crate::report::{progress, round as rounded};
use crate::watch;

/// How long a call of the program may take. Short, so that the leases of a killed program are, too.
const TIMEOUT: Duration = Duration::from_secs(3);
/// The settle window where writes are lost now and then.
const SETTLE: Duration = Duration::from_secs(10);
/// In a run of lost answers a tenth of real time passes: an answer is up to 9 s late instead of 90 s, and the settle
/// window is 9 s instead of 90 s.
const SCALED_SETTLE: Duration = Duration::from_secs(9);
/// Of the three writes that a lead needs, about half get no clear answer in a run of lost answers.
const UNCLEAR_PER_LEAD: f64 = 1.5;
/// The daemon's own limit for stopping is 20 s and 2 s for its web server.
const STOP_PATIENCE: Duration = Duration::from_secs(25);

/// Switches that hit a whole call.
const CALL_SWITCHES: [&str; 14] = [
    "throttle_burst",
    "throttle_daily",
    "throttle_search",
    "server_error",
    "server_error_after_commit",
    "html",
    "slow",
    "truncated",
    "lost_response",
    "late_commit",
    "locked",
    "moving",
    "blocked",
    "cursor_refused",
];

struct Scenario<'a> {
    args: &'a Faults,
    plan: &'a Plan,
    sandbox: Arc<Sandbox>,
    crm: Arc<dyn Crm>,
    installation: Installation,
    disk: Option<LossyDisk>,
    cluster: Option<&'a Cluster>,
    /// Ways to the database, until the other nodes take them over.
    ways: Vec<Detour>,
    fleet: Option<Fleet>,
    acknowledged: Acknowledged,
    dice: StdRng,
    struck: Struck,
    /// Who came, once all have.
    came: Came,
    broken: Vec<Value>,
}

/// Runs a round of so many points.
pub(super) async fn run(
    args: &Faults,
    plan: &Plan,
    cluster: Option<&Cluster>,
    number: u32,
    points: u32,
) -> anyhow::Result<Round> {
    let folder = tempfile::Builder::new().prefix("usher-faults-").tempdir().context("making a folder")?;
    let seed = plan.seed + u64::from(number);
    let mut scenario = Scenario::prepare(args, plan, cluster, seed, folder.path()).await?;
    let finished = scenario.go(number, points, seed).await;
    if args.keep || !finished.as_ref().is_ok_and(|round| round.broken.is_empty() && !round.stuck) {
        let kept = folder.keep();
        if let Some(cluster) = cluster {
            // The server goes with this process.
            std::fs::write(kept.join("usher.sql"), cluster.dump(&scenario.installation.place()))
                .context("keeping the database")?;
        }
        progress(&format!("the installation is kept in {}", kept.display()));
    }
    finished
}

impl<'a> Scenario<'a> {
    async fn prepare(
        args: &'a Faults,
        plan: &'a Plan,
        cluster: Option<&'a Cluster>,
        seed: u64,
        folder: &Path,
    ) -> anyhow::Result<Self> {
        let options = field::options(seed);
        let sandbox = Arc::new(Sandbox::start(options.clone()).await?);
        let crm = sandbox.crm(plan.crm);
        world::seed(&*crm, &load::companies())?;
        for form in [world::HOOKED_FORM, world::POLLED_FORM] {
            sandbox.typeform().define(world::form(form));
        }
        let settle = if plan.strike == Strike::LostAnswers { SCALED_SETTLE } else { SETTLE };
        let postgres = cluster.map(Cluster::database);
        let (of, entered) = (plan.crm, plan.object);
        let tuning = Tuning { crm: of, entered, timeout: TIMEOUT, settle, more: load::SETTINGS, postgres };
        let mut installation = Installation::write(folder, &sandbox, &options, &world::routing(), tuning)?;
        std::fs::write(folder.join("site.token"), load::TOKEN).context("writing the sender's token")?;
        installation.hook_up(&sandbox, plan.crm, plan.object);
        let disk = (plan.strike == Strike::PowerCut)
            .then(|| LossyDisk::under(&installation.database(), folder))
            .transpose()?;
        if let Some(disk) = &disk {
            installation.environment = disk.environment(Honesty::Honest);
        }
        let ways = match cluster {
            Some(cluster) if plan.strike == Strike::Nodes => Fleet::ways(cluster).await?,
            _ => Vec::new(),
        };
        if let (Some(cluster), Some(way)) = (cluster, ways.first()) {
            installation.reach_database_by(&fleet::detour(&installation.place(), cluster, way))?;
        }
        Ok(Self {
            args,
            plan,
            sandbox,
            crm,
            installation,
            disk,
            cluster,
            ways,
            fleet: None,
            acknowledged: Acknowledged::default(),
            dice: StdRng::seed_from_u64(seed),
            struck: Struck::default(),
            came: Came::default(),
            broken: Vec::new(),
        })
    }

    async fn go(&mut self, number: u32, points: u32, seed: u64) -> anyhow::Result<Round> {
        self.installation.start()?;
        watch::directory(&mut self.installation, load::companies().len()).await?;
        if let (Some(cluster), Strike::Nodes) = (self.cluster, self.plan.strike) {
            let (ways, place) = (std::mem::take(&mut self.ways), self.installation.place());
            self.fleet = Some(Fleet::start(&self.installation, ways, cluster, &place).await?);
        }
        let calm = self.crm.summary();
        self.sandbox.set_faults(weather(self.plan));
        let started = Instant::now();
        let people = self.under_load(points).await?;
        self.came = load::came(people);
        let loaded = started.elapsed();
        let stormy = self.crm.summary();
        self.sandbox.set_faults(Weather::default());
        let patience = Duration::from_secs(self.args.patience);
        let scene = self.scene();
        let rested = watch::rest(&mut self.installation, &self.sandbox, &scene, patience).await?;
        let to_rest = started.elapsed() - loaded;
        let usage = self.installation.usage();
        let resources = Resources { peak_kib: usage.peak_kib, handles: self.installation.handles() };
        let mut ledger = Ledger::open(&self.installation.place()).await?;
        let evidence = self.last_word(&mut ledger, resources).await?;
        self.note(&evidence, Phase::Drained, "at the end");
        let mut endings = vec![self.installation.stop(STOP_PATIENCE)?.0];
        if let Some(fleet) = &mut self.fleet {
            endings.extend(fleet.stop(STOP_PATIENCE)?);
        }
        for status in endings.iter().filter(|status| !status.success()) {
            self.broken.push(json!({ "rule": "a stop ends well", "examples": [status.to_string()] }));
        }
        let counts = counts(&mut ledger, &evidence, people, self.installation.starts).await?;
        ledger.close().await?;
        let unclear = counts.get("writes once unclear").copied().unwrap_or_default();
        let by_unclear = self.plan.strike == Strike::LostAnswers;
        Ok(Round {
            number,
            seed,
            points: if by_unclear { u32::try_from(unclear)? } else { self.struck.strikes },
            struck: std::mem::take(&mut self.struck),
            counts,
            disturbed: rounded(disturbed(&calm, &stormy)),
            seconds: [rounded(loaded.as_secs_f64()), rounded(to_rest.as_secs_f64())],
            peak_mib: usage.peak_kib / 1024,
            stuck: !rested,
            broken: std::mem::take(&mut self.broken),
        })
    }

    /// What holds in the end. A late webhook may have come since everything was at rest, so this looks again for a while.
    async fn last_word(&self, ledger: &mut Ledger, resources: Resources) -> anyhow::Result<Evidence> {
        let started = Instant::now();
        loop {
            let scene = Scene { resources: Some(resources), ..self.scene() };
            let evidence = Evidence::collect(ledger, &self.sandbox, scene).await?;
            if evidence.broken(Phase::Drained).is_empty() || started.elapsed() > STOP_PATIENCE {
                return Ok(evidence);
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }

    /// Lets people come while the program is struck. Returns how many came.
    async fn under_load(&mut self, points: u32) -> anyhow::Result<u64> {
        let stop = CancellationToken::new();
        let doors = Doors {
            crm: Arc::clone(&self.crm),
            forms: self.sandbox.typeform(),
            object: self.plan.object,
            address: self.installation.address.clone(),
            acknowledged: Arc::clone(&self.acknowledged),
        };
        let by_unclear = self.plan.strike == Strike::LostAnswers;
        let most = if by_unclear { (f64::from(points) / UNCLEAR_PER_LEAD).ceil() as u64 } else { u64::MAX };
        let people = tokio::spawn(doors.open(self.plan.rate, most, stop.clone()));
        if !by_unclear {
            for point in 1..=points {
                self.strike(point).await?;
            }
            stop.cancel();
        }
        people.await.context("the people")?
    }

    async fn strike(&mut self, point: u32) -> anyhow::Result<()> {
        let gap = self.dice.random_range(0.0..2.0 * self.plan.gap);
        tokio::time::sleep(Duration::from_secs_f64(gap)).await;
        if let Some(fleet) = &mut self.fleet {
            let place = self.installation.place();
            fleet.event(&mut self.installation, &place, &mut self.dice, &mut self.struck).await?;
            watch::say(&self.installation, &format!("event {point}")).await;
            return Ok(());
        }
        let strike = self.plan.strike;
        strike.hit(&mut self.installation, self.disk.as_ref(), &mut self.dice, &mut self.struck)?;
        self.look(point).await?;
        strike.revive(&mut self.installation, TIMEOUT, &mut self.dice, &mut self.struck).await
    }

    /// While the program is dead or stands still: what must hold at any moment.
    async fn look(&mut self, point: u32) -> anyhow::Result<()> {
        let mut ledger = Ledger::open(&self.installation.place()).await?;
        if self.disk.is_some() {
            let integrity = ledger.integrity().await?;
            if integrity != "ok" {
                self.broken.push(json!({ "rule": "the database is whole", "examples": [integrity] }));
            }
        }
        let evidence = Evidence::collect(&mut ledger, &self.sandbox, self.scene()).await?;
        ledger.close().await?;
        self.note(&evidence, Phase::Underway, &format!("after strike {point}"));
        if point.is_multiple_of(20) {
            watch::say(&self.installation, &format!("strike {point}")).await;
        }
        Ok(())
    }

    /// Notes each rule that does not hold, the first time only: what is lost stays lost.
    fn note(&mut self, evidence: &Evidence, phase: Phase, when: &str) {
        let known = |rule: &str| self.broken.iter().any(|noted| noted["broken"]["rule"] == rule);
        let fresh: Vec<_> = evidence.broken(phase).into_iter().filter(|broken| !known(broken.rule)).collect();
        for broken in fresh {
            progress(&format!("{when}: {} ({})", broken.rule, broken.count));
            self.broken.push(json!({ "when": when, "broken": broken }));
        }
    }

    fn scene(&self) -> Scene {
        let acknowledged = self.acknowledged.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let scene = field::scene(self.plan.crm, self.plan.object);
        let canaries = [load::TOKEN.to_owned(), "@firm".to_owned()].into_iter().chain(scene.canaries.clone());
        let (came, log) = (self.came, Some(self.installation.log()));
        Scene { acknowledged, came, log, canaries: canaries.collect(), ..scene }
    }
}

/// The vendors' bad days for a kind of strike.
fn weather(plan: &Plan) -> Weather {
    match plan.strike {
        // A quarter of the writes happens up to 9 s after their connection broke, a quarter at once without an answer. If
        // none were answered, the program would soon let the CRM rest.
        Strike::LostAnswers => Weather {
            only_paths: match plan.crm {
                CrmVendor::Hubspot => vec!["/crm/".to_owned()],
                CrmVendor::Pipedrive => ["/api/v2/", "/v1/leads"].map(str::to_owned).to_vec(),
            },
            late_commit: 0.25,
            late_commit_ms: Span(0, 9_000),
            lost_response: 0.33,
            ..Weather::default()
        },
        _ => Weather { latency_ms: Span(0, 5), late_commit_hold_ms: 50, ..Weather::rough() },
    }
}

/// Share of the calls between two summaries that were disturbed.
fn disturbed(calm: &Summary, stormy: &Summary) -> f64 {
    let fired = |summary: &Summary| -> u64 {
        CALL_SWITCHES.iter().filter_map(|switch| summary.faults.get(switch)).sum()
    };
    let calls = stormy.calls - calm.calls;
    (fired(stormy) - fired(calm)) as f64 / calls.max(1) as f64
}

async fn counts(
    ledger: &mut Ledger,
    evidence: &Evidence,
    people: u64,
    starts: u32,
) -> anyhow::Result<BTreeMap<String, i64>> {
    let mut counts = BTreeMap::from([
        ("people".to_owned(), i64::try_from(people)?),
        ("starts".to_owned(), i64::from(starts)),
        ("writes once unclear".to_owned(), i64::try_from(ledger.once_unclear().await?)?),
        ("duplicate persons".to_owned(), i64::try_from(evidence.summary.duplicate_persons)?),
        ("duplicate tasks".to_owned(), i64::try_from(evidence.summary.duplicate_tasks)?),
        ("lost".to_owned(), i64::try_from(evidence.unseen().len())?),
    ]);
    for (name, count) in evidence.covered() {
        counts.insert(name.replace('_', " "), i64::try_from(count)?);
    }
    counts.extend(ledger.tally("SELECT 'records ' || state, count(*) FROM record GROUP BY state").await?);
    let leads =
        "SELECT 'leads ' || coalesce('closed: ' || close_reason, state), count(*) FROM lead GROUP BY 1";
    counts.extend(ledger.tally(leads).await?);
    counts.extend(ledger.tally("SELECT 'writes ' || state, count(*) FROM effect GROUP BY state").await?);
    Ok(counts)
}
