//! Why there is no token, and what the caller is told. A wait or a failed store says nothing about the credentials.

use usher_connector::{Fault, FaultClass};
use usher_model::{ConnectionName, TokenTrouble, TroubleKind};

use super::keyring::{KeyError, OpenError};
use super::store::TokenStoreError;

/// Why there is no token.
#[derive(Debug)]
pub(super) enum Lack {
    /// Nobody has granted access yet.
    NeverConnected,
    /// The grant can not be renewed, or not yet.
    Trouble(TokenTrouble),
    /// The vendor's API refuses a token that the vendor has just given.
    RefusedAtOnce,
    /// The store failed.
    Store(TokenStoreError),
    /// The keys can not be read.
    Keys(KeyError),
    /// They do not open what is stored.
    Open(OpenError),
}

impl Lack {
    /// The fault of a call that was not made for want of a token.
    pub(super) fn fault(self, connection: &ConnectionName) -> Fault {
        use FaultClass::{Misconfigured, Transient, Unauthorized};
        let connect = format!("run `usher connect {connection}`");
        match self {
            Self::NeverConnected => Fault::new(Unauthorized, "not connected yet").advise(connect),
            Self::RefusedAtOnce => {
                Fault::new(Unauthorized, "the vendor refuses tokens that it gave us a moment ago")
                    .advise(format!("check that the app is still installed in the account, then {connect}"))
            }
            Self::Trouble(trouble) => match trouble.kind {
                TroubleKind::Outage => Fault::new(Transient, trouble.problem),
                TroubleKind::Refused => Fault::new(Misconfigured, trouble.problem),
                TroubleKind::Revoked => {
                    Fault::new(Unauthorized, format!("reconnect needed: {}", trouble.problem)).advise(connect)
                }
            },
            Self::Store(error) => Fault::new(Transient, NO_TOKEN).because(error),
            Self::Keys(error) => Fault::new(Misconfigured, NO_TOKEN).because(error),
            Self::Open(error) => Fault::new(Misconfigured, NO_TOKEN).because(error),
        }
    }
}

const NO_TOKEN: &str = "there is no usable token";

impl From<TokenStoreError> for Lack {
    fn from(error: TokenStoreError) -> Self {
        Self::Store(error)
    }
}

impl From<KeyError> for Lack {
    fn from(error: KeyError) -> Self {
        Self::Keys(error)
    }
}

impl From<OpenError> for Lack {
    fn from(error: OpenError) -> Self {
        Self::Open(error)
    }
}
