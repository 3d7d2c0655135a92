//! Keeps a connection's access token good: one refresh at a time, stored before it is used.
//!
//! In a process callers queue behind one lock; across processes the holder of a lease in the store refreshes and the
//! others wait for what it stores. A refresh runs in a task of its own: whoever asked for it may go away, but a spent
//! refresh token's successor must never be dropped on the way to the store.

use std::fmt;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::sync::Mutex;
use tokio::time::Instant;
use usher_connector::{Auth, Fault, FaultClass};
use usher_model::{Clock, ConnectionName, TokenGrant, TokenRow, TokenTrouble, TroubleKind, crash};

use super::answer::GrantError;
use super::app::OAuthApp;
use super::cooldown;
use super::keyring::{KeySource, Keyring, OpenError, Tokens};
use super::lack::Lack;
use super::store::TokenStore;
use crate::address::BaseUrl;
use crate::credential::Header;

/// A token is renewed before it ends: by a tenth of its life, at most a minute.
const MARGIN: SignedDuration = SignedDuration::from_secs(60);
/// Between looks at a grant that another process renews.
const LOOK: Duration = Duration::from_millis(50);

/// What a keeper is made of.
pub struct KeeperSpec {
    /// Whose tokens.
    pub connection: ConnectionName,
    /// How the token goes on a call.
    pub auth: Auth,
    /// The app that was granted access.
    pub app: OAuthApp,
    /// What opens and seals tokens.
    pub keys: KeySource,
    /// Where grants are kept.
    pub store: Arc<dyn TokenStore>,
    /// Whether calls go where the vendor says the account's API is; not where the operator has set a base URL.
    pub follow_base_url: bool,
}

/// Keeps a connection's access token good.
pub struct TokenKeeper {
    pub(super) spec: KeeperSpec,
    pub(super) clock: Arc<dyn Clock>,
    /// Who holds our leases.
    holder: String,
    known: RwLock<Option<Arc<Token>>>,
    /// Tokens in a row that the vendor's API refused although they were not over.
    refused: AtomicU32,
    turn: Mutex<Turn>,
}

/// What whoever's turn it is owns.
#[derive(Default)]
struct Turn {
    /// A renewed grant that the store would not take: nobody uses it before it is stored.
    unstored: Option<TokenRow>,
}

/// An access token, ready to be put on a call.
pub(crate) struct Token {
    pub(crate) header: Header,
    /// Where the vendor says that the account's API is.
    pub(crate) base: Option<BaseUrl>,
    version: u64,
    obtained_at: Timestamp,
    expires_at: Option<Timestamp>,
}

/// What a caller needs.
#[derive(Debug, Clone, Copy)]
enum Want {
    /// A token that is not about to end.
    Fresh,
    /// Another one than this version, which the vendor's API refused.
    After(u64),
}

impl fmt::Debug for TokenKeeper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenKeeper").field("connection", &self.spec.connection).finish_non_exhaustive()
    }
}

impl TokenKeeper {
    /// A keeper that has not looked into the store yet.
    #[must_use]
    pub fn new(spec: KeeperSpec, clock: Arc<dyn Clock>) -> Self {
        let holder = format!("{:016x}", rand::random::<u64>());
        Self {
            spec,
            clock,
            holder,
            known: RwLock::default(),
            refused: AtomicU32::new(0),
            turn: Mutex::default(),
        }
    }

    /// Opens what is stored and says why it can not, so that a daemon with the wrong key does not start. A connection
    /// that was never connected is fine.
    ///
    /// # Errors
    /// As misconfigured if the key is missing or another one than the tokens were sealed with; as transient if the
    /// store fails.
    pub async fn check(&self) -> Result<(), Fault> {
        let opened = async {
            match self.spec.store.load(&self.spec.connection).await? {
                Some(row) => self.learn(&row).map(drop),
                None => Ok(()),
            }
        };
        opened.await.map_err(|lack| lack.fault(&self.spec.connection))
    }

    /// A token that is good for some time yet.
    pub(crate) async fn current(self: &Arc<Self>, patience: Duration) -> Result<Arc<Token>, Fault> {
        match self.known() {
            Some(token) if self.is_fresh(&token) => Ok(token),
            _ => self.apart(Want::Fresh, patience).await,
        }
    }

    /// A token in place of one that the vendor's API refused.
    pub(crate) async fn after(
        self: &Arc<Self>,
        refused: &Token,
        patience: Duration,
    ) -> Result<Arc<Token>, Fault> {
        self.apart(Want::After(refused.version), patience).await
    }

