//! The static facts of a connector, for `init`, `check` and the docs.

use crate::oauth::OAuth;

/// A role that a connector can play.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Pulls records.
    Source,
    /// Takes webhooks.
    Inbound,
    /// Lists owners and accounts.
    Directory,
    /// Writes.
    Target,
    /// Tells of touches, changes of owner and outcomes.
    Activity,
}

impl Role {
    /// Every role.
    pub const ALL: [Role; 5] = [Self::Source, Self::Inbound, Self::Directory, Self::Target, Self::Activity];

    /// The name as shown.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::Inbound => "inbound",
            Self::Directory => "directory",
            Self::Target => "target",
            Self::Activity => "activity",
        }
    }
}

/// How calls are authenticated. The host adds the header; the connector never sees the credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Auth {
    /// Makes no calls.
    None,
    /// `Authorization: Bearer <token>`.
    Bearer,
    /// A header of its own with the token as value.
    Header(&'static str),
}

/// A permission that the vendor must grant, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scope {
    /// The vendor's name for it.
    pub name: &'static str,
    /// The role that needs it.
    pub role: Role,
    /// Why, in one line that `init` prints.
    pub why: &'static str,
}

/// What `init` writes into usher.yaml for a connection of this connector.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConfigExample {
    /// The suggested connection name.
    pub name: &'static str,
    /// The YAML behind that name, indented by no blanks, with comments.
    pub yaml: &'static str,
    /// Whether the connection may be the CRM of record.
    pub is_crm: bool,
}

/// The static facts of a connector.
#[derive(Debug, Clone, Copy)]
pub struct Manifest {
    /// Its id in `connector:`.
    pub id: &'static str,
    /// Its name as people write it.
    pub title: &'static str,
    /// The roles that it can play.
    pub roles: &'static [Role],
    /// How its calls are authenticated.
    pub auth: Auth,
    /// How a token is got by OAuth; `None` for a vendor that only gives out tokens by hand.
    pub oauth: Option<OAuth>,
    /// The base URL unless the connection overrides it; `None` for a connector that makes no calls.
    pub base_url: Option<&'static str>,
    /// The permissions that it needs.
    pub scopes: &'static [Scope],
    /// The vendor's documentation.
    pub docs: &'static str,
    /// Its shipped mapping file, by name in `mappings/`.
    pub mapping: &'static str,
    /// What a person has to enter at the vendor for its webhooks, after the URL; `None` if it is told by API or sends none.
    pub webhooks_by_hand: Option<&'static str>,
    /// The keys that it reads under `pull:` besides `every`, which is the engine's.
    pub pull_keys: &'static [&'static str],
    /// Its part of the file that `init` writes.
    pub example: ConfigExample,
}
