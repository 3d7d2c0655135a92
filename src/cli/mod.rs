//! The command line: one file for each verb.

mod backfill;
mod backup;
mod capabilities;
mod check;
mod compare;
mod connect;
mod demo;
mod explain;
mod failed;
mod init;
mod key;
mod leads;
mod pause;
mod properties;
mod run;
mod sandbox;
mod status;
mod touches;
mod trial;
mod undo;
mod when;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::failure::Failure;
use crate::output;

/// What a verb comes to.
pub(crate) type Outcome = Result<(), Failure>;

#[derive(Debug, Parser)]
#[command(name = "usher", version, about = "From form and CRM to the best owner, with a task that says why", long_about = None)]
struct Cli {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    verb: Verb,
}

/// What every verb understands.
#[derive(Debug, Clone, Args)]
pub(crate) struct Common {
    /// The settings file
    #[arg(long, short, global = true, default_value = "usher.yaml", env = "USHER_CONFIG")]
    pub(crate) config: PathBuf,
    /// Answer as JSON
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// More words on stderr: -v for what happens, -vv for every call
    #[arg(long, short, global = true, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// See the product work against simulators on this machine
    Demo(demo::Demo),
    /// Write the files of a new installation, in mode observe
    Init(init::Init),
    /// Grant access to a connection by OAuth, or try its token out
    Connect(connect::Connect),
    /// Make, rotate or list the keys that encrypt tokens
    #[command(subcommand)]
    Key(key::Key),
    /// Check every file, and with --online the connections too
    Check(check::Check),
    /// Run the daemon until it is told to stop
    Run,
    /// Do everything that is due, once, then exit (for cron)
    Sync,
    /// Send one marked test lead through every step, then remove it
    Try(trial::Trial),
    /// Learn from what the CRM knows already; opens no leads
    Backfill(backfill::Backfill),
    /// Our owners beside the ones that the incumbent chose
    Compare(compare::Compare),
    /// Stop or resume writing to the CRM, or hold one connection
    Pause(pause::Pause),
    /// Show or create the CRM properties that make a repeated write harmless
    Properties(properties::Properties),
    /// Take back what was decided and written
    Undo(undo::Undo),
    /// What was seen, decided, written, and what waits
    Status(status::Status),
    /// List, show or add leads
    Leads(leads::Leads),
    /// List what failed, and give it another try
    Failed(failed::Failed),
    /// Why a lead went where it went
    Explain(explain::Explain),
    /// Copy the database to a file, verified, while the daemon runs
    Backup(backup::Backup),
    /// Put a backup in the place of the database; the daemon must be stopped
    Restore(backup::Restore),
    /// Run the simulators alone
    Sandbox(sandbox::Sandbox),
}

/// Runs the verb that the command line names.
pub(crate) async fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let code = if error.use_stderr() { 1 } else { 0 };
            let _ = error.print();
            return ExitCode::from(code);
        }
    };
    start_logging(&cli);
    match dispatch(cli).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            output::note(&failure.text());
            ExitCode::from(failure.code())
        }
    }
}

async fn dispatch(cli: Cli) -> Outcome {
    let common = cli.common;
    match cli.verb {
        Verb::Demo(args) => demo::run(&common, args).await,
        Verb::Init(args) => init::run(&common, &args),
        Verb::Connect(args) => connect::run(&common, &args).await,
        Verb::Key(verb) => key::run(&common, verb).await,
        Verb::Check(args) => check::run(&common, &args).await,
        Verb::Run => run::run(&common).await,
        Verb::Sync => run::sync(&common).await,
        Verb::Try(args) => trial::run(&common, &args).await,
        Verb::Backfill(args) => backfill::run(&common, &args).await,
        Verb::Compare(args) => compare::run(&common, &args).await,
        Verb::Pause(args) => pause::run(&common, &args).await,
        Verb::Properties(args) => properties::run(&common, &args).await,
        Verb::Undo(args) => undo::run(&common, &args).await,
        Verb::Status(args) => status::run(&common, &args).await,
        Verb::Leads(args) => leads::run(&common, args).await,
        Verb::Failed(args) => failed::run(&common, args).await,
        Verb::Explain(args) => explain::run(&common, &args).await,
        Verb::Backup(args) => backup::back_up(&common, &args).await,
        Verb::Restore(args) => backup::restore(&common, &args).await,
        Verb::Sandbox(args) => sandbox::run(args).await,
    }
}

/// Log lines go to stderr. The daemon and `sync` say what happens; other verbs keep quiet unless asked.
fn start_logging(cli: &Cli) {
    let level = match (cli.common.verbose, &cli.verb) {
        (0, Verb::Run) => "info",
        (0, _) => "error",
        (1, _) => "info",
        (2, _) => "debug",
        _ => "trace",
    };
    let filter = tracing_subscriber::EnvFilter::try_from_env("USHER_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new(format!("warn,usher={level}")));
    // A log that can not be written (a full disk) must not stop whoever had something to say: by default it would panic.
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .log_internal_errors(false)
        .with_writer(std::io::stderr);
    // Fails only if a subscriber is set already, which is then the one to use.
    let _ = if cli.common.json { subscriber.json().try_init() } else { subscriber.try_init() };
}
