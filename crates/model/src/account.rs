//! An account: a company known to the CRM, and the keys by which leads find it.

use serde::{Deserialize, Serialize};

use crate::id::{AccountId, ConnectionName, ExternalId};

/// A company known to the CRM.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// Our id.
    pub id: AccountId,
    /// The CRM connection that knows it.
    pub connection: ConnectionName,
    /// The CRM's id.
    pub external_id: ExternalId,
    /// The name as the CRM has it.
    pub name: String,
    /// The CRM's owner id, where it has one.
    pub owner: Option<ExternalId>,
    /// ISO 3166 two-letter code, where known.
    #[serde(default)]
    pub country: Option<String>,
}

/// What an account key is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AccountKeyKind {
    /// A registrable domain that belongs to one company (never free mail or a shared platform).
    Domain,
    /// A cleaned company name.
    Name,
}

impl AccountKeyKind {
    /// The name as stored and shown.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Domain => "domain",
            Self::Name => "name",
        }
    }
}

/// A value by which a lead may find an account. Several accounts may share one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct AccountKey {
    /// What the key is made of.
    pub kind: AccountKeyKind,
    /// The cleaned value.
    pub value: String,
}
