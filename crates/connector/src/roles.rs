//! A connector, its configured form, and the connection with its roles.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use usher_document::{MapReader, SecretRef};
use usher_model::ConnectionName;

use crate::activity::Activity;
use crate::directory::Directory;
use crate::http::Http;
use crate::inbound::Inbound;
use crate::limit::Protocol;
use crate::manifest::{Manifest, Scope};
use crate::secret::Secret;
use crate::source::Source;
use crate::subscription::Subscriber;
use crate::target::Target;

/// The code that speaks one vendor's API.
pub trait Connector: Send + Sync {
    /// The static facts.
    fn manifest(&self) -> &'static Manifest;

    /// Reads the connector's own keys of a connection in usher.yaml, without I/O. Problems are reported through the
    /// reader, all of them; `None` if there were any. The caller reads the common keys (`connector`, `auth`,
    /// `base_url`, `mapping`, `timeout`, `limits`, `pull.every`) and calls `finish` on the connection and on `pull`
    /// afterwards, so the connector does not; its own keys under `pull` stand in [`Manifest::pull_keys`].
    fn configure(&self, settings: &mut MapReader<'_>) -> Option<Arc<dyn Configured>>;
}

/// A connector with settings, ready to be connected.
pub trait Configured: Send + Sync + Debug {
    /// Secrets besides the credential for calls, by the name under which [`Host::secret`] hands them out.
    fn secrets(&self) -> Vec<(&'static str, SecretRef)>;

    /// The permissions that these settings need beyond those of the manifest.
    fn further_scopes(&self) -> &'static [Scope] {
        &[]
    }

    /// The permissions to read the open deals of persons and to set their owners, where these get the owner too.
    fn open_deal_scopes(&self) -> &'static [Scope] {
        &[]
    }

    /// How the vendor speaks HTTP; `None` for a connector that makes no calls.
    fn protocol(&self) -> Option<Arc<dyn Protocol>>;

    /// Builds the roles. Makes no call.
    fn connect(&self, host: Host) -> Connection;
}

/// What the host gives a connection to work with.
#[derive(Clone, Debug)]
pub struct Host {
    /// The connection's name, for the records that it emits.
    pub connection: ConnectionName,
    /// The door to the vendor.
    pub http: Arc<dyn Http>,
    /// The door to local files.
    pub files: Arc<dyn Files>,
    /// Resolved secrets by name.
    pub secrets: BTreeMap<&'static str, Secret>,
}

impl Host {
    /// The secret of that name, if the connection has one.
    #[must_use]
    pub fn secret(&self, name: &str) -> Option<Secret> {
        self.secrets.get(name).cloned()
    }
}

/// A file as listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileEntry {
    /// Its path.
    pub path: PathBuf,
    /// Its size in bytes.
    pub len: u64,
    /// Its modification time in milliseconds since 1970; with the size it names the version.
    pub modified_ms: i64,
}

/// Read-only access to local files, blocking: the host calls file sources where blocking is allowed.
pub trait Files: Send + Sync + Debug {
    /// The file itself, or the regular files in a folder, sorted by path. Hidden files are left out.
    fn list(&self, path: &Path) -> io::Result<Vec<FileEntry>>;

    /// At most `limit` bytes from `offset`; fewer at the file's end.
    fn read(&self, path: &Path, offset: u64, limit: usize) -> io::Result<Vec<u8>>;
}

/// A connected account with each role present or absent.
#[derive(Clone, Default)]
pub struct Connection {
    /// Pulls records.
    pub source: Option<Arc<dyn Source>>,
    /// Takes webhooks.
    pub inbound: Option<Arc<dyn Inbound>>,
    /// Tells the vendor where to send webhooks; absent where only a person can.
    pub subscriber: Option<Arc<dyn Subscriber>>,
    /// Lists owners and accounts.
    pub directory: Option<Arc<dyn Directory>>,
    /// Writes.
    pub target: Option<Arc<dyn Target>>,
    /// Tells of touches, changes of owner and outcomes.
    pub activity: Option<Arc<dyn Activity>>,
}
