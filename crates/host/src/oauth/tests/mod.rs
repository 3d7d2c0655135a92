//! Tokens under load, faults and attack, against a scripted vendor.

#![allow(clippy::unwrap_used)]

mod callbacks;
mod connecting;
mod faults;
mod sharing;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use tempfile::TempDir;
use tokio::sync::Notify;
use usher_connector::{Auth, ClientAuth, Endpoint, Granted, OAuth, Secret, scopes_at, text_at};
use usher_model::{Clock, ConnectionName, TokenGrant, TokenRow, TokenTrouble};

use super::keyring::Tokens;
use super::*;
use crate::testing::{Act, Vendor};

/// A vendor that names the account as `org` and its API as `api`.
const OAUTH: OAuth = OAuth {
    authorize_url: "https://login.example.com/authorize",
    token: Endpoint::Api("/token"),
    introspect: Some(Endpoint::Api("/introspect")),
    client_auth: ClientAuth::Form,
    dead_grant: &[],
    api_hosts: &["127.0.0.1", ".api.example.com"],
    read: |answer| Granted {
        account: text_at(answer, "org"),
        scopes: scopes_at(answer, "scope"),
        base_url: text_at(answer, "api"),
    },
};

fn crm() -> ConnectionName {
    ConnectionName::new("crm")
}

#[derive(Debug, Default)]
struct TestClock(Mutex<Timestamp>);

impl TestClock {
    fn advance(&self, by: Duration) {
        *self.0.lock().unwrap() += by;
    }
}

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        *self.0.lock().unwrap()
    }
}

/// A store that can refuse to write, and can wait before it does.
#[derive(Debug, Default)]
struct Memory {
    rows: Mutex<BTreeMap<ConnectionName, Held>>,
    full: AtomicBool,
    /// Somebody is about to put; it waits for `go_on` if there is one.
    putting: Notify,
    go_on: Mutex<Option<Arc<Notify>>>,
}

#[derive(Debug, Clone)]
struct Held {
    row: TokenRow,
    lease: Option<(String, Timestamp)>,
}

impl Memory {
    fn row(&self) -> TokenRow {
        self.rows.lock().unwrap()[&crm()].row.clone()
    }

    fn writable(&self) -> Result<(), TokenStoreError> {
        match self.full.load(Ordering::Relaxed) {
            true => Err(TokenStoreError("the disk is full".into())),
            false => Ok(()),
        }
    }
}

#[async_trait]
impl TokenStore for Memory {
    async fn load(&self, connection: &ConnectionName) -> Result<Option<TokenRow>, TokenStoreError> {
        Ok(self.rows.lock().unwrap().get(connection).map(|held| held.row.clone()))
    }

    async fn put(&self, row: &TokenRow) -> Result<bool, TokenStoreError> {
        self.putting.notify_one();
        let go_on = self.go_on.lock().unwrap().clone();
        if let Some(go_on) = go_on {
            go_on.notified().await;
        }
        self.writable()?;
        let mut rows = self.rows.lock().unwrap();
        let fits = rows.get(&row.connection).map_or(0, |held| held.row.version) == row.version;
        if fits {
            let row = TokenRow { version: row.version + 1, ..row.clone() };
            rows.insert(row.connection.clone(), Held { row, lease: None });
        }
        Ok(fits)
    }

