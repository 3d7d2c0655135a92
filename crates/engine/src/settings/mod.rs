//! usher.yaml: the settings of one installation, read strictly and as a whole.

mod auth;
mod connection;
mod store;
mod upkeep;
mod write;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use usher_document::{Cursor, Diagnostics, SecretRef, SourceFile};
use usher_model::{ConnectionName, Mode};

pub use auth::{AuthSettings, OAuthSettings};
pub use connection::{ConnectionSettings, Limits};
pub use upkeep::{AlertSettings, RetentionSettings};
pub use write::{AlsoOwned, WriteSettings};

use crate::connected::Registry;

/// The name of the built-in connection through which leads come that are entered by hand or by API.
pub const REFERRALS: &str = "referrals";

/// Where the daemon listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpSettings {
    /// Address and port; loopback unless told otherwise.
    pub listen: String,
    /// How senders address us: signatures cover it.
    pub public_url: Option<String>,
    /// The key that `POST /api/leads` asks for; without one the route is off.
    pub api_key: Option<SecretRef>,
}

impl Default for HttpSettings {
    fn default() -> Self {
        Self { listen: "127.0.0.1:8470".to_owned(), public_url: None, api_key: None }
    }
}

/// The settings of one installation.
#[derive(Debug)]
pub struct Settings {
    /// The folder that relative paths start from: where usher.yaml lies.
    pub folder: PathBuf,
    /// Whether decisions reach the CRM.
    pub mode: Mode,
    /// The database, as `sqlite://usher.db` or `postgres://user@host/database`.
    pub store: String,
    /// The password of a Postgres database.
    pub store_password: Option<SecretRef>,
    /// Where the key is that encrypts tokens at rest; there if a connection uses OAuth.
    pub key: Option<SecretRef>,
    /// The connections, in the order of the file.
    pub connections: Vec<ConnectionSettings>,
    /// The CRM of record.
    pub crm: ConnectionName,
    /// How and what to write.
    pub write: WriteSettings,
    /// The routing file.
    pub routing: PathBuf,
    /// Where the daemon listens.
    pub http: HttpSettings,
    /// Who is told when something is wrong.
    pub alerts: AlertSettings,
    /// How long raw data is kept.
    pub retention: RetentionSettings,
}

impl Settings {
    /// Reads usher.yaml. Every problem is added to `diagnostics`; `None` if the file can not be used.
    #[must_use]
    pub fn read(
        source: &SourceFile,
        folder: &Path,
        registry: &Registry,
        diagnostics: &Diagnostics,
    ) -> Option<Self> {
        let node = match usher_document::parse(source) {
            Ok(node) => node,
            Err(problems) => {
                diagnostics.extend(problems);
                return None;
            }
        };
        let settings = decode(&Cursor::root(source, &node, diagnostics), folder, registry);
        if diagnostics.has_errors() { None } else { settings }
    }

    /// A path of the file, from the folder in which the file lies.
    #[must_use]
    pub fn resolve(&self, path: &Path) -> PathBuf {
        self.folder.join(path)
    }

    /// The connection of that name.
    #[must_use]
    pub fn connection(&self, name: &str) -> Option<&ConnectionSettings> {
        self.connections.iter().find(|connection| connection.name.as_str() == name)
    }
}

fn decode(at: &Cursor<'_>, folder: &Path, registry: &Registry) -> Option<Settings> {
    let mut map = at.map()?;
    map.version(1);
    let mode = map
        .required_at("mode")
        .and_then(|at| at.choice_or_later(&[("observe", Mode::Observe), ("live", Mode::Live)], &["canary"]));
    let store = map.optional_at("store").map_or_else(|| Some(store::usual()), |at| store::decode(&at));
    let key = map.optional::<SecretRef>("key");
    let connections = connection::decode_all(&mut map, registry);
    oauth_has_a_key(&map, connections.as_deref(), key.as_ref());
    let crm = map.required_at("crm").and_then(|at| crm_name(&at, connections.as_deref()));
    let write = map.optional::<WriteSettings>("write");
    let routing = map.or::<String>("routing", "routing.yaml".to_owned());
    let http = map.optional_at("http").map_or_else(|| Some(HttpSettings::default()), |at| http_settings(&at));
    settle_is_long_enough(&mut map, connections.as_deref(), crm.as_ref(), write.as_ref());
    let alerts = map.or("alerts", AlertSettings::default());
    let retention = map.or("retention", RetentionSettings::default());
    map.finish();
    let (store, crm, write, mut connections) = (store?, crm?, write.unwrap_or_default(), connections?);
    for connection in connections.iter_mut().filter(|each| each.name == crm) {
        connection.owns_open_deals = write.also_set_owner.contains(&AlsoOwned::OpenDeal);
    }
    Some(Settings {
        folder: folder.to_owned(),
        mode: mode?,
        store: store.url,
        store_password: store.password,
        key,
        connections,
        crm,
        write,
        routing: PathBuf::from(routing),
        http: http?,
        alerts,
        retention,
    })
}