    /// The vendor's API took a token.
    pub(crate) fn accepted(&self) {
        if self.refused.load(Ordering::Relaxed) != 0 {
            self.refused.store(0, Ordering::Relaxed);
        }
    }

    /// Gets a token in a task of its own, and waits for it. Waiting longer than `patience` says nothing about the
    /// credentials (FM-060).
    async fn apart(self: &Arc<Self>, want: Want, patience: Duration) -> Result<Arc<Token>, Fault> {
        let keeper = Arc::clone(self);
        let until = Instant::now() + patience;
        let task = tokio::spawn(async move { keeper.get(want, until).await });
        match tokio::time::timeout_at(until, task).await {
            Ok(Ok(Ok(token))) => Ok(token),
            Ok(Ok(Err(Some(lack)))) => Err(lack.fault(&self.spec.connection)),
            Ok(Err(panicked)) => {
                Err(Fault::new(FaultClass::Defect, "renewing a token panicked").because(panicked))
            }
            Ok(Ok(Err(None))) | Err(_) => Err(Fault::new(
                FaultClass::Transient,
                "waiting for a token that is being renewed took too long",
            )),
        }
    }

    /// `Err(None)` if another process has not renewed the token in time.
    async fn get(&self, want: Want, until: Instant) -> Result<Arc<Token>, Option<Lack>> {
        let mut turn = self.turn.lock().await;
        loop {
            self.store_what_is_left(&mut turn).await?;
            let row = self.spec.store.load(&self.spec.connection).await.map_err(Lack::from)?;
            let row = row.ok_or(Lack::NeverConnected)?;
            let token = self.learn(&row)?;
            if self.satisfies(want, &token) {
                return Ok(token);
            }
            if let Some(trouble) =
                row.trouble.as_ref().filter(|trouble| !cooldown::is_over(trouble, self.clock.now()))
            {
                return self.make_do(want, token, trouble.clone()).map_err(Some);
            }
            if let Want::After(_) = want
                && !self.may_renew_again(&token)
            {
                return Err(Some(Lack::RefusedAtOnce));
            }
            let now = self.clock.now();
            let lease =
                self.spec.store.lease(&row.connection, row.version, &self.holder, now, now + self.lease());
            if lease.await.map_err(Lack::from)? {
                if let Want::After(_) = want {
                    self.refused.fetch_add(1, Ordering::Relaxed);
                }
                crash::point("token.after_lease");
                self.renew(&mut turn, row).await?;
            } else if Instant::now() < until {
                tokio::time::sleep(LOOK).await;
            } else {
                return Err(None);
            }
        }
    }

    /// Asks the vendor for new tokens and stores them, or notes why there are none. We hold the lease.
    ///
    /// The keys are read after the lease was taken and before a token is spent: a rotation waits for leases, so that
    /// nothing is sealed with a key that it has just replaced, and without a key nothing is spent.
    async fn renew(&self, turn: &mut Turn, row: TokenRow) -> Result<(), Lack> {
        let asked_at = self.clock.now();
        let opened = self.open(&row);
        let renewed = match opened {
            Ok((keys, tokens)) => self.ask(&row, &keys, tokens, asked_at).await,
            Err(lack) => {
                self.spec.store.release(&row.connection, &self.holder, None).await?;
                return Err(lack);
            }
        };
        match renewed {
            Ok(grant) => {
                crash::point("token.after_exchange");
                turn.unstored = Some(TokenRow { grant, trouble: None, ..row });
                self.store_what_is_left(turn).await?;
                crash::point("token.after_store");
            }
            Err(error) => {
                // Another process may have spent the token that we had: then its tokens stand in the store by now.
                let trouble = cooldown::after(row.trouble.as_ref(), &error, self.clock.now());
                let connection = &self.spec.connection;
                tracing::warn!(%connection, problem = trouble.problem, attempts = trouble.attempts, "a token could not be renewed");
                self.spec.store.release(connection, &self.holder, Some(&trouble)).await?;
            }
        }
        Ok(())
    }

