//! An engine with one CRM connection, built as the program builds it.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use jiff::Timestamp;
use usher_connector::{Connector, Gauge, Host, Http, Protocol, Secret};
use usher_document::{Diagnostics, SourceFile};
use usher_engine::settings::{Settings, WriteSettings};
use usher_engine::{Connected, Engine, Registry, Setup};
use usher_host::{
    Allowance, BaseUrl, Credential, HttpSettings, LimiterSettings, LocalFiles, NoHttp, VendorHttp, VendorSpec,
};
use usher_hubspot::HubSpot;
use usher_mapping::Mapping;
use usher_model::{Clock, ConnectionName, InstallKey, Mode, SystemClock};
use usher_routing::Policy;
use usher_store::Store;

/// The one connection.
pub(super) const CRM: &str = "crm";
const MAPPING: &str = include_str!("../../../mappings/hubspot.yaml");
const REFERRALS: &str = include_str!("../../../mappings/referrals.yaml");
const SETTINGS: &str = "version: 1\nmode: live\nconnections:\n  crm:\n    connector: hubspot\n    auth: { token: { env: NONE } }\n    limits: off\ncrm: crm\n";

/// Builds the engine. `vendor` is address, token and what may be used of the limits; without it no call can be made.
pub(super) async fn engine(
    store: Arc<dyn Store>,
    routing: &str,
    vendor: Option<(&str, &str, Allowance)>,
    started_at: Timestamp,
    clock: Arc<dyn Clock>,
) -> anyhow::Result<Engine> {
    let diagnostics = Diagnostics::default();
    let registry = Registry::default().with(HubSpot, MAPPING);
    let settings =
        Settings::read(&SourceFile::new("usher.yaml", SETTINGS), Path::new("."), &registry, &diagnostics);
    let mapping = Mapping::load(&SourceFile::new("hubspot.yaml", MAPPING), &diagnostics);
    let referrals = Mapping::load(&SourceFile::new("referrals.yaml", REFERRALS), &diagnostics);
    let policy = Policy::load(&SourceFile::new("routing.yaml", routing), &diagnostics);
    anyhow::ensure!(
        !diagnostics.has_errors(),
        "the bench's own files are wrong: {:?}",
        diagnostics.into_sorted()
    );
    let (settings, mapping) = (settings.context("settings")?, Arc::new(mapping.context("mapping")?));
    let connection = settings.connections.first().context("the connection")?;
    let (http, gauge): (Arc<dyn Http>, Arc<dyn Gauge>) = match vendor {
        Some((address, token, allowance)) => {
            let protocol = connection.configured.protocol().context("the connector makes no calls")?;
            let door = Arc::new(door(address, token, allowance, protocol)?);
            (Arc::clone(&door) as _, door)
        }
        None => (Arc::new(NoHttp), Arc::new(NoHttp)),
    };
    let host = Host {
        connection: ConnectionName::new(CRM),
        http,
        files: Arc::new(LocalFiles::new(Path::new("."))),
        secrets: BTreeMap::new(),
    };
    let connected = Connected {
        name: ConnectionName::new(CRM),
        connector: HubSpot.manifest().id,
        roles: connection.configured.connect(host),
        mapping,
        every: Duration::from_secs(30),
        sweep_every: Duration::from_secs(600),
        watch_every: None,
        timeout: connection.timeout,
        gauge,
        started_at,
    };
    let setup = Setup {
        store,
        clock,
        install: InstallKey::new([7; 32]),
        mode: Mode::Live,
        connections: vec![connected],
        crm: ConnectionName::new(CRM),
        write: WriteSettings { max_leads_per_hour: None, ..WriteSettings::default() },
        policy: Arc::new(policy.context("policy")?),
        referrals: Arc::new(referrals.context("referrals")?),
    };
    Ok(Engine::new(setup).await?)
}

fn door(
    address: &str,
    token: &str,
    allowance: Allowance,
    protocol: Arc<dyn Protocol>,
) -> anyhow::Result<VendorHttp> {
    let manifest = HubSpot.manifest();
    let spec = VendorSpec {
        connection: ConnectionName::new(CRM),
        base_url: BaseUrl::parse(address, false)?,
        credential: Credential::new(manifest.auth, Some(&Secret::new(token)))?,
        protocol,
    };
    let settings = HttpSettings { limits: LimiterSettings::all(allowance), ..HttpSettings::default() };
    Ok(VendorHttp::new(spec, settings, Arc::new(SystemClock))?)
}
