//! `usher sandbox`: the simulators alone, to try one's own files or an official client against.

use clap::Args;
use usher_sandbox::{Options, Sandbox as Simulators};

use crate::cli::Outcome;
use crate::failure::Failure;
use crate::output;

/// Run the simulators alone
#[derive(Debug, Args)]
pub(crate) struct Sandbox {
    /// Port of the first simulated account, those of the others follow; 0 for any free ones
    #[arg(long, default_value_t = Options::FIRST_PORT)]
    port: u16,
    /// Leave out the vendors' rate limits
    #[arg(long)]
    no_limits: bool,
}

pub(crate) async fn run(args: Sandbox) -> Outcome {
    let options = Options::default().on_ports(args.port);
    let options = if args.no_limits { options.without_limits() } else { options };
    let simulators =
        Simulators::start(options).await.map_err(|error| Failure::input(crate::failure::chain(&error)))?;
    for account in simulators.accounts() {
        output::data(&format!("{:<10} {}  token {}", account.vendor, account.url, account.token));
    }
    let app = simulators.crm_app();
    output::data(&format!(
        "OAuth app  client_id {}  client_secret {}  authorize_url {}",
        app.client_id,
        app.client_secret,
        simulators.authorize_url()
    ));
    output::data("control    /_sandbox/ on any address: seed, faults, oracle, summary");
    output::note("Use these addresses as base_url. Ctrl-C stops.");
    tokio::signal::ctrl_c().await.map_err(anyhow::Error::from)?;
    simulators.stop().await;
    Ok(())
}
