//! Access tokens that end, over and over, under many workers on several nodes that share one database file.
//!
//! The vendor is the simulator with rotation on: a refresh token that is spent twice revokes the whole family, so one
//! refresh too many is a lost connection. Time is moved by hand at the vendor and here alike.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use futures::future::join_all;
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use tempfile::TempDir;
use url::Url;
use usher_connector::{
    Auth, Fault, FaultClass, Http as _, LimitReport, LimitSpec, OAuth, Protocol, Request, Response, Secret,
};
use usher_engine::StoredTokens;
use usher_host::{
    AppSpec, BaseUrl, Credential, HttpSettings, KeeperSpec, KeySource, OAuthApp, TokenKeeper, VendorHttp,
    VendorSpec, new_key,
};
use usher_model::{Clock, ConnectionName};
use usher_sandbox::{OAuthApp as VendorApp, Options, Sandbox};
use usher_store::{OpenOptions, SqliteStore, Store};

use crate::ManualClock;

const REDIRECT: &str = "http://127.0.0.1:8471/callback";
/// A read that needs a token.
const PATH: &str = "/crm/owners/2026-09";
const SCOPE: &str = "crm.objects.owners.read";

/// How hard it blows.
#[derive(Debug, Clone, Copy)]
pub struct Storm {
    /// How often the access token ends. Every other time it ends before its time, so that workers learn of it by a 401.
    pub expiries: u32,
    /// Callers at the same moment, in all.
    pub workers: u32,
    /// Nodes, each with a database handle of its own.
    pub nodes: u32,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Wreckage {
    /// Calls that the workers made.
    pub calls: u64,
    /// Calls that failed.
    pub failed_calls: u64,
    /// What the first of them failed with.
    pub first_failure: Option<String>,
    /// Times at which the token ended.
    pub expiries: u64,
    /// Refreshes that the vendor counted.
    pub refreshes: u64,
    /// Times at which not exactly one refresh was made.
    pub not_one_refresh: u64,
    /// Spent refresh tokens that came back.
    pub reused: u64,
    /// Connections lost, as the vendor counts revoked families.
    pub lost_connections: u64,
    /// From the expiry to the last worker's answer: milliseconds at the median and the 99th percentile, and the worst.
    pub wait_ms: [u64; 3],
}

/// Connects, then lets the token end again and again.
///
/// # Errors
/// If the rig itself does not stand; failed calls are figures.
pub async fn storm(oauth: OAuth, storm: Storm) -> anyhow::Result<Wreckage> {
    ensure!(storm.nodes > 0 && storm.workers >= storm.nodes, "at least a worker on each node");
    let rig = Rig::build(oauth, storm.nodes).await?;
    let mut wreckage = Wreckage {
        calls: 0,
        failed_calls: 0,
        first_failure: None,
        expiries: storm.expiries.into(),
        refreshes: 0,
        not_one_refresh: 0,
        reused: 0,
        lost_connections: 0,
        wait_ms: [0; 3],
    };
    let mut waits = Vec::new();
    for expiry in 0..storm.expiries {
        rig.expire(expiry % 2 == 1);
        let before = rig.sandbox.hubspot().oauth_counts().refreshes;
        let begun = Instant::now();
        let calls = (0..storm.workers).map(|worker| {
            let http = Arc::clone(&rig.doors[(worker % storm.nodes) as usize]);
            tokio::spawn(async move { http.send(Request::get(PATH)).await.map(drop) })
        });
        for called in join_all(calls).await {
            wreckage.calls += 1;
            if let Err(fault) = called? {
                wreckage.failed_calls += 1;
                wreckage.first_failure.get_or_insert(format!("expiry {expiry}: {fault}"));
            }
        }
        waits.push(u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX));
        let made = rig.sandbox.hubspot().oauth_counts().refreshes - before;
        wreckage.not_one_refresh += u64::from(made != 1);
    }
    let counts = rig.sandbox.hubspot().oauth_counts();
    (wreckage.refreshes, wreckage.reused) = (counts.refreshes, counts.reused);
    wreckage.lost_connections = counts.revoked;
    waits.sort_unstable();
    let at = |percent: usize| waits.get((waits.len() * percent / 100).min(waits.len().saturating_sub(1)));
    wreckage.wait_ms = [50, 99, 100].map(|percent| at(percent).copied().unwrap_or_default());
    Ok(wreckage)
}

struct Rig {
    sandbox: Sandbox,
    clock: Arc<ManualClock>,
    doors: Vec<Arc<VendorHttp>>,
    lifetime: Duration,
    _folder: TempDir,
}

