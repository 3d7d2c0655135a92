//! The field run: the real program as a child process, simulators in this one, real companies, thousands of leads.

pub(crate) mod installation;
pub(crate) mod settings;
mod verdict;
mod weather;
pub(crate) mod world;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use clap::Args;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::json;
use tokio_util::sync::CancellationToken;
use usher_sandbox::{Crm, CrmObject, CrmVendor, Faults, Options, Sandbox};
use usher_testkit::invariants::{Evidence, Form, Ledger, Phase, Scene};

use crate::data::Data;
use crate::report::progress;
use crate::watch;
use installation::{HOOK_SECRET, Installation, Tuning};

/// The daemon's own limit for stopping is 20 s and 2 s for its web server.
const STOP_PATIENCE: Duration = Duration::from_secs(25);

/// The real program against simulators with real companies and leads, judged by the simulators' log
#[derive(Debug, Args)]
pub(crate) struct Field {
    /// The folder with accounts.csv.gz, leads.csv.gz and lead_truth.csv.gz
    #[arg(long)]
    data: PathBuf,
    /// The CRM under test
    #[arg(long, default_value_t)]
    crm: CrmVendor,
    /// What people are entered as at the CRM, in its own word (`leads`); it carries owner and task. Persons unless set
    #[arg(long, value_parser = object, default_value = "persons")]
    object: CrmObject,
    /// Only the first so many leads
    #[arg(long, default_value_t = usize::MAX)]
    leads: usize,
    /// Only the first so many companies
    #[arg(long, default_value_t = usize::MAX)]
    accounts: usize,
    /// Leads per second; 0 for all at once. With kills the default spreads the leads over all of them
    #[arg(long)]
    rate: Option<f64>,
    /// Every fault switch on at moderate rates
    #[arg(long)]
    faults: bool,
    /// Kill the program so often at random moments
    #[arg(long, default_value_t = 0)]
    kills: u32,
    /// Mean seconds between two kills
    #[arg(long, default_value_t = 3.0)]
    gap: f64,
    /// Seed of all chance
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Seconds without any progress after which the run counts as stuck
    #[arg(long, default_value_t = 300)]
    patience: u64,
    /// Also write the report here
    #[arg(long)]
    report: Option<PathBuf>,
    /// Keep the installation's folder
    #[arg(long)]
    keep: bool,
}

/// A run under way.
struct Run<'a> {
    args: &'a Field,
    sandbox: Arc<Sandbox>,
    crm: Arc<dyn Crm>,
    installation: Installation,
    /// Vendor ids of the companies, in their order.
    companies: Vec<u64>,
}

/// How long the parts took, and whether all of it ended.
#[derive(Debug, Default)]
struct Course {
    directory: Duration,
    arriving: Duration,
    whole: Duration,
    stuck: bool,
    kills: u32,
}

/// Runs it, prints the report; an error if any rule is broken.
pub(crate) async fn run(args: Field) -> anyhow::Result<()> {
    let data = Data::read(&args.data, args.accounts, args.leads)?;
    progress(&format!("{} companies, {} leads", data.companies.len(), data.inquirers.len()));
    let folder = tempfile::Builder::new().prefix("usher-field-").tempdir().context("making a folder")?;
    let mut run = Run::prepare(&args, &data, folder.path()).await?;
    let course = run.go(&data).await?;
    let (status, stopping) = run.installation.stop(STOP_PATIENCE)?;
    let mut ledger = Ledger::open(&run.installation.place()).await?;
    let scene = Scene { came: world::came(data.inquirers.len()), ..scene(args.crm, args.object) };
    let evidence = Evidence::collect(&mut ledger, &run.sandbox, scene).await?;
    let mut report = verdict::report(&run, &data, &course, &evidence, &mut ledger).await?;
    ledger.close().await?;
    report["stop"] = json!({ "exit_code": status.code(), "seconds": stopping.as_secs_f64() });
    crate::report::print(&report, args.report.as_deref())?;
    let good = !course.stuck && status.success() && evidence.broken(Phase::Drained).is_empty();
    if args.keep || !good {
        let folder = folder.keep();
        progress(&format!("the installation is kept in {}", folder.display()));
    }
    anyhow::ensure!(
        good,
        "the run broke a rule, got stuck or stopped badly (seed {}); see the report",
        args.seed
    );
    Ok(())
}

/// What the checker must know of a run.
pub(crate) fn scene(crm: CrmVendor, entered: CrmObject) -> Scene {
    let form = |connection: &str, id: &str| Form { connection: connection.to_owned(), id: id.to_owned() };
    Scene {
        forms: vec![form("hooked-form", world::HOOKED_FORM), form("polled-form", world::POLLED_FORM)],
        canaries: vec![HOOK_SECRET.to_owned()],
        hidden_for: weather::HIDDEN_FOR,
        entered,
        ..Scene::of(crm, &format!("{crm}-main"))
    }
}

