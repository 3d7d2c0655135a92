//! `bench budget`: how many leads a day's tokens of Pipedrive make, against what our own calls for them cost at best.
//!
//! A whole day's budget takes as long as the limit of searches lets it, so others have spent most of it before: the
//! program gets the last part, by the vendor's own headers, and stops where the day ends.

use std::time::{Duration, Instant};

use clap::Args;
use serde_json::json;
use usher_sandbox::{CrmVendor, Options, PipedriveLimits, PipedrivePlan, Sandbox};

use crate::data::Inquirer;
use crate::field::installation::Installation;
use crate::field::settings::Draft;
use crate::field::world;
use crate::report::{print, progress, round};
use crate::watch;

/// Tokens of our own calls for a new person's lead at the least, by the vendor's documents (`x-token-cost`): is the person
/// known (search 20, and a tenth of the 10 for the latest changes, a list that ten share), the same right before the
/// person is made (20 and 10), the person with the owner (5), the task (5).
const LEAD: u64 = 20 + 1 + 20 + 10 + 5 + 5;
/// Tokens that a day costs before anybody comes: a poll every five minutes and its slower pass every ten (10 each), users
/// (20) and organizations (10) every quarter of an hour, all organizations once (one page of 10), the webhook looked after
/// hourly (10).
const IDLE_DAY: u64 = (288 + 144) * 10 + 96 * (20 + 10) + 10 + 24 * 10;
/// People who wait for their task at any moment: enough to share that list. What was looked up for the last of them is lost
/// when the day ends.
const WAITING: u64 = 10;
/// Nothing was spent for so long: the day is over, or the program is stuck. An endpoint that failed rests for 30 s.
const SPENT: Duration = Duration::from_secs(45);
const STOP_PATIENCE: Duration = Duration::from_secs(25);

/// Leads of a day's budget of tokens, against what our calls for them cost by the vendor's prices
#[derive(Debug, Args)]
pub(crate) struct Budget {
    /// Seats on the plan Growth
    #[arg(long, default_value_t = 5)]
    seats: u64,
    /// The part of the day's tokens that the program gets: one in so many
    #[arg(long, default_value_t = 10)]
    part: u64,
}

/// Spends the rest of a day.
pub(crate) async fn run(args: &Budget) -> anyhow::Result<()> {
    let limits =
        PipedriveLimits { plan: PipedrivePlan::Growth, seats: args.seats, ..PipedriveLimits::default() };
    let options = Options { pipedrive_limits: Some(limits), ..Options::default().without_limits() };
    let sandbox = Sandbox::start(options.clone()).await?;
    let crm = sandbox.pipedrive();
    world::seed(&crm, &[])?;
    sandbox.typeform().define(world::form(world::HOOKED_FORM));
    let day = limits.daily_tokens();
    crm.spend_tokens(day - day / args.part);
    let folder = tempfile::Builder::new().prefix("usher-bench-").tempdir()?;
    let place = (&sandbox, &options, CrmVendor::Pipedrive);
    let mut installation = Installation::write_with(folder.path(), &settings(), place, &world::routing())?;
    installation.start()?;
    watch::directory(&mut installation, 0).await?;
    let before = crm.tokens_spent();
    let arithmetic = (day - before) / LEAD;
    progress(&format!("{} tokens are left, enough for {arithmetic} leads", day - before));
    let started = Instant::now();
    let written = until_spent(&mut installation, &sandbox).await?;
    let seconds = started.elapsed().saturating_sub(SPENT).as_secs_f64();
    installation.stop(STOP_PATIENCE)?;
    let (summary, spent) = (crm.summary(), crm.tokens_spent());
    let cost = (spent - before) as f64 / written.max(1) as f64;
    let whole = |cost: f64| ((day - IDLE_DAY) as f64 / cost).floor();
    print(
        &json!({
            "plan": { "name": limits.plan, "seats": args.seats, "tokens_a_day": day },
            "given": { "part_of_the_day": format!("1/{}", args.part), "tokens": day - before },
            "written": { "leads": written, "of_arithmetic": arithmetic, "ratio": round(written as f64 / arithmetic as f64),
                         "seconds": round(seconds) },
            "tokens": { "spent": spent - before, "left": day - spent, "a_lead": round(cost), "a_lead_by_arithmetic": LEAD },
            "leads_a_day": { "by_arithmetic": whole(LEAD as f64), "as_measured": whole(cost),
                             "ratio": round(LEAD as f64 / cost), "idle_tokens": IDLE_DAY },
            "over_limit": summary.over_limit, "duplicate_persons": summary.duplicate_persons,
            "duplicate_tasks": summary.duplicate_tasks, "requests": summary.requests,
            "measured": {
                "written": "tasks in the simulator's log for people whom the CRM did not know, all from one form, ten at any moment, when nothing was spent any more",
                "tokens": "as the simulator charges them by the official documents; others had spent the rest of the day before",
                "leads_a_day": "the day's tokens less those of an idle day, by the cost of a lead" },
        }),
        None,
    )?;
    anyhow::ensure!(summary.over_limit == 0, "{} calls were refused", summary.over_limit);
    let left = day - spent;
    anyhow::ensure!(left < LEAD, "{left} tokens are left, enough for a lead: it got stuck");
    anyhow::ensure!(
        summary.duplicate_persons + summary.duplicate_tasks == 0,
        "somebody or something was made twice"
    );
    Ok(())
}

/// The whole of the vendor's limits, and a poll as a new user has it.
fn settings() -> Draft {
    let secret = "inbound: { secret: { file: hook.secret } }";
    let pull = "pull: { objects: [persons], every: 5m }";
    Draft::of(CrmVendor::Pipedrive, &[secret, "limits: { share: 100% }", pull])
        .form("hooked-form", world::HOOKED_FORM, &[secret, "limits: off"])
        .write("treat_as_unowned: [admin@agency.example]")
        .public()
}

/// Lets people come as fast as they get their tasks until the day is spent. Returns how many got one.
async fn until_spent(installation: &mut Installation, sandbox: &Sandbox) -> anyhow::Result<u64> {
    let (crm, forms) = (sandbox.pipedrive(), sandbox.typeform());
    let (mut last, mut moved, mut said) = (0, Instant::now(), Instant::now());
    let mut come = 0;
    loop {
        tokio::time::sleep(Duration::from_millis(200)).await;
        if let Some(status) = installation.ended()? {
            anyhow::bail!("the program ended by itself ({status}); see {}", installation.log().display());
        }
        let (spent, written) = (crm.tokens_spent(), crm.summary().tasks_created as u64);
        for n in come..written + WAITING {
            world::answer(&forms, &person(n), world::HOOKED_FORM)?;
        }
        come = written + WAITING;
        if spent != last {
            (last, moved) = (spent, Instant::now());
        }
        if moved.elapsed() > SPENT {
            return Ok(written);
        }
        if said.elapsed() > Duration::from_secs(10) {
            watch::say(installation, &format!("{spent} tokens")).await;
            said = Instant::now();
        }
    }
}

/// The n-th stranger.
fn person(n: u64) -> Inquirer {
    Inquirer {
        first_name: format!("Person{n}"),
        last_name: "Example".to_owned(),
        email: format!("person{n}@stranger{n}.example"),
        country: "DE".to_owned(),
        ..Inquirer::default()
    }
}
