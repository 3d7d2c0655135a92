//! Typed ids: a lead id can not be passed where a rule or an account is meant.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A text that is not an id of the expected kind.
#[derive(Debug, thiserror::Error)]
#[error("`{found}` is not a {kind} id: expected 32 hexadecimal digits, as `usher leads list` prints them")]
pub struct ParseIdError {
    kind: &'static str,
    found: String,
    #[source]
    source: uuid::Error,
}

macro_rules! typed_id {
    ($($(#[$doc:meta])* $name:ident, $kind:literal;)*) => {$(
        $(#[$doc])*
        ///
        /// A UUID v7, so ids sort by the time they were made; written as 32 hexadecimal digits.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Uuid);

        impl $name {
            /// A fresh id whose time part is `now`; the rest is random.
            #[must_use]
            pub fn new(now: Timestamp) -> Self {
                let seconds = now.as_second().unsigned_abs();
                let nanos = now.subsec_nanosecond().unsigned_abs();
                Self(Uuid::new_v7(uuid::Timestamp::from_unix(uuid::NoContext, seconds, nanos)))
            }

            /// The id as raw bytes, for keys derived from it.
            #[must_use]
            pub fn as_bytes(&self) -> &[u8; 16] {
                self.0.as_bytes()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.simple().fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($kind, ":{}"), self.0.simple())
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;
            fn from_str(text: &str) -> Result<Self, ParseIdError> {
                Uuid::parse_str(text)
                    .map(Self)
                    .map_err(|source| ParseIdError { kind: $kind, found: text.to_owned(), source })
            }
        }

        impl TryFrom<String> for $name {
            type Error = ParseIdError;
            fn try_from(text: String) -> Result<Self, ParseIdError> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.to_string()
            }
        }
    )*};
}

typed_id! {
    /// One raw webhook body as received.
    DeliveryId, "delivery";
    /// One object version from a source.
    RecordId, "record";
    /// An identity cluster: one human being.
    PersonId, "person";
    /// One inquiry by a person.
    LeadId, "lead";
    /// A company known to the CRM.
    AccountId, "account";
    /// One pass of a lead through the decider.
    EpisodeId, "episode";
    /// The stored outcome of an episode.
    DecisionId, "decision";
}

macro_rules! typed_text {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Wraps the text as it is.
            #[must_use]
            pub fn new(text: impl Into<Arc<str>>) -> Self {
                Self(text.into())
            }

            /// The text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&*self.0, f)
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self::new(text)
            }
        }

        impl From<String> for $name {
            fn from(text: String) -> Self {
                Self::new(text)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
    )*};
}

typed_text! {
    /// The name of a configured account at a vendor, as the admin wrote it (`hubspot-main`).
    ConnectionName;
    /// A kind of object in the vendor's own words (`contacts`, `responses`).
    ObjectType;
    /// An id in the vendor's own form. Never parsed: vendors use digits, UUIDs, URIs and URNs.
    ExternalId;
    /// A rep's key in `routing.yaml` (`ana`).
    RepKey;
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn ids_round_trip_as_text_and_sort_by_time() {
        let early = LeadId::new(Timestamp::from_second(1_000).unwrap());
        let late = LeadId::new(Timestamp::from_second(2_000).unwrap());
        assert!(early < late);
        assert_eq!(early.to_string().parse::<LeadId>().unwrap(), early);
        assert!(early.to_string() < late.to_string());
    }

    #[test]
    fn a_wrong_id_says_what_was_found() {
        let error = "ana@acme.example".parse::<LeadId>().unwrap_err();
        assert!(error.to_string().contains("`ana@acme.example` is not a lead id"));
    }
}
