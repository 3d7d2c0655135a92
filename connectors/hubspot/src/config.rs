//! The connection's settings in usher.yaml, and the connection made from them.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use jiff::SignedDuration;
use usher_connector::window::Window;
use usher_connector::{Configured, Connection, Host, Protocol, Scope};
use usher_document::{Cursor, MapReader, OneOrMany, SecretRef};
use usher_model::SlotKind;

use crate::api::{self, CONTACTS, DEALS, LEADS};
use crate::directory::HubSpotDirectory;
use crate::inbound::HubSpotInbound;
use crate::protocol::HubSpotProtocol;
use crate::source::{HubSpotSource, PROPERTIES};
use crate::target::{CHOICES, Carrier, HubSpotTarget, Keys};
use crate::{DEAL_SCOPES, LEAD_SCOPES};

/// The client secret that signs webhooks, and the one before it during a rotation.
pub(crate) const SECRET: &str = "inbound.secret";
pub(crate) const PREVIOUS_SECRET: &str = "inbound.previous_secret";

/// What the filters and paging of a search take besides the property names, in characters.
const SEARCH_FRAME: usize = 600;

/// The connector's own keys of a connection.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    properties: Vec<String>,
    overlap: SignedDuration,
    horizon: SignedDuration,
    availability: bool,
    inbound: Option<InboundSettings>,
    keys: Keys,
    carrier: Carrier,
}

#[derive(Debug, Clone)]
struct InboundSettings {
    secret: SecretRef,
    previous: Option<SecretRef>,
}

#[derive(Debug, Default)]
struct PullSettings {
    properties: Vec<String>,
    overlap: Option<Duration>,
    horizon: Option<Duration>,
}

impl Settings {
    pub(crate) fn read(map: &mut MapReader<'_>) -> Option<Self> {
        let pull = match map.optional_at("pull") {
            Some(at) => read_pull(&at),
            None => Some(PullSettings::default()),
        };
        let availability = map.optional_at("availability").map_or(Some(true), |at| at.read());
        let contacts = map.optional_at("contacts").map_or(Some(None), |at| read_key(&at).map(Some));
        let tasks = map.optional_at("tasks").map_or(Some(None), |at| read_key(&at).map(Some));
        let carrier = read_carrier(map);
        let inbound = map.optional_at("inbound").map(|at| read_inbound(&at));
        let inbound = match inbound {
            Some(None) => return None,
            Some(Some(inbound)) => Some(inbound),
            None => None,
        };
        let (carrier, key) = carrier?;
        let (leads, deals) = match carrier.kind {
            SlotKind::Lead => (key, None),
            _ => (None, key),
        };
        let keys = Keys { contacts: contacts?, leads, deals, tasks: tasks? };
        let pull = pull?;
        Some(Self {
            properties: pull.properties,
            overlap: signed(pull.overlap.unwrap_or(Duration::from_secs(120))),
            horizon: signed(pull.horizon.unwrap_or(Duration::from_secs(3_600))),
            availability: availability?,
            inbound,
            keys,
            carrier,
        })
    }

    fn windows(&self) -> Windows {
        let grain = SignedDuration::from_millis(1);
        Windows {
            live: Window { overlap: self.overlap, hold_back: SignedDuration::ZERO, grain },
            sweep: Window { overlap: self.overlap, hold_back: self.horizon, grain },
        }
    }
}

/// How the two lanes that follow the present read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Windows {
    /// At the edge of now.
    pub(crate) live: Window,
    /// Behind the index's worst delay.
    pub(crate) sweep: Window,
}

impl Configured for Settings {
    fn secrets(&self) -> Vec<(&'static str, SecretRef)> {
        let Some(inbound) = &self.inbound else { return Vec::new() };
        let previous = inbound.previous.clone().map(|secret| (PREVIOUS_SECRET, secret));
        [(SECRET, inbound.secret.clone())].into_iter().chain(previous).collect()
    }

    fn further_scopes(&self) -> &'static [Scope] {
        match self.carrier.kind {
            SlotKind::Lead => LEAD_SCOPES,
            SlotKind::Deal => DEAL_SCOPES,
            _ => &[],
        }
    }

    fn protocol(&self) -> Option<Arc<dyn Protocol>> {
        Some(Arc::new(HubSpotProtocol))
    }

    fn connect(&self, host: Host) -> Connection {
        let secrets: Vec<_> = [SECRET, PREVIOUS_SECRET].iter().filter_map(|name| host.secret(name)).collect();
        let inbound = (!secrets.is_empty()).then(|| Arc::new(HubSpotInbound::new(secrets)) as Arc<_>);
        let windows = self.windows();
        let (http, connection) = (host.http, host.connection);
        Connection {
            source: Some(Arc::new(HubSpotSource::new(connection, http.clone(), &self.properties, windows))),
            inbound,
            subscriber: None,
            directory: Some(Arc::new(HubSpotDirectory::new(http.clone(), self.availability, windows))),
            target: Some(Arc::new(HubSpotTarget::new(http, self.keys.clone(), self.carrier.clone()))),
        }
    }
}

