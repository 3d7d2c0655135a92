//! The connection's settings in usher.yaml, and the connection made from them.

mod objects;

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::SignedDuration;
use usher_connector::window::{Spans, Window};
use usher_connector::{Configured, Connection, HookSecrets, Host, Protocol, Scope, read_pulled};
use usher_document::{Cursor, MapReader, SecretRef};
use usher_model::SlotKind;

use crate::activity::PipedriveActivity;
use crate::api::ORGANIZATIONS;
use crate::directory::PipedriveDirectory;
use crate::fields::Fields;
use crate::inbound::PipedriveInbound;
use crate::me::Me;
use crate::protocol::PipedriveProtocol;
use crate::source::PipedriveSource;
use crate::target::{Carrier, Custom, PipedriveTarget};
use crate::webhooks::Webhooks;
use crate::{DEAL_SCOPES, LEAD_SCOPES, PERSON_SCOPES};

/// The connector's own keys of a connection.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    windows: Windows,
    /// The password that webhooks bring.
    inbound: Option<HookSecrets>,
    custom: Custom,
    carrier: Carrier,
    /// What is pulled.
    pulled: &'static str,
}

/// How the two lanes that follow the present read.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Windows(Spans);

impl Windows {
    /// At the edge of now.
    pub(crate) fn live(self) -> Window {
        self.0.live(GRAIN)
    }

    /// Once more, for what a list has shown late.
    pub(crate) fn sweep(self) -> Window {
        self.0.sweep(GRAIN)
    }
}

/// Filters know seconds only. Leads are stamped in milliseconds, but what is of one second is read together.
const GRAIN: SignedDuration = SignedDuration::from_secs(1);

impl Settings {
    pub(crate) fn read(map: &mut MapReader<'_>) -> Option<Self> {
        let carrier = objects::read_carrier(map);
        let kind = carrier.as_ref().map_or(SlotKind::Person, |carrier| carrier.kind);
        let pull = match map.optional_at("pull") {
            Some(at) => read_pull(&at, kind),
            None => Some((Windows::default(), kind)),
        };
        let inbound = map.optional_at("inbound").map_or(Some(None), |at| HookSecrets::read(&at).map(Some));
        let persons =
            map.optional_at("persons").map_or_else(|| Some(Custom::default()), |at| read_persons(&at));
        let tasks = map.optional_at("tasks").map_or(Some(None), |at| read_tasks(&at).map(Some));
        let mut custom = persons?;
        if let Some(kind) = tasks? {
            custom.task_type = kind;
        }
        let (windows, pulled) = pull?;
        let pulled = objects::name_of(pulled);
        Some(Self { windows, inbound: inbound?, custom, carrier: carrier?, pulled })
    }
}

impl Configured for Settings {
    fn secrets(&self) -> Vec<(&'static str, SecretRef)> {
        self.inbound.as_ref().map(HookSecrets::named).unwrap_or_default()
    }

    fn further_scopes(&self) -> &'static [Scope] {
        match self.carrier.kind {
            SlotKind::Lead => LEAD_SCOPES,
            SlotKind::Deal => DEAL_SCOPES,
            _ => PERSON_SCOPES,
        }
    }

    fn open_deal_scopes(&self) -> &'static [Scope] {
        DEAL_SCOPES
    }

    fn protocol(&self) -> Option<Arc<dyn Protocol>> {
        Some(Arc::new(PipedriveProtocol))
    }

    fn connect(&self, host: Host) -> Connection {
        let passwords = HookSecrets::good(&host);
        let (http, connection, pulled) = (host.http.clone(), host.connection.clone(), self.pulled);
        let fields = Arc::new(Fields::new(http.clone()));
        let webhooks = self.inbound.is_some().then(|| {
            let password = HookSecrets::present(&host);
            Arc::new(Webhooks::new(connection.clone(), http.clone(), pulled, password)) as Arc<_>
        });
        let inbound =
            (!passwords.is_empty()).then(|| Arc::new(PipedriveInbound::new(&passwords, pulled)) as Arc<_>);
        let me = Arc::new(Me::default());
        let activity = PipedriveActivity::new(
            http.clone(),
            me.clone(),
            objects::name_of(self.carrier.kind),
            self.windows,
        );
        let source = PipedriveSource::new(connection, http.clone(), fields.clone(), pulled, self.windows);
        Connection {
            source: Some(Arc::new(source)),
            inbound,
            subscriber: webhooks,
            directory: Some(Arc::new(PipedriveDirectory::new(http.clone(), self.windows))),
            target: Some(Arc::new(PipedriveTarget::new(
                http,
                fields,
                me,
                self.custom.clone(),
                self.carrier.clone(),
            ))),
            activity: Some(Arc::new(activity)),
        }
    }
}

