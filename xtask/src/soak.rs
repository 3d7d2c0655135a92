//! The soak: twenty connections under steady load for an hour; how much memory the program takes, and whether it grows.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context;
use clap::Args;
use serde_json::json;
use usher_sandbox::{Actor, Crm, CrmObject, CrmVendor, Options, Sandbox, TypeformSim};
use usher_testkit::invariants::{Form, Scene};

use crate::data::Inquirer;
use crate::field::installation::{HOOK_SECRET, Installation, Tuning};
use crate::field::world;
use crate::report::{progress, round};
use crate::watch;

/// Between two looks at the program's memory.
const LOOK: Duration = Duration::from_secs(5);
const STOP_PATIENCE: Duration = Duration::from_secs(25);
/// Nothing has moved for so long behind the load: it is stuck.
const REST_PATIENCE: Duration = Duration::from_secs(120);

/// Steady load over many connections; memory and its slope
#[derive(Debug, Args)]
pub(crate) struct Soak {
    /// How long the load lasts
    #[arg(long, default_value_t = 60)]
    minutes: u64,
    /// Connections: one CRM, the others forms, every other one with a webhook
    #[arg(long, default_value_t = 20)]
    connections: usize,
    /// Leads per second over all connections
    #[arg(long, default_value_t = 20.0)]
    rate: f64,
    /// Also write the report here
    #[arg(long)]
    report: Option<PathBuf>,
}

/// The program's memory at an instant since the load began.
#[derive(Debug, Clone, Copy)]
struct Sample {
    seconds: f64,
    mib: f64,
    anon_mib: f64,
}

/// Runs it and prints the report.
pub(crate) async fn run(args: Soak) -> anyhow::Result<()> {
    anyhow::ensure!(args.connections >= 2, "a soak needs a CRM and at least one form");
    let folder = tempfile::Builder::new().prefix("usher-soak-").tempdir().context("making a folder")?;
    let options =
        Options { limits: None, typeform_per_second: None, typeform_time_scale: 0.01, ..Options::default() };
    let sandbox = Sandbox::start(options.clone()).await?;
    world::seed(&*sandbox.crm(CrmVendor::Hubspot), &[])?;
    let forms: Vec<String> = (1..args.connections).map(|n| format!("form{n}")).collect();
    for form in &forms {
        sandbox.typeform().define(world::form(form));
    }
    let mut installation =
        Installation::write(folder.path(), &sandbox, &options, &world::routing(), Tuning::default())?;
    fs::write(folder.path().join("usher.yaml"), settings(&sandbox, &forms, &installation.address))
        .context("writing usher.yaml")?;
    installation.start()?;
    await_ready(&mut installation).await?;
    subscribe(&sandbox, &options, &forms, &installation.address).await?;
    let Load { samples, arrived } = load(&args, &sandbox, &forms, &mut installation).await?;
    let rested = watch::rest(&mut installation, &sandbox, &scene(&forms), REST_PATIENCE).await?;
    let usage = installation.usage();
    let (status, _) = installation.stop(STOP_PATIENCE)?;
    let leads = sandbox.hubspot().summary();
    let settled: Vec<Sample> = samples[samples.len() / 4..].to_vec();
    let report = json!({
        "minutes": args.minutes,
        "connections": args.connections,
        "leads_per_second": args.rate,
        "arrived": arrived,
        "came_to_rest": rested,
        "tasks_created": leads.tasks_created,
        "duplicate_persons": leads.duplicate_persons,
        "duplicate_tasks": leads.duplicate_tasks,
        "rss_mib": {
            "first": round(samples.first().map_or(0.0, |sample| sample.mib)),
            "last": round(samples.last().map_or(0.0, |sample| sample.mib)),
            "peak": round(usage.peak_kib as f64 / 1024.0),
            "slope_per_hour": round(slope(&settled, |sample| sample.mib) * 3600.0),
            "slope_per_hour_without_pages_of_files": round(slope(&settled, |sample| sample.anon_mib) * 3600.0),
        },
        "cpu_seconds": round(usage.cpu()),
        "database_mib": database_mib(folder.path()),
        "measured": "RSS of the child from /proc every 5 s; the slope is the least-squares line over the last three quarters",
        "exit_code": status.code(),
    });
    crate::report::print(&report, args.report.as_deref())?;
    anyhow::ensure!(rested, "not all that arrived came to rest");
    anyhow::ensure!(
        leads.tasks_created == arrived,
        "{arrived} leads arrived, {} have a task",
        leads.tasks_created
    );
    anyhow::ensure!(
        leads.duplicate_persons + leads.duplicate_tasks == 0,
        "somebody or something was made twice"
    );
    anyhow::ensure!(status.success(), "the program stopped badly: {status}");
    Ok(())
}

/// What was left to do when the load ended, in the checker's words.
fn scene(forms: &[String]) -> Scene {
    let form = |form: &String| Form { connection: form.clone(), id: form.clone() };
    Scene { forms: forms.iter().map(form).collect(), ..Scene::of(CrmVendor::Hubspot, "hubspot-main") }
}