fn read_pull(at: &Cursor<'_>) -> Option<PullSettings> {
    let mut map = at.map()?;
    let mut good = true;
    if let Some(objects) = map.optional_at("objects") {
        good &= read_objects(&objects).is_some();
    }
    if let Some(start) = map.optional_at("start") {
        good &= start.choice(&[("now", ())]).is_some();
    }
    let properties_at = map.optional_at("properties");
    let properties = match &properties_at {
        Some(at) => read_properties(at),
        None => Some(Vec::new()),
    };
    let overlap = read_span(&mut map, "overlap", Duration::from_secs(24 * 3_600));
    let horizon = read_span(&mut map, "horizon", Duration::from_secs(7 * 24 * 3_600));
    good.then_some(PullSettings { properties: properties?, overlap: overlap?, horizon: horizon? })
}

/// `None` if the value is wrong, `Some(None)` if it is left out.
fn read_span(map: &mut MapReader<'_>, key: &str, most: Duration) -> Option<Option<Duration>> {
    let Some(at) = map.optional_at(key) else { return Some(None) };
    let span = at.duration()?;
    if span > most {
        let hours = most.as_secs() / 3_600;
        at.error("out-of-range", format!("`{key}` is at most {hours}h")).found(at.raw()).report();
        return None;
    }
    Some(Some(span))
}

fn read_objects(at: &Cursor<'_>) -> Option<()> {
    let later = ["leads", "deals", "companies", "tickets"];
    let mut good = true;
    let items = at.list()?;
    if items.is_empty() {
        at.error("empty", "`objects` lists nothing to pull").hint("write `objects: [contacts]`").report();
        return None;
    }
    for item in items {
        good &= item.choice_or_later(&[(CONTACTS, ())], &later).is_some();
    }
    good.then_some(())
}

fn read_properties(at: &Cursor<'_>) -> Option<Vec<String>> {
    let OneOrMany::<String>(names) = at.read()?;
    for name in &names {
        is_internal(at, name)?;
    }
    let length: usize = names.iter().map(|name| name.len() + 3).sum::<usize>()
        + PROPERTIES.iter().map(|name| name.len() + 3).sum::<usize>();
    if length + SEARCH_FRAME > api::SEARCH_BODY {
        at.error("too-long", "these property names do not fit into one HubSpot search (3,000 characters)")
            .hint("list only the properties that the mapping reads")
            .report();
        return None;
    }
    let mut seen: BTreeSet<&str> = PROPERTIES.iter().copied().collect();
    Some(names.iter().filter(|name| seen.insert(name)).cloned().collect())
}

/// What carries owner and task, and the property of it that carries keys.
fn read_carrier(map: &mut MapReader<'_>) -> Option<(Carrier, Option<String>)> {
    let kind = map.optional_at("object").map_or(Some(SlotKind::Person), |at| at.choice(&CHOICES));
    let sections = [(LEADS, SlotKind::Lead), (DEALS, SlotKind::Deal)];
    let sections = sections.map(|(name, of)| (name, of, map.optional_at(name)));
    let kind = kind?;
    let (mut carrier, mut key) = (Carrier { kind, ..Carrier::default() }, None);
    for (name, of, at) in sections {
        match at {
            Some(at) if of == kind => (carrier, key) = read_start(&at, kind)?,
            Some(at) => {
                at.error("unused", format!("`{name}` says how {name} are made, and `object` is another"))
                    .hint(format!("write `object: {name}` beside it, or remove `{name}`"))
                    .report();
                return None;
            }
            None => {}
        }
    }
    if kind == SlotKind::Deal && (carrier.pipeline.is_none() || carrier.stage.is_none()) {
        let at = map.optional_at(DEALS).unwrap_or_else(|| map.at().clone());
        at.error("deal-stage", "with `object: deals` usher must know the pipeline and stage in which a deal begins")
            .hint("write `deals: { pipeline: default, stage: appointmentscheduled }`, by the internal names that HubSpot shows under Settings → Objects → Deals → Pipelines → `</>`")
            .report();
        return None;
    }
    Some((carrier, key))
}

/// Where a lead or deal begins, and the property of it that carries keys.
fn read_start(at: &Cursor<'_>, kind: SlotKind) -> Option<(Carrier, Option<String>)> {
    let mut map = at.map()?;
    let name = |at: Cursor<'_>| at.text().map(str::to_owned);
    let pipeline = map.optional_at("pipeline").map_or(Some(None), |at| name(at).map(Some));
    let stage = map.optional_at("stage").map_or(Some(None), |at| name(at).map(Some));
    let key_at = map.optional_at("unique_property");
    let key = key_at.as_ref().map_or(Some(None), |at| at.read::<String>().map(Some));
    map.finish();
    let key = key?;
    if let (Some(at), Some(name)) = (&key_at, &key) {
        is_internal(at, name)?;
    }
    Some((Carrier { kind, pipeline: pipeline?, stage: stage? }, key))
}

