//! The object types: names, type ids, scopes, time properties, defaults.

/// What the simulator knows of one object type.
#[derive(Debug)]
pub(crate) struct Kind {
    pub(crate) plural: &'static str,
    pub(crate) singular: &'static str,
    /// `0-1` and the like; accepted in paths everywhere (API-FACTS HubSpot, 2026-09).
    pub(crate) type_id: &'static str,
    pub(crate) modified: &'static str,
    pub(crate) created: &'static str,
    pub(crate) read_scope: &'static str,
    pub(crate) write_scope: &'static str,
    /// Returned when a request names no properties.
    pub(crate) defaults: &'static [&'static str],
    /// Required on create; see `validate`.
    pub(crate) required: &'static [&'static str],
    /// Searched by `query`.
    pub(crate) searchable: &'static [&'static str],
}

const CONTACT_READ: &str = "crm.objects.contacts.read";
const CONTACT_WRITE: &str = "crm.objects.contacts.write";

/// An activity: contact scopes, `hs_timestamp` required (API-FACTS HubSpot: Auth, Tasks).
const fn activity(
    plural: &'static str,
    singular: &'static str,
    type_id: &'static str,
    defaults: &'static [&'static str],
    searchable: &'static [&'static str],
) -> Kind {
    Kind {
        plural,
        singular,
        type_id,
        modified: "hs_lastmodifieddate",
        created: "hs_createdate",
        read_scope: CONTACT_READ,
        write_scope: CONTACT_WRITE,
        defaults,
        required: &["hs_timestamp"],
        searchable,
    }
}

const ACTIVITY_DEFAULTS: &[&str] = &["hs_createdate", "hs_lastmodifieddate", "hs_object_id"];

pub(crate) const CONTACTS: usize = 0;
pub(crate) const COMPANIES: usize = 1;
pub(crate) const DEALS: usize = 2;
pub(crate) const TASKS: usize = 3;
pub(crate) const LEADS: usize = 8;

/// Every object type, in the order of the internal index.
pub(crate) static KINDS: [Kind; 11] = [
    Kind {
        plural: "contacts",
        singular: "contact",
        type_id: "0-1",
        modified: "lastmodifieddate",
        created: "createdate",
        read_scope: CONTACT_READ,
        write_scope: CONTACT_WRITE,
        defaults: &["createdate", "email", "firstname", "hs_object_id", "lastmodifieddate", "lastname"],
        required: &[],
        searchable: &["firstname", "lastname", "email", "phone", "company"],
    },
    Kind {
        plural: "companies",
        singular: "company",
        type_id: "0-2",
        modified: "hs_lastmodifieddate",
        created: "createdate",
        read_scope: "crm.objects.companies.read",
        write_scope: "crm.objects.companies.write",
        defaults: &["createdate", "domain", "hs_lastmodifieddate", "hs_object_id", "name"],
        required: &[],
        searchable: &["website", "phone", "name", "domain"],
    },
    Kind {
        plural: "deals",
        singular: "deal",
        type_id: "0-3",
        modified: "hs_lastmodifieddate",
        created: "createdate",
        read_scope: "crm.objects.deals.read",
        write_scope: "crm.objects.deals.write",
        defaults: &[
            "amount",
            "closedate",
            "createdate",
            "dealname",
            "dealstage",
            "hs_lastmodifieddate",
            "hs_object_id",
            "pipeline",
        ],
        required: &["dealname", "dealstage"],
        searchable: &["dealname", "pipeline", "dealstage", "description"],
    },
    activity("tasks", "task", "0-27", ACTIVITY_DEFAULTS, &["hs_task_subject", "hs_task_body"]),
    activity("notes", "note", "0-46", ACTIVITY_DEFAULTS, &["hs_note_body"]),
    activity("calls", "call", "0-48", ACTIVITY_DEFAULTS, &["hs_call_title", "hs_call_body"]),
    activity("emails", "email", "0-49", ACTIVITY_DEFAULTS, &["hs_email_subject", "hs_email_text"]),
    activity("meetings", "meeting", "0-47", ACTIVITY_DEFAULTS, &["hs_meeting_title", "hs_meeting_body"]),
    Kind {
        plural: "leads",
        singular: "lead",
        type_id: "0-136",
        modified: "hs_lastmodifieddate",
        created: "hs_createdate",
        read_scope: "crm.objects.leads.read",
        write_scope: "crm.objects.leads.write",
        defaults: ACTIVITY_DEFAULTS,
        required: &["hs_lead_name"],
        searchable: &["hs_lead_name"],
    },
    Kind {
        plural: "users",
        singular: "user",
        type_id: "0-115",
        modified: "hs_lastmodifieddate",
        created: "hs_createdate",
        read_scope: "crm.objects.users.read",
        write_scope: "crm.objects.users.write",
        defaults: ACTIVITY_DEFAULTS,
        required: &[],
        searchable: &["hs_email", "hs_given_name", "hs_family_name"],
    },
    Kind {
        plural: "tickets",
        singular: "ticket",
        type_id: "0-5",
        modified: "hs_lastmodifieddate",
        created: "createdate",
        read_scope: "tickets",
        write_scope: "tickets",
        defaults: &["createdate", "hs_lastmodifieddate", "hs_object_id", "subject"],
        required: &["subject", "hs_pipeline_stage"],
        searchable: &["subject", "content"],
    },
];