fn settings(sandbox: &Sandbox, forms: &[String], address: &str) -> String {
    let listen = address.trim_start_matches("http://");
    let mut text = format!(
        "version: 1
mode: live
store: sqlite://usher.db
crm: hubspot-main
write: {{ guard: off }}
routing: routing.yaml
http: {{ listen: '{listen}' }}
connections:
  hubspot-main:
    connector: hubspot
    base_url: {}
    auth: {{ token: {{ file: crm.token }} }}
    limits: off
    pull: {{ objects: [contacts], every: 5s }}
",
        sandbox.hubspot_url
    );
    for (n, form) in forms.iter().enumerate() {
        let _ = write!(
            text,
            "  {form}:
    connector: typeform
    base_url: {}
    form: {form}
    auth: {{ token: {{ file: form.token }} }}
    limits: off
    pull: {{ every: {}s }}
",
            sandbox.typeform_url,
            if is_hooked(n) { 60 } else { 5 },
        );
        if is_hooked(n) {
            text.push_str("    inbound: { secret: { file: hook.secret } }\n");
        }
    }
    text
}

fn is_hooked(form: usize) -> bool {
    form.is_multiple_of(2)
}

async fn await_ready(installation: &mut Installation) -> anyhow::Result<()> {
    let client = reqwest::Client::builder().no_proxy().build()?;
    let place = format!("{}/readyz", installation.address);
    loop {
        if let Some(status) = installation.ended()? {
            anyhow::bail!("the program ended at once ({status}); see {}", installation.log().display());
        }
        if client.get(&place).send().await.is_ok_and(|answer| answer.status().is_success()) {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn subscribe(
    sandbox: &Sandbox,
    options: &Options,
    forms: &[String],
    address: &str,
) -> anyhow::Result<()> {
    let client = reqwest::Client::builder().no_proxy().build()?;
    for (_, form) in forms.iter().enumerate().filter(|(n, _)| is_hooked(*n)) {
        let place = format!("{}/forms/{form}/webhooks/usher", sandbox.typeform_url);
        let body =
            json!({ "url": format!("{address}/hooks/{form}"), "enabled": true, "secret": HOOK_SECRET });
        let answer = client.put(place).bearer_auth(&options.typeform_token).json(&body).send().await?;
        anyhow::ensure!(answer.status().is_success(), "the form's webhook was refused: {}", answer.status());
    }
    Ok(())
}

/// What the load was.
struct Load {
    samples: Vec<Sample>,
    /// Leads.
    arrived: usize,
}

/// Lets leads arrive at the rate and looks at the memory meanwhile.
async fn load(
    args: &Soak,
    sandbox: &Sandbox,
    forms: &[String],
    installation: &mut Installation,
) -> anyhow::Result<Load> {
    let (crm, typeform) = (sandbox.hubspot(), sandbox.typeform());
    let started = Instant::now();
    let end = Duration::from_secs(args.minutes * 60);
    let mut samples = Vec::new();
    let mut arrived = 0_usize;
    let mut said = Instant::now();
    while started.elapsed() < end {
        let due = (started.elapsed().as_secs_f64() * args.rate) as usize;
        while arrived < due {
            arrive(&crm, &typeform, forms, arrived)?;
            arrived += 1;
        }
        let due_for_a_look = LOOK * u32::try_from(samples.len())?;
        if started.elapsed() >= due_for_a_look {
            let usage = installation.usage();
            let (mib, anon_mib) = (usage.rss_kib as f64 / 1024.0, usage.anon_kib as f64 / 1024.0);
            samples.push(Sample { seconds: started.elapsed().as_secs_f64(), mib, anon_mib });
        }
        if said.elapsed() >= Duration::from_secs(60) {
            let mib = samples.last().map_or(0.0, |sample| sample.mib);
            progress(&format!("{} min: {arrived} leads, {mib:.1} MiB", started.elapsed().as_secs() / 60));
            said = Instant::now();
        }
        if let Some(status) = installation.ended()? {
            anyhow::bail!("the program ended by itself ({status}); see {}", installation.log().display());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(Load { samples, arrived })
}

/// One in as many as there are connections is entered at the CRM, the others answer a form.
fn arrive(crm: &dyn Crm, typeform: &TypeformSim, forms: &[String], n: usize) -> anyhow::Result<()> {
    let who = Inquirer {
        first_name: format!("Person{n}"),
        last_name: "Soak".to_owned(),
        email: format!("person{n}@company{}.example", n % 5_000),
        company: format!("Company {}", n % 5_000),
        country: ["US", "DE", "IN", "BR"][n % 4].to_owned(),
        ..Inquirer::default()
    };
    match (n % (forms.len() + 1)).checked_sub(1) {
        None => world::enter(crm, CrmObject::Person, &who, Actor::Human),
        Some(form) => world::answer(typeform, &who, &forms[form]),
    }
}

/// MiB per second of the least-squares line.
fn slope(samples: &[Sample], mib: fn(&Sample) -> f64) -> f64 {
    let count = samples.len() as f64;
    let mean_x = samples.iter().map(|sample| sample.seconds).sum::<f64>() / count;
    let mean_y = samples.iter().map(mib).sum::<f64>() / count;
    let covariance: f64 =
        samples.iter().map(|sample| (sample.seconds - mean_x) * (mib(sample) - mean_y)).sum();
    let variance: f64 = samples.iter().map(|sample| (sample.seconds - mean_x).powi(2)).sum();
    if variance > 0.0 { covariance / variance } else { 0.0 }
}

fn database_mib(folder: &Path) -> u64 {
    fs::metadata(folder.join("usher.db")).map_or(0, |file| file.len() / 1_048_576)
}
