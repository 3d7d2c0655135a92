//! The Skeleton connector. What each role promises, costs and needs stands in the README beside this file.

#[cfg(feature = "calls")]
mod api;
mod config;
#[cfg(feature = "directory")]
mod directory;
#[cfg(feature = "inbound")]
mod inbound;
#[cfg(feature = "calls")]
mod protocol;
#[cfg(feature = "records")]
mod record;
#[cfg(feature = "source")]
mod source;
#[cfg(feature = "target")]
mod target;
mod wire;

#[cfg(test)]
mod tests;

use std::sync::Arc;

#[cfg(feature = "calls")]
use usher_connector::Scope;
use usher_connector::{Auth, ConfigExample, Configured, Connector, Manifest, Role};
use usher_document::MapReader;

/// The connector.
#[derive(Debug, Clone, Copy, Default)]
pub struct Skeleton;

impl Connector for Skeleton {
    fn manifest(&self) -> &'static Manifest {
        &MANIFEST
    }

    fn configure(&self, settings: &mut MapReader<'_>) -> Option<Arc<dyn Configured>> {
        config::Settings::read(settings).map(|settings| Arc::new(settings) as Arc<dyn Configured>)
    }
}

static MANIFEST: Manifest = Manifest {
    id: "skeleton",
    title: "Skeleton",
    roles: &[
        #[cfg(feature = "source")]
        Role::Source,
        #[cfg(feature = "inbound")]
        Role::Inbound,
        #[cfg(feature = "directory")]
        Role::Directory,
        #[cfg(feature = "target")]
        Role::Target,
    ],
    #[cfg(feature = "calls")]
    auth: Auth::Bearer,
    #[cfg(not(feature = "calls"))]
    auth: Auth::None,
    oauth: None,
    #[cfg(feature = "calls")]
    base_url: Some("https://api.skeleton.example"),
    #[cfg(not(feature = "calls"))]
    base_url: None,
    #[cfg(feature = "calls")]
    scopes: SCOPES,
    #[cfg(not(feature = "calls"))]
    scopes: &[],
    docs: "https://docs.skeleton.example",
    mapping: "skeleton",
    #[cfg(feature = "inbound")]
    webhooks_by_hand: Some("as a webhook's URL, with the secret of `inbound`"),
    #[cfg(not(feature = "inbound"))]
    webhooks_by_hand: None,
    #[cfg(feature = "calls")]
    pull_keys: &["overlap", "horizon"],
    #[cfg(not(feature = "calls"))]
    pull_keys: &[],
    example: ConfigExample {
        name: "skeleton-main",
        yaml: EXAMPLE,
        #[cfg(feature = "target")]
        is_crm: true,
        #[cfg(not(feature = "target"))]
        is_crm: false,
    },
};

#[cfg(feature = "calls")]
static SCOPES: &[Scope] = &[
    #[cfg(feature = "source")]
    Scope { name: "people:read", role: Role::Source, why: "read new and changed people" },
    #[cfg(feature = "directory")]
    Scope { name: "users:read", role: Role::Directory, why: "know who can own a lead, and who has left" },
    #[cfg(feature = "directory")]
    Scope { name: "companies:read", role: Role::Directory, why: "match leads to companies and their owners" },
    #[cfg(feature = "target")]
    Scope { name: "people:write", role: Role::Target, why: "create people, set their owner" },
    #[cfg(feature = "target")]
    Scope {
        name: "tasks:write",
        role: Role::Target,
        why: "create, hand over and close tasks, and find them again",
    },
];

#[cfg(all(feature = "calls", feature = "inbound"))]
const EXAMPLE: &str = "\
connector: skeleton
auth: { token: { env: SKELETON_TOKEN } }
pull: { every: 60s }
inbound: { secret: { env: SKELETON_HOOK_SECRET } }   # signs webhooks; left out, the connection lives by polls alone
";

#[cfg(all(feature = "calls", not(feature = "inbound")))]
const EXAMPLE: &str = "\
connector: skeleton
auth: { token: { env: SKELETON_TOKEN } }
pull: { every: 60s }
";

#[cfg(not(feature = "calls"))]
const EXAMPLE: &str = "\
connector: skeleton
inbound: { secret: { env: SKELETON_HOOK_SECRET } }   # signs webhooks
";
