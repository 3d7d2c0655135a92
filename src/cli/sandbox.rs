//! `usher sandbox`: the simulators alone, to try one's own files or an official client against.

use clap::Args;
use usher_sandbox::{Options, Sandbox as Simulators};

use crate::cli::Outcome;
use crate::failure::Failure;
use crate::output;

/// Run the simulators alone
#[derive(Debug, Args)]
pub(crate) struct Sandbox {
    /// Port of the simulated CRM; 0 for any free one
    #[arg(long, default_value_t = 8480)]
    crm_port: u16,
    /// Port of the simulated Pipedrive; 0 for any free one
    #[arg(long, default_value_t = 8482)]
    pipedrive_port: u16,
    /// Port of the simulated form tool; 0 for any free one
    #[arg(long, default_value_t = 8481)]
    form_port: u16,
    /// Leave out the vendors' rate limits
    #[arg(long)]
    no_limits: bool,
}

pub(crate) async fn run(args: Sandbox) -> Outcome {
    let mut options = Options {
        hubspot_port: args.crm_port,
        pipedrive_port: args.pipedrive_port,
        typeform_port: args.form_port,
        ..Options::default()
    };
    if args.no_limits {
        options.limits = None;
        options.pipedrive_limits = None;
        options.typeform_per_second = None;
    }
    let tokens =
        [&options.hubspot_token, &options.pipedrive_token, &options.typeform_token].map(String::clone);
    let simulators =
        Simulators::start(options).await.map_err(|error| Failure::input(crate::failure::chain(&error)))?;
    output::data(&format!("CRM        {}  token {}", simulators.hubspot_url, tokens[0]));
    output::data(&format!("Pipedrive  {}  token {}", simulators.pipedrive_url, tokens[1]));
    output::data(&format!("form tool  {}  token {}", simulators.typeform_url, tokens[2]));
    let app = simulators.crm_app();
    output::data(&format!(
        "OAuth app  client_id {}  client_secret {}  authorize_url {}/oauth/authorize",
        app.client_id, app.client_secret, simulators.hubspot_url
    ));
    output::data("control    /_sandbox/ on any address: seed, faults, oracle, summary");
    output::note("Use these addresses as base_url. Ctrl-C stops.");
    tokio::signal::ctrl_c().await.map_err(anyhow::Error::from)?;
    simulators.stop().await;
    Ok(())
}
