//! One attempt to be granted access: the page to consent on, and the way back from it (FM-063, RFC 9700).
//!
//! An attempt takes one answer: at its own redirect URL, with its own state, once, in time. The code is bound to it by
//! PKCE as well, so that a code that was granted to another attempt can not be exchanged.

use std::time::Duration;

use jiff::Timestamp;
use oauth2::{AuthorizationCode, CsrfToken, PkceCodeVerifier};
use url::Url;
use usher_connector::Secret;

/// How long somebody may think about consenting.
const PATIENCE: Duration = Duration::from_secs(15 * 60);

/// A way back from the vendor that is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallbackError {
    /// Another address than the redirect URL.
    #[error("this is not the address that the vendor was told to come back to")]
    Elsewhere,
    /// No state, several, or another attempt's.
    #[error("this answer belongs to no attempt that is under way here: open the printed address again")]
    Forged,
    /// The attempt has had its answer.
    #[error("this attempt is over: run `usher connect` again")]
    Over,
    /// Too late.
    #[error("the answer came too late: run `usher connect` again")]
    Late,
    /// It says that it comes from another vendor.
    #[error("the answer comes from another vendor than the one that was asked: run `usher connect` again")]
    OtherVendor,
    /// The vendor or the person refused.
    #[error("access was not granted ({code})")]
    Denied {
        /// The vendor's code.
        code: String,
    },
    /// Neither code nor error.
    #[error("the answer holds no code: run `usher connect` again")]
    NoCode,
}

impl CallbackError {
    /// Whether the attempt goes on: what anybody may send must not end it.
    #[must_use]
    pub fn goes_on(&self) -> bool {
        matches!(self, Self::Elsewhere | Self::Forged)
    }
}

/// An attempt under way. Debug shows no secret.
#[derive(Debug)]
pub struct Attempt {
    url: Url,
    redirect: Url,
    state: CsrfToken,
    begun: Timestamp,
    /// Until the answer came.
    verifier: Option<PkceCodeVerifier>,
}

/// A code that may be exchanged, with what it is bound to.
#[derive(Debug)]
pub struct Code {
    pub(super) code: AuthorizationCode,
    pub(super) verifier: PkceCodeVerifier,
    pub(super) redirect: Url,
}

impl Attempt {
    pub(super) fn new(
        url: Url,
        redirect: Url,
        state: CsrfToken,
        verifier: PkceCodeVerifier,
        now: Timestamp,
    ) -> Self {
        Self { url, redirect, state, begun: now, verifier: Some(verifier) }
    }

    /// The page to consent on. It holds the state: print it for the operator and nowhere else.
    #[must_use]
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// Takes the address that the vendor sent the browser to.
    pub fn accept(&mut self, callback: &Url, now: Timestamp) -> Result<Code, CallbackError> {
        if !self.is_ours(callback) {
            return Err(CallbackError::Elsewhere);
        }
        if !self.state_fits(&every(callback, "state")) {
            return Err(CallbackError::Forged);
        }
        let verifier = self.verifier.take().ok_or(CallbackError::Over)?;
        self.in_time(now)?;
        let vendor = self.url.origin();
        let strange = |issuer: &String| Url::parse(issuer).map_or(true, |issuer| issuer.origin() != vendor);
        if every(callback, "iss").iter().any(strange) {
            return Err(CallbackError::OtherVendor);
        }
        if let Some(code) = every(callback, "error").first() {
            let plain = code.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
            let code =
                if plain && code.len() <= 60 { code.clone() } else { "for no known reason".to_owned() };
            return Err(CallbackError::Denied { code });
        }
        match every(callback, "code").as_slice() {
            [code] if !code.is_empty() => Ok(self.code(code.clone(), verifier)),
            _ => Err(CallbackError::NoCode),
        }
    }

    /// Takes what a person copied: the whole address, its query, or the code alone. A code alone carries no state; then
    /// PKCE, and the person who copied it, vouch for it.
    pub fn accept_pasted(&mut self, pasted: &str, now: Timestamp) -> Result<Code, CallbackError> {
        let pasted = pasted.trim();
        if let Ok(url) = Url::parse(pasted) {
            return self.accept(&url, now);
        }
        if let Some(query) = pasted.strip_prefix('?').or_else(|| pasted.contains("code=").then_some(pasted)) {
            let mut url = self.redirect.clone();
            url.set_query(Some(query));
            return self.accept(&url, now);
        }
        if pasted.is_empty() || !pasted.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(CallbackError::NoCode);
        }
        let verifier = self.verifier.take().ok_or(CallbackError::Over)?;
        self.in_time(now)?;
        Ok(self.code(pasted.to_owned(), verifier))
    }

    fn code(&self, code: String, verifier: PkceCodeVerifier) -> Code {
        Code { code: AuthorizationCode::new(code), verifier, redirect: self.redirect.clone() }
    }

    fn is_ours(&self, callback: &Url) -> bool {
        let mut place = callback.clone();
        place.set_query(None);
        place == self.redirect
    }

    fn state_fits(&self, found: &[String]) -> bool {
        let [found] = found else { return false };
        Secret::new(self.state.secret().as_str()).matches(found.as_bytes())
    }

    fn in_time(&self, now: Timestamp) -> Result<(), CallbackError> {
        if now < self.begun + PATIENCE { Ok(()) } else { Err(CallbackError::Late) }
    }
}

fn every(url: &Url, name: &str) -> Vec<String> {
    url.query_pairs().filter(|(key, _)| key == name).map(|(_, value)| value.into_owned()).collect()
}
