//! What is kept of an OAuth grant. The tokens themselves stand in it only sealed: who has the key opens them.

use std::fmt;

use jiff::Timestamp;

use crate::ConnectionName;

/// Tokens as stored, encrypted. Debug shows the key's id and nothing else.
#[derive(Clone, PartialEq, Eq)]
pub struct SealedTokens {
    /// The id of the key that opens them.
    pub key: String,
    /// The access token.
    pub access: Vec<u8>,
    /// The refresh token, if the vendor gave one.
    pub refresh: Option<Vec<u8>>,
}

impl fmt::Debug for SealedTokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SealedTokens").field("key", &self.key).finish_non_exhaustive()
    }
}

/// What a vendor granted to a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenGrant {
    /// The vendor's id of the account.
    pub account: String,
    /// The permissions granted, as the vendor names them; empty if it does not say.
    pub scopes: Vec<String>,
    /// Where the account's API is, for vendors whose token answer says so.
    pub base_url: Option<String>,
    /// The tokens.
    pub sealed: SealedTokens,
    /// When the access token was asked for.
    pub obtained_at: Timestamp,
    /// When the access token ends; `None` if the vendor does not say.
    pub expires_at: Option<Timestamp>,
}

/// What stands in the way of renewing a grant, by what helps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TroubleKind {
    /// The vendor does not answer: it passes by itself.
    Outage,
    /// The vendor refuses the app or answers something else than a token: an operator must look.
    Refused,
    /// The grant is gone: only connecting again helps.
    Revoked,
}

impl TroubleKind {
    /// The name as stored and shown.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Outage => "outage",
            Self::Refused => "refused",
            Self::Revoked => "revoked",
        }
    }
}

/// Why a grant could not be renewed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenTrouble {
    /// What it is.
    pub kind: TroubleKind,
    /// Since when.
    pub since: Timestamp,
    /// Attempts since then, all of them in vain.
    pub attempts: u32,
    /// No attempt before; `None` if only connecting again helps.
    pub retry_at: Option<Timestamp>,
    /// What happened, without secrets.
    pub problem: String,
}

/// The stored grant of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenRow {
    /// The connection.
    pub connection: ConnectionName,
    /// Grows by one whenever the row is replaced, from 1.
    pub version: u64,
    /// The grant.
    pub grant: TokenGrant,
    /// What stands in the way of renewing it.
    pub trouble: Option<TokenTrouble>,
}