/// Tokens that a vendor grants are stored, and never as they are.
fn oauth_has_a_key(
    map: &usher_document::MapReader<'_>,
    connections: Option<&[ConnectionSettings]>,
    key: Option<&SecretRef>,
) {
    let oauth = |connection: &&ConnectionSettings| matches!(connection.auth, AuthSettings::OAuth(_));
    if let (None, Some(connection)) = (key, connections.and_then(|all| all.iter().find(oauth))) {
        map.at()
            .error(
                "key",
                format!("`{}` uses OAuth, and there is no key to encrypt its tokens with", connection.name),
            )
            .hint("write `key: { file: usher.key }` and run `usher key new`")
            .report();
    }
}

/// A write whose call timed out may still land, so the settle window must be longer than any call.
fn settle_is_long_enough(
    map: &mut usher_document::MapReader<'_>,
    connections: Option<&[ConnectionSettings]>,
    crm: Option<&ConnectionName>,
    write: Option<&WriteSettings>,
) {
    let crm = connections.zip(crm).and_then(|(all, name)| all.iter().find(|each| each.name == *name));
    let settle = write.cloned().unwrap_or_default().settle;
    if let Some(crm) = crm.filter(|crm| settle < crm.timeout * 2) {
        let at = map.optional_at("write").unwrap_or_else(|| map.at().clone());
        at.error("settle", format!("write.settle is shorter than two calls to {} may take", crm.name))
            .found(format!("{} s", settle.as_secs_f64()))
            .hint(format!(
                "write at least `settle: {}s`, or shorten `timeout` of {}",
                crm.timeout.as_secs() * 2,
                crm.name
            ))
            .report();
    }
}

fn crm_name(at: &Cursor<'_>, connections: Option<&[ConnectionSettings]>) -> Option<ConnectionName> {
    let name = at.text()?;
    let connections = connections?;
    let Some(connection) = connections.iter().find(|connection| connection.name.as_str() == name) else {
        let names: BTreeSet<&str> = connections.iter().map(|connection| connection.name.as_str()).collect();
        at.error("unknown-connection", "no connection has this name")
            .found(name)
            .allowed(name, names)
            .report();
        return None;
    };
    if !connection.connector.manifest().example.is_crm {
        at.error(
            "not-a-crm",
            format!("`{name}` is a {} connection, which is no CRM", connection.connector.manifest().id),
        )
        .hint("name the connection in which persons, owners and accounts live")
        .report();
        return None;
    }
    Some(connection.name.clone())
}

fn http_settings(at: &Cursor<'_>) -> Option<HttpSettings> {
    let mut map = at.map()?;
    let default = HttpSettings::default();
    let listen = map.optional_at("listen").map_or(Some(default.listen), |at| {
        let text = at.text()?;
        if text.parse::<std::net::SocketAddr>().is_err() {
            at.error("listen", "this is no address and port")
                .found(text)
                .hint("write it as `127.0.0.1:8470`")
                .report();
            return None;
        }
        Some(text.to_owned())
    });
    let public_url = map.optional::<String>("public_url").map(|url| url.trim_end_matches('/').to_owned());
    let api_key = map.optional::<SecretRef>("api_key");
    map.finish();
    Some(HttpSettings { listen: listen?, public_url, api_key })
}
