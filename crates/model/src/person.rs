//! A person: the identity cluster behind one or more leads.

use serde::{Deserialize, Serialize};

use crate::id::PersonId;

/// What an identity key is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IdentityKind {
    /// A personal e-mail address, in key form.
    Email,
    /// A phone number in E.164 form.
    Phone,
}

impl IdentityKind {
    /// The name as stored and shown.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Email => "email",
            Self::Phone => "phone",
        }
    }
}

/// A value that may name one person. A personal e-mail address does; a phone number or a shared inbox may belong to
/// several, and `identity` decides.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct IdentityKey {
    /// What the key is made of.
    pub kind: IdentityKind,
    /// The cleaned value.
    pub value: String,
}

/// An identity cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Person {
    /// Our id.
    pub id: PersonId,
    /// Every key known of this person.
    pub keys: Vec<IdentityKey>,
}
