//! The demo's world: simulators, an installation in a temporary folder, the engine with its steps running.

use std::path::PathBuf;
use std::sync::Arc;

use usher_engine::Engine;
use usher_sandbox::{CrmVendor, Sandbox};

use crate::cli::demo::{self, Accounts};
use crate::daemon::Daemon;
use crate::failure::{Failure, chain};
use crate::setup::{self, Access};

/// Everything that runs during a demo.
pub(super) struct World {
    sandbox: Sandbox,
    pub(super) accounts: Accounts,
    pub(super) engine: Arc<Engine>,
    pub(super) folder: PathBuf,
    daemon: Daemon,
}

impl World {
    /// Starts simulators and engine.
    pub(super) async fn start(vendor: CrmVendor) -> Result<Self, Failure> {
        let options = demo::options();
        let sandbox = Sandbox::start(options.clone()).await.map_err(|error| Failure::input(chain(&error)))?;
        let accounts = Accounts::of(&sandbox, vendor);
        accounts.seed().map_err(anyhow::Error::from)?;
        let folder = std::env::temp_dir().join(format!("usher-demo-{}", std::process::id()));
        std::fs::create_dir_all(&folder).map_err(anyhow::Error::from)?;
        for (name, text) in demo::files(&sandbox, &options, vendor) {
            std::fs::write(folder.join(name), text).map_err(anyhow::Error::from)?;
        }
        let loaded = setup::load(&folder.join("usher.yaml"))?;
        let store = setup::open_store(&loaded.settings, Access::Daemon).await?;
        let engine = Arc::new(setup::assemble(&loaded, store).await?);
        engine.begin().await?;
        engine.refresh().await?;
        let daemon = Daemon::start(&engine, None);
        Ok(Self { sandbox, accounts, engine, folder, daemon })
    }

    /// Stops everything and removes the folder.
    pub(super) async fn stop(self) -> Result<(), Failure> {
        self.daemon.stop().await;
        self.engine.store().close().await?;
        self.sandbox.stop().await;
        // The demo is over either way; a folder that stays behind is no failure.
        let _ = std::fs::remove_dir_all(&self.folder);
        Ok(())
    }
}
