//! What connectors run on: HTTP, OAuth, secrets, rate limits, retries, redaction, files.
//!
//! A connection gets a [`VendorHttp`]: its base URL ([`BaseUrl`]), its [`Credential`], its vendor's limits
//! ([`Limiter`]) and bounds on time and size ([`HttpSettings`]). It sends what a connector asks for, repeats only what
//! is provably safe, and gives each failure its final class.

mod address;
mod clock;
mod credential;
mod files;
mod lease;
mod limiter;
mod oauth;
mod operator_url;
mod redact;
mod secret;
#[cfg(test)]
mod testing;
mod tls;
mod vendor;

pub use crate::address::{BaseUrl, BaseUrlError};
pub use crate::clock::WatchedClock;
pub use crate::credential::{Credential, CredentialError};
pub use crate::files::LocalFiles;
pub use crate::lease::{Lease, Life, Moment, under};
pub use crate::limiter::{Allowance, LimitStatus, Limiter, LimiterSettings, Permit, Share, ShareError};
pub use crate::oauth::{
    AppError, AppSpec, Attempt, CallbackError, Code, ConnectError, GrantError, KeeperSpec, KeyError,
    KeySource, Keyring, OAuthApp, OpenError, ResealError, TokenAnswer, TokenKeeper, TokenStore,
    TokenStoreError, new_key, reseal,
};
pub use crate::operator_url::{OperatorUrl, OperatorUrlError};
pub use crate::secret::{SecretError, resolve_env, resolve_file};
pub use crate::tls::install as install_tls;
pub use crate::vendor::{HttpSettings, HttpSettingsError, NoHttp, VendorHttp, VendorSpec};
