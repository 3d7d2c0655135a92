//! The connection's settings in usher.yaml, and the connection made from them.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::SignedDuration;
use usher_connector::window::{Spans, Window};
use usher_connector::{Configured, Connection, HookSecrets, Host, Protocol, Scope, read_pulled};
use usher_document::{Cursor, MapReader, OneOrMany, SecretRef};
use usher_model::SlotKind;

use crate::api::{self, DEALS, LEADS};
use crate::directory::HubSpotDirectory;
use crate::inbound::HubSpotInbound;
use crate::protocol::HubSpotProtocol;
use crate::source::{HubSpotSource, Pulled};
use crate::target::{CHOICES, Carrier, HubSpotTarget, Keys};
use crate::{DEAL_SCOPES, LEAD_SCOPES};

/// What the filters and paging of a search take besides the property names, in characters.
const SEARCH_FRAME: usize = 600;

/// The connector's own keys of a connection.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pulled: &'static Pulled,
    properties: Vec<String>,
    spans: Spans,
    availability: bool,
    /// The client secret signs webhooks.
    inbound: Option<HookSecrets>,
    keys: Keys,
    carrier: Carrier,
}

#[derive(Debug)]
struct PullSettings {
    pulled: &'static Pulled,
    properties: Vec<String>,
    spans: Spans,
}

impl Default for PullSettings {
    fn default() -> Self {
        Self { pulled: Pulled::of(SlotKind::Person), properties: Vec::new(), spans: Spans::default() }
    }
}

impl Settings {
    pub(crate) fn read(map: &mut MapReader<'_>) -> Option<Self> {
        let availability = map.optional_at("availability").map_or(Some(true), |at| at.read());
        let contacts = map.optional_at("contacts").map_or(Some(None), |at| read_key(&at).map(Some));
        let companies = map.optional_at("companies").map_or(Some(None), |at| read_key(&at).map(Some));
        let tasks = map.optional_at("tasks").map_or(Some(None), |at| read_key(&at).map(Some));
        let carrier = read_carrier(map);
        let kind = carrier.as_ref().map_or(SlotKind::Person, |(carrier, _)| carrier.kind);
        let pull = match map.optional_at("pull") {
            Some(at) => read_pull(&at, kind),
            None => Some(PullSettings::default()),
        };
        let inbound = map.optional_at("inbound").map_or(Some(None), |at| HookSecrets::read(&at).map(Some));
        let (carrier, key) = carrier?;
        let (leads, deals) = match carrier.kind {
            SlotKind::Lead => (key, None),
            _ => (None, key),
        };
        let keys = Keys { contacts: contacts?, companies: companies?, leads, deals, tasks: tasks? };
        let pull = pull?;
        Some(Self {
            pulled: pull.pulled,
            properties: pull.properties,
            spans: pull.spans,
            availability: availability?,
            inbound: inbound?,
            keys,
            carrier,
        })
    }

    fn windows(&self) -> Windows {
        let grain = SignedDuration::from_millis(1);
        Windows { live: self.spans.live(grain), sweep: self.spans.sweep(grain) }
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
        self.inbound.as_ref().map(HookSecrets::named).unwrap_or_default()
    }

    fn further_scopes(&self) -> &'static [Scope] {
        match self.carrier.kind {
            SlotKind::Lead => LEAD_SCOPES,
            SlotKind::Deal => DEAL_SCOPES,
            _ => &[],
        }
    }

    fn open_deal_scopes(&self) -> &'static [Scope] {
        DEAL_SCOPES
    }

    fn protocol(&self) -> Option<Arc<dyn Protocol>> {
        Some(Arc::new(HubSpotProtocol))
    }

    fn connect(&self, host: Host) -> Connection {
        let secrets = HookSecrets::good(&host);
        let inbound =
            (!secrets.is_empty()).then(|| Arc::new(HubSpotInbound::new(secrets, self.pulled)) as Arc<_>);
        let windows = self.windows();
        let (http, connection) = (host.http, host.connection);
        let source = HubSpotSource::new(connection, http.clone(), self.pulled, &self.properties, windows);
        Connection {
            source: Some(Arc::new(source)),
            inbound,
            subscriber: None,
            directory: Some(Arc::new(HubSpotDirectory::new(http.clone(), self.availability, windows))),
            target: Some(Arc::new(HubSpotTarget::new(http, self.keys.clone(), self.carrier.clone()))),
            activity: None,
        }
    }
}

fn read_pull(at: &Cursor<'_>, carrier: SlotKind) -> Option<PullSettings> {
    let mut map = at.map()?;
    let mut good = true;
    let kind = match map.optional_at("objects") {
        Some(at) => read_pulled(&at, &CHOICES, carrier, &["companies", "tickets"]),
        None => Some(SlotKind::Person),
    };
    if let Some(start) = map.optional_at("start") {
        good &= start.choice(&[("now", ())]).is_some();
    }
    let properties_at = map.optional_at("properties");
    let properties = match &properties_at {
        Some(at) => read_properties(at, Pulled::of(kind.unwrap_or(SlotKind::Person))),
        None => Some(Vec::new()),
    };
    let spans = Spans::read(&mut map);
    good.then_some(PullSettings { pulled: Pulled::of(kind?), properties: properties?, spans: spans? })
}

fn read_properties(at: &Cursor<'_>, pulled: &Pulled) -> Option<Vec<String>> {
    let OneOrMany::<String>(names) = at.read()?;
    for name in &names {
        is_internal(at, name)?;
    }
    let length: usize = names.iter().map(|name| name.len() + 3).sum::<usize>()
        + pulled.properties.iter().map(|name| name.len() + 3).sum::<usize>();
    if length + SEARCH_FRAME > api::SEARCH_BODY {
        at.error("too-long", "these property names do not fit into one HubSpot search (3,000 characters)")
            .hint("list only the properties that the mapping reads")
            .report();
        return None;
    }
    let mut seen: BTreeSet<&str> = pulled.properties.iter().copied().collect();
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
            "`deals` are pulled where they carry",
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
    fn contacts_or_what_carries_owners_is_pulled() {
        let deals = "object: deals\ndeals: { pipeline: default, stage: s }\n";
        for (yaml, expected) in [
            (String::new(), "contacts"),
            (deals.to_owned(), "contacts"),
            (format!("{deals}pull: {{ objects: [deals], properties: [amount, lead_budget] }}\n"), "deals"),
            ("object: leads\npull: { objects: [leads] }\n".to_owned(), "leads"),
        ] {
            let (settings, problems) = read(&format!("connector: hubspot\n{yaml}"));
            assert_eq!(problems, Vec::<String>::new(), "{yaml}");
            let settings = settings.unwrap();
            assert_eq!(settings.pulled.object, expected, "{yaml}");
            assert!(!settings.properties.contains(&"amount".to_owned()), "what is read anyway");
        }
        for wrong in ["pull: { objects: [leads] }\n", "object: leads\npull: { objects: [leads, contacts] }\n"]
        {
            assert!(read(wrong).0.is_none(), "{wrong}");
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
