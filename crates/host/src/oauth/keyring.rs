//! The keys that seal tokens at rest. They are never in the database (FM-098).

use std::fmt;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chacha20poly1305::aead::{Aead as _, Payload};
use chacha20poly1305::{Key as CipherKey, KeyInit as _, XChaCha20Poly1305, XNonce};
use sha2::{Digest as _, Sha256};
use usher_connector::Secret;
use usher_model::{ConnectionName, SealedTokens};

use crate::secret::{SecretError, resolve_env, resolve_file};

/// Marks a key's text and the way in which it is used.
const MARK: &str = "usher-key-1:";
/// Random for each sealing: 24 bytes never repeat by chance.
const NONCE: usize = 24;

/// Keys that can not be used. Never shows one.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file or variable can not be read.
    #[error(
        "the key that encrypts tokens can not be read: if tokens are stored already, put it back from a backup; for a first one run `usher key new`"
    )]
    Unreadable(#[from] SecretError),
    /// It holds something else.
    #[error(
        "part {part} of the key file or variable is no key: it must hold keys as `usher key new` makes them, the newest first"
    )]
    NotAKey {
        /// Which part between blanks, from 1.
        part: usize,
    },
}

/// Sealed tokens that these keys do not open.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// Sealed with another key.
    #[error(
        "the tokens of `{connection}` are sealed with the key {sealed}, and here is {here}: put the key {sealed} back (a backup of the key file has it), or delete the tokens with `usher key new --forget-tokens` and connect again"
    )]
    OtherKey {
        /// Whose tokens.
        connection: ConnectionName,
        /// The id of the key that they need.
        sealed: String,
        /// The ids of the keys at hand.
        here: String,
    },
    /// The right key does not open them.
    #[error(
        "the stored tokens of `{connection}` are damaged or were moved there from another connection: run `usher connect {connection}`"
    )]
    Damaged {
        /// Whose tokens.
        connection: ConnectionName,
    },
}

/// Where the keys are. They are read again each time, so that a running daemon learns of a rotation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeySource {
    /// In a file with nothing but keys.
    File(PathBuf),
    /// In an environment variable.
    Env(String),
}

impl KeySource {
    /// Reads the keys.
    pub fn read(&self) -> Result<Keyring, KeyError> {
        let text = match self {
            Self::File(path) => resolve_file(path)?,
            Self::Env(name) => resolve_env(name)?,
        };
        Keyring::parse(&text)
    }

    /// The file, if it is one.
    #[must_use]
    pub fn file(&self) -> Option<&Path> {
        match self {
            Self::File(path) => Some(path),
            Self::Env(_) => None,
        }
    }
}

impl fmt::Display for KeySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "the file {}", path.display()),
            Self::Env(name) => write!(f, "the environment variable {name}"),
        }
    }
}

/// A key's text, ready to be stored where [`KeySource`] finds it.
#[must_use]
pub fn new_key() -> Secret {
    let bytes: [u8; 32] = rand::random();
    Secret::new(format!("{MARK}{}", URL_SAFE_NO_PAD.encode(bytes)))
}

struct Key {
    id: String,
    cipher: XChaCha20Poly1305,
}

/// Opened tokens.
#[derive(Debug, Clone)]
pub(crate) struct Tokens {
    pub(crate) access: Secret,
    pub(crate) refresh: Option<Secret>,
}

/// Keys, of which the first seals and all open.
pub struct Keyring(Vec<Key>);

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Keyring").field(&self.ids()).finish()
    }
}

impl Keyring {
    /// Reads keys with blanks or line breaks between them.
    pub fn parse(text: &Secret) -> Result<Self, KeyError> {
        let parts = text.expose().split(u8::is_ascii_whitespace).filter(|part| !part.is_empty());
        let keys: Result<Vec<Key>, KeyError> = parts
            .enumerate()
            .map(|(index, part)| key(part).ok_or(KeyError::NotAKey { part: index + 1 }))
            .collect();
        let keys = keys?;
        if keys.is_empty() { Err(KeyError::NotAKey { part: 1 }) } else { Ok(Self(keys)) }
    }

    /// The ids of the keys; the first is the one that seals.
    #[must_use]
    pub fn ids(&self) -> Vec<&str> {
        self.0.iter().map(|key| key.id.as_str()).collect()
    }

    /// Seals tokens for one connection; they open for no other.
    pub(crate) fn seal(&self, connection: &ConnectionName, tokens: &Tokens) -> SealedTokens {
        // A keyring has a first key: `parse` refuses an empty one.
        let key = &self.0[0];
        let seal = |field, secret: &Secret| key.seal(&bound_to(connection, field, &key.id), secret.expose());
        SealedTokens {
            key: key.id.clone(),
            access: seal("access", &tokens.access),
            refresh: tokens.refresh.as_ref().map(|refresh| seal("refresh", refresh)),
        }
    }

    /// Opens what was sealed for that connection.
    pub(crate) fn open(
        &self,
        connection: &ConnectionName,
        sealed: &SealedTokens,
    ) -> Result<Tokens, OpenError> {
        let Some(key) = self.0.iter().find(|key| key.id == sealed.key) else {
            let (sealed, here) = (sealed.key.clone(), self.ids().join(", "));
            return Err(OpenError::OtherKey { connection: connection.clone(), sealed, here });
        };
        let open = |field, bytes: &[u8]| {
            let opened = key.open(&bound_to(connection, field, &key.id), bytes);
            opened.ok_or_else(|| OpenError::Damaged { connection: connection.clone() })
        };
        Ok(Tokens {
            access: open("access", &sealed.access)?,
            refresh: sealed.refresh.as_ref().map(|refresh| open("refresh", refresh)).transpose()?,
        })
    }
}

