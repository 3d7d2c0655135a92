//! `auth:` of a connection: a token that somebody copied, or OAuth.

use usher_connector::{Auth, Manifest};
use usher_document::{Cursor, MapReader, OneOrMany, SecretRef};

/// How a connection's calls are authenticated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AuthSettings {
    /// The connector makes no calls.
    None,
    /// A token that somebody copied from the vendor.
    Token(SecretRef),
    /// Tokens that the vendor grants to the operator's app.
    OAuth(OAuthSettings),
}

/// The operator's app at the vendor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OAuthSettings {
    /// Its id; no secret.
    pub client_id: String,
    /// Its secret.
    pub client_secret: SecretRef,
    /// Where the consent page leads back to; must be registered with the app.
    pub redirect_url: String,
    /// The permissions to ask for; all that the connector can use unless given.
    pub scopes: Option<Vec<String>>,
    /// The consent page, for simulators and accounts with an address of their own.
    pub authorize_url: Option<String>,
    /// The token endpoint, likewise.
    pub token_url: Option<String>,
}

/// What the callback server of `usher connect` listens on unless told otherwise.
const REDIRECT: &str = "http://127.0.0.1:8471/callback";

/// Reads `auth:`; required where the connector makes calls.
pub(super) fn decode(map: &mut MapReader<'_>, manifest: &Manifest) -> Option<AuthSettings> {
    if manifest.auth == Auth::None {
        return Some(AuthSettings::None);
    }
    let at = map.required_at("auth")?;
    let mut auth = at.map()?;
    let found = auth.exactly_one_of(&["token", "oauth"]);
    auth.finish();
    match found? {
        ("token", at) => at.read().map(AuthSettings::Token),
        (_, at) if manifest.oauth.is_none() => {
            at.error("no-oauth", format!("{} gives out no tokens by OAuth", manifest.title))
                .hint("write `token: { env: NAME }`")
                .report();
            None
        }
        (_, at) => oauth(&at).map(AuthSettings::OAuth),
    }
}

fn oauth(at: &Cursor<'_>) -> Option<OAuthSettings> {
    let mut map = at.map()?;
    let client_id = map.required::<String>("client_id");
    let client_secret = map.required::<SecretRef>("client_secret");
    let redirect_url =
        map.optional_at("redirect_url").map_or_else(|| Some(REDIRECT.to_owned()), |at| redirect(&at));
    let scopes = map.optional::<OneOrMany<String>>("scopes").map(|OneOrMany(scopes)| scopes);
    let (authorize_url, token_url) = (map.optional("authorize_url"), map.optional("token_url"));
    map.finish();
    Some(OAuthSettings {
        client_id: client_id?,
        client_secret: client_secret?,
        redirect_url: redirect_url?,
        scopes,
        authorize_url,
        token_url,
    })
}

/// The code comes back through this address: over the network only encrypted.
fn redirect(at: &Cursor<'_>) -> Option<String> {
    let url = at.text()?;
    let local = ["http://127.0.0.1:", "http://localhost:", "http://[::1]:"];
    let safe = url.starts_with("https://") || local.iter().any(|start| url.starts_with(start));
    if !safe || url.contains(['?', '#', '@']) {
        at.error("redirect-url", "this is no address to come back to")
            .found(url)
            .hint(format!("write it as it is registered with the app, like `{REDIRECT}`, or with `https://`"))
            .report();
        return None;
    }
    Some(url.to_owned())
}
