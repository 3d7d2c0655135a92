//! From files to a running engine: settings, mappings and policy are read whole, then store and connections are opened.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use usher_connector::{Gauge, Host, Http, Secret};
use usher_document::{Diagnostics, SecretRef, SourceFile};
use usher_engine::settings::{AuthSettings, ConnectionSettings, Limits, REFERRALS, Settings};
use usher_engine::{Connected, Engine, Setup};
use usher_host::{NoHttp, VendorHttp};
use usher_mapping::Mapping;
use usher_model::{Clock, ConnectionName, InstallKey, SystemClock};
use usher_routing::Policy;
use usher_store::{OpenOptions, PostgresOptions, PostgresStore, SqliteStore, Store};

use crate::failure::Failure;
use crate::registry::{REFERRAL_MAPPING, registry};
use crate::tokens;

/// Every file of an installation, read and found good.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) settings: Settings,
    pub(crate) policy: Arc<Policy>,
    pub(crate) mappings: BTreeMap<ConnectionName, Arc<Mapping>>,
    pub(crate) referrals: Arc<Mapping>,
    /// The files that were read.
    pub(crate) files: Vec<SourceFile>,
}

/// Whether the process means to own the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// Runs the engine's steps: only one process may.
    Daemon,
    /// Looks, or changes one thing, while a daemon may run.
    Command,
    /// Brings something in, while a daemon may run or before one ever ran.
    Entry,
}

/// Reads usher.yaml and everything that it names. All problems of all files are reported together.
pub(crate) fn load(config: &Path) -> Result<Loaded, Failure> {
    let mut reader = Reader::default();
    let source = reader.file(config, "run `usher init` to write one, or name it with --config")?;
    let folder = config.parent().map(Path::to_path_buf).unwrap_or_default();
    let settings = Settings::read(&source, &folder, &registry(), &reader.diagnostics);
    let Some(settings) = settings else {
        return Err(reader.into_failure());
    };
    let mut mappings = BTreeMap::new();
    for connection in &settings.connections {
        if let Some(mapping) = reader.mapping(&settings, connection) {
            mappings.insert(connection.name.clone(), Arc::new(mapping));
        }
    }
    let shipped = SourceFile::new("mappings/referrals.yaml", REFERRAL_MAPPING);
    let referrals = Mapping::load(&shipped, &reader.diagnostics);
    let routing = settings.resolve(&settings.routing);
    let policy = match reader.file(&routing, "usher.yaml names it under `routing:`") {
        Ok(source) => Policy::load(&source, &reader.diagnostics),
        Err(failure) => {
            reader.missing.push(failure);
            None
        }
    };
    match (policy, referrals) {
        (Some(policy), Some(referrals)) if !reader.diagnostics.has_errors() && reader.missing.is_empty() => {
            Ok(Loaded {
                settings,
                policy: Arc::new(policy),
                mappings,
                referrals: Arc::new(referrals),
                files: reader.files,
            })
        }
        _ => Err(reader.into_failure()),
    }
}

#[derive(Default)]
struct Reader {
    files: Vec<SourceFile>,
    diagnostics: Diagnostics,
    missing: Vec<Failure>,
}

impl Reader {
    fn file(&mut self, path: &Path, advice: &str) -> Result<SourceFile, Failure> {
        let name = path.display().to_string();
        let text = std::fs::read_to_string(path).map_err(|error| {
            Failure::input(format!("the file {name} can not be read ({error}); {advice}"))
        })?;
        let source = SourceFile::new(name, text);
        self.files.push(source.clone());
        Ok(source)
    }

    fn mapping(&mut self, settings: &Settings, connection: &ConnectionSettings) -> Option<Mapping> {
        let id = connection.connector.manifest().id;
        let source = match &connection.mapping {
            None => SourceFile::new(format!("shipped mapping of {id}"), registry().mapping(id)?),
            Some(path) => {
                let advice = format!(
                    "usher.yaml names it for `{}`; leave `mapping:` out for the shipped one",
                    connection.name
                );
                match self.file(&settings.resolve(path), &advice) {
                    Ok(source) => source,
                    Err(failure) => {
                        self.missing.push(failure);
                        return None;
                    }
                }
            }
        };
        Mapping::load(&source, &self.diagnostics)
    }

    fn into_failure(self) -> Failure {
        let missing: Vec<String> = self.missing.iter().map(Failure::text).collect();
        if self.diagnostics.has_errors() {
            for text in missing {
                crate::output::note(&text);
            }
            return Failure::Files(self.diagnostics.into_sorted(), self.files);
        }
        Failure::Input(missing.join("\n").trim_start_matches("error: ").to_owned())
    }
}