fn read_pull(at: &Cursor<'_>, carrier: SlotKind) -> Option<(Windows, SlotKind)> {
    let mut map = at.map()?;
    let pulled = match map.optional_at("objects") {
        Some(at) => read_pulled(&at, &objects::CHOICES, carrier, &[ORGANIZATIONS]),
        None => Some(carrier),
    };
    let start = map.optional_at("start").map_or(Some(()), |at| at.choice(&[("now", ())]));
    let spans = Spans::read(&mut map);
    start?;
    Some((Windows(spans?), pulled?))
}

/// Custom fields of persons, by the names that people see.
fn read_persons(at: &Cursor<'_>) -> Option<Custom> {
    let mut map = at.map()?;
    let marker = map.optional_at("marker").map_or(Some(None), |at| read_name(&at).map(Some));
    let fields = map.optional_at("fields").map_or_else(|| Some(BTreeMap::new()), |at| read_fields(&at));
    map.finish();
    Some(Custom { marker: marker?, fields: fields?, ..Custom::default() })
}

/// Field of the lead, name of the custom field.
fn read_fields(at: &Cursor<'_>) -> Option<BTreeMap<String, String>> {
    let mut map = at.map()?;
    let entries = map.entries();
    let read: Vec<Option<(String, String)>> =
        entries.iter().map(|(field, at)| read_name(at).map(|name| (field.value.clone(), name))).collect();
    read.into_iter().collect()
}

fn read_name(at: &Cursor<'_>) -> Option<String> {
    let name: String = at.read()?;
    let is_key = name.len() == 40 && name.bytes().all(|byte| byte.is_ascii_hexdigit());
    if is_key || name.trim().is_empty() {
        at.error("bad-name", "a custom field is named as people see it, not by its key")
            .found(at.raw())
            .hint("Pipedrive shows the name under Settings → Data fields")
            .report();
        return None;
    }
    Some(name)
}

fn read_tasks(at: &Cursor<'_>) -> Option<String> {
    let mut map = at.map()?;
    let kind = map.required::<String>("type");
    map.finish();
    let kind = kind?;
    if kind.is_empty()
        || !kind.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
    {
        at.error("bad-name", format!("`{kind}` is no key of an activity type"))
            .hint("write `task`, `call`, `meeting` or the key of a type of yours")
            .report();
        return None;
    }
    Some(kind)
}

#[cfg(test)]
pub(crate) mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::MANIFEST;

    /// The settings of a connection's YAML, and every problem found in it.
    pub(crate) fn read(yaml: &str) -> (Option<Settings>, Vec<String>) {
        usher_testkit::settings_of(&MANIFEST, Settings::read, yaml)
    }

    #[test]
    fn defaults_and_everything_set() {
        let (settings, problems) = read("connector: pipedrive\n");
        let settings = settings.unwrap();
        assert_eq!(problems, Vec::<String>::new());
        assert_eq!(settings.windows.sweep().hold_back, SignedDuration::from_hours(1));
        assert_eq!((settings.custom.marker, settings.custom.task_type.as_str()), (None, "task"));
        let (settings, problems) = read(
            "pull: { objects: [persons], every: 5m, start: now, overlap: 5m, horizon: 2h }\n\
             inbound: { secret: { env: NEW }, previous_secret: { file: old.txt } }\n\
             persons: { marker: Usher key, fields: { message: First message } }\n\
             tasks: { type: call }\n",
        );
        let settings = settings.unwrap();
        assert_eq!(problems, Vec::<String>::new());
        assert_eq!(settings.secrets().len(), 2);
        assert_eq!(settings.windows.live().overlap, SignedDuration::from_mins(5));
        assert_eq!(settings.custom.marker.as_deref(), Some("Usher key"));
        assert_eq!(settings.custom.fields["message"], "First message");
        assert_eq!(settings.custom.task_type, "call");
    }

    #[test]
    fn wrong_settings_are_all_reported() {
        let key = "a".repeat(40);
        let (settings, problems) = read(&format!(
            "pull: {{ objects: [leads], start: yesterday, overlap: 2w, page: 5 }}\n\
             inbound: {{ secret: abc }}\npersons: {{ marker: {key} }}\ntasks: {{ type: To do }}\n"
        ));
        assert!(settings.is_none());
        let all = problems.join("\n");
        for part in [
            "`leads` are pulled where they carry",
            "`yesterday`",
            "`overlap` is at most 24h",
            "unknown key `page`",
            "a secret must not stand in this file",
            "named as people see it",
            "`To do`",
        ] {
            assert!(all.contains(part), "{part} in:\n{all}");
        }
    }
}
