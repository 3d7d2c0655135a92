//! One entry of `connections:`: the keys that every connection has; the rest is the connector's.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use usher_connector::{Configured, Manifest, Role, Scope};
use usher_document::{Cursor, Decode, MapReader};
use usher_model::ConnectionName;

use crate::connected::{Connector, Registry};
use crate::settings::REFERRALS;
use crate::settings::auth::{self, AuthSettings};

/// Often enough for reports, and cheap where each call costs a part of a day's budget.
const WATCH_EVERY: Duration = Duration::from_secs(600);

/// How much of a vendor's limits may be used.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Limits {
    /// At most this part, between 0 and 1.
    Share(f64),
    /// No limiter: for simulators without limits.
    Off,
}

/// One entry of `connections:`.
#[derive(Clone)]
pub struct ConnectionSettings {
    /// Its name.
    pub name: ConnectionName,
    /// The connector.
    pub connector: Connector,
    /// The connector's own settings.
    pub configured: Arc<dyn Configured>,
    /// How its calls are authenticated.
    pub auth: AuthSettings,
    /// Where the vendor is, unless at its usual address.
    pub base_url: Option<String>,
    /// The mapping file; `None` for the shipped one.
    pub mapping: Option<PathBuf>,
    /// How often the source is pulled.
    pub every: Duration,
    /// How often the slow second pass runs.
    pub sweep_every: Duration,
    /// How often it is asked what people did; `None` for never.
    pub watch_every: Option<Duration>,
    /// How long one call may take.
    pub timeout: Duration,
    /// How much of the vendor's limits may be used.
    pub limits: Limits,
    /// Open deals at this CRM get the owner too.
    pub owns_open_deals: bool,
}

impl ConnectionSettings {
    /// Every permission that the connector can use with these settings.
    pub fn scopes(&self) -> impl Iterator<Item = &'static Scope> {
        let known = |scope: &Scope| self.further_scopes().any(|further| further.name == scope.name);
        let asked =
            move |scope: &&Scope| scope.role != Role::Activity || self.watch_every.is_some() && !known(scope);
        self.connector.manifest().scopes.iter().filter(asked).chain(self.further_scopes())
    }

    /// Those of them that only these settings need.
    pub fn further_scopes(&self) -> impl Iterator<Item = &'static Scope> {
        let carrier = self.configured.further_scopes();
        let deals: &[Scope] = if self.owns_open_deals { self.configured.open_deal_scopes() } else { &[] };
        carrier.iter().chain(deals.iter().filter(|scope| !carrier.contains(scope)))
    }
}

impl std::fmt::Debug for ConnectionSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ConnectionSettings")
            .field("name", &self.name)
            .field("connector", &self.connector.manifest().id)
            .finish_non_exhaustive()
    }
}

/// Reads `connections:`. `None` if any entry can not be used.
pub(super) fn decode_all(map: &mut MapReader<'_>, registry: &Registry) -> Option<Vec<ConnectionSettings>> {
    let mut entries = map.required_at("connections")?.map()?;
    let entries = entries.entries();
    let read: Vec<Option<ConnectionSettings>> =
        entries.iter().map(|(name, at)| decode(&name.value, at, registry)).collect();
    read.into_iter().collect()
}

fn decode(name: &str, at: &Cursor<'_>, registry: &Registry) -> Option<ConnectionSettings> {
    if !valid_name(name) {
        at.error(
            "connection-name",
            "a connection's name has small letters, digits and `-`, and is none of ours",
        )
        .found(name)
        .hint(format!("choose a name like `site-form`; `{REFERRALS}` is built in"))
        .report();
        return None;
    }
    let mut map = at.map()?;
    let connector = map.required_at("connector").and_then(|at| {
        let id = at.text()?;
        registry.find(id).or_else(|| {
            at.error("unknown-connector", "no connector has this name")
                .found(id)
                .allowed(id, registry.ids())
                .report();
            None
        })
    })?;
    let auth = auth::decode(&mut map, connector.manifest());
    let base_url = map.optional::<String>("base_url").map(|url| url.trim_end_matches('/').to_owned());
    let mapping = map.optional::<String>("mapping").map(PathBuf::from);
    let every = map.optional_at("pull").and_then(|at| pull_every(&at, connector.manifest().pull_keys));
    let watch_every = read_watch(&mut map, connector.manifest());
    let timeout = map.or("timeout", Duration::from_secs(30));
    let limits = map.or("limits", Limits::Share(0.5));
    map.not_in_this_version(&["also_feeds_crm"]);
    let configured = connector.configure(&mut map);
    map.finish();
    Some(ConnectionSettings {
        name: ConnectionName::new(name),
        connector,
        configured: configured?,
        auth: auth?,
        base_url,
        mapping,
        every: every.unwrap_or(Duration::from_secs(30)),
        sweep_every: Duration::from_secs(600),
        watch_every: watch_every?,
        timeout,
        limits,
        owns_open_deals: false,
    })
}

/// The engine's key under `pull`; every other key there is the connector's.
fn pull_every(at: &Cursor<'_>, of_connector: &[&str]) -> Option<Duration> {
    let mut pull = at.map()?;
    let every = pull.optional::<Duration>("every");
    for key in of_connector {
        let _ = pull.optional_at(key);
    }
    pull.finish();
    every
}

/// `watch: { every: 10m }`, or `watch: off`; a key of connectors that tell what people do.
fn read_watch(map: &mut MapReader<'_>, manifest: &Manifest) -> Option<Option<Duration>> {
    if !manifest.roles.contains(&Role::Activity) {
        return Some(None);
    }
    let Some(at) = map.optional_at("watch") else { return Some(Some(WATCH_EVERY)) };
    if at.is_scalar() {
        return at.choice(&[("off", None)]);
    }
    let mut watch = at.map()?;
    let every = watch.or("every", WATCH_EVERY);
    watch.finish();
    Some(Some(every))
}

fn valid_name(name: &str) -> bool {
    let plain = name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
    plain && !name.is_empty() && name.len() <= 60 && name != REFERRALS
}

impl Decode for Limits {
    fn decode(at: &Cursor<'_>) -> Option<Self> {
        if at.is_scalar() {
            return at.choice(&[("off", Self::Off)]);
        }
        let mut map = at.map()?;
        let share = map.required_at("share").and_then(|at| {
            let text = at.text()?;
            let percent = text.strip_suffix('%').and_then(|number| number.trim().parse::<f64>().ok());
            percent.filter(|percent| *percent > 0.0 && *percent <= 100.0).or_else(|| {
                at.error("share", "the share is no percentage between 0 and 100")
                    .found(text)
                    .hint("write it as `50%`")
                    .report();
                None
            })
        });
        map.finish();
        share.map(|percent| Self::Share(percent / 100.0))
    }
}
