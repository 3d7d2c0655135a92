//! Connector: generic webhooks. Any sender that posts JSON or a form, signed or with a shared secret.

mod auth;
mod body;
mod config;
mod inbound;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use usher_connector::{
    Auth, ConfigExample, Configured, Connection, Connector, Host, Inbound, Manifest, Protocol, Role,
};
use usher_document::{MapReader, SecretRef};

use crate::config::Settings;

/// The static facts.
const MANIFEST: Manifest = Manifest {
    id: "webhook",
    title: "Generic webhook",
    roles: &[Role::Inbound],
    auth: Auth::None,
    oauth: None,
    base_url: None,
    scopes: &[],
    docs: "https://www.standardwebhooks.com/",
    mapping: "webhook",
    webhooks_by_hand: Some("as the URL to call, with the secret or credentials of `inbound`"),
    pull_keys: &[],
    example: ConfigExample {
        name: "site-hook",
        yaml: "connector: webhook
inbound:                                    # one of the three:
  standard: { secret: { env: HOOK_SECRET } }                      # signed, as standardwebhooks.com says
  # shared_secret: { header: X-Hook-Token, secret: { env: HOOK_SECRET } }   # or { query: token, … }
  # basic: { user: { env: HOOK_USER }, password: { env: HOOK_PASSWORD } }
# accepts: [json, form]                     # content types; anything else is answered with 415
# id: data.id                               # where the submission's id stands; left out: a hash of its content
# revision: data.updated_at                 # where its version stands; left out: a hash of its content
",
        is_crm: false,
    },
};

/// The connector for generic webhooks.
#[derive(Debug, Clone, Copy, Default)]
pub struct Webhook;

impl Connector for Webhook {
    fn manifest(&self) -> &'static Manifest {
        &MANIFEST
    }

    fn configure(&self, settings: &mut MapReader<'_>) -> Option<Arc<dyn Configured>> {
        Settings::read(settings).map(|settings| Arc::new(settings) as Arc<dyn Configured>)
    }
}

impl Configured for Settings {
    fn secrets(&self) -> Vec<(&'static str, SecretRef)> {
        self.auth.secrets()
    }

    fn protocol(&self) -> Option<Arc<dyn Protocol>> {
        None
    }

    fn connect(&self, host: Host) -> Connection {
        let auth = auth::Auth::new(&self.auth, &host);
        let hooks = inbound::Hooks::new(host.connection, auth, self.shape.clone());
        Connection { inbound: Some(Arc::new(hooks) as Arc<dyn Inbound>), ..Connection::default() }
    }
}
