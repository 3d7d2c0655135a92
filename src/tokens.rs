//! OAuth as this installation has it: its key, its apps, and what is to be said of its tokens.

use std::path::Path;
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value, json};
use usher_document::SecretRef;
use usher_engine::StoredTokens;
use usher_engine::settings::{AuthSettings, ConnectionSettings, OAuthSettings, Settings};
use usher_host::{AppSpec, BaseUrl, KeeperSpec, KeySource, OAuthApp, TokenKeeper};
use usher_model::{SystemClock, TokenRow, TroubleKind};
use usher_store::Store;

use crate::failure::Failure;
use crate::setup;

/// Where the key is that encrypts tokens.
pub(crate) fn key_source(settings: &Settings) -> Result<KeySource, Failure> {
    match &settings.key {
        Some(SecretRef::Env(name)) => Ok(KeySource::Env(name.clone())),
        Some(SecretRef::File(path)) => Ok(KeySource::File(settings.resolve(Path::new(path)))),
        None => Err(Failure::input("usher.yaml names no key: write `key: { file: usher.key }`")),
    }
}

/// Who keeps the connection's tokens good, if it uses OAuth. Makes no call.
pub(crate) fn keeper(
    settings: &Settings,
    connection: &ConnectionSettings,
    store: &Arc<dyn Store>,
) -> Result<Option<Arc<TokenKeeper>>, Failure> {
    let AuthSettings::OAuth(oauth) = &connection.auth else { return Ok(None) };
    let spec = KeeperSpec {
        connection: connection.name.clone(),
        auth: connection.connector.manifest().auth,
        app: app(settings, connection, oauth)?,
        keys: key_source(settings)?,
        store: Arc::new(StoredTokens(Arc::clone(store))),
        follow_base_url: connection.base_url.is_none(),
    };
    Ok(Some(Arc::new(TokenKeeper::new(spec, Arc::new(SystemClock)))))
}

fn app(
    settings: &Settings,
    connection: &ConnectionSettings,
    oauth: &OAuthSettings,
) -> Result<OAuthApp, Failure> {
    let wrong = |text: String| Failure::input(format!("connection `{}`: {text}", connection.name));
    let manifest = connection.connector.manifest();
    let (Some(vendor), Some(usual)) = (manifest.oauth, manifest.base_url) else {
        return Err(wrong(format!("{} gives out no tokens by OAuth", manifest.title)));
    };
    let base = connection.base_url.as_deref().unwrap_or(usual);
    let app = OAuthApp::new(AppSpec {
        oauth: vendor,
        base_url: BaseUrl::parse(base, false).map_err(|error| wrong(crate::failure::chain(&error)))?,
        client_id: oauth.client_id.clone(),
        client_secret: setup::secret(&oauth.client_secret, &settings.folder)?,
        authorize_url: oauth.authorize_url.clone(),
        token_url: oauth.token_url.clone(),
        timeout: connection.timeout,
    });
    app.map_err(|error| wrong(crate::failure::chain(&error)))
}

/// What is to be said of a connection's token, for people; nothing for one without OAuth.
pub(crate) fn describe(connection: &ConnectionSettings, rows: &[TokenRow], now: Timestamp) -> Option<String> {
    if !matches!(connection.auth, AuthSettings::OAuth(_)) {
        return None;
    }
    let name = &connection.name;
    let Some(row) = rows.iter().find(|row| row.connection == *name) else {
        return Some(format!("not connected: run `usher connect {name}`"));
    };
    let account = &row.grant.account;
    let Some(trouble) = &row.trouble else {
        let good = row.grant.expires_at.map_or_else(
            || "good until the vendor refuses it".to_owned(),
            |end| if end > now { format!("good until {end}") } else { "due to be renewed".to_owned() },
        );
        return Some(format!("account {account}, token {good}"));
    };
    let what = match trouble.kind {
        TroubleKind::Revoked => format!("RECONNECT NEEDED, run `usher connect {name}`"),
        TroubleKind::Refused => "TOKEN REFUSED".to_owned(),
        TroubleKind::Outage => "token can not be renewed at the moment".to_owned(),
    };
    let next = trouble.retry_at.map_or_else(String::new, |at| format!("; next attempt {at}"));
    Some(format!("account {account}, {what}: {} (since {}{next})", trouble.problem, trouble.since))
}

/// The same for programs.
pub(crate) fn as_json(row: &TokenRow) -> Value {
    let trouble = row.trouble.as_ref().map(|trouble| {
        json!({ "kind": trouble.kind.as_str(), "since": trouble.since, "attempts": trouble.attempts,
            "retry_at": trouble.retry_at, "problem": trouble.problem })
    });
    json!({ "connection": row.connection, "account": row.grant.account, "scopes": row.grant.scopes,
        "expires_at": row.grant.expires_at, "key": row.grant.sealed.key, "trouble": trouble })
}
