//! The HubSpot connector: contacts in, owners and companies as directory, persons, owners and tasks out.
//!
//! Roles: source (contacts by search, by id, and listed for history), inbound (signed webhooks as hints), directory
//! and target. What each promises and which scopes it needs stands in the README beside this file.

mod api;
mod config;
mod directory;
mod fields;
mod inbound;
mod oauth;
mod protocol;
mod source;
mod target;
mod wire;

#[cfg(test)]
mod testing;

use std::sync::Arc;

use usher_connector::{Auth, ConfigExample, Configured, Connector, Manifest, Role, Scope};
use usher_document::MapReader;

/// The connector.
#[derive(Debug, Clone, Copy, Default)]
pub struct HubSpot;

impl Connector for HubSpot {
    fn manifest(&self) -> &'static Manifest {
        &MANIFEST
    }

    fn configure(&self, settings: &mut MapReader<'_>) -> Option<Arc<dyn Configured>> {
        config::Settings::read(settings).map(|settings| Arc::new(settings) as Arc<dyn Configured>)
    }
}

static MANIFEST: Manifest = Manifest {
    id: "hubspot",
    title: "HubSpot",
    roles: &[Role::Source, Role::Inbound, Role::Directory, Role::Target],
    auth: Auth::Bearer,
    oauth: Some(oauth::OAUTH),
    base_url: Some("https://api.hubapi.com"),
    scopes: &[
        scope(
            "crm.objects.contacts.read",
            Role::Source,
            "read new and changed contacts, and tasks to verify them",
        ),
        scope("crm.objects.owners.read", Role::Directory, "know who can own a lead, and who has left"),
        scope(
            "crm.objects.users.read",
            Role::Directory,
            "see working hours and absences (or set `availability: false`)",
        ),
        scope("crm.objects.companies.read", Role::Directory, "match leads to companies and their owners"),
        scope("crm.objects.contacts.write", Role::Target, "create contacts, set their owner, create tasks"),
        scope("crm.objects.companies.write", Role::Target, "create companies that are missing"),
    ],
    docs: "https://developers.hubspot.com/docs",
    mapping: "hubspot",
    webhooks_by_hand: Some(WEBHOOKS),
    pull_keys: &["objects", "start", "properties", "overlap", "horizon"],
    example: ConfigExample { name: "hubspot-main", yaml: EXAMPLE, is_crm: true },
};

/// With `object: leads`.
static LEAD_SCOPES: &[Scope] = &[
    scope("crm.objects.leads.read", Role::Target, "compare owners of leads, verify what was made"),
    scope("crm.objects.leads.write", Role::Target, "create leads, set their owner"),
];

/// With `object: deals`.
static DEAL_SCOPES: &[Scope] = &[
    scope("crm.objects.deals.read", Role::Target, "compare owners of deals, verify what was made"),
    scope("crm.objects.deals.write", Role::Target, "create deals, set their owner"),
];

/// HubSpot lets only legacy public apps keep subscriptions by API.
const WEBHOOKS: &str = "as target URL of the app's webhooks, with the subscriptions contact.creation, contact.propertyChange, \
contact.restore, contact.deletion, contact.privacyDeletion and contact.merge";

const fn scope(name: &'static str, role: Role, why: &'static str) -> Scope {
    Scope { name, role, why }
}

const EXAMPLE: &str = "\
connector: hubspot
auth: { token: { env: HUBSPOT_TOKEN } }   # a service key, or the token of an app with static authentication
# auth: { oauth: { client_id: 00000000-0000, client_secret: { env: HUBSPOT_CLIENT_SECRET } } }   # or an OAuth app, then `usher connect`
pull: { objects: [contacts], every: 30s, start: now }
# object: deals                           # what carries owner and task: contacts (as it is), leads or deals
# deals: { pipeline: default, stage: appointmentscheduled }   # where a deal begins, with `object: deals`
# availability: false                     # owners without working hours and absences: one scope less
# inbound: { secret: { env: HUBSPOT_CLIENT_SECRET } }   # the app's client secret; a service key has no webhooks
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
