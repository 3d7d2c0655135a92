//! The Pipedrive connector: persons, leads or deals in, users and organizations as directory, the same, their owners and
//! activities out.
//!
//! Roles: activity (touches, owners, outcomes), source (persons, leads or deals by list, by id, and listed for history), inbound (webhooks with a password as hints, made and
//! repaired by itself), directory and target. What each promises, costs and needs stands in the README beside this file.

mod activity;
mod api;
mod changelog;
mod config;
mod directory;
mod fields;
mod find;
mod inbound;
mod me;
mod oauth;
mod pages;
mod protocol;
mod source;
mod target;
mod webhooks;
mod wire;

#[cfg(test)]
mod testing;

use std::sync::Arc;

use usher_connector::{Auth, ConfigExample, Configured, Connector, Manifest, Role, Scope};
use usher_document::MapReader;

/// The connector.
#[derive(Debug, Clone, Copy, Default)]
pub struct Pipedrive;

impl Connector for Pipedrive {
    fn manifest(&self) -> &'static Manifest {
        &MANIFEST
    }

    fn configure(&self, settings: &mut MapReader<'_>) -> Option<Arc<dyn Configured>> {
        config::Settings::read(settings).map(|settings| Arc::new(settings) as Arc<dyn Configured>)
    }
}

static MANIFEST: Manifest = Manifest {
    id: "pipedrive",
    title: "Pipedrive",
    roles: &[Role::Source, Role::Inbound, Role::Directory, Role::Target, Role::Activity],
    auth: Auth::Header("x-api-token"),
    oauth: Some(oauth::OAUTH),
    base_url: Some("https://api.pipedrive.com"),
    scopes: &[
        scope(
            "contacts:read",
            Role::Source,
            "read new and changed persons, and organizations to match leads to",
        ),
        scope("admin", Role::Inbound, "make and repair the webhooks (leave `inbound` out to do without)"),
        scope("users:read", Role::Directory, "know who can own a lead, and who has left"),
        scope("contacts:full", Role::Target, "create persons and organizations, set owners"),
        scope("activities:full", Role::Target, "create, close and reassign activities, and find them again"),
        scope(
            "deals:read",
            Role::Activity,
            "see notes, and which deals were won, lost or moved on (or set `watch: off`)",
        ),
    ],
    docs: "https://developers.pipedrive.com/docs/api/v1",
    mapping: "pipedrive",
    webhooks_by_hand: None,
    pull_keys: &["objects", "start", "overlap", "horizon"],
    example: ConfigExample { name: "pipedrive-main", yaml: EXAMPLE, is_crm: true },
};

/// Of persons and deals, which may get the owner beside a lead; leads have no changelog.
const CHANGELOG: Scope = scope(
    "recents:read",
    Role::Target,
    "see in the changelog whether a person's choice of owner was overwritten",
);

/// With `object: persons`, or without `object`.
static PERSON_SCOPES: &[Scope] = &[CHANGELOG];

/// With `object: leads`.
static LEAD_SCOPES: &[Scope] = &[
    scope("leads:read", Role::Source, "read new and changed leads"),
    scope("deals:read", Role::Source, "read the names of the leads' custom fields, which are the deals'"),
    scope("leads:full", Role::Target, "create leads, set their owner, verify what was made"),
    CHANGELOG,
];

/// With `object: deals`.
static DEAL_SCOPES: &[Scope] = &[
    scope("deals:read", Role::Source, "read new and changed deals"),
    scope("deals:full", Role::Target, "create deals, set their owner, verify what was made"),
    CHANGELOG,
];

const fn scope(name: &'static str, role: Role, why: &'static str) -> Scope {
    Scope { name, role, why }
}

const EXAMPLE: &str = "\
connector: pipedrive
auth: { token: { env: PIPEDRIVE_TOKEN } }   # the API token of a user of its own: whoever it belongs to owns what has no owner
# auth: { oauth: { client_id: 0123abcd, client_secret: { env: PIPEDRIVE_CLIENT_SECRET } } }   # or an OAuth app, then `usher connect`
# object: leads                              # what carries owner and task: persons unless set, a lead or deal for each inquiry
pull: { every: 5m, start: now }   # each poll costs tokens of the day's budget; webhooks cost none
inbound: { secret: { env: PIPEDRIVE_HOOK_PASSWORD } }   # a password of your choice; usher makes the webhook with it
# persons: { marker: Usher key, fields: { message: First message } }   # custom text fields of persons, by name
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_is_accepted_by_its_own_reader() {
        let (settings, problems) = config::tests::read(EXAMPLE);
        assert_eq!(problems, Vec::<String>::new());
        assert!(settings.is_some());
    }
}
