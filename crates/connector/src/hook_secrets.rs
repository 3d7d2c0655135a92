//! `inbound:` of a connection whose webhooks prove themselves by a secret: the secret, and the one before it.

use usher_document::{Cursor, SecretRef};

use crate::roles::Host;
use crate::secret::Secret;

/// The secret of webhooks, and during a rotation the one before it, which is good as well.
#[derive(Debug, Clone)]
pub struct HookSecrets {
    secret: SecretRef,
    previous: Option<SecretRef>,
}

impl HookSecrets {
    /// The names under which a host hands the two out.
    const NAMES: [&'static str; 2] = ["inbound.secret", "inbound.previous_secret"];

    /// Reads `inbound:`. `None` if it is wrong, which was reported.
    pub fn read(at: &Cursor<'_>) -> Option<Self> {
        let mut map = at.map()?;
        let secret = map.required("secret");
        let previous = map.optional_by("previous_secret", |at| at.read());
        map.finish();
        Some(Self { secret: secret?, previous: previous? })
    }

    /// What the host is to resolve, by name.
    #[must_use]
    pub fn named(&self) -> Vec<(&'static str, SecretRef)> {
        let both = [Some(&self.secret), self.previous.as_ref()];
        Self::NAMES.into_iter().zip(both).filter_map(|(name, secret)| Some((name, secret?.clone()))).collect()
    }

    /// The present secret.
    #[must_use]
    pub fn present(host: &Host) -> Option<Secret> {
        host.secret(Self::NAMES[0])
    }

    /// Every secret that a webhook may bring; none for a connection without `inbound`.
    #[must_use]
    pub fn good(host: &Host) -> Vec<Secret> {
        Self::NAMES.iter().filter_map(|name| host.secret(name)).collect()
    }
}
