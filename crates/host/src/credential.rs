//! The credential of a connection, ready to be put on its calls.

use std::sync::Arc;
use std::time::Duration;

use http::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use usher_connector::{Auth, Fault, Secret};

use crate::address::BaseUrl;
use crate::oauth::{Token, TokenKeeper};

/// A credential that can not be used. Never shows the secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CredentialError {
    /// The connector needs one.
    #[error(
        "no token: set `auth` of the connection to `{{ token: {{ env: NAME }} }}` or `{{ token: {{ file: path }} }}`"
    )]
    Missing,
    /// The connector takes none.
    #[error("this connector makes no calls: leave out `auth`")]
    Unwanted,
    /// Blanks, line breaks or control characters.
    #[error(
        "the token has blanks, line breaks or other characters that no token has: copy it again from the vendor"
    )]
    Malformed,
    /// The connector's header has no valid name.
    #[error("`{0}` is no header name: this is a mistake in the connector")]
    HeaderName(&'static str),
}

/// The credential of a connection. Debug shows nothing.
#[derive(Debug, Clone)]
pub struct Credential(Kind);

#[derive(Debug, Clone)]
enum Kind {
    Open,
    Fixed(Header),
    Kept(Arc<TokenKeeper>),
}

/// A credential as a header. Debug shows no value.
#[derive(Debug, Clone)]
pub(crate) struct Header(HeaderName, HeaderValue);

/// What one call is authenticated with.
#[derive(Debug, Clone)]
pub(crate) enum Pass {
    /// Nothing.
    Open,
    /// A credential that stays.
    Fixed(Header),
    /// An access token, to be replaced if the vendor refuses it.
    Token(Arc<Token>),
}

impl Credential {
    /// For a connector that authenticates that way. Blanks around the secret are left out.
    pub fn new(auth: Auth, secret: Option<&Secret>) -> Result<Self, CredentialError> {
        match (auth, secret) {
            (Auth::None, None) => Ok(Self(Kind::Open)),
            (Auth::None, Some(_)) => Err(CredentialError::Unwanted),
            (_, None) => Err(CredentialError::Missing),
            (_, Some(secret)) => Header::new(auth, secret).map(|header| Self(Kind::Fixed(header))),
        }
    }

    /// An access token that somebody keeps good.
    #[must_use]
    pub fn kept(keeper: Arc<TokenKeeper>) -> Self {
        Self(Kind::Kept(keeper))
    }

    /// What a call takes along now. Waits at most `patience` for a token that is being renewed.
    pub(crate) async fn pass(&self, patience: Duration) -> Result<Pass, Fault> {
        match &self.0 {
            Kind::Open => Ok(Pass::Open),
            Kind::Fixed(header) => Ok(Pass::Fixed(header.clone())),
            Kind::Kept(keeper) => keeper.current(patience).await.map(Pass::Token),
        }
    }

    /// Another pass in place of one that the vendor refused; `None` if there is no other.
    pub(crate) async fn pass_after(&self, refused: &Pass, patience: Duration) -> Option<Result<Pass, Fault>> {
        match (&self.0, refused) {
            (Kind::Kept(keeper), Pass::Token(token)) => {
                Some(keeper.after(token, patience).await.map(Pass::Token))
            }
            _ => None,
        }
    }

    /// The vendor took a pass.
    pub(crate) fn accepted(&self) {
        if let Kind::Kept(keeper) = &self.0 {
            keeper.accepted();
        }
    }
}

impl Header {
    pub(crate) fn new(auth: Auth, secret: &Secret) -> Result<Self, CredentialError> {
        let (name, prefix) = match auth {
            Auth::None => return Err(CredentialError::Unwanted),
            Auth::Bearer => (AUTHORIZATION, "Bearer "),
            Auth::Header(name) => {
                let valid = HeaderName::from_bytes(name.as_bytes());
                (valid.map_err(|_| CredentialError::HeaderName(name))?, "")
            }
        };
        let token = secret.expose().trim_ascii();
        if token.is_empty() || !token.iter().all(u8::is_ascii_graphic) {
            return Err(CredentialError::Malformed);
        }
        let value = HeaderValue::from_bytes(&[prefix.as_bytes(), token].concat());
        let mut value = value.map_err(|_| CredentialError::Malformed)?;
        value.set_sensitive(true);
        Ok(Self(name, value))
    }
}

impl Pass {
    /// Puts it on a call, in place of whatever the call brought under that name.
    pub(crate) fn apply(&self, headers: &mut HeaderMap) {
        let header = match self {
            Self::Open => return,
            Self::Fixed(header) => header,
            Self::Token(token) => &token.header,
        };
        headers.insert(&header.0, header.1.clone());
    }

    /// Where the call goes, if the vendor said so when it gave the token.
    pub(crate) fn base(&self) -> Option<&BaseUrl> {
        match self {
            Self::Token(token) => token.base.as_ref(),
            Self::Open | Self::Fixed(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn header(auth: Auth, token: &str) -> Result<HeaderMap, CredentialError> {
        let credential = Credential::new(auth, Some(&Secret::new(token)))?;
        assert!(!format!("{credential:?}").contains("canary"));
        let Kind::Fixed(header) = credential.0 else { panic!("no header") };
        let mut headers = HeaderMap::new();
        Pass::Fixed(header).apply(&mut headers);
        assert!(!format!("{headers:?}").contains("canary"));
        Ok(headers)
    }

    #[test]
    fn each_kind_has_its_header() {
        assert_eq!(header(Auth::Bearer, " canary-1 \n").unwrap()["authorization"], "Bearer canary-1");
        assert_eq!(header(Auth::Header("X-Api-Key"), "canary").unwrap()["x-api-key"], "canary");
        assert!(Credential::new(Auth::None, None).is_ok());
    }

    #[test]
    fn what_can_be_no_token_is_refused_without_showing_it() {
        for wrong in ["", "  ", "cana ry", "canary\nX-Evil: 1", "canäry", "canary\0"] {
            assert_eq!(header(Auth::Bearer, wrong).unwrap_err(), CredentialError::Malformed, "{wrong:?}");
        }
        assert_eq!(Credential::new(Auth::Bearer, None).unwrap_err(), CredentialError::Missing);
        assert_eq!(header(Auth::None, "canary").unwrap_err(), CredentialError::Unwanted);
        assert_eq!(
            header(Auth::Header("no name"), "canary").unwrap_err(),
            CredentialError::HeaderName("no name")
        );
    }
}
