//! `usher connect`: a connection is granted access by OAuth, or its token is tried out.

mod callback;
mod trip;
mod trust;

use std::sync::Arc;

use clap::Args;
use usher_engine::settings::{AuthSettings, ConnectionSettings, Settings};
use usher_host::TokenKeeper;
use usher_model::TokenRow;
use usher_store::Store;

use crate::cli::{Common, Outcome};
use crate::failure::{Failure, chain};
use crate::output;
use crate::setup::{self, Access, Loaded};
use crate::tokens;

/// Grant access to a connection by OAuth, or try its token out
#[derive(Debug, Args)]
pub(crate) struct Connect {
    /// The connection, by its name in usher.yaml
    connection: String,
    /// Copy the address by hand, where no browser reaches this machine
    #[arg(long)]
    no_browser: bool,
    /// Listen on this port for the way back, in place of the one in `redirect_url`; 0 for any free one
    #[arg(long)]
    port: Option<u16>,
    /// The account that it must be; needed to connect another account than before
    #[arg(long)]
    account: Option<String>,
}

pub(crate) async fn run(common: &Common, args: &Connect) -> Outcome {
    let loaded = setup::load(&common.config)?;
    let name = &args.connection;
    let connection = loaded.settings.connection(name).ok_or_else(|| {
        let names: Vec<&str> = loaded.settings.connections.iter().map(|each| each.name.as_str()).collect();
        Failure::input(format!("no connection `{name}` in usher.yaml; there are {}", names.join(", ")))
    })?;
    if connection.auth == AuthSettings::None {
        return Err(Failure::input(format!("`{name}` makes no calls: there is nothing to connect")));
    }
    let store = setup::open_store(&loaded.settings, Access::Entry).await?;
    let connected = connect(common, &loaded, connection, &store, args).await;
    store.close().await?;
    connected
}

async fn connect(
    common: &Common,
    loaded: &Loaded,
    connection: &ConnectionSettings,
    store: &Arc<dyn Store>,
    args: &Connect,
) -> Outcome {
    let settings = &loaded.settings;
    let row = match (tokens::keeper(settings, connection, store)?, &connection.auth) {
        (Some(keeper), AuthSettings::OAuth(oauth)) => {
            // A key that is missing is better learned of before somebody consents than after.
            let keys = tokens::key_source(settings)?.read();
            keys.map_err(|error| Failure::input(chain(&error)))?;
            let scopes = oauth.scopes.clone().unwrap_or_else(|| needed(connection));
            let code = trip::code(&keeper, &oauth.redirect_url, &scopes, args).await?;
            Some(keep(&keeper, code, args.account.as_deref(), store, connection).await?)
        }
        _ => None,
    };
    let tried = trust::try_out(settings, connection, store).await?;
    report(common, settings, connection, row.as_ref(), &tried)
}

async fn keep(
    keeper: &TokenKeeper,
    code: usher_host::Code,
    account: Option<&str>,
    store: &Arc<dyn Store>,
    connection: &ConnectionSettings,
) -> Result<TokenRow, Failure> {
    let before = store.token(&connection.name).await?;
    let row = keeper.connect(code, account).await.map_err(|error| Failure::input(chain(&error)))?;
    if before.is_some_and(|before| before.grant.account != row.grant.account) {
        output::note(&format!(
            "`{}` is account {} now. Restart a daemon that runs; what was read of the old account stays under this name, so a connection of its own would be cleaner",
            connection.name, row.grant.account
        ));
    }
    Ok(row)
}

/// Every scope that the connector can use, once.
fn needed(connection: &ConnectionSettings) -> Vec<String> {
    let mut scopes: Vec<String> = connection.scopes().map(|scope| scope.name.to_owned()).collect();
    scopes.sort();
    scopes.dedup();
    scopes
}

fn report(
    common: &Common,
    settings: &Settings,
    connection: &ConnectionSettings,
    row: Option<&TokenRow>,
    tried: &[trust::Tried],
) -> Outcome {
    let missing = row.map(|row| trust::missing(connection, &row.grant.scopes)).unwrap_or_default();
    if common.json {
        output::json(&trust::as_json(connection, row, &missing, tried));
    } else {
        if let Some(row) = row {
            output::data(&format!("{} is connected to account {}", connection.name, row.grant.account));
            output::data(&format!("granted: {}", row.grant.scopes.join(", ")));
        }
        for scope in &missing {
            output::data(&format!("MISSING: {} ({}): {}", scope.name, scope.role.as_str(), scope.why));
        }
        for each in tried {
            let mark = if each.ok { "ok     " } else { "PROBLEM" };
            output::data(&format!("{mark} {}: {}", each.what, each.detail));
        }
    }
    if tried.iter().any(|each| !each.ok) {
        return Err(Failure::input(format!("`{}` does not work as it should", connection.name)));
    }
    if settings.mode == usher_model::Mode::Observe {
        output::note("mode observe: nothing is sent to the CRM yet");
    }
    Ok(())
}