/// Opens the database that the settings name.
pub(crate) async fn open_store(settings: &Settings, access: Access) -> Result<Arc<dyn Store>, Failure> {
    let Some(path) = sqlite_path(settings) else {
        return open_shared(settings, access).await;
    };
    let options = match access {
        Access::Daemon => OpenOptions::daemon(),
        Access::Command => OpenOptions::command(),
        Access::Entry => OpenOptions { create: true, ..OpenOptions::command() },
    };
    let store = SqliteStore::open(&path.display().to_string(), options).await?;
    Ok(Arc::new(store))
}

/// How long a daemon waits at start for a database that does not answer yet.
const PATIENCE: Duration = Duration::from_secs(60);

async fn open_shared(settings: &Settings, access: Access) -> Result<Arc<dyn Store>, Failure> {
    let mut options = PostgresOptions::new(&settings.store, node_name())?;
    if let Some(reference) = &settings.store_password {
        let password = secret(reference, &settings.folder)?;
        let text = std::str::from_utf8(password.expose())
            .map_err(|_| Failure::input("the password of the database is no UTF-8 text"))?;
        options = options.password(text);
    }
    if access == Access::Daemon {
        options = options.patience(PATIENCE);
    }
    Ok(Arc::new(PostgresStore::open(options).await?))
}

/// The machine's name for people, and a random part because a later process must never be taken for this one.
fn node_name() -> String {
    let machine = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let machine = if machine.trim().is_empty() { "node" } else { machine.trim() };
    format!("{machine}-{:08x}", rand::random::<u32>())
}

/// Whether there is a database yet; a server is asked.
pub(crate) fn has_store(settings: &Settings) -> bool {
    sqlite_path(settings).is_none_or(|path| path.exists())
}

/// The file of a database that is one.
pub(crate) fn sqlite_path(settings: &Settings) -> Option<PathBuf> {
    settings.store.strip_prefix("sqlite://").map(|path| settings.resolve(Path::new(path)))
}

/// A database that is gone with the process, for looking at connections before anything ever ran.
pub(crate) async fn scratch_store() -> Result<Arc<dyn Store>, Failure> {
    Ok(Arc::new(SqliteStore::in_memory().await?))
}

/// The value behind a typed reference.
pub(crate) fn secret(reference: &SecretRef, folder: &Path) -> Result<Secret, Failure> {
    let resolved = match reference {
        SecretRef::Env(name) => usher_host::resolve_env(name),
        SecretRef::File(path) => usher_host::resolve_file(&folder.join(path)),
    };
    resolved.map_err(|error| Failure::input(crate::failure::chain(&error)))
}

/// Connects every connection and builds the engine.
pub(crate) async fn assemble(loaded: &Loaded, store: Arc<dyn Store>) -> Result<Engine, Failure> {
    let tokens = Arc::clone(&store);
    assemble_with(loaded, store, &tokens, Arc::new(SystemClock)).await
}

/// The same with the tokens of another database, or on another clock.
pub(crate) async fn assemble_with(
    loaded: &Loaded,
    store: Arc<dyn Store>,
    tokens: &Arc<dyn Store>,
    clock: Arc<dyn Clock>,
) -> Result<Engine, Failure> {
    let settings = &loaded.settings;
    let install = store.install_key(rand::random()).await?;
    store.connect(&ConnectionName::new(REFERRALS), clock.now()).await?;
    let mut connections = Vec::new();
    for connection in &settings.connections {
        let row = store.connect(&connection.name, clock.now()).await?;
        let Some(mapping) = loaded.mappings.get(&connection.name) else { continue };
        if let Some(keeper) = tokens::keeper(settings, connection, tokens)? {
            // Without the right key nothing works that is worth starting, and nothing may be made anew.
            keeper.check().await.map_err(|fault| wrong(connection, &fault))?;
        }
        let (roles, gauge) = connect(settings, connection, tokens)?;
        connections.push(Connected {
            name: connection.name.clone(),
            connector: connection.connector.manifest().id,
            roles,
            mapping: Arc::clone(mapping),
            every: connection.every,
            sweep_every: connection.sweep_every,
            watch_every: connection.watch_every,
            timeout: connection.timeout,
            gauge,
            started_at: row.started_at,
        });
    }
    let engine = Engine::new(Setup {
        store,
        clock,
        install: InstallKey::new(install),
        mode: settings.mode,
        connections,
        crm: settings.crm.clone(),
        write: settings.write.clone(),
        policy: Arc::clone(&loaded.policy),
        referrals: Arc::clone(&loaded.referrals),
    });
    Ok(engine.await?)
}

