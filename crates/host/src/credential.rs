//! The credential of a connection, ready to be put on its calls.

use http::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use usher_connector::{Auth, Secret};

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
pub struct Credential(Option<(HeaderName, HeaderValue)>);

impl Credential {
    /// For a connector that authenticates that way. Blanks around the secret are left out.
    pub fn new(auth: Auth, secret: Option<&Secret>) -> Result<Self, CredentialError> {
        let (name, prefix) = match auth {
            Auth::None => {
                return if secret.is_none() { Ok(Self(None)) } else { Err(CredentialError::Unwanted) };
            }
            Auth::Bearer => (AUTHORIZATION, "Bearer "),
            Auth::Header(name) => {
                let valid = HeaderName::from_bytes(name.as_bytes());
                (valid.map_err(|_| CredentialError::HeaderName(name))?, "")
            }
        };
        let token = secret.ok_or(CredentialError::Missing)?.expose().trim_ascii();
        if token.is_empty() || !token.iter().all(u8::is_ascii_graphic) {
            return Err(CredentialError::Malformed);
        }
        let value = HeaderValue::from_bytes(&[prefix.as_bytes(), token].concat());
        let mut value = value.map_err(|_| CredentialError::Malformed)?;
        value.set_sensitive(true);
        Ok(Self(Some((name, value))))
    }

    /// Puts it on a call, in place of whatever the call brought under that name.
    pub(crate) fn apply(&self, headers: &mut HeaderMap) {
        if let Some((name, value)) = &self.0 {
            headers.insert(name, value.clone());
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
        let mut headers = HeaderMap::new();
        credential.apply(&mut headers);
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