/// What can be entered, by a vendor's name for it.
pub(crate) fn object(objects: &str) -> Result<CrmObject, String> {
    let found = CrmObject::named(objects);
    let found = found.filter(|object| !matches!(object, CrmObject::Company | CrmObject::Task));
    found.ok_or_else(|| "people are entered as persons, contacts, leads or deals".to_owned())
}

/// Simulators without limits, which hurry with their retries.
pub(crate) fn options(seed: u64) -> Options {
    Options { typeform_time_scale: 0.01, seed, ..Options::default().without_limits() }
}

impl<'a> Run<'a> {
    async fn prepare(args: &'a Field, data: &Data, folder: &std::path::Path) -> anyhow::Result<Self> {
        let options = options(args.seed);
        let sandbox = Arc::new(Sandbox::start(options.clone()).await?);
        let crm = sandbox.crm(args.crm);
        let companies = world::seed(&*crm, &data.companies)?;
        for form in [world::HOOKED_FORM, world::POLLED_FORM] {
            sandbox.typeform().define(world::form(form));
        }
        // A short timeout keeps the leases of a killed program short; the settle window still covers the latest commit.
        let tuning = if args.kills > 0 || args.faults {
            let (timeout, settle) = (Duration::from_secs(3), Duration::from_secs(10));
            Tuning { timeout, settle, ..Tuning::default() }
        } else {
            Tuning::default()
        };
        let tuning = Tuning { crm: args.crm, entered: args.object, ..tuning };
        let installation = Installation::write(folder, &sandbox, &options, &world::routing(), tuning)?;
        installation.hook_up(&sandbox, args.crm, args.object);
        Ok(Self { args, sandbox, crm, installation, companies })
    }

    async fn go(&mut self, data: &Data) -> anyhow::Result<Course> {
        let mut course = Course::default();
        let started = Instant::now();
        self.installation.start()?;
        watch::directory(&mut self.installation, data.companies.len()).await?;
        course.directory = started.elapsed();
        progress(&format!(
            "owners and companies are read after {:.1} s; leads arrive",
            course.directory.as_secs_f64()
        ));
        let calm = CancellationToken::new();
        let weather = self.args.faults.then(|| {
            let (sandbox, calm) = (Arc::clone(&self.sandbox), calm.clone());
            let (crm, seed) = (self.args.crm, self.args.seed);
            tokio::spawn(async move { weather::blow(&sandbox, crm, seed, &calm).await })
        });
        let started = Instant::now();
        let arrivals = self.arrivals(data);
        course.kills = self.kill_at_random().await?;
        arrivals.await.context("the arrivals")??;
        course.arriving = started.elapsed();
        progress(&format!("all have arrived after {:.1} s", course.arriving.as_secs_f64()));
        calm.cancel();
        if let Some(weather) = weather {
            weather.await.context("the weather")?;
        }
        self.sandbox.set_faults(Faults::default());
        let patience = Duration::from_secs(self.args.patience);
        let scene = scene(self.args.crm, self.args.object);
        course.stuck = !watch::rest(&mut self.installation, &self.sandbox, &scene, patience).await?;
        course.whole = started.elapsed();
        Ok(course)
    }

    /// Lets the leads arrive in the background.
    fn arrivals(&self, data: &Data) -> tokio::task::JoinHandle<anyhow::Result<()>> {
        let (crm, forms) = (Arc::clone(&self.crm), self.sandbox.typeform());
        let object = self.args.object;
        let people = data.inquirers.clone();
        let spread = f64::from(self.args.kills) * self.args.gap;
        let default = if spread > 0.0 { people.len() as f64 / spread } else { 0.0 };
        let rate = self.args.rate.unwrap_or(default);
        tokio::spawn(async move {
            let started = tokio::time::Instant::now();
            for (n, who) in people.iter().enumerate() {
                if rate > 0.0 {
                    tokio::time::sleep_until(started + Duration::from_secs_f64(n as f64 / rate)).await;
                } else if n % 64 == 0 {
                    tokio::task::yield_now().await;
                }
                world::arrive((&*crm, object), &forms, n, who)?;
            }
            Ok(())
        })
    }

    async fn kill_at_random(&mut self) -> anyhow::Result<u32> {
        let mut dice = StdRng::seed_from_u64(self.args.seed);
        for n in 0..self.args.kills {
            let gap = dice.random_range(0.0..2.0 * self.args.gap);
            tokio::time::sleep(Duration::from_secs_f64(gap)).await;
            self.installation.kill()?;
            if n % 10 == 9 {
                watch::say(&self.installation, &format!("kill {}", n + 1)).await;
            }
            self.installation.start()?;
        }
        Ok(self.args.kills)
    }
}
