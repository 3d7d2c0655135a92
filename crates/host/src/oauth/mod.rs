//! OAuth 2: being granted access (RFC 6749 with PKCE, RFC 9700), and keeping the tokens good and sealed.
//!
//! An [`OAuthApp`] speaks to the vendor's endpoints as the connector's manifest describes them. An [`Attempt`] is one
//! trip to the consent page. A [`TokenKeeper`] renews; a [`TokenStore`], which the program provides, keeps what was
//! granted, sealed with a [`Keyring`].

mod answer;
mod app;
mod attempt;
mod connect;
mod cooldown;
mod keeper;
mod keyring;
mod lack;
mod reseal;
mod store;
#[cfg(test)]
mod tests;

pub use self::answer::{GrantError, TokenAnswer};
pub use self::app::{AppError, AppSpec, OAuthApp};
pub use self::attempt::{Attempt, CallbackError, Code};
pub use self::connect::ConnectError;
pub(crate) use self::keeper::Token;
pub use self::keeper::{KeeperSpec, TokenKeeper};
pub use self::keyring::{KeyError, KeySource, Keyring, OpenError, new_key};
pub use self::reseal::{ResealError, reseal};
pub use self::store::{TokenStore, TokenStoreError};

use crate::address::{BaseUrl, BaseUrlError};

/// An account's API at an address that is not used.
#[derive(Debug, thiserror::Error)]
pub enum ApiBaseError {
    /// It is no address to call.
    #[error("the address that the vendor names for the account's API can not be used")]
    Address(#[from] BaseUrlError),
    /// It is none of the vendor's.
    #[error(
        "the vendor names {host} for the account's API, which is none of its hosts; if it is right, set `base_url` of the connection"
    )]
    Host {
        /// Its host.
        host: String,
    },
}

/// The address that a token answer names, if it is one of the vendor's (FM-062).
fn api_base(app: &OAuthApp, told: &str) -> Result<BaseUrl, ApiBaseError> {
    let base = BaseUrl::parse(told, false)?;
    if app.allows_host(base.host()) {
        Ok(base)
    } else {
        Err(ApiBaseError::Host { host: base.host().to_owned() })
    }
}
