//! What people did to leads, as the verbs tell it.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use usher_engine::settings::Settings;
use usher_model::{ChangedBy, CrmEvent, CrmOwner, ExternalId, Happening};
use usher_store::{LeadEvents, Responses};

/// Whether the CRM is asked what people did: else nobody knows whom nobody has touched.
pub(crate) fn are_watched(settings: &Settings) -> bool {
    let crm = settings.connections.iter().find(|connection| connection.name == settings.crm);
    crm.is_some_and(|connection| connection.watch_every.is_some())
}

/// Owners by their ids at the CRM.
pub(crate) struct Names(BTreeMap<ExternalId, String>);

impl Names {
    pub(crate) fn of(owners: Vec<CrmOwner>) -> Self {
        let name = |owner: CrmOwner| (owner.id, if owner.name.is_empty() { owner.email } else { owner.name });
        Self(owners.into_iter().map(name).collect())
    }

    fn name(&self, id: &ExternalId) -> String {
        self.0.get(id).cloned().unwrap_or_else(|| format!("owner {id}"))
    }

    fn maybe(&self, id: Option<&ExternalId>) -> String {
        id.map_or_else(|| "nobody".to_owned(), |id| self.name(id))
    }
}

/// Who touched the lead first and after how long, then what happened to it, a line each.
pub(crate) fn lines(told: &LeadEvents, names: &Names) -> Vec<String> {
    let first = told.first.as_ref().map(|first| {
        let by = first.by.as_ref().map(|id| format!(" by {}", names.name(id))).unwrap_or_default();
        let waited = first.at.duration_since(first.arrived_at).as_millis().max(0);
        let waited = length(u64::try_from(waited).unwrap_or_default());
        format!("first touched after {waited}, {}: {}{by}", first.at, words(first.how.as_str()))
    });
    let first = first.unwrap_or_else(|| "not touched yet, as far as the CRM tells".to_owned());
    std::iter::once(first).chain(told.events.iter().map(|event| line(event, names))).collect()
}

fn line(event: &CrmEvent, names: &Names) -> String {
    let by = match (&event.by, event.hand) {
        (Some(id), ChangedBy::Human) => format!(" by {}", names.name(id)),
        (_, ChangedBy::Program) => " by a program".to_owned(),
        (Some(id), ChangedBy::Unknown) => format!(", owned by {}", names.name(id)),
        (None, _) => String::new(),
    };
    let what = match &event.what {
        Happening::Touch { how, .. } => words(how.as_str()),
        Happening::OwnerChange { from, to } => {
            format!("owner {} → {}", names.maybe(from.as_ref()), names.maybe(to.as_ref()))
        }
        Happening::Outcome { outcome, value, currency, .. } => {
            let worth =
                value.as_ref().map(|value| format!(" {value} {}", currency.as_deref().unwrap_or_default()));
            format!("{}{}", outcome.as_str(), worth.unwrap_or_default().trim_end())
        }
    };
    format!("  {} {what}{by}", event.at)
}

fn words(name: &str) -> String {
    name.replace('_', " ")
}

/// The same as JSON.
pub(crate) fn as_json(told: &LeadEvents) -> Value {
    let first = told.first.as_ref().map(|first| {
        json!({ "at": first.at, "arrived_at": first.arrived_at, "how": first.how, "by": first.by,
            "after_ms": first.at.duration_since(first.arrived_at).as_millis().max(0) })
    });
    json!({ "first_touch": first, "events": told.events })
}

/// Median and ninth decile of what leads waited for their first touch.
pub(crate) fn response_line(responses: &Responses) -> Option<String> {
    let Responses { waited, untouched } = responses;
    let all = waited.len() as u64 + untouched;
    let touched = match (at(waited, 50), at(waited, 90)) {
        (Some(median), Some(p90)) => format!("median {}, p90 {}; ", length(median), length(p90)),
        _ => String::new(),
    };
    (all > 0).then(|| {
        format!("time to first touch, leads of 7 days: {touched}{untouched} of {all} not touched yet")
    })
}

/// The same as JSON, in milliseconds.
pub(crate) fn responses_json(responses: &Responses) -> Value {
    let waited = &responses.waited;
    json!({ "days": 7, "touched": waited.len(), "untouched": responses.untouched,
        "median_ms": at(waited, 50), "p90_ms": at(waited, 90) })
}

/// The value below which so many percent lie, of a sorted list: the nearest rank.
fn at(sorted: &[u64], percent: usize) -> Option<u64> {
    sorted.get((sorted.len() * percent).div_ceil(100).saturating_sub(1)).copied()
}

/// A length of time in its two largest units.
fn length(ms: u64) -> String {
    let seconds = ms / 1_000;
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min {} s", seconds / 60, seconds % 60),
        3_600..86_400 => format!("{} h {} min", seconds / 3_600, seconds % 3_600 / 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds % 86_400 / 3_600),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_occurred() {
        let waited: Vec<u64> = (1..=10).map(|n| n * 60_000).collect();
        let told = response_line(&Responses { waited, untouched: 2 });
        let expected =
            "time to first touch, leads of 7 days: median 5 min 0 s, p90 9 min 0 s; 2 of 12 not touched yet";
        assert_eq!(told.as_deref(), Some(expected));
        let alone = Responses { waited: vec![7_200_000], untouched: 0 };
        assert_eq!((at(&alone.waited, 50), at(&alone.waited, 90)), (Some(7_200_000), Some(7_200_000)));
        assert_eq!(response_line(&Responses::default()), None, "there is nothing to say");
    }
}
