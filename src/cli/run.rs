//! `usher run`: the daemon. `usher sync`: one pass.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio_util::sync::CancellationToken;
use usher_web::{Gate, WebSettings};

use crate::cli::{Common, Outcome};
use crate::daemon::{self, Daemon};
use crate::failure::Failure;
use crate::heart::Heart;
use crate::setup::{self, Access, Loaded};

/// After the first signal the daemon has so long to finish what it is doing.
const DRAIN: Duration = Duration::from_secs(15);

/// Runs until SIGTERM or Ctrl-C; a second signal exits at once, which is safe: what was under way is verified later.
pub(crate) async fn run(common: &Common) -> Outcome {
    let loaded = setup::load(&common.config)?;
    let gate = Gate::new(web_settings(&loaded)?);
    let listener = listen(&loaded.settings.http.listen).await?;
    let address = listener.local_addr().context("the address that was bound")?;
    let closing = CancellationToken::new();
    let server = {
        let (router, closing) = (usher_web::router(gate.clone()), closing.clone());
        tokio::spawn(async move { axum_serve(listener, router, closing).await })
    };
    let store = setup::open_store(&loaded.settings, Access::Daemon).await?;
    let engine = Arc::new(setup::assemble(&loaded, store).await?);
    let heart = Heart::start(&engine).await?;
    let daemon = Daemon::start(&engine, loaded.settings.http.public_url.clone());
    gate.open(Arc::clone(&engine));
    tracing::info!(%address, mode = engine.mode().as_str(), "usher is running");
    signal().await?;
    tracing::info!("stopping: finishing what is under way (a second signal exits at once)");
    gate.drain();
    tokio::select! {
        () = daemon.stop() => {}
        () = tokio::time::sleep(DRAIN) => tracing::warn!("not everything finished in time; it is verified at the next start"),
        second = signal() => { second?; tracing::warn!("second signal: exiting at once"); }
    }
    heart.stop().await;
    closing.cancel();
    let _ = tokio::time::timeout(Duration::from_secs(2), server).await;
    engine.store().close().await?;
    Ok(())
}

/// Does everything that is due, once.
pub(crate) async fn sync(common: &Common) -> Outcome {
    let loaded = setup::load(&common.config)?;
    let store = setup::open_store(&loaded.settings, Access::Daemon).await?;
    let engine = Arc::new(setup::assemble(&loaded, store).await?);
    let heart = Heart::start(&engine).await?;
    let result = daemon::run_once(&engine).await;
    heart.stop().await;
    engine.store().close().await?;
    Ok(result?)
}

fn web_settings(loaded: &Loaded) -> Result<WebSettings, Failure> {
    let http = &loaded.settings.http;
    let api_key =
        http.api_key.as_ref().map(|secret| setup::secret(secret, &loaded.settings.folder)).transpose()?;
    let public_url = http.public_url.clone().unwrap_or_else(|| format!("http://{}", http.listen));
    Ok(WebSettings { public_url, api_key })
}

/// Binds the port that webhooks come in by.
pub(crate) async fn listen(address: &str) -> Result<tokio::net::TcpListener, Failure> {
    tokio::net::TcpListener::bind(address).await.map_err(|error| {
        Failure::input(format!(
            "nothing can listen on {address} ({error}); free the port or change http.listen in usher.yaml"
        ))
    })
}

async fn axum_serve(listener: tokio::net::TcpListener, router: axum::Router, closing: CancellationToken) {
    if let Err(error) = usher_web::serve(listener, router, closing).await {
        tracing::error!(%error, "the web server stopped");
    }
}

async fn signal() -> Result<(), Failure> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut term = signal(SignalKind::terminate()).context("listening for SIGTERM")?;
    tokio::select! {
        _ = term.recv() => {}
        interrupt = tokio::signal::ctrl_c() => interrupt.context("listening for Ctrl-C")?,
    }
    Ok(())
}
