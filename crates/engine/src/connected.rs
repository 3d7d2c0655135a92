//! The connectors that this program has, and the accounts that are connected through them.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use usher_connector::{Connection, Gauge};
use usher_mapping::Mapping;
use usher_model::ConnectionName;

/// A connector, shared.
pub type Connector = Arc<dyn usher_connector::Connector>;

/// Every connector of the program with its shipped mapping file; the binary fills it.
#[derive(Clone, Default)]
pub struct Registry {
    entries: Vec<(Connector, &'static str)>,
}

impl Registry {
    /// Adds a connector and the text of its shipped mapping file.
    #[must_use]
    pub fn with(
        mut self,
        connector: impl usher_connector::Connector + 'static,
        mapping: &'static str,
    ) -> Self {
        self.entries.push((Arc::new(connector), mapping));
        self
    }

    /// The connector of that id.
    #[must_use]
    pub fn find(&self, id: &str) -> Option<Connector> {
        self.entries
            .iter()
            .map(|(connector, _)| connector)
            .find(|connector| connector.manifest().id == id)
            .cloned()
    }

    /// The text of the connector's shipped mapping file.
    #[must_use]
    pub fn mapping(&self, id: &str) -> Option<&'static str> {
        self.entries.iter().find(|(connector, _)| connector.manifest().id == id).map(|(_, mapping)| *mapping)
    }

    /// Every id, in the order of registration.
    pub fn ids(&self) -> impl Iterator<Item = &'static str> + '_ {
        self.entries.iter().map(|(connector, _)| connector.manifest().id)
    }

    /// Every connector, in the order of registration.
    pub fn connectors(&self) -> impl Iterator<Item = &Connector> + '_ {
        self.entries.iter().map(|(connector, _)| connector)
    }
}

/// A connected account: its roles, its mapping, when it was first connected.
#[derive(Clone)]
pub struct Connected {
    /// Its name.
    pub name: ConnectionName,
    /// The connector's id.
    pub connector: &'static str,
    /// Its roles.
    pub roles: Connection,
    /// How its payloads become leads.
    pub mapping: Arc<Mapping>,
    /// How often it is pulled.
    pub every: Duration,
    /// How often the slow second pass runs.
    pub sweep_every: Duration,
    /// How often it is asked what people did; `None` for never.
    pub watch_every: Option<Duration>,
    /// How long one of its calls may take.
    pub timeout: Duration,
    /// What is known of its vendor's limits.
    pub gauge: Arc<dyn Gauge>,
    /// When it was first connected.
    pub started_at: Timestamp,
}

impl fmt::Debug for Connected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connected")
            .field("name", &self.name)
            .field("connector", &self.connector)
            .finish_non_exhaustive()
    }
}
