//! Connector: Typeform. Responses of one form, by signed webhook and by pull, in one payload shape.

mod config;
mod inbound;
mod payload;
mod protocol;
mod source;
mod subscription;
mod window;
mod wire;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use usher_connector::{
    Auth, ConfigExample, Configured, Connection, Connector, Host, Manifest, Protocol, Role, Scope, Secret,
};
use usher_document::{MapReader, SecretRef};

use crate::config::{SECRET_NAMES, Settings};

/// The static facts.
const MANIFEST: Manifest = Manifest {
    id: "typeform",
    title: "Typeform",
    roles: &[Role::Source, Role::Inbound],
    auth: Auth::Bearer,
    oauth: None,
    base_url: Some("https://api.typeform.com"),
    scopes: &[
        Scope { name: "responses:read", role: Role::Source, why: "reads the form's responses" },
        Scope {
            name: "forms:read",
            role: Role::Source,
            why: "reads the questions' titles, which responses lack",
        },
        Scope { name: "webhooks:read", role: Role::Inbound, why: "sees whether the form still calls us" },
        Scope { name: "webhooks:write", role: Role::Inbound, why: "makes and repairs the form's webhook" },
    ],
    docs: "https://www.typeform.com/developers/",
    mapping: "typeform",
    webhooks_by_hand: None,
    pull_keys: &[],
    example: ConfigExample {
        name: "site-form",
        yaml: "connector: typeform
form: abc123                                # the part behind /to/ in the form's address
responses: completed                        # only finished responses become leads; started ones are left out
auth: { token: { env: TYPEFORM_TOKEN } }
# base_url: https://api.eu.typeform.com     # for accounts in the EU data centre (or https://api.typeform.eu)
inbound: { secret: { env: TYPEFORM_SECRET } }
pull: { every: 60s }
",
        is_crm: false,
    },
};

/// The Typeform connector.
#[derive(Debug, Clone, Copy, Default)]
pub struct Typeform;

impl Connector for Typeform {
    fn manifest(&self) -> &'static Manifest {
        &MANIFEST
    }

    fn configure(&self, settings: &mut MapReader<'_>) -> Option<Arc<dyn Configured>> {
        Settings::read(settings).map(|settings| Arc::new(settings) as Arc<dyn Configured>)
    }
}

impl Configured for Settings {
    fn secrets(&self) -> Vec<(&'static str, SecretRef)> {
        SECRET_NAMES.into_iter().zip(self.inbound_secrets.iter().cloned()).collect()
    }

    fn protocol(&self) -> Option<Arc<dyn Protocol>> {
        Some(Arc::new(protocol::TypeformProtocol))
    }

    fn connect(&self, host: Host) -> Connection {
        let secrets: Vec<Secret> = SECRET_NAMES.into_iter().filter_map(|name| host.secret(name)).collect();
        let first = secrets.first().cloned();
        let inbound = (!self.inbound_secrets.is_empty())
            .then(|| inbound::Hooks::new(host.connection.clone(), self.form.clone(), secrets));
        let subscriber = inbound.is_some().then(|| {
            subscription::Webhooks::new(host.connection.clone(), self.form.clone(), host.http.clone(), first)
        });
        Connection {
            subscriber: subscriber
                .map(|subscriber| Arc::new(subscriber) as Arc<dyn usher_connector::Subscriber>),
            source: Some(Arc::new(source::Responses::new(host.connection, self.form.clone(), host.http))),
            inbound: inbound.map(|inbound| Arc::new(inbound) as Arc<dyn usher_connector::Inbound>),
            ..Connection::default()
        }
    }
}
