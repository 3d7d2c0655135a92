//! Vendor simulators over real HTTP, with an oracle log and switches for the vendor's bad days.
//!
//! [`Sandbox::start`] serves a HubSpot, a Pipedrive and a Typeform account on loopback. They speak the vendors'
//! paths, bodies, limits and errors; what the vendor leaves open they read the unkind way. Everything that
//! was really applied stands in the oracle log, so that a test can tell what a client did from what it
//! believes. Other processes reach the same operations under `/_sandbox/` on any address.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;

mod accounts;
mod clock;
mod control;
mod crm;
mod fate;
mod faults;
pub mod hubspot;
mod oracle;
pub mod pipedrive;
mod reply;
mod seed;
mod serve;
mod summary;
pub mod typeform;
mod world;

pub use accounts::Account;
pub use clock::Millis;
pub use crm::{Crm, CrmObject, CrmVendor, Firm, Look, Rep};
pub use faults::{Faults, Span};
pub use hubspot::{HubspotSim, Limits, OAuthApp, OAuthCounts, Owner, Subscription, Team, WebhookTarget};
pub use oracle::{Actor, Change, Event, Fired};
pub use pipedrive::{
    PipedriveApp, PipedriveField, PipedriveLimits, PipedrivePlan, PipedriveSim, PipedriveToken,
    PipedriveUser, lead_number, lead_uuid,
};
pub use summary::{Duplicate, ObjectCount, Ownership, Summary};
pub use typeform::{Field, FormSpec, Submission, Taken, TypeformSim};

use hubspot::limits::Meter;
use hubspot::state::Hub;
use pipedrive::state::Drive;
use typeform::state::Forms;
use world::World;

/// What can go wrong with the sandbox itself.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A port is taken or may not be opened.
    #[error("cannot listen on 127.0.0.1:{port}; choose another port, or 0 for a free one")]
    Listen {
        /// The port asked for.
        port: u16,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The client for webhooks cannot be made.
    #[error("cannot make the HTTP client that sends webhooks")]
    Client(#[source] reqwest::Error),
    /// A seed line is wrong.
    #[error("seed line {line}: {reason}")]
    Seed {
        /// Counted from one.
        line: usize,
        /// What is wrong with it.
        reason: String,
    },
    /// A request of the control API, or a call of its Rust twin, does not fit the account.
    #[error("{0}")]
    Input(String),
    /// The record was archived, or never was.
    #[error("there is no living record {id}")]
    Gone {
        /// The id asked for.
        id: u64,
    },
}

/// How a sandbox starts.
#[derive(Debug, Clone)]
pub struct Options {
    /// Port of the HubSpot simulator, 0 for a free one.
    pub hubspot_port: u16,
    /// Port of the Typeform simulator, 0 for a free one.
    pub typeform_port: u16,
    /// The HubSpot token that may do everything; more by [`HubspotSim::put_token`].
    pub hubspot_token: String,
    /// The Typeform token.
    pub typeform_token: String,
    /// Port of the Pipedrive simulator, 0 for a free one.
    pub pipedrive_port: u16,
    /// The API token of Pipedrive's first user; more by [`PipedriveSim::put_token`].
    pub pipedrive_token: String,
    /// Pipedrive's limits; `None` turns them off.
    pub pipedrive_limits: Option<PipedriveLimits>,
    /// HubSpot's rate limits; `None` turns them off, for benches.
    pub limits: Option<Limits>,
    /// Typeform's requests per second; `None` turns the limit off.
    pub typeform_per_second: Option<usize>,
    /// The switches at the start.
    pub faults: Faults,
    /// Seed of all chance.
    pub seed: u64,
    /// Where HubSpot's webhooks go.
    pub webhook: Option<WebhookTarget>,
    /// Factor on the waits between Typeform's webhook retries; 1 is the vendor's pace.
    pub typeform_time_scale: f64,
    /// What the marker line of a task body contains, any case; duplicates of tasks are told by that line.
    pub marker: String,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            hubspot_port: 0,
            typeform_port: 0,
            hubspot_token: "pat-sandbox-hubspot".to_owned(),
            typeform_token: "tfp_sandbox".to_owned(),
            pipedrive_port: 0,
            pipedrive_token: "pipedrive-sandbox".to_owned(),
            pipedrive_limits: Some(PipedriveLimits::default()),
            limits: Some(Limits::default()),
            typeform_per_second: Some(2),
            faults: Faults::default(),
            seed: 1,
            webhook: None,
            typeform_time_scale: 1.0,
            marker: "usher".to_owned(),
        }
    }
}

/// Running simulators. Dropping it stops them at once; [`Sandbox::stop`] lets open calls finish.
#[derive(Debug)]
pub struct Sandbox {
    /// Base URL of the HubSpot simulator, without a slash at the end.
    pub hubspot_url: String,
    /// Base URL of the Typeform simulator, without a slash at the end.
    pub typeform_url: String,
    /// Base URL of the Pipedrive simulator, without a slash at the end; the API is below `/api/v1` and `/api/v2`.
    pub pipedrive_url: String,
    accounts: Vec<Account>,
    world: Arc<World>,
    servers: Vec<tokio::task::JoinHandle<()>>,
}

/// How long open calls may take to finish after [`Sandbox::stop`].
const GRACE: Duration = Duration::from_secs(2);