/// The installation's database, if a connection's tokens are in it and it exists yet.
pub(crate) async fn token_store(loaded: &Loaded) -> Result<Option<Arc<dyn Store>>, Failure> {
    let kept = |connection: &ConnectionSettings| matches!(connection.auth, AuthSettings::OAuth(_));
    // Before the first run there is no database, and nothing is connected.
    if !loaded.settings.connections.iter().any(kept) || !has_store(&loaded.settings) {
        return Ok(None);
    }
    open_store(&loaded.settings, Access::Command).await.map(Some)
}

/// Every connection with its roles, and where their tokens are, to be closed after use. Makes no call.
pub(crate) async fn roles(loaded: &Loaded) -> Result<(Arc<dyn Store>, Vec<Roles>), Failure> {
    let settings = &loaded.settings;
    let tokens = match token_store(loaded).await? {
        Some(tokens) => tokens,
        None => scratch_store().await?,
    };
    let connect = |each: &ConnectionSettings| Ok((each.name.clone(), connect(settings, each, &tokens)?.0));
    let roles = settings.connections.iter().map(connect).collect::<Result<_, Failure>>()?;
    Ok((tokens, roles))
}

/// A connection's name and what it can do.
pub(crate) type Roles = (ConnectionName, usher_connector::Connection);

/// Builds a connection's door to its vendor and its roles. Makes no call.
pub(crate) fn connect(
    settings: &Settings,
    connection: &ConnectionSettings,
    tokens: &Arc<dyn Store>,
) -> Result<(usher_connector::Connection, Arc<dyn Gauge>), Failure> {
    let mut secrets = BTreeMap::new();
    for (name, reference) in connection.configured.secrets() {
        secrets.insert(name, secret(&reference, &settings.folder)?);
    }
    let (http, gauge): (Arc<dyn Http>, Arc<dyn Gauge>) = match door(settings, connection, tokens)? {
        Some(door) => (Arc::clone(&door) as _, door),
        None => (Arc::new(NoHttp), Arc::new(NoHttp)),
    };
    let host = Host {
        connection: connection.name.clone(),
        http,
        files: Arc::new(usher_host::LocalFiles::new(&settings.folder)),
        secrets,
    };
    Ok((connection.configured.connect(host), gauge))
}

fn wrong(connection: &ConnectionSettings, error: &dyn std::error::Error) -> Failure {
    Failure::input(format!("connection `{}`: {}", connection.name, crate::failure::chain(error)))
}

/// The door to the vendor; none for a connector that makes no calls.
fn door(
    settings: &Settings,
    connection: &ConnectionSettings,
    tokens: &Arc<dyn Store>,
) -> Result<Option<Arc<VendorHttp>>, Failure> {
    let wrong = |error: &dyn std::error::Error| wrong(connection, error);
    let manifest = connection.connector.manifest();
    let (Some(protocol), Some(usual)) = (connection.configured.protocol(), manifest.base_url) else {
        return Ok(None);
    };
    let address = connection.base_url.as_deref().unwrap_or(usual);
    let base_url = usher_host::BaseUrl::parse(address, false).map_err(|error| wrong(&error))?;
    let credential = match (&connection.auth, tokens::keeper(settings, connection, tokens)?) {
        (_, Some(keeper)) => Ok(usher_host::Credential::kept(keeper)),
        (AuthSettings::Token(reference), None) => {
            let token = secret(reference, &settings.folder)?;
            usher_host::Credential::new(manifest.auth, Some(&token))
        }
        (_, None) => usher_host::Credential::new(manifest.auth, None),
    };
    let credential = credential.map_err(|error| wrong(&error))?;
    let spec = usher_host::VendorSpec { connection: connection.name.clone(), base_url, credential, protocol };
    let http = usher_host::HttpSettings {
        request_timeout: connection.timeout,
        connect_timeout: (connection.timeout / 3).min(Duration::from_secs(10)),
        deadline: connection.timeout * 2,
        limits: usher_host::LimiterSettings::all(allowance(connection.limits)),
        ..usher_host::HttpSettings::default()
    };
    let door = VendorHttp::new(spec, http, Arc::new(SystemClock)).map_err(|error| wrong(&error))?;
    Ok(Some(Arc::new(door)))
}

fn allowance(limits: Limits) -> usher_host::Allowance {
    match limits {
        Limits::Off => usher_host::Allowance::Unlimited,
        Limits::Share(part) => {
            usher_host::Allowance::Share(usher_host::Share::new(part).unwrap_or(usher_host::Share::HALF))
        }
    }
}