/// Finds an object type by plural, singular or type id.
pub(crate) fn find(name: &str) -> Option<usize> {
    KINDS.iter().position(|kind| kind.plural == name || kind.singular == name || kind.type_id == name)
}

/// Association type ids of HubSpot's own pairs (API-FACTS HubSpot: Association type ids).
/// `(from, to, id, id of the way back, label)`; the first of a pair is its default.
static LINK_TYPES: &[(&str, &str, u32, u32, Option<&str>)] = &[
    ("contacts", "companies", 279, 280, None),
    ("contacts", "companies", 1, 2, Some("Primary")),
    ("tasks", "contacts", 204, 203, None),
    ("tasks", "companies", 192, 191, None),
    ("tasks", "deals", 216, 215, None),
    ("tasks", "tickets", 230, 229, None),
    ("tasks", "leads", 647, 646, None),
    ("notes", "contacts", 202, 201, None),
    ("notes", "companies", 190, 189, None),
    ("notes", "deals", 214, 213, None),
    ("notes", "tickets", 228, 227, None),
    ("notes", "leads", 855, 854, None),
    ("calls", "contacts", 194, 193, None),
    ("calls", "companies", 182, 181, None),
    ("emails", "contacts", 198, 197, None),
    ("emails", "companies", 186, 185, None),
    ("meetings", "contacts", 200, 199, None),
    ("meetings", "companies", 188, 187, None),
    ("contacts", "deals", 4, 3, None),
    ("companies", "deals", 342, 341, None),
    ("companies", "deals", 6, 5, Some("Primary")),
    ("leads", "contacts", 608, 607, None),
    ("leads", "contacts", 578, 579, Some("Primary")),
    ("leads", "companies", 610, 609, None),
    ("leads", "companies", 580, 581, Some("Primary")),
    ("contacts", "tickets", 15, 16, None),
];

/// One association type, seen from one side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LinkType {
    pub(crate) to: usize,
    pub(crate) id: u32,
    pub(crate) back: u32,
    pub(crate) label: Option<&'static str>,
}

/// All association types from one object type to another, the default first.
pub(crate) fn link_types(from: usize, to: usize) -> Vec<LinkType> {
    let (from_name, to_name) = (KINDS[from].plural, KINDS[to].plural);
    LINK_TYPES
        .iter()
        .filter_map(|&(a, b, id, back, label)| {
            if (a, b) == (from_name, to_name) {
                Some(LinkType { to, id, back, label })
            } else if (b, a) == (from_name, to_name) {
                Some(LinkType { to, id: back, back: id, label })
            } else {
                None
            }
        })
        .collect()
}

/// The association type with this id that starts at `from`.
pub(crate) fn link_type(from: usize, id: u32) -> Option<LinkType> {
    (0..KINDS.len()).flat_map(|to| link_types(from, to)).find(|link| link.id == id)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn constants_name_their_kinds_and_ids_meet_the_facts() {
        assert_eq!(KINDS[CONTACTS].plural, "contacts");
        assert_eq!(KINDS[COMPANIES].plural, "companies");
        assert_eq!(KINDS[DEALS].plural, "deals");
        assert_eq!(KINDS[TASKS].plural, "tasks");
        assert_eq!(KINDS[LEADS].plural, "leads");
        assert_eq!(find("0-27"), Some(TASKS));
        assert_eq!(link_type(TASKS, 204).unwrap().to, CONTACTS);
        assert_eq!(link_types(COMPANIES, CONTACTS)[0].id, 280);
        assert_eq!(
            link_types(CONTACTS, COMPANIES)[1],
            LinkType { to: COMPANIES, id: 1, back: 2, label: Some("Primary") }
        );
    }
}
