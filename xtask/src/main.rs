//! Chores of the workspace: long runs over the real program, benches (never a part of CI), and the start of a connector.

mod bench;
mod data;
mod faults;
mod field;
mod new_connector;
mod process;
mod report;
mod soak;
mod watch;

use clap::{Parser, Subcommand};

#[derive(Debug, Parser)]
#[command(name = "xtask", about = "Long runs, benches and beginnings in the workspace")]
struct Cli {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Debug, Subcommand)]
enum Chore {
    /// The real program against simulators with real companies and leads, judged by the simulators' log
    Field(field::Field),
    /// The real program struck at random under load and bad weather, held against the invariants after each strike
    Faults(faults::Faults),
    /// Steady load over many connections; memory and its slope
    Soak(soak::Soak),
    /// A connector that runs, as the start of a new one; see docs/connector.md
    NewConnector(new_connector::NewConnector),
    /// Benches; each prints one JSON object
    #[command(subcommand)]
    Bench(Bench),
    /// A simulator full of contacts, for `bench pull`; ends when its input ends
    #[command(hide = true)]
    Serve(bench::serve::Serve),
    /// The process that `bench pull` measures
    #[command(hide = true)]
    BenchPullWorker(bench::worker::Worker),
}

#[derive(Debug, Subcommand)]
enum Bench {
    /// Contacts from a simulated CRM into the database
    Pull(bench::pull::Pull),
    /// Prepared records to stored decisions
    Decide(bench::decide::Decide),
    /// Access tokens that end under many workers, at a vendor that revokes on reuse
    Tokens(bench::tokens::Tokens),
    /// From the start of the daemon on a large database to the first webhook stored
    Start(bench::start::Start),
    /// Form answers posted to the real program until their tasks are at the simulated CRM
    Hook(bench::hook::Hook),
    /// Webhooks acknowledged by the real program, against the disk's own rate of commits
    Ack(bench::ack::Ack),
    /// Owner and task of leads that the CRM knows, written within HubSpot's limits
    Write(bench::write::Write),
    /// Leads of a day's budget of tokens, against what our calls for them cost by the vendor's prices
    Budget(bench::budget::Budget),
    /// A CRM that is away while leads wait, and comes back: how those fare who get in touch then
    Outage(bench::outage::Outage),
}

fn main() -> anyhow::Result<()> {
    // Fails only if another provider is installed already, which is then the one to use.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        match Cli::parse().chore {
            Chore::Field(args) => field::run(args).await,
            Chore::Faults(args) => faults::run(args).await,
            Chore::Soak(args) => soak::run(args).await,
            Chore::NewConnector(args) => new_connector::run(&args),
            Chore::Bench(Bench::Pull(args)) => bench::pull::run(&args).await,
            Chore::Bench(Bench::Decide(args)) => bench::decide::run(&args).await,
            Chore::Bench(Bench::Tokens(args)) => bench::tokens::run(&args).await,
            Chore::Bench(Bench::Start(args)) => bench::start::run(&args).await,
            Chore::Bench(Bench::Hook(args)) => bench::hook::run(&args).await,
            Chore::Bench(Bench::Ack(args)) => bench::ack::run(&args).await,
            Chore::Bench(Bench::Write(args)) => bench::write::run(&args).await,
            Chore::Bench(Bench::Budget(args)) => bench::budget::run(&args).await,
            Chore::Bench(Bench::Outage(args)) => bench::outage::run(&args).await,
            Chore::Serve(args) => bench::serve::run(&args).await,
            Chore::BenchPullWorker(args) => bench::worker::run(&args).await,
        }
    })
}
