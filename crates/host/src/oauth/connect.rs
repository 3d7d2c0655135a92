//! Connecting: a code becomes a stored grant, of the account that was meant.

use usher_model::{TokenGrant, TokenRow};

use super::answer::GrantError;
use super::attempt::Code;
use super::keeper::TokenKeeper;
use super::keyring::{KeyError, Tokens};
use super::store::TokenStoreError;
use super::{ApiBaseError, OAuthApp, api_base};
use crate::credential::{CredentialError, Header};

/// A grant that was not stored. What the vendor granted is dropped unused.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The vendor gave no token.
    #[error(transparent)]
    Grant(#[from] GrantError),
    /// What it gave can be no token.
    #[error("the vendor gave something that can be no token")]
    Token(#[from] CredentialError),
    /// Nobody knows whose token it is.
    #[error("the vendor does not say which account this is; nothing was stored")]
    NoAccount,
    /// Another account than the one that is connected, or than the one that was named.
    #[error(
        "access was granted to account {found}, but `{connection}` is account {expected}; nothing was stored. Choose account {expected} on the vendor's page; if {connection} shall really become account {found}, run `usher connect {connection} --account {found}`"
    )]
    OtherAccount {
        /// The connection.
        connection: String,
        /// The account that it is, or that was named.
        expected: String,
        /// The account that granted access.
        found: String,
    },
    /// Its API is where we do not go.
    #[error(transparent)]
    Base(#[from] ApiBaseError),
    /// The key can not be read.
    #[error(transparent)]
    Keys(#[from] KeyError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] TokenStoreError),
}

impl TokenKeeper {
    /// The app through which access is granted.
    #[must_use]
    pub fn app(&self) -> &OAuthApp {
        &self.spec.app
    }

    /// Exchanges a code and stores what was granted. `account` names the account that it must be; without it a
    /// connection stays the account that it is (FM-063).
    ///
    /// # Errors
    /// If no token came, or it is another account's, or it could not be stored.
    pub async fn connect(&self, code: Code, account: Option<&str>) -> Result<TokenRow, ConnectError> {
        let asked_at = self.clock.now();
        let answer = self.spec.app.exchange(code).await?;
        Header::new(self.spec.auth, &answer.access)?;
        let granted = answer.granted;
        let found = granted.account.ok_or(ConnectError::NoAccount)?;
        if let Some(base) = &granted.base_url {
            api_base(&self.spec.app, base)?;
        }
        let tokens = Tokens { access: answer.access, refresh: answer.refresh };
        loop {
            let stored = self.spec.store.load(&self.spec.connection).await?;
            let is = stored.as_ref().map(|row| row.grant.account.as_str());
            if let Some(expected) = account.or(is).filter(|expected| *expected != found) {
                return Err(ConnectError::OtherAccount {
                    connection: self.spec.connection.to_string(),
                    expected: expected.to_owned(),
                    found,
                });
            }
            let grant = TokenGrant {
                account: found.clone(),
                scopes: granted.scopes.clone(),
                base_url: granted.base_url.clone(),
                sealed: self.spec.keys.read()?.seal(&self.spec.connection, &tokens),
                obtained_at: asked_at,
                expires_at: answer.lifetime.and_then(|lifetime| asked_at.checked_add(lifetime).ok()),
            };
            let version = stored.map_or(0, |row| row.version);
            let row = TokenRow { connection: self.spec.connection.clone(), version, grant, trouble: None };
            // A daemon may have renewed the old grant meanwhile: look again.
            if self.spec.store.put(&row).await? {
                return Ok(TokenRow { version: version + 1, ..row });
            }
        }
    }
}
