//! Why a cleaner left a field empty.

use serde::Serialize;

/// Why something could not be cleaned. Never contains the value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Reason {
    /// Nothing is left after trimming.
    #[error("it is empty")]
    Empty,
    /// Longer than any real value.
    #[error("it is too long")]
    TooLong,
    /// No `@`.
    #[error("an email address has an @")]
    NoAt,
    /// More than one address.
    #[error("it has more than one value, one is expected")]
    Several,
    /// The part before the `@`.
    #[error("the part before the @ is not valid")]
    BadMailbox,
    /// The part behind the `@`, or the host of an address on the web.
    #[error("the domain is not valid")]
    BadDomain,
    /// A suffix such as `co.uk`, an address such as `10.0.0.1`, or a name without a dot.
    #[error("this is no domain that can be registered")]
    NotRegistrable,
    /// Not the form of a phone number.
    #[error("this is no phone number")]
    NotAPhone,
    /// A national number and no region to read it in.
    #[error("a number without country code needs a default region")]
    NoRegion,
    /// The default region is no ISO 3166 code of two letters.
    #[error("the default region is not known, use two letters such as DE")]
    UnknownRegion,
    /// No numbering plan has it.
    #[error("no country has such a phone number")]
    NotAssigned,
    /// Neither code nor name of a country.
    #[error("this country is not known")]
    UnknownCountry,
    /// No number in it.
    #[error("this is no number")]
    NotANumber,
}
