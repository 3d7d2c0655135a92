//! The connection's settings in usher.yaml, and the connection made from them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::SignedDuration;
use usher_connector::window::Window;
use usher_connector::{Configured, Connection, Host, Protocol};
use usher_document::{Cursor, MapReader, SecretRef};

use crate::api::{DEALS, LEADS, ORGANIZATIONS, PERSONS};
use crate::directory::PipedriveDirectory;
use crate::fields::Fields;
use crate::inbound::PipedriveInbound;
use crate::protocol::PipedriveProtocol;
use crate::source::PipedriveSource;
use crate::target::{Custom, PipedriveTarget};
use crate::webhooks::Webhooks;

/// The password that webhooks bring, and the one before it during a rotation.
pub(crate) const SECRET: &str = "inbound.secret";
pub(crate) const PREVIOUS_SECRET: &str = "inbound.previous_secret";

/// The connector's own keys of a connection.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    windows: Windows,
    inbound: Option<InboundSettings>,
    custom: Custom,
}

#[derive(Debug, Clone)]
struct InboundSettings {
    secret: SecretRef,
    previous: Option<SecretRef>,
}

/// How the two lanes that follow the present read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Windows {
    overlap: SignedDuration,
    horizon: SignedDuration,
}

impl Windows {
    /// At the edge of now.
    pub(crate) fn live(self, objects: &str) -> Window {
        // Leads are stamped in milliseconds, all else in seconds.
        let grain =
            if objects == LEADS { SignedDuration::from_millis(1) } else { SignedDuration::from_secs(1) };
        Window { overlap: self.overlap, hold_back: SignedDuration::ZERO, grain }
    }

    /// Once more, for what a list has shown late.
    pub(crate) fn sweep(self, objects: &str) -> Window {
        Window { hold_back: self.horizon, ..self.live(objects) }
    }
}

impl Settings {
    pub(crate) fn read(map: &mut MapReader<'_>) -> Option<Self> {
        let windows = match map.optional_at("pull") {
            Some(at) => read_pull(&at),
            None => Some(Windows::default()),
        };
        let inbound = map.optional_at("inbound").map(|at| read_inbound(&at));
        let persons =
            map.optional_at("persons").map_or_else(|| Some(Custom::default()), |at| read_persons(&at));
        let tasks = map.optional_at("tasks").map_or(Some(None), |at| read_tasks(&at).map(Some));
        let inbound = match inbound {
            Some(None) => return None,
            Some(found) => found,
            None => None,
        };
        let mut custom = persons?;
        if let Some(kind) = tasks? {
            custom.task_type = kind;
        }
        Some(Self { windows: windows?, inbound, custom })
    }
}

impl Default for Windows {
    fn default() -> Self {
        Self { overlap: SignedDuration::from_mins(2), horizon: SignedDuration::from_hours(1) }
    }
}

impl Configured for Settings {
    fn secrets(&self) -> Vec<(&'static str, SecretRef)> {
        let Some(inbound) = &self.inbound else { return Vec::new() };
        let previous = inbound.previous.clone().map(|secret| (PREVIOUS_SECRET, secret));
        [(SECRET, inbound.secret.clone())].into_iter().chain(previous).collect()
    }

    fn protocol(&self) -> Option<Arc<dyn Protocol>> {
        Some(Arc::new(PipedriveProtocol))
    }

    fn connect(&self, host: Host) -> Connection {
        let passwords: Vec<_> =
            [SECRET, PREVIOUS_SECRET].iter().filter_map(|name| host.secret(name)).collect();
        let (http, connection, objects) = (host.http.clone(), host.connection.clone(), vec![PERSONS]);
        let fields = Arc::new(Fields::new(http.clone()));
        let webhooks = self.inbound.is_some().then(|| {
            let password = host.secret(SECRET);
            Arc::new(Webhooks::new(connection.clone(), http.clone(), objects.clone(), password)) as Arc<_>
        });
        let inbound = (!passwords.is_empty())
            .then(|| Arc::new(PipedriveInbound::new(&passwords, objects.clone())) as Arc<_>);
        let source = PipedriveSource::new(connection, http.clone(), fields.clone(), objects, self.windows);
        Connection {
            source: Some(Arc::new(source)),
            inbound,
            subscriber: webhooks,
            directory: Some(Arc::new(PipedriveDirectory::new(http.clone(), self.windows))),
            target: Some(Arc::new(PipedriveTarget::new(http, fields, self.custom.clone()))),
        }
    }
}

