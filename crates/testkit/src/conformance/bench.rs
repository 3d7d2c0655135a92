//! The connection under test: the connector on the real host, with a relay between it and the vendor.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use async_trait::async_trait;
use usher_connector::{
    Access, Auth, Configured, Connection, Connector, Fault, FaultClass, Host, Http, Request, Response, Secret,
};
use usher_document::{Cursor, Diagnostics, SecretRef, SourceFile, parse};
use usher_host::{
    Allowance, BaseUrl, Credential, HttpSettings, LimiterSettings, LocalFiles, NoHttp, VendorHttp, VendorSpec,
};
use usher_model::{ConnectionName, SystemClock};

use super::rig::{Rig, World};
use crate::log::Log;
use crate::relay::{Relay, WRITES};
use crate::settings::COMMON;

/// What the connection is called.
const NAME: &str = "under-test";

/// The connection under test.
pub(super) struct Bench {
    pub(super) rig: Rig,
    pub(super) configured: Arc<dyn Configured>,
    pub(super) connection: Connection,
    pub(super) log: Log,
    relay: Option<Relay>,
    requests: Noted,
    told: Mutex<String>,
}

/// Requests as the connector made them.
type Noted = Arc<Mutex<Vec<Request>>>;

impl Bench {
    pub(super) async fn set_up(rig: Rig) -> anyhow::Result<Self> {
        let log = Log::capture();
        let (configured, problems) = configure(&*rig.connector, rig.settings);
        let configured = configured.filter(|_| problems.is_empty());
        let configured = configured.ok_or_else(|| anyhow!("the rig's settings are refused: {problems:?}"))?;
        let relay = match &rig.vendor {
            Some((url, _)) => Some(Relay::start(url).await?),
            None => None,
        };
        let connection = Connection::default();
        let (requests, told) = (Noted::default(), Mutex::default());
        let mut bench = Self { rig, configured, connection, log, relay, requests, told };
        bench.connection = bench.connect()?;
        Ok(bench)
    }

    /// A new connection: nothing remembered, no limit exhausted.
    pub(super) fn connect(&self) -> anyhow::Result<Connection> {
        let http = door(&self.rig, &*self.configured, self.relay.as_ref())?;
        let secrets = secrets(&self.rig, &*self.configured)?;
        let http = Arc::new(Notebook { http, noted: Arc::clone(&self.requests) });
        Ok(self.configured.connect(self.host(http, secrets)))
    }

    /// A connection like the one under test with other secrets.
    pub(super) fn with_other_secrets(&self) -> anyhow::Result<Connection> {
        let mut secrets = secrets(&self.rig, &*self.configured)?;
        for secret in secrets.values_mut() {
            let mut bytes = secret.expose().to_vec();
            bytes.reverse();
            *secret = Secret::new(bytes);
        }
        Ok(self.configured.connect(self.host(Arc::new(NoHttp), secrets)))
    }

    fn host(&self, http: Arc<dyn Http>, secrets: BTreeMap<&'static str, Secret>) -> Host {
        let files = Arc::new(LocalFiles::new(&self.rig.folder));
        Host { connection: ConnectionName::new(NAME), http, files, secrets }
    }

    pub(super) fn world(&self) -> &dyn World {
        &*self.rig.world
    }

    /// The relay; checks that need one run only for connectors that make calls.
    pub(super) fn relay(&self) -> anyhow::Result<&Relay> {
        self.relay.as_ref().context("the connector makes no calls")
    }

    /// JSON, more or less, that is no answer of this vendor's to a read.
    pub(super) fn no_answers(&self) -> impl Iterator<Item = &'static str> {
        let empty = self.world().empty_answers();
        let bodies = ["", "{}", "[]", "null", r#"{"status":"ok","message":"all is well"}"#];
        bodies.into_iter().filter(|body| !empty.contains(body))
    }

    /// Ends every fault and forgets every request.
    pub(super) fn calm(&self) {
        self.world().calm();
        if let Some(relay) = &self.relay {
            relay.clear();
        }
        self.take();
    }

    /// The requests that the connector declared as writes, since the last look.
    pub(super) fn writes(&self) -> Vec<Request> {
        self.take().into_iter().filter(|request| request.access == Access::Write).collect()
    }

