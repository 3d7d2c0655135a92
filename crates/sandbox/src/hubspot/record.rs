//! One record with its history.

use super::props::{PropId, Props};
use super::registry::{Registry, Virtual};
use crate::clock::{Millis, iso};
use crate::oracle::Actor;

/// Where a record or a value came from, as HubSpot names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    Integration,
    Import,
    CrmUi,
    Form,
    Automation,
    Merge,
}

impl Source {
    /// `hs_object_source` and the `sourceType` of a value's history.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Integration => "INTEGRATION",
            Self::Import => "IMPORT",
            Self::CrmUi => "CRM_UI",
            Self::Form => "FORM",
            Self::Automation => "AUTOMATION_PLATFORM",
            Self::Merge => "MERGE_OBJECTS",
        }
    }

    pub(crate) fn parse(name: &str) -> Option<Self> {
        [Self::Integration, Self::Import, Self::CrmUi, Self::Form, Self::Automation]
            .into_iter()
            .find(|source| source.name() == name)
    }
}

impl From<Actor> for Source {
    fn from(actor: Actor) -> Self {
        match actor {
            Actor::Api(_) | Actor::FormTool => Self::Integration,
            Actor::Human => Self::CrmUi,
            Actor::Form => Self::Form,
            Actor::Workflow => Self::Automation,
            Actor::Seed => Self::Import,
        }
    }
}

/// A value that a property took on.
#[derive(Debug, Clone)]
pub(crate) struct Past {
    pub(crate) prop: PropId,
    pub(crate) value: Box<str>,
    pub(crate) at: Millis,
    pub(crate) source: Source,
}

/// One record.
#[derive(Debug)]
pub(crate) struct Record {
    pub(crate) id: u64,
    pub(crate) created: Millis,
    pub(crate) modified: Millis,
    /// When it was archived, 0 while it lives.
    pub(crate) archived: Millis,
    /// The modified time under which the search index knows it, 0 while it does not.
    pub(crate) indexed: Millis,
    pub(crate) source: Source,
    pub(crate) props: Props,
    /// Changes after creation; the values of creation are added when they are first replaced.
    pub(crate) history: Vec<Past>,
}

impl Record {
    pub(crate) fn lives(&self) -> bool {
        self.archived == 0
    }

    pub(crate) fn owner(&self, registry: &Registry) -> u64 {
        self.props.get(registry.owner).and_then(|text| text.parse().ok()).unwrap_or(0)
    }

    /// The values of one property, the newest first (HubSpot docs: propertiesWithHistory).
    pub(crate) fn past(&self, registry: &Registry, prop: PropId) -> Vec<Past> {
        let mut all: Vec<Past> = self.history.iter().filter(|past| past.prop == prop).cloned().collect();
        all.reverse();
        if all.is_empty()
            && let Some(value) = self.view().value(registry, prop)
        {
            all.push(Past { prop, value: value.into(), at: self.created, source: self.source });
        }
        all
    }

    pub(crate) fn view(&self) -> View<'_> {
        View {
            id: self.id,
            created: self.created,
            modified: self.modified,
            source: self.source,
            props: &self.props,
        }
    }
}

/// A record as it is, or as the search index still knows it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct View<'a> {
    pub(crate) id: u64,
    pub(crate) created: Millis,
    pub(crate) modified: Millis,
    pub(crate) source: Source,
    pub(crate) props: &'a Props,
}

impl<'a> View<'a> {
    /// A property's value in the form that the API returns.
    pub(crate) fn value(&self, registry: &Registry, prop: PropId) -> Option<std::borrow::Cow<'a, str>> {
        match registry.get(prop).virtual_value {
            None => self.props.get(prop).map(Into::into),
            Some(Virtual::Id) => Some(self.id.to_string().into()),
            Some(Virtual::Created) => Some(iso(self.created).into()),
            Some(Virtual::Modified) => Some(iso(self.modified).into()),
            Some(Virtual::Source | Virtual::SourceLabel) => Some(self.source.name().into()),
        }
    }
}