impl Key {
    fn seal(&self, bound_to: &[u8], plain: &[u8]) -> Vec<u8> {
        let nonce: [u8; NONCE] = rand::random();
        let sealed = self.cipher.encrypt(&XNonce::from(nonce), Payload { msg: plain, aad: bound_to });
        // The cipher refuses only messages of more than 256 GiB.
        [nonce.as_slice(), &sealed.unwrap_or_default()].concat()
    }

    fn open(&self, bound_to: &[u8], sealed: &[u8]) -> Option<Secret> {
        let (nonce, sealed) = sealed.split_first_chunk::<NONCE>()?;
        let opened = self.cipher.decrypt(&XNonce::from(*nonce), Payload { msg: sealed, aad: bound_to });
        opened.ok().map(Secret::new)
    }
}

fn key(text: &[u8]) -> Option<Key> {
    let text = text.strip_prefix(MARK.as_bytes())?;
    let bytes: [u8; 32] = URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok()?;
    let digest = Sha256::new().chain_update(b"usher key id\0").chain_update(bytes).finalize();
    let id = digest.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
    Some(Key { id, cipher: XChaCha20Poly1305::new(&CipherKey::from(bytes)) })
}

/// What a sealed token is bound to: moved to another connection or field, it does not open.
fn bound_to(connection: &ConnectionName, field: &str, key: &str) -> Vec<u8> {
    format!("usher token\0{connection}\0{field}\0{key}").into_bytes()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn ring(keys: &[&Secret]) -> Keyring {
        let text = keys.iter().map(|key| key.expose()).collect::<Vec<_>>().join(&b"\n"[..]);
        Keyring::parse(&Secret::new(text)).unwrap()
    }

    fn tokens() -> Tokens {
        Tokens { access: Secret::new("canary-access"), refresh: Some(Secret::new("canary-refresh")) }
    }

    fn crm() -> ConnectionName {
        ConnectionName::new("crm")
    }

    #[test]
    fn fm_098_what_was_sealed_opens_with_its_key_and_shows_nothing() {
        let (old, new) = (new_key(), new_key());
        let sealed = ring(&[&old]).seal(&crm(), &tokens());
        let again = ring(&[&old]).seal(&crm(), &tokens());
        assert_ne!(sealed.access, again.access, "each sealing has its own nonce");
        for bytes in [&sealed.access, sealed.refresh.as_ref().unwrap()] {
            assert!(!bytes.windows(6).any(|window| window == b"canary"));
        }
        let rotated = ring(&[&new, &old]);
        let opened = rotated.open(&crm(), &sealed).unwrap();
        assert_eq!(opened.access.expose(), b"canary-access");
        assert_eq!(opened.refresh.as_ref().unwrap().expose(), b"canary-refresh");
        assert_eq!(rotated.seal(&crm(), &tokens()).key, rotated.ids()[0]);
        let shown = format!("{rotated:?} {sealed:?} {opened:?} {old:?}");
        let key = String::from_utf8(old.expose().to_vec()).unwrap();
        assert!(!shown.contains("canary") && !shown.contains(&key[MARK.len()..]));
    }

    #[test]
    fn fm_098_another_key_connection_or_field_does_not_open() {
        let key = new_key();
        let (here, other) = (ring(&[&key]), ring(&[&new_key()]));
        let sealed = here.seal(&crm(), &tokens());
        let error = other.open(&crm(), &sealed).unwrap_err();
        assert!(matches!(&error, OpenError::OtherKey { sealed, .. } if *sealed == here.ids()[0]));
        assert!(error.to_string().contains(other.ids()[0]), "{error}");
        let damaged = |name: &str, sealed: &SealedTokens| {
            let connection = ConnectionName::new(name);
            assert_eq!(here.open(&connection, sealed).unwrap_err(), OpenError::Damaged { connection });
        };
        damaged("form", &sealed);
        let swapped = SealedTokens {
            access: sealed.refresh.clone().unwrap(),
            refresh: Some(sealed.access.clone()),
            ..sealed.clone()
        };
        damaged("crm", &swapped);
        for at in [0, NONCE, sealed.access.len() - 1] {
            let mut access = sealed.access.clone();
            access[at] ^= 1;
            damaged("crm", &SealedTokens { access, ..sealed.clone() });
        }
        damaged("crm", &SealedTokens { access: vec![1; 5], ..sealed });
    }

    #[test]
    fn fm_098_what_is_no_key_is_refused_without_showing_it() {
        let good = String::from_utf8(new_key().expose().to_vec()).unwrap();
        let cut = &good[..good.len() - 2];
        for (text, part) in [
            ("", 1),
            (" \n", 1),
            ("canary", 1),
            (cut, 1),
            (&format!("{good} canary"), 2),
            (&format!("{good}A"), 1),
        ] {
            let error = Keyring::parse(&Secret::new(text)).unwrap_err();
            assert!(matches!(error, KeyError::NotAKey { part: found } if found == part), "{text:?}");
            assert!(!format!("{error} {error:?}").contains("canary"));
        }
    }
}