impl Rig {
    async fn build(oauth: OAuth, nodes: u32) -> anyhow::Result<Self> {
        let sandbox = Sandbox::start(Options { limits: None, ..Options::default() }).await?;
        let app = VendorApp { rotates: true, ..VendorApp::default() };
        let lifetime = Duration::from_secs(app.access_seconds);
        sandbox.hubspot().put_app(app.clone());
        let folder = TempDir::new()?;
        let key = folder.path().join("key");
        write_key(&key)?;
        let clock = Arc::new(ManualClock::at(Timestamp::from_millisecond(sandbox.now())?));
        let mut doors = Vec::new();
        for node in 0..nodes {
            let options = if node == 0 { OpenOptions::daemon() } else { OpenOptions::command() };
            let database = folder.path().join("usher.db").display().to_string();
            let store: Arc<dyn Store> = Arc::new(SqliteStore::open(&database, options).await?);
            let keeper = keeper(oauth, &sandbox, &app, &key, store, &clock)?;
            if node == 0 {
                connect(&keeper, clock.now()).await?;
            }
            doors.push(Arc::new(door(&sandbox, keeper, &clock)?));
        }
        Ok(Self { sandbox, clock, doors, lifetime, _folder: folder })
    }

    /// Ends the access token: by time, or so that only the vendor knows.
    fn expire(&self, early: bool) {
        if early {
            self.sandbox.hubspot().expire_access();
        } else {
            self.sandbox.advance(self.lifetime);
            self.clock.advance(SignedDuration::try_from(self.lifetime).unwrap_or_default());
        }
    }
}

fn write_key(path: &std::path::Path) -> anyhow::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::write(path, new_key().expose())?;
    Ok(std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?)
}

fn keeper(
    oauth: OAuth,
    sandbox: &Sandbox,
    app: &VendorApp,
    key: &std::path::Path,
    store: Arc<dyn Store>,
    clock: &Arc<ManualClock>,
) -> anyhow::Result<Arc<TokenKeeper>> {
    let app = OAuthApp::new(AppSpec {
        oauth,
        base_url: BaseUrl::parse(&sandbox.hubspot_url, false)?,
        client_id: app.client_id.clone(),
        client_secret: Secret::new(app.client_secret.as_str()),
        authorize_url: Some(format!("{}/oauth/authorize", sandbox.hubspot_url)),
        token_url: None,
        timeout: Duration::from_secs(20),
    })?;
    let spec = KeeperSpec {
        connection: ConnectionName::new("storm"),
        auth: Auth::Bearer,
        app,
        keys: KeySource::File(key.to_owned()),
        store: Arc::new(StoredTokens(store)),
        follow_base_url: false,
    };
    Ok(Arc::new(TokenKeeper::new(spec, Arc::clone(clock) as Arc<dyn Clock>)))
}

/// Consents as a browser would.
async fn connect(keeper: &TokenKeeper, now: Timestamp) -> anyhow::Result<()> {
    let mut attempt = keeper.app().begin(&Url::parse(REDIRECT)?, &[SCOPE.to_owned()], now);
    let browser =
        reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build()?;
    let sent = browser.get(attempt.url().clone()).send().await?;
    let back = sent.headers().get("location").context("the consent page sends nobody back")?;
    let code = attempt.accept(&Url::parse(back.to_str()?)?, now)?;
    keeper.connect(code, None).await?;
    Ok(())
}

fn door(sandbox: &Sandbox, keeper: Arc<TokenKeeper>, clock: &Arc<ManualClock>) -> anyhow::Result<VendorHttp> {
    let spec = VendorSpec {
        connection: ConnectionName::new("storm"),
        base_url: BaseUrl::parse(&sandbox.hubspot_url, false)?,
        credential: Credential::kept(keeper),
        protocol: Arc::new(Plain),
    };
    Ok(VendorHttp::new(spec, HttpSettings::default(), Arc::clone(clock) as Arc<dyn Clock>)?)
}

/// No limits; 401 is a bad token.
struct Plain;

impl Protocol for Plain {
    fn limits(&self) -> Vec<LimitSpec> {
        Vec::new()
    }

    fn read_limits(&self, _request: &Request, _response: &Response) -> Vec<LimitReport> {
        Vec::new()
    }

    fn judge(&self, _request: &Request, response: &Response) -> Result<(), Fault> {
        let class = match response.status {
            200..300 => return Ok(()),
            401 => FaultClass::Unauthorized,
            500.. => FaultClass::Transient,
            _ => FaultClass::Rejected,
        };
        Err(Fault::new(class, format!("status {}", response.status)))
    }
}
