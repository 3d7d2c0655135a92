//! `usher run`: the daemon. `usher sync`: one pass.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;
use usher_web::{Gate, WebSettings};

use crate::attend::Attendance;
use crate::cli::{Common, Outcome};
use crate::daemon::{self, Daemon};
use crate::failure::Failure;
use crate::heart::Heart;
use crate::setup::{self, Access, Loaded};

/// After the first signal the daemon has so long to finish what it is doing.
const DRAIN: Duration = Duration::from_secs(15);

/// The web server, and the database, have so long to close.
const CLOSE: Duration = Duration::from_secs(2);

/// Runs until SIGTERM or Ctrl-C; a second signal exits at once, which is safe: what was under way is verified later.
pub(crate) async fn run(common: &Common) -> Outcome {
    // First of all, so that a signal at any moment ends in a clean stop.
    let mut signals = Signals::listen()?;
    let loaded = setup::load(&common.config)?;
    let gate = Gate::new(web_settings(&loaded)?);
    let listener = listen(&loaded.settings.http.listen).await?;
    let address = listener.local_addr().context("the address that was bound")?;
    let closing = CancellationToken::new();
    let server = {
        let (router, closing) = (usher_web::router(gate.clone()), closing.clone());
        tokio::spawn(async move { axum_serve(listener, router, closing).await })
    };
    let (daemon, heart) = tokio::select! {
        daemon = start(&loaded) => daemon?,
        () = signals.next() => return Ok(()),
    };
    gate.open(Arc::clone(&daemon.engine));
    tracing::info!(%address, mode = daemon.engine.mode().as_str(), "usher is running");
    signals.next().await;
    tracing::info!("stopping: finishing what is under way (a second signal exits at once)");
    gate.drain();
    tokio::select! {
        () = daemon.stop() => {}
        () = tokio::time::sleep(DRAIN) => tracing::warn!("not everything finished in time; it is verified at the next start"),
        () = signals.next() => { tracing::warn!("second signal: exiting at once"); return Ok(()); }
    }
    heart.stop().await;
    closing.cancel();
    tokio::select! {
        () = close(&daemon, server) => {}
        () = signals.next() => tracing::warn!("second signal: exiting at once"),
    }
    Ok(())
}

/// Opens everything and starts the steps.
async fn start(loaded: &Loaded) -> Result<(Daemon, Heart), Failure> {
    let clock = Arc::new(usher_host::WatchedClock::system());
    let attendance = Attendance::new(loaded, Arc::clone(&clock))?;
    let store = setup::open_store(&loaded.settings, Access::Daemon).await?;
    let engine = Arc::new(setup::assemble_with(loaded, Arc::clone(&store), &store, clock).await?);
    let heart = Heart::start(&engine).await?;
    let daemon = Daemon::start(&engine, loaded.settings.http.public_url.clone());
    daemon.attend(attendance);
    Ok((daemon, heart))
}

/// A database that can not be closed in time is as good as one whose process was killed: nothing is lost.
async fn close(daemon: &Daemon, server: tokio::task::JoinHandle<()>) {
    let _ = tokio::time::timeout(CLOSE, server).await;
    match tokio::time::timeout(CLOSE, daemon.engine.store().close()).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => {
            tracing::warn!(error = &error as &dyn std::error::Error, "the database was not closed");
        }
        Err(_) => tracing::warn!("the database was not closed in time; the next start makes up for it"),
    }
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

/// The signals that ask for a stop, listened to from the start on: none is lost between two questions.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn listen() -> Result<Self, Failure> {
        let terminate = signal(SignalKind::terminate()).context("listening for SIGTERM")?;
        let interrupt = signal(SignalKind::interrupt()).context("listening for Ctrl-C")?;
        Ok(Self { terminate, interrupt })
    }

    /// The next one.
    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
