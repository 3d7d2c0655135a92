//! The connection's own keys in usher.yaml, and the connection made from them.

use std::sync::Arc;

#[cfg(feature = "inbound")]
use usher_connector::HookSecrets;
#[cfg(feature = "calls")]
use usher_connector::window::Spans;
use usher_connector::{Configured, Connection, Host, Protocol};
use usher_document::{MapReader, SecretRef};

#[cfg(feature = "directory")]
use crate::directory::SkeletonDirectory;
#[cfg(feature = "inbound")]
use crate::inbound::SkeletonInbound;
#[cfg(feature = "calls")]
use crate::protocol::SkeletonProtocol;
#[cfg(feature = "source")]
use crate::source::SkeletonSource;
#[cfg(feature = "target")]
use crate::target::SkeletonTarget;

/// The connector's own keys of a connection.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    #[cfg(feature = "calls")]
    spans: Spans,
    #[cfg(feature = "inbound")]
    inbound: Option<HookSecrets>,
}

impl Settings {
    /// Reads the keys; `None` if there were problems, all of which are reported.
    pub(crate) fn read(map: &mut MapReader<'_>) -> Option<Self> {
        #[cfg(feature = "calls")]
        let spans = map.optional_by("pull", |at| Spans::read(&mut at.map()?));
        #[cfg(feature = "inbound")]
        let inbound = map.optional_by("inbound", HookSecrets::read);
        Some(Self {
            #[cfg(feature = "calls")]
            spans: spans?.unwrap_or_default(),
            #[cfg(feature = "inbound")]
            inbound: inbound?,
        })
    }
}

impl Configured for Settings {
    #[cfg(feature = "inbound")]
    fn secrets(&self) -> Vec<(&'static str, SecretRef)> {
        self.inbound.as_ref().map(HookSecrets::named).unwrap_or_default()
    }

    #[cfg(not(feature = "inbound"))]
    fn secrets(&self) -> Vec<(&'static str, SecretRef)> {
        Vec::new()
    }

    #[cfg(feature = "calls")]
    fn protocol(&self) -> Option<Arc<dyn Protocol>> {
        Some(Arc::new(SkeletonProtocol))
    }

    #[cfg(not(feature = "calls"))]
    fn protocol(&self) -> Option<Arc<dyn Protocol>> {
        None
    }

    fn connect(&self, host: Host) -> Connection {
        #[cfg(feature = "inbound")]
        let secrets = HookSecrets::good(&host);
        #[cfg(feature = "inbound")]
        let inbound = SkeletonInbound::new(&host.connection, secrets);
        Connection {
            #[cfg(feature = "source")]
            source: Some(Arc::new(SkeletonSource::new(host.connection, host.http.clone(), self.spans))),
            #[cfg(feature = "inbound")]
            inbound: self.inbound.is_some().then(|| Arc::new(inbound) as Arc<_>),
            #[cfg(feature = "directory")]
            directory: Some(Arc::new(SkeletonDirectory::new(host.http.clone(), self.spans))),
            #[cfg(feature = "target")]
            target: Some(Arc::new(SkeletonTarget::new(host.http))),
            ..Connection::default()
        }
    }
}
