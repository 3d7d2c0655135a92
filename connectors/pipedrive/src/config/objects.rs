//! Which objects carry owner and task, and how they begin.

use usher_document::{Cursor, MapReader};
use usher_model::SlotKind;

use super::read_name;
use crate::api::{DEALS, LEADS, PERSONS};
use crate::target::Carrier;

/// The objects by their names in the settings.
pub(super) const CHOICES: [(&str, SlotKind); 3] =
    [(PERSONS, SlotKind::Person), (LEADS, SlotKind::Lead), (DEALS, SlotKind::Deal)];

/// Their name.
pub(super) fn name_of(kind: SlotKind) -> &'static str {
    CHOICES.iter().find(|(_, of)| *of == kind).map_or(PERSONS, |(name, _)| name)
}

/// `object`, and how deals begin.
pub(super) fn read_carrier(map: &mut MapReader<'_>) -> Option<Carrier> {
    let kind = map.optional_at("object").map_or(Some(SlotKind::Person), |at| at.choice(&CHOICES));
    let deals = map.optional_at(DEALS);
    let kind = kind?;
    match deals {
        Some(at) if kind == SlotKind::Deal => read_deals(&at),
        Some(at) => {
            at.error("unused", "`deals` says how deals are made, and `object` is another")
                .hint("write `object: deals` beside it, or remove `deals`")
                .report();
            None
        }
        None => Some(Carrier { kind, ..Carrier::default() }),
    }
}

fn read_deals(at: &Cursor<'_>) -> Option<Carrier> {
    let mut map = at.map()?;
    let pipeline = map.optional_at("pipeline").map_or(Some(None), |at| read_number(&at).map(Some));
    let stage = map.optional_at("stage").map_or(Some(None), |at| read_number(&at).map(Some));
    let marker = map.optional_at("marker").map_or(Some(None), |at| read_name(&at).map(Some));
    map.finish();
    Some(Carrier { kind: SlotKind::Deal, pipeline: pipeline?, stage: stage?, marker: marker? })
}

fn read_number(at: &Cursor<'_>) -> Option<u64> {
    let number = at.raw().parse().ok().filter(|number| *number > 0);
    if number.is_none() {
        at.error("bad-number", "pipelines and stages are named by their numbers")
            .found(at.raw())
            .hint("a pipeline's stands in the address of its page (`/pipeline/3`); `GET /api/v2/stages` lists both")
            .report();
    }
    number
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::config::tests::read;

    #[test]
    fn what_carries_owners_is_pulled_unless_told_otherwise() {
        let pulled = |yaml: &str| {
            let (settings, problems) = read(yaml);
            assert_eq!(problems, Vec::<String>::new(), "{yaml}");
            let settings = settings.unwrap();
            (settings.carrier.kind, settings.pulled)
        };
        assert_eq!(pulled("connector: pipedrive\n"), (SlotKind::Person, PERSONS));
        assert_eq!(pulled("object: leads\n"), (SlotKind::Lead, LEADS));
        assert_eq!(pulled("object: deals\npull: { overlap: 5m }\n"), (SlotKind::Deal, DEALS));
        assert_eq!(
            pulled("object: leads\npull: { objects: [persons] }\n"),
            (SlotKind::Lead, PERSONS),
            "whoever is entered gets a lead"
        );
    }

    #[test]
    fn deals_begin_where_the_settings_say() {
        let (settings, problems) =
            read("object: deals\ndeals: { pipeline: 2, stage: 7, marker: Usher key }\n");
        assert_eq!(problems, Vec::<String>::new());
        let carrier = settings.unwrap().carrier;
        assert_eq!(
            (carrier.pipeline, carrier.stage, carrier.marker.as_deref()),
            (Some(2), Some(7), Some("Usher key"))
        );
        for (yaml, told) in [
            ("object: tickets\n", "tickets"),
            ("deals: { stage: 7 }\n", "`object` is another"),
            ("object: deals\ndeals: { stage: New }\n", "by their numbers"),
            ("object: deals\ndeals: { pipeline: 0 }\n", "by their numbers"),
            ("object: deals\ndeals: { step: 7 }\n", "unknown key `step`"),
            ("pull: { objects: [deals] }\n", "where they carry"),
            ("object: leads\npull: { objects: [deals] }\n", "where they carry"),
            ("object: leads\npull: { objects: [leads, persons] }\n", "second one"),
            ("pull: { objects: [] }\n", "nothing to pull"),
            ("pull: { objects: [organizations] }\n", "not in this version"),
        ] {
            let (settings, problems) = read(yaml);
            assert!(settings.is_none() || yaml.contains("step"), "{yaml}");
            assert!(problems.iter().any(|problem| problem.contains(told)), "{yaml}: {problems:?}");
        }
    }
}
