//! How a sender proves itself: Standard Webhooks, a shared secret, or basic authentication.

use http::HeaderName;
use jiff::{SignedDuration, Timestamp};
use usher_connector::signature::{decode_base64, matches_base64, within};
use usher_connector::{Host, Parts, Secret};

use crate::config::{AuthSettings, BASIC_NAMES, SECRET_NAMES};

/// Standard Webhooks 1.0.0: a signed time may be this far from now, in either direction.
const TOLERANCE: SignedDuration = SignedDuration::from_mins(5);

/// The proof that is asked for, with its secrets. An empty secret proves nothing and counts as none.
#[derive(Debug)]
pub(crate) enum Auth {
    /// Decoded signing keys.
    Standard(Vec<Secret>),
    /// Secrets that a header may have.
    Header(HeaderName, Vec<Secret>),
    /// Secrets that a query parameter may have.
    Query(String, Vec<Secret>),
    /// User and password; `None` if either is missing.
    Basic(Option<[Secret; 2]>),
}

impl Auth {
    /// Takes the secrets from the host.
    pub(crate) fn new(settings: &AuthSettings, host: &Host) -> Self {
        let named = |name| {
            host.secret(name).map(|secret| trimmed(&secret)).filter(|secret| !secret.expose().is_empty())
        };
        let secrets = || SECRET_NAMES.into_iter().filter_map(named);
        match settings {
            AuthSettings::Standard(_) => {
                Self::Standard(secrets().filter_map(|secret| signing_key(&secret)).collect())
            }
            AuthSettings::Header(name, _) => Self::Header(name.clone(), secrets().collect()),
            AuthSettings::Query(name, _) => Self::Query(name.clone(), secrets().collect()),
            AuthSettings::Basic(_) => {
                let [user, password] = BASIC_NAMES.map(named);
                Self::Basic(user.zip(password).map(|(user, password)| [user, password]))
            }
        }
    }

    /// The signed id of a call; a shared secret signs none.
    pub(crate) fn event(&self, parts: &Parts) -> Option<String> {
        match self {
            Self::Standard(_) => parts.header("webhook-id").map(str::to_owned),
            Self::Header(..) | Self::Query(..) | Self::Basic(_) => None,
        }
    }

    /// Whether the request is genuine; the words are for the operator.
    pub(crate) fn check(&self, parts: &Parts, body: &[u8], now: Timestamp) -> Result<(), &'static str> {
        match self {
            Self::Standard(keys) => standard(keys, parts, body, now),
            Self::Header(name, secrets) => {
                let given =
                    parts.header(name.as_str()).ok_or("the header with the shared secret is missing")?;
                // `Authorization: Bearer …` is the common way to send one.
                shared(secrets, given.strip_prefix("Bearer ").unwrap_or(given))
            }
            Self::Query(name, secrets) => {
                let given = parts.query.iter().find(|(key, _)| key == name).map(|(_, value)| value);
                shared(secrets, given.ok_or("the query parameter with the shared secret is missing")?)
            }
            Self::Basic(credentials) => basic(credentials.as_ref(), parts),
        }
    }
}

/// Secrets come from files and variables that often end in a newline.
fn trimmed(secret: &Secret) -> Secret {
    Secret::new(secret.expose().trim_ascii())
}

/// The key behind `whsec_<base64>`; the prefix may be left out. `None` if it is no base64.
fn signing_key(secret: &Secret) -> Option<Secret> {
    let text = std::str::from_utf8(secret.expose()).ok()?;
    let key = decode_base64(text.strip_prefix("whsec_").unwrap_or(text))?;
    (!key.is_empty()).then(|| Secret::new(key))
}

fn standard(keys: &[Secret], parts: &Parts, body: &[u8], now: Timestamp) -> Result<(), &'static str> {
    if keys.is_empty() {
        return Err("the configured secret can not be used: it must be base64, as `whsec_…`");
    }
    let [id, time, signatures] =
        ["webhook-id", "webhook-timestamp", "webhook-signature"].map(|name| parts.header(name));
    let (Some(id), Some(time), Some(signatures)) = (id, time, signatures) else {
        return Err("one of the headers webhook-id, webhook-timestamp and webhook-signature is missing");
    };
    let signed = [id.as_bytes(), b".", time.as_bytes(), b".", body];
    // A list, because the sender signs with the old and the new key while it rotates; other versions are not for us.
    let genuine = signatures
        .split(' ')
        .filter_map(|signature| signature.strip_prefix("v1,"))
        .take(16)
        .any(|given| keys.iter().any(|key| matches_base64(key, &signed, given)));
    if !genuine {
        return Err(
            "no active secret matches webhook-signature: compare the sender's secret with the configured one",
        );
    }
    let at = time.parse().ok().and_then(|second| Timestamp::from_second(second).ok());
    match at {
        Some(at) if within(now, at, TOLERANCE) => Ok(()),
        Some(_) => {
            Err("the signed time is more than 5 minutes from now: a replay, or a wrong clock on one side")
        }
        None => Err("webhook-timestamp is no number of seconds"),
    }
}

fn shared(secrets: &[Secret], given: &str) -> Result<(), &'static str> {
    let genuine = secrets.iter().any(|secret| secret.matches(given.as_bytes()));
    if genuine {
        Ok(())
    } else {
        Err("the shared secret does not match: compare the sender's with the configured one")
    }
}

fn basic(credentials: Option<&[Secret; 2]>, parts: &Parts) -> Result<(), &'static str> {
    let given = parts.header("authorization").ok_or("the header Authorization is missing")?;
    let (scheme, encoded) =
        given.split_once(' ').ok_or("the header Authorization is not of the kind Basic")?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return Err("the header Authorization is not of the kind Basic");
    }
    let decoded = decode_base64(encoded.trim()).ok_or("the header Authorization is not base64")?;
    let colon =
        decoded.iter().position(|byte| *byte == b':').ok_or("the header Authorization has no password")?;
    let (user, password) = (&decoded[..colon], &decoded[colon + 1..]);
    // Both are compared, so that time does not tell which one is wrong.
    let genuine = credentials
        .is_some_and(|[want_user, want_password]| want_user.matches(user) & want_password.matches(password));
    if genuine {
        Ok(())
    } else {
        Err("user or password does not match: compare the sender's with the configured ones")
    }
}