    /// Spends the refresh token. Returns the row's grant with what the answer brought.
    async fn ask(
        &self,
        row: &TokenRow,
        keys: &Keyring,
        tokens: Tokens,
        asked_at: Timestamp,
    ) -> Result<TokenGrant, GrantError> {
        let spent = tokens.refresh.ok_or_else(|| {
            let message = "the token is over and the vendor gave none to renew it with";
            GrantError::new(TroubleKind::Revoked, message)
        })?;
        let answer = self.spec.app.refresh(&spent).await?;
        let refused = |message| GrantError::new(TroubleKind::Refused, message);
        if Header::new(self.spec.auth, &answer.access).is_err() {
            return Err(refused("the vendor gave something that can be no token"));
        }
        let granted = answer.granted;
        if granted.account.is_some_and(|account| account != row.grant.account) {
            return Err(refused("the vendor gave a token of another account"));
        }
        let tokens = Tokens { access: answer.access, refresh: answer.refresh.or(Some(spent)) };
        Ok(TokenGrant {
            account: row.grant.account.clone(),
            scopes: if granted.scopes.is_empty() { row.grant.scopes.clone() } else { granted.scopes },
            base_url: self.base_url(granted.base_url).or_else(|| row.grant.base_url.clone()),
            sealed: keys.seal(&row.connection, &tokens),
            obtained_at: asked_at,
            expires_at: answer.lifetime.and_then(|lifetime| asked_at.checked_add(lifetime).ok()),
        })
    }

    fn base_url(&self, told: Option<String>) -> Option<String> {
        let told = told?;
        match super::api_base(&self.spec.app, &told) {
            Ok(_) => Some(told),
            Err(error) => {
                tracing::error!(connection = %self.spec.connection, %error, "the vendor's new address is not used");
                None
            }
        }
    }

    /// Stores a renewed grant; if somebody connected again meanwhile, theirs stands.
    async fn store_what_is_left(&self, turn: &mut Turn) -> Result<(), Lack> {
        if let Some(row) = &turn.unstored {
            if !self.spec.store.put(row).await? {
                tracing::info!(connection = %self.spec.connection, "a renewed token gives way to a newer one");
            }
            turn.unstored = None;
        }
        Ok(())
    }

    /// What is known of the row, opened if it is new to us.
    fn learn(&self, row: &TokenRow) -> Result<Arc<Token>, Lack> {
        if let Some(token) = self.known().filter(|token| token.version == row.version) {
            return Ok(token);
        }
        let (_, tokens) = self.open(row)?;
        let header = Header::new(self.spec.auth, &tokens.access)
            .map_err(|_| OpenError::Damaged { connection: row.connection.clone() })?;
        let base = row.grant.base_url.as_deref().filter(|_| self.spec.follow_base_url);
        let token = Arc::new(Token {
            header,
            base: base.and_then(|base| super::api_base(&self.spec.app, base).ok()),
            version: row.version,
            obtained_at: row.grant.obtained_at,
            expires_at: row.grant.expires_at,
        });
        *self.known.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&token));
        Ok(token)
    }

    fn open(&self, row: &TokenRow) -> Result<(Keyring, Tokens), Lack> {
        let keys = self.spec.keys.read()?;
        let tokens = keys.open(&row.connection, &row.grant.sealed)?;
        Ok((keys, tokens))
    }

    fn known(&self) -> Option<Arc<Token>> {
        self.known.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn satisfies(&self, want: Want, token: &Token) -> bool {
        match want {
            Want::Fresh => self.is_fresh(token),
            Want::After(version) => token.version > version,
        }
    }

    fn is_fresh(&self, token: &Token) -> bool {
        token.expires_at.is_none_or(|end| {
            let margin = MARGIN.min(end.duration_since(token.obtained_at) / 10);
            end.duration_since(self.clock.now()) > margin
        })
    }

    /// While a token can not be renewed, it is used to its end.
    fn make_do(&self, want: Want, token: Arc<Token>, trouble: TokenTrouble) -> Result<Arc<Token>, Lack> {
        let runs = token.expires_at.is_none_or(|end| self.clock.now() < end);
        if matches!(want, Want::Fresh) && runs { Ok(token) } else { Err(Lack::Trouble(trouble)) }
    }

    /// A token that is refused is replaced at once; if its successors are refused too, at growing distances.
    fn may_renew_again(&self, token: &Token) -> bool {
        let age = self.clock.now().duration_since(token.obtained_at);
        age >= cooldown::between_refused_tokens(self.refused.load(Ordering::Relaxed))
    }

    /// Longer than the call that it protects.
    fn lease(&self) -> Duration {
        self.spec.app.timeout() * 2
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token").field("version", &self.version).finish_non_exhaustive()
    }
}
