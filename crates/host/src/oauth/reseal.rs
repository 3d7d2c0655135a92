//! Sealing stored tokens with a new key while daemons run.

use std::time::Duration;

use tokio::time::Instant;
use usher_model::{Clock, ConnectionName, TokenGrant, TokenRow};

use super::keyring::{Keyring, OpenError};
use super::store::{TokenStore, TokenStoreError};

/// Between looks at a lease that somebody has.
const LOOK: Duration = Duration::from_millis(50);
/// How long we hold the lease at most: nothing but storage happens meanwhile.
const LEASE: Duration = Duration::from_secs(30);
/// The longest that somebody's refresh is waited for.
const PATIENCE: Duration = Duration::from_secs(180);

/// Tokens that keep their old key. Nothing is lost: try again.
#[derive(Debug, thiserror::Error)]
pub enum ResealError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] TokenStoreError),
    /// They can not be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// Somebody renews them without end.
    #[error("the tokens of `{0}` are being renewed all the time: try again later")]
    Busy(ConnectionName),
}

/// Seals a connection's tokens with the first of the keys. Returns whether there was anything to do.
///
/// It takes the lease like a refresh does: a refresh that is under way has read the keys already, and would store what
/// it gets under the old one after we have looked.
///
/// # Errors
/// If the store fails or the keys do not open the tokens.
pub async fn reseal(
    store: &dyn TokenStore,
    connection: &ConnectionName,
    keys: &Keyring,
    clock: &dyn Clock,
) -> Result<bool, ResealError> {
    let holder = format!("reseal-{:016x}", rand::random::<u64>());
    let until = Instant::now() + PATIENCE;
    let mut resealed = false;
    while Instant::now() < until {
        let Some(row) = store.load(connection).await? else { return Ok(resealed) };
        let now = clock.now();
        if !store.lease(connection, row.version, &holder, now, now + LEASE).await? {
            tokio::time::sleep(LOOK).await;
            continue;
        }
        // Under the lease nobody else seals, so what stands there now stays.
        if keys.ids().first() == Some(&row.grant.sealed.key.as_str()) {
            store.release(connection, &holder, None).await?;
            return Ok(resealed);
        }
        let sealed = keys.open(connection, &row.grant.sealed).map(|tokens| keys.seal(connection, &tokens));
        match sealed {
            Ok(sealed) => {
                let grant = TokenGrant { sealed, ..row.grant };
                resealed |= store.put(&TokenRow { grant, ..row }).await?;
            }
            Err(error) => {
                store.release(connection, &holder, None).await?;
                return Err(error.into());
            }
        }
    }
    Err(ResealError::Busy(connection.clone()))
}