    async fn lease(
        &self,
        connection: &ConnectionName,
        version: u64,
        holder: &str,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<bool, TokenStoreError> {
        self.writable()?;
        let mut rows = self.rows.lock().unwrap();
        let Some(held) = rows.get_mut(connection).filter(|held| held.row.version == version) else {
            return Ok(false);
        };
        let free = held.lease.as_ref().is_none_or(|(_, until)| *until <= now);
        if free {
            held.lease = Some((holder.to_owned(), until));
        }
        Ok(free)
    }

    async fn release(
        &self,
        connection: &ConnectionName,
        holder: &str,
        trouble: Option<&TokenTrouble>,
    ) -> Result<(), TokenStoreError> {
        let mut rows = self.rows.lock().unwrap();
        if let Some(held) = rows.get_mut(connection)
            && held.lease.as_ref().is_some_and(|(by, _)| by == holder)
        {
            held.lease = None;
            held.row.trouble = trouble.cloned().or(held.row.trouble.take());
        }
        Ok(())
    }
}

/// A vendor, a store with a grant in it, and the means to make keepers.
struct Rig {
    vendor: Vendor,
    store: Arc<Memory>,
    clock: Arc<TestClock>,
    key: PathBuf,
    _folder: TempDir,
}

/// How long the vendor's access tokens are good, in seconds.
const LIFETIME: u64 = 1_800;
/// Longer than anything takes here.
const PATIENT: Duration = Duration::from_secs(60);

impl Rig {
    /// With the tokens `canary-a1` and `canary-r1`, as old as they may get before they are renewed.
    async fn start(script: impl IntoIterator<Item = Act>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let key = folder.path().join("key");
        write_key(&key, &[&new_key()]);
        let clock = TestClock::default();
        clock.advance(Duration::from_secs(1_790_000_000));
        let rig = Self {
            vendor: Vendor::start(script).await,
            store: Arc::default(),
            clock: Arc::new(clock),
            key,
            _folder: folder,
        };
        rig.store.put(&rig.grant("1")).await.unwrap();
        rig.clock.advance(Duration::from_secs(LIFETIME));
        rig
    }

    /// A grant of tokens with that ending, for a connection that has none.
    fn grant(&self, ending: &str) -> TokenRow {
        let tokens = Tokens {
            access: Secret::new(format!("canary-a{ending}")),
            refresh: Some(Secret::new(format!("canary-r{ending}"))),
        };
        let now = self.clock.now();
        let grant = TokenGrant {
            account: "4711".to_owned(),
            scopes: vec!["read".to_owned()],
            base_url: None,
            sealed: self.keys().read().unwrap().seal(&crm(), &tokens),
            obtained_at: now,
            expires_at: Some(now + Duration::from_secs(LIFETIME)),
        };
        TokenRow { connection: crm(), version: 0, grant, trouble: None }
    }

    fn keys(&self) -> KeySource {
        KeySource::File(self.key.clone())
    }

    fn base(&self) -> String {
        format!("http://{}", self.vendor.address)
    }

    fn app(&self) -> OAuthApp {
        OAuthApp::new(AppSpec {
            oauth: OAUTH,
            base_url: BaseUrl::parse(&self.base(), false).unwrap(),
            client_id: "our-app".to_owned(),
            client_secret: Secret::new("canary-secret"),
            authorize_url: None,
            token_url: None,
            timeout: Duration::from_secs(10),
        })
        .unwrap()
    }

    fn keeper(&self) -> Arc<TokenKeeper> {
        let spec = KeeperSpec {
            connection: crm(),
            auth: Auth::Bearer,
            app: self.app(),
            keys: self.keys(),
            store: Arc::clone(&self.store) as Arc<dyn TokenStore>,
            follow_base_url: true,
        };
        Arc::new(TokenKeeper::new(spec, Arc::clone(&self.clock) as Arc<dyn Clock>))
    }

    /// The stored tokens.
    fn stored(&self) -> (String, String) {
        let opened = self.keys().read().unwrap().open(&crm(), &self.store.row().grant.sealed).unwrap();
        let text = |secret: &Secret| String::from_utf8(secret.expose().to_vec()).unwrap();
        (text(&opened.access), text(&opened.refresh.unwrap()))
    }
}

fn write_key(path: &std::path::Path, keys: &[&Secret]) {
    let text = keys.iter().map(|key| key.expose()).collect::<Vec<_>>().join(&b"\n"[..]);
    std::fs::write(path, text).unwrap();
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
}

/// A token answer with tokens of that ending, and further fields.
fn granted(ending: &str, further: &str) -> Act {
    let body = format!(
        r#"{{"token_type":"bearer","access_token":"canary-a{ending}","refresh_token":"canary-r{ending}","expires_in":{LIFETIME}{further}}}"#
    );
    Act::answer("200 OK", &["content-type: application/json"], &body)
}

fn refused(error: &str) -> Act {
    let body = format!(r#"{{"error":"{error}","error_description":"canary"}}"#);
    Act::answer("400 Bad Request", &["content-type: application/json"], &body)
}