impl Sandbox {
    /// Starts the simulators on 127.0.0.1.
    ///
    /// # Errors
    /// When a port cannot be opened.
    pub async fn start(options: Options) -> Result<Self, Error> {
        // reqwest wants a TLS provider even for plain HTTP; another one may have been installed before.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder().no_proxy().build().map_err(Error::Client)?;
        let hubspot = listen(options.hubspot_port).await?;
        let typeform = listen(options.typeform_port).await?;
        let pipedrive = listen(options.pipedrive_port).await?;
        let (hubspot_url, typeform_url, pipedrive_url) = (url(&hubspot), url(&typeform), url(&pipedrive));
        let accounts = options.accounts([&hubspot_url, &typeform_url, &pipedrive_url]);
        let meter = pipedrive::limits::Meter::new(options.pipedrive_limits);
        let drive = Drive::new(options.seed, options.faults.clone(), meter);
        let hub = Hub::new(options.seed, options.faults, Meter::new(options.limits));
        let forms = Forms {
            tokens: vec![options.typeform_token],
            limit: options.typeform_per_second,
            time_scale: options.typeform_time_scale,
            ..Forms::default()
        };
        let world = Arc::new(World::new(hub, forms, drive, client, options.marker));
        HubspotSim { world: Arc::clone(&world) }.put_token(&options.hubspot_token, None, false);
        world.target(options.webhook);
        world.carry_parcels();
        PipedriveSim { world: Arc::clone(&world) }.open(&options.pipedrive_token, &pipedrive_url);
        let servers = vec![
            tokio::spawn(serve::serve(hubspot, hubspot_app(&world), world.token().cancelled_owned())),
            tokio::spawn(serve::serve(typeform, typeform_app(&world), world.token().cancelled_owned())),
            tokio::spawn(serve::serve(pipedrive, pipedrive_app(&world), world.token().cancelled_owned())),
            tokio::spawn(Arc::clone(&world).keep_time()),
        ];
        Ok(Self { hubspot_url, typeform_url, pipedrive_url, accounts, world, servers })
    }

    /// All accounts.
    #[must_use]
    pub fn accounts(&self) -> &[Account] {
        &self.accounts
    }

    /// The HubSpot account.
    #[must_use]
    pub fn hubspot(&self) -> HubspotSim {
        HubspotSim { world: Arc::clone(&self.world) }
    }

    /// The app that the CRM's authorization server knows.
    #[must_use]
    pub fn crm_app(&self) -> OAuthApp {
        self.hubspot().app()
    }

    /// Where that app asks for consent.
    #[must_use]
    pub fn authorize_url(&self) -> String {
        format!("{}/oauth/authorize", self.hubspot_url)
    }

    /// The Typeform account.
    #[must_use]
    pub fn typeform(&self) -> TypeformSim {
        TypeformSim { world: Arc::clone(&self.world) }
    }

    /// The Pipedrive account.
    #[must_use]
    pub fn pipedrive(&self) -> PipedriveSim {
        PipedriveSim { world: Arc::clone(&self.world) }
    }

    /// Replaces all switches.
    pub fn set_faults(&self, faults: Faults) {
        set_faults(&self.world, faults);
    }

    /// The switches as they are.
    #[must_use]
    pub fn faults(&self) -> Faults {
        self.world.hub().faults.clone()
    }

    /// Moves the simulators' clock forward; what falls due happens at once.
    pub fn advance(&self, by: Duration) {
        self.world.clock.advance(by);
        self.world.settle();
    }

    /// The simulators' time.
    #[must_use]
    pub fn now(&self) -> Millis {
        self.world.clock.now()
    }

    /// Stops: no new calls, open ones get two seconds.
    pub async fn stop(mut self) {
        self.world.token().cancel();
        for mut server in std::mem::take(&mut self.servers) {
            if tokio::time::timeout(GRACE, &mut server).await.is_err() {
                server.abort();
            }
        }
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        self.world.token().cancel();
        for server in &self.servers {
            server.abort();
        }
    }
}

async fn listen(port: u16) -> Result<serve::CutListener, Error> {
    serve::CutListener::bind(port).await.map_err(|source| Error::Listen { port, source })
}

fn url(listener: &serve::CutListener) -> String {
    use axum::serve::Listener as _;
    listener.local_addr().map(|address| format!("http://{address}")).unwrap_or_default()
}

fn set_faults(world: &World, faults: Faults) {
    {
        let mut drive = world.drive();
        drive.dice.allow(faults.times);
        drive.faults = faults.clone();
    }
    let mut hub = world.hub();
    hub.dice.allow(faults.times);
    hub.faults = faults;
}

fn hubspot_app(world: &Arc<World>) -> Router {
    let shared = Arc::clone(world);
    control::router(Arc::clone(world)).fallback(move |request: Request| {
        let world = Arc::clone(&shared);
        async move {
            match serve::read(request).await {
                Some((wire, kill)) => serve::write(hubspot::http::answer(&world, wire, &kill).await),
                None => serve::write(reply::Reply::empty(400)),
            }
        }
    })
}

fn typeform_app(world: &Arc<World>) -> Router {
    let shared = Arc::clone(world);
    control::router(Arc::clone(world)).fallback(move |request: Request| {
        let world = Arc::clone(&shared);
        async move {
            match serve::read(request).await {
                Some((wire, kill)) => serve::write(typeform::http::answer(&world, wire, &kill).await),
                None => serve::write(reply::Reply::empty(400)),
            }
        }
    })
}

fn pipedrive_app(world: &Arc<World>) -> Router {
    let shared = Arc::clone(world);
    control::router(Arc::clone(world)).fallback(move |request: Request| {
        let world = Arc::clone(&shared);
        async move {
            match serve::read(request).await {
                Some((wire, kill)) => serve::write(pipedrive::http::answer(&world, wire, &kill).await),
                None => serve::write(reply::Reply::empty(400)),
            }
        }
    })
}
