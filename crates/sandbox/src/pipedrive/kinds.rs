//! The object types that lead routing needs, and the ids of leads.

/// An object type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Kind {
    Person,
    Organization,
    Deal,
    Activity,
    Lead,
    Note,
}

impl Kind {
    pub(crate) const ALL: [Self; 6] =
        [Self::Person, Self::Organization, Self::Deal, Self::Activity, Self::Lead, Self::Note];

    /// The name in paths.
    pub(crate) fn plural(self) -> &'static str {
        match self {
            Self::Person => "persons",
            Self::Organization => "organizations",
            Self::Deal => "deals",
            Self::Activity => "activities",
            Self::Lead => "leads",
            Self::Note => "notes",
        }
    }

    /// The name in webhooks and search results.
    pub(crate) fn singular(self) -> &'static str {
        match self {
            Self::Person => "person",
            Self::Organization => "organization",
            Self::Deal => "deal",
            Self::Activity => "activity",
            Self::Lead => "lead",
            Self::Note => "note",
        }
    }

    pub(crate) fn find(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.plural() == name || kind.singular() == name)
    }

    /// Whose custom fields it has: leads take those of deals, activities and notes have none (v1 document, addLead; API-FACTS).
    pub(crate) fn fields_of(self) -> Option<Self> {
        match self {
            Self::Lead => Some(Self::Deal),
            Self::Activity | Self::Note => None,
            other => Some(other),
        }
    }
}

/// The vendor's id of a lead: a UUID, here one that holds the lead's number in its last group.
#[must_use]
pub fn lead_uuid(number: u64) -> String {
    let mixed = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    format!(
        "{:08x}-{:04x}-11f1-8{:03x}-{:012x}",
        mixed >> 32,
        (mixed >> 16) & 0xffff,
        mixed & 0xfff,
        number & 0xffff_ffff_ffff
    )
}

/// The number in a lead's UUID.
#[must_use]
pub fn lead_number(uuid: &str) -> Option<u64> {
    let number = u64::from_str_radix(uuid.rsplit('-').next()?, 16).ok()?;
    lead_uuid(number).eq_ignore_ascii_case(uuid).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lead_is_found_by_its_whole_uuid_only() {
        let uuid = lead_uuid(77);
        assert_eq!((uuid.len(), lead_number(&uuid)), (36, Some(77)));
        assert_eq!(lead_number("00000000-0000-11f1-8000-00000000004d"), None);
        assert_eq!(lead_number("77"), None);
    }
}
