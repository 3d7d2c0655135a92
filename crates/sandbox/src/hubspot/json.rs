//! Records as the API writes them, straight into the answer's buffer.

use super::kinds::{KINDS, Kind};
use super::links::Links;
use super::props::PropId;
use super::record::{Record, Source, View};
use super::registry::Registry;
use super::table::Table;
use crate::clock::push_iso;

/// What a request wants to see of each record.
#[derive(Debug, Default)]
pub(crate) struct Want {
    props: Vec<(String, Option<PropId>)>,
    history: Vec<(String, PropId)>,
    links: Vec<usize>,
    /// Also every property that is set.
    everything: bool,
}

impl Want {
    /// The named properties, or the type's defaults; id and times always come along, an unset one is null.
    pub(crate) fn named(table: &Table, names: &[String]) -> Self {
        let kind = &KINDS[table.kind];
        let mut all: Vec<String> = if names.is_empty() {
            kind.defaults.iter().map(|&name| name.to_owned()).collect()
        } else {
            names.to_vec()
        };
        for name in always(kind) {
            if !all.iter().any(|other| other == name) {
                all.push(name.to_owned());
            }
        }
        // An unknown name is ignored on reads.
        let props =
            all.into_iter().filter_map(|name| table.registry.find(&name).map(|prop| (name, Some(prop))));
        Self { props: props.collect(), ..Self::default() }
    }

    /// All that is set, as the answers to writes show it.
    pub(crate) fn set_values(table: &Table) -> Self {
        let mut want = Self::named(table, &always(&KINDS[table.kind]).map(str::to_owned));
        want.everything = true;
        want
    }

    pub(crate) fn with_history(mut self, table: &Table, names: &[String]) -> Self {
        self.history =
            names.iter().filter_map(|name| Some((name.clone(), table.registry.find(name)?))).collect();
        for (name, prop) in &self.history {
            if !self.props.iter().any(|(other, _)| other == name) {
                self.props.push((name.clone(), Some(*prop)));
            }
        }
        self
    }

    pub(crate) fn with_links(mut self, kinds: Vec<usize>) -> Self {
        self.links = kinds;
        self
    }
}

fn always(kind: &Kind) -> [&'static str; 3] {
    ["hs_object_id", kind.created, kind.modified]
}

fn push_text(out: &mut String, text: &str) {
    // A plain text needs no escaping, which is nearly every one.
    if text.bytes().all(|byte| byte >= 0x20 && byte != b'"' && byte != b'\\') {
        out.push('"');
        out.push_str(text);
        out.push('"');
    } else {
        out.push_str(&serde_json::Value::from(text).to_string());
    }
}

fn push_value(out: &mut String, registry: &Registry, view: View<'_>, name: &str, prop: PropId) {
    push_text(out, name);
    out.push(':');
    match view.value(registry, prop) {
        Some(value) => push_text(out, &value),
        None => out.push_str("null"),
    }
}

fn push_properties(out: &mut String, registry: &Registry, view: View<'_>, want: &Want) {
    out.push_str("\"properties\":{");
    let mut first = true;
    for (name, prop) in &want.props {
        let Some(prop) = prop else { continue };
        if !std::mem::take(&mut first) {
            out.push(',');
        }
        push_value(out, registry, view, name, *prop);
    }
    if want.everything {
        for (prop, value) in view.props.iter() {
            out.push(',');
            push_text(out, &registry.get(prop).name);
            out.push(':');
            push_text(out, value);
        }
    }
    out.push('}');
}

/// Appends a record as search shows it: no history, no associations.
pub(crate) fn push_view(out: &mut String, registry: &Registry, view: View<'_>, want: &Want) {
    push_open(out, registry, view, want);
    out.push_str(",\"archived\":false}");
}

fn push_open(out: &mut String, registry: &Registry, view: View<'_>, want: &Want) {
    out.push_str("{\"id\":\"");
    out.push_str(&view.id.to_string());
    out.push_str("\",");
    push_properties(out, registry, view, want);
    out.push_str(",\"createdAt\":\"");
    push_iso(out, view.created);
    out.push_str("\",\"updatedAt\":\"");
    push_iso(out, view.modified);
    out.push('"');
}

/// Appends a record as it is.
pub(crate) fn push_record(out: &mut String, table: &Table, links: &Links, record: &Record, want: &Want) {
    push_open(out, &table.registry, record.view(), want);
    if record.lives() {
        out.push_str(",\"archived\":false");
    } else {
        out.push_str(",\"archived\":true,\"archivedAt\":\"");
        push_iso(out, record.archived);
        out.push('"');
    }
    if !want.history.is_empty() {
        push_history(out, table, record, want);
    }
    if !want.links.is_empty() {
        push_links(out, table.kind, links, record.id, &want.links);
    }
    out.push('}');
}

fn push_history(out: &mut String, table: &Table, record: &Record, want: &Want) {
    out.push_str(",\"propertiesWithHistory\":{");
    for (at, (name, prop)) in want.history.iter().enumerate() {
        if at > 0 {
            out.push(',');
        }
        push_text(out, name);
        out.push_str(":[");
        for (at, past) in record.past(&table.registry, *prop).iter().enumerate() {
            if at > 0 {
                out.push(',');
            }
            out.push_str("{\"value\":");
            push_text(out, &past.value);
            out.push_str(",\"timestamp\":\"");
            push_iso(out, past.at);
            out.push_str("\",\"sourceType\":\"");
            out.push_str(past.source.name());
            // A person's change names the user (HubSpot changelog: CRM property change source will show user ID).
            out.push_str(if past.source == Source::CrmUi { "\",\"sourceId\":\"userId:1\"}" } else { "\"}" });
        }
        out.push(']');
    }
    out.push('}');
}

fn push_links(out: &mut String, kind: usize, links: &Links, id: u64, wanted: &[usize]) {
    out.push_str(",\"associations\":{");
    let mut first = true;
    for &to in wanted {
        let found = links.of((kind, id), to);
        if found.is_empty() {
            continue;
        }
        if !std::mem::take(&mut first) {
            out.push(',');
        }
        push_text(out, KINDS[to].plural);
        out.push_str(":{\"results\":[");
        for (at, link) in found.iter().enumerate() {
            if at > 0 {
                out.push(',');
            }
            let label = super::kinds::link_type(kind, link.type_id).and_then(|types| types.label);
            let suffix = if label.is_none() { "_unlabeled" } else { "" };
            // Type names as in HubSpot docs: contact_to_company is the primary, the default is unlabeled.
            let (from, to) = (KINDS[kind].singular, KINDS[to].singular);
            out.push_str(&format!("{{\"id\":\"{}\",\"type\":\"{from}_to_{to}{suffix}\"}}", link.to));
        }
        out.push_str("]}");
    }
    out.push('}');
}