    /// How many requests the connector made since the last look.
    pub(super) fn asked(&self) -> usize {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    fn take(&self) -> Vec<Request> {
        std::mem::take(&mut *self.requests.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The class of a fault, whose words are kept for the redaction check.
    pub(super) fn class(&self, fault: &Fault) -> FaultClass {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        told.push_str(&format!("{fault}\n{fault:?}\n"));
        let mut cause = fault.source();
        while let Some(error) = cause {
            told.push_str(&format!("{error}\n"));
            cause = error.source();
        }
        fault.class()
    }

    /// The words of every fault so far.
    pub(super) fn told(&self) -> String {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Reads settings as the host does. The second part has every problem, with its advice.
pub(super) fn configure(connector: &dyn Connector, yaml: &str) -> (Option<Arc<dyn Configured>>, Vec<String>) {
    let file = SourceFile::new("usher.yaml", yaml);
    let log = Diagnostics::default();
    let node = match parse(&file) {
        Ok(node) => node,
        Err(problems) => return (None, problems.into_iter().map(|problem| problem.message).collect()),
    };
    let Some(mut map) = Cursor::root(&file, &node, &log).map() else {
        return (None, vec!["the settings are no map".to_owned()]);
    };
    if let Some(mut pull) = map.optional_at("pull").and_then(|at| at.map()) {
        for key in ["every"].iter().chain(connector.manifest().pull_keys) {
            let _ = pull.optional_at(key);
        }
        pull.finish();
    }
    for key in COMMON {
        let _ = map.optional_at(key);
    }
    let configured = connector.configure(&mut map);
    map.finish();
    let words = |problem: usher_document::Diagnostic| {
        format!(
            "{} {} {}",
            problem.message,
            problem.found.unwrap_or_default(),
            problem.help.unwrap_or_default()
        )
    };
    (configured, log.into_sorted().into_iter().map(words).collect())
}

fn secrets(rig: &Rig, configured: &dyn Configured) -> anyhow::Result<BTreeMap<&'static str, Secret>> {
    let find = |(name, reference): (&'static str, SecretRef)| {
        let SecretRef::Env(variable) = &reference else {
            return Err(anyhow!("a rig's secrets come by variables"));
        };
        let known = rig.secrets.iter().find(|(known, _)| known == variable);
        let (_, value) = known.with_context(|| format!("the rig has no secret `{variable}`"))?;
        Ok((name, Secret::new(value.as_str())))
    };
    configured.secrets().into_iter().map(find).collect()
}

/// The real door to the vendor, which repeats nothing and keeps no limits of its own: each check counts calls.
fn door(rig: &Rig, configured: &dyn Configured, relay: Option<&Relay>) -> anyhow::Result<Arc<dyn Http>> {
    let (Some(relay), Some((_, token)), Some(protocol)) = (relay, &rig.vendor, configured.protocol()) else {
        return Ok(Arc::new(NoHttp));
    };
    let auth = rig.connector.manifest().auth;
    let token = (auth != Auth::None).then(|| Secret::new(token.as_str()));
    let spec = VendorSpec {
        connection: ConnectionName::new(NAME),
        base_url: BaseUrl::parse(&relay.url, false)?,
        credential: Credential::new(auth, token.as_ref())?,
        protocol,
    };
    let settings = HttpSettings {
        request_timeout: Duration::from_secs(20),
        retries: 0,
        limits: LimiterSettings::all(Allowance::Unlimited),
        ..HttpSettings::default()
    };
    Ok(Arc::new(VendorHttp::new(spec, settings, Arc::new(SystemClock))?))
}

/// Notes every request, and tells the relay which of them write.
struct Notebook {
    http: Arc<dyn Http>,
    noted: Noted,
}

impl fmt::Debug for Notebook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Notebook")
    }
}

#[async_trait]
impl Http for Notebook {
    async fn send(&self, mut request: Request) -> Result<Response, Fault> {
        self.noted.lock().unwrap_or_else(PoisonError::into_inner).push(request.clone());
        if request.access == Access::Write {
            request.headers.push((WRITES, "1".to_owned()));
        }
        self.http.send(request).await
    }
}
