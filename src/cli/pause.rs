//! `usher pause`: stops all writes at once, or holds one connection; `--resume` undoes it.

use clap::Args;
use usher_engine::settings::REFERRALS;
use usher_model::ConnectionName;

use crate::cli::{Common, Outcome};
use crate::failure::Failure;
use crate::output;
use crate::setup::{self, Access};

/// Stop or resume writing to the CRM, or hold one connection
#[derive(Debug, Args)]
pub(crate) struct Pause {
    /// Hold only this connection: its records wait and open no leads
    connection: Option<String>,
    /// Go on
    #[arg(long)]
    resume: bool,
    /// Why, for whoever looks at `usher status`
    #[arg(long, default_value = "usher pause")]
    reason: String,
}

pub(crate) async fn run(common: &Common, args: &Pause) -> Outcome {
    let loaded = setup::load(&common.config)?;
    let store = setup::open_store(&loaded.settings, Access::Entry).await?;
    let now = crate::daemon::now();
    let said = match &args.connection {
        None => {
            store.set_paused(!args.resume, &args.reason, now).await?;
            if args.resume { "writing goes on" } else { "writing stops; intake and deciding go on" }
                .to_owned()
        }
        Some(name) => {
            if loaded.settings.connection(name).is_none() && name != REFERRALS {
                store.close().await?;
                return Err(Failure::input(format!("no connection `{name}` in usher.yaml")));
            }
            let reason = (!args.resume).then_some(args.reason.as_str());
            store.hold(&ConnectionName::new(name.as_str()), reason, now).await?;
            if args.resume {
                format!("{name} opens leads again")
            } else {
                format!("{name} is held: its records wait")
            }
        }
    };
    store.close().await?;
    output::note(&said);
    Ok(())
}
