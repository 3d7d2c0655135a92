//! What is pulled, and how HubSpot names its parts.

use usher_model::SlotKind;

use super::PROPERTIES;
use crate::api::{CONTACTS, DEALS, LEADS};

/// The time by which contacts are followed; other objects have another.
pub(super) const MODIFIED: &str = "lastmodifieddate";
const OTHERS_MODIFIED: &str = "hs_lastmodifieddate";

/// A type of object that is pulled.
#[derive(Debug)]
pub(crate) struct Pulled {
    pub(crate) object: &'static str,
    /// Its number in events of the generic kind (`object.creation`).
    pub(crate) type_id: &'static str,
    pub(super) modified: &'static str,
    /// What each is read with; settings may add to it.
    pub(crate) properties: &'static [&'static str],
}

static ALL: [Pulled; 3] = [
    Pulled { object: CONTACTS, type_id: "0-1", modified: MODIFIED, properties: PROPERTIES },
    Pulled {
        object: LEADS,
        type_id: "0-136",
        modified: OTHERS_MODIFIED,
        properties: &[
            "hs_lead_name",
            "hs_lead_type",
            "hs_lead_label",
            "hs_pipeline",
            "hs_pipeline_stage",
            "hubspot_owner_id",
            "hs_createdate",
            OTHERS_MODIFIED,
            "hs_object_source",
            "hs_object_source_label",
        ],
    },
    Pulled {
        object: DEALS,
        type_id: "0-3",
        modified: OTHERS_MODIFIED,
        properties: &[
            "dealname",
            "description",
            "amount",
            "pipeline",
            "dealstage",
            "hubspot_owner_id",
            "createdate",
            OTHERS_MODIFIED,
            "hs_object_source",
            "hs_object_source_label",
            "hs_merged_object_ids",
        ],
    },
];

impl Pulled {
    /// What stands for that kind.
    pub(crate) fn of(kind: SlotKind) -> &'static Self {
        let [contacts, leads, deals] = &ALL;
        match kind {
            SlotKind::Lead => leads,
            SlotKind::Deal => deals,
            _ => contacts,
        }
    }
}