fn read_pull(at: &Cursor<'_>) -> Option<Windows> {
    let mut map = at.map()?;
    let mut good = true;
    if let Some(objects) = map.optional_at("objects") {
        good &= read_objects(&objects).is_some();
    }
    if let Some(start) = map.optional_at("start") {
        good &= start.choice(&[("now", ())]).is_some();
    }
    let usual = Windows::default();
    let overlap = read_span(&mut map, "overlap", usual.overlap, Duration::from_secs(24 * 3_600));
    let horizon = read_span(&mut map, "horizon", usual.horizon, Duration::from_secs(7 * 24 * 3_600));
    let windows = Windows { overlap: overlap?, horizon: horizon? };
    good.then_some(windows)
}

fn read_span(
    map: &mut MapReader<'_>,
    key: &str,
    usual: SignedDuration,
    most: Duration,
) -> Option<SignedDuration> {
    let Some(at) = map.optional_at(key) else { return Some(usual) };
    let span = at.duration()?;
    if span > most {
        let hours = most.as_secs() / 3_600;
        at.error("out-of-range", format!("`{key}` is at most {hours}h")).found(at.raw()).report();
        return None;
    }
    SignedDuration::try_from(span).ok()
}

fn read_objects(at: &Cursor<'_>) -> Option<()> {
    // The engine takes every object of a CRM for a person in this version.
    let later = [LEADS, DEALS, ORGANIZATIONS];
    let items = at.list()?;
    if items.is_empty() {
        at.error("empty", "`objects` lists nothing to pull").hint("write `objects: [persons]`").report();
        return None;
    }
    let mut good = true;
    for item in items {
        good &= item.choice_or_later(&[(PERSONS, ())], &later).is_some();
    }
    good.then_some(())
}

fn read_inbound(at: &Cursor<'_>) -> Option<InboundSettings> {
    let mut map = at.map()?;
    let secret = map.required("secret");
    let previous = map.optional_at("previous_secret").map(|at| at.read::<SecretRef>());
    map.finish();
    let previous = match previous {
        Some(None) => return None,
        Some(found) => found,
        None => None,
    };
    Some(InboundSettings { secret: secret?, previous })
}

/// Custom fields of persons, by the names that people see.
fn read_persons(at: &Cursor<'_>) -> Option<Custom> {
    let mut map = at.map()?;
    let marker = map.optional_at("marker").map(|at| read_name(&at));
    let fields = map.optional_at("fields").map(|at| read_fields(&at));
    map.finish();
    let marker = match marker {
        Some(None) => return None,
        Some(found) => found,
        None => None,
    };
    let fields = match fields {
        Some(None) => return None,
        Some(Some(fields)) => fields,
        None => BTreeMap::new(),
    };
    Some(Custom { marker, fields, ..Custom::default() })
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
    use usher_document::{Decode, Diagnostics, SourceFile, load_into};

    use super::*;

    struct Whole(Option<Settings>);

    impl Decode for Whole {
        fn decode(at: &Cursor<'_>) -> Option<Self> {
            let mut map = at.map()?;
            for common in ["connector", "auth", "base_url", "mapping"] {
                let _ = map.optional_at(common);
            }
            // As the host reads `pull`: its own key, then the connector's.
            if let Some(mut pull) = map.optional_at("pull").and_then(|at| at.map()) {
                let connector = crate::MANIFEST.pull_keys;
                ["every"].iter().chain(connector).for_each(|key| {
                    let _ = pull.optional_at(key);
                });
                pull.finish();
            }
            let settings = Settings::read(&mut map);
            map.finish();
            Some(Self(settings))
        }
    }

    /// The settings of a connection's YAML, and every problem found in it.
    pub(crate) fn read(yaml: &str) -> (Option<Settings>, Vec<String>) {
        let file = SourceFile::new("usher.yaml", yaml);
        let diagnostics = Diagnostics::default();
        let settings = load_into::<Whole>(&file, &diagnostics).and_then(|whole| whole.0);
        (settings, diagnostics.into_sorted().into_iter().map(|problem| problem.message).collect())
    }

    #[test]
    fn defaults_and_everything_set() {
        let (settings, problems) = read("connector: pipedrive\n");
        let settings = settings.unwrap();
        assert_eq!(problems, Vec::<String>::new());
        assert_eq!(settings.windows.sweep(PERSONS).hold_back, SignedDuration::from_hours(1));
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
        assert_eq!(settings.windows.live(PERSONS).overlap, SignedDuration::from_mins(5));
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
            "`leads` is not in this version",
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