/// The property that carries keys.
fn read_key(at: &Cursor<'_>) -> Option<String> {
    let mut map = at.map()?;
    let name = map.required::<String>("unique_property");
    map.finish();
    let name = name?;
    is_internal(at, &name)?;
    Some(name)
}

fn is_internal(at: &Cursor<'_>, name: &str) -> Option<()> {
    let valid = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if !valid {
        at.error("bad-name", format!("`{name}` is no internal name of a property"))
            .hint("HubSpot shows it under Settings → Properties → the property → `</>`, as in `lead_budget`")
            .report();
    }
    valid.then_some(())
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

fn signed(span: Duration) -> SignedDuration {
    SignedDuration::try_from(span).unwrap_or(SignedDuration::MAX)
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
        let (settings, problems) = read("connector: hubspot\n");
        let settings = settings.unwrap();
        assert_eq!(problems, Vec::<String>::new());
        assert_eq!(settings.windows().sweep.hold_back, SignedDuration::from_hours(1));
        assert!(settings.availability && settings.secrets().is_empty());
        let (settings, problems) = read(
            "pull: { objects: [contacts], every: 30s, start: now, overlap: 5m, horizon: 2h, properties: [lead_budget, email] }\n\
             availability: false\n\
             inbound: { secret: { env: NEW }, previous_secret: { file: old.txt } }\n\
             tasks: { unique_property: usher_key }\n",
        );
        let settings = settings.unwrap();
        assert_eq!(
            (settings.keys.tasks.as_deref(), settings.keys.contacts.as_deref()),
            (Some("usher_key"), None)
        );
        assert_eq!(problems, Vec::<String>::new());
        assert_eq!(settings.properties, ["lead_budget"], "what is read anyway is not listed twice");
        assert_eq!(settings.windows().live.overlap, SignedDuration::from_mins(5));
        assert_eq!(settings.secrets().len(), 2);
    }

    #[test]
    fn wrong_settings_are_all_reported() {
        let (settings, problems) = read(
            "pull: { objects: [deals], start: yesterday, overlap: 2w, properties: [\"Lead budget\"], page: 5 }\n\
             availability: maybe\ninbound: { secret: abc }\ncontacts: { unique_property: \"Usher key\" }\n",
        );
        assert!(settings.is_none());
        let all = problems.join("\n");
        for part in [
            "`deals` is not in this version",
            "`yesterday`",
            "`overlap` is at most 24h",
            "`Lead budget`",
            "unknown key `page`",
            "`true` or `false`",
            "a secret must not stand in this file",
            "`Usher key`",
        ] {
            assert!(all.contains(part), "{part} in:\n{all}");
        }
    }

    #[test]
    fn what_carries_owners_is_a_setting_with_its_own_scopes() {
        let scopes = |yaml: &str| {
            let (settings, problems) = read(yaml);
            assert_eq!(problems, Vec::<String>::new(), "{yaml}");
            settings.unwrap().further_scopes().iter().map(|scope| scope.name).collect::<Vec<_>>()
        };
        assert!(scopes("object: contacts\n").is_empty());
        assert_eq!(
            scopes(
                "object: leads\nleads: { pipeline: 71520, stage: new-stage-id, unique_property: usher_key }\n"
            ),
            ["crm.objects.leads.read", "crm.objects.leads.write"]
        );
        assert_eq!(scopes("object: leads\n").len(), 2, "a lead begins where HubSpot lets it");
        assert_eq!(
            scopes("object: deals\ndeals: { pipeline: default, stage: appointmentscheduled }\n"),
            ["crm.objects.deals.read", "crm.objects.deals.write"]
        );
        for (yaml, told) in [
            ("object: deals\n", "pipeline and stage"),
            ("object: deals\ndeals: { pipeline: default }\n", "pipeline and stage"),
            ("deals: { pipeline: default, stage: x }\n", "`object` is another"),
            (
                "object: deals\nleads: { stage: x }\ndeals: { pipeline: default, stage: x }\n",
                "`object` is another",
            ),
            ("object: tickets\n", "tickets"),
            ("object: deals\ndeals: { pipeline: p, stage: s, unique_property: Usher key }\n", "`Usher key`"),
            ("object: deals\ndeals: { pipeline: p, stage: s, step: s }\n", "unknown key `step`"),
        ] {
            let (settings, problems) = read(yaml);
            assert!(settings.is_none() || yaml.contains("step"), "{yaml}");
            assert!(problems.iter().any(|problem| problem.contains(told)), "{yaml}: {problems:?}");
        }
    }

    #[test]
    fn too_many_properties_for_a_search_are_refused() {
        let names: Vec<String> =
            (0..100).map(|number| format!("a_rather_long_property_name_{number}")).collect();
        let (settings, problems) = read(&format!("pull: {{ properties: [{}] }}\n", names.join(", ")));
        assert!(settings.is_none() && problems[0].contains("3,000 characters"), "{problems:?}");
    }
}
