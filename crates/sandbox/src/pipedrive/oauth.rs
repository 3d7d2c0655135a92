//! The authorization server of the Pipedrive account.
//!
//! API-FACTS Pipedrive (OAuth); v1 document: authorize, get-tokens, refresh-tokens. Refusals are RFC 6749's, since the
//! vendor documents none. Scopes belong to the app and are not asked for; PKCE is not part of it.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::state::{Drive, Token};
use crate::clock::Millis;
use crate::reply::Reply;
use crate::serve::Wire;

/// The registered app and how its authorization server behaves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PipedriveApp {
    /// The app's id.
    pub client_id: String,
    /// The app's secret.
    pub client_secret: String,
    /// The one address that the browser may be sent back to.
    pub redirect_url: String,
    /// What the app may do.
    pub scope: String,
    /// The user who consents next.
    pub user: u64,
    /// How long an access token is good.
    pub access_seconds: u64,
    /// Where answers say that the API is; set when the simulator starts.
    pub api_domain: String,
    /// Whether each refresh brings a new refresh token and spends the old one; the vendor keeps it.
    pub rotates: bool,
    /// Whether whoever is asked refuses.
    pub denies: bool,
}

impl Default for PipedriveApp {
    fn default() -> Self {
        Self {
            client_id: "pipedrive-app".to_owned(),
            client_secret: "pipedrive-app-secret".to_owned(),
            redirect_url: "http://127.0.0.1:8471/callback".to_owned(),
            scope: "base,contacts:full,leads:full,deals:full,activities:full,users:read,recents:read,admin"
                .to_owned(),
            user: 1,
            access_seconds: 3_599,
            api_domain: String::new(),
            rotates: false,
            denies: false,
        }
    }
}

/// A consent: its code, then its refresh token.
#[derive(Debug)]
struct Consent {
    code: String,
    code_until: Millis,
    user: u64,
    /// Empty until the code has been exchanged.
    refresh: String,
    refresh_until: Millis,
}

/// The authorization server.
#[derive(Debug, Default)]
pub(crate) struct OAuthServer {
    pub(crate) app: PipedriveApp,
    consents: Vec<Consent>,
}

/// How long a code is good; the vendor's guide says five minutes.
const CODE_LIFE: Millis = 300_000;
/// A refresh token dies after 60 days without use.
const REFRESH_LIFE: Millis = 60 * 86_400_000;

/// Access tokens that are remembered; older ones are unknown, which answers the same.
const REMEMBERED: usize = 64;

impl OAuthServer {
    /// Ends every consent, as somebody does who uninstalls the app.
    pub(crate) fn revoke_all(&mut self) {
        self.consents.clear();
    }
}

fn secret() -> String {
    URL_SAFE_NO_PAD.encode(rand::random::<[u8; 24]>())
}

/// Whether the path belongs to the authorization server.
pub(crate) fn serves(path: &str) -> bool {
    path.starts_with("/oauth/")
}

/// Answers a call of the authorization server.
pub(crate) fn answer(drive: &mut Drive, wire: &Wire, now: Millis) -> Reply {
    match (wire.method.as_str(), wire.path.trim_end_matches('/')) {
        ("GET", "/oauth/authorize") => authorize(drive, wire, now),
        ("POST", "/oauth/token") => token(drive, wire, now),
        _ => refusal(404, "invalid_request", "there is no such endpoint"),
    }
}

fn refusal(status: u16, error: &str, description: &str) -> Reply {
    Reply::json(status, &json!({"success": false, "error": error, "error_description": description}))
}

fn one<'a>(pairs: &'a [(String, String)], key: &str) -> &'a str {
    pairs.iter().find(|(name, _)| name == key).map_or("", |(_, value)| value.as_str())
}

/// Whoever is asked consents, or refuses, at once.
fn authorize(drive: &mut Drive, wire: &Wire, now: Millis) -> Reply {
    let server = &mut drive.oauth;
    let (client, redirect) = (one(&wire.query, "client_id"), one(&wire.query, "redirect_uri"));
    if client != server.app.client_id || redirect != server.app.redirect_url {
        return Reply::html(400, "The app or its callback URL is not known");
    }
    let Ok(mut back) = url::Url::parse(redirect) else {
        return Reply::html(400, "The callback URL is no URL");
    };
    if server.app.denies {
        back.query_pairs_mut().append_pair("error", "user_denied");
    } else {
        let code = secret();
        back.query_pairs_mut().append_pair("code", &code);
        let (user, code_until) = (server.app.user, now + CODE_LIFE);
        server.consents.push(Consent { code, code_until, user, refresh: String::new(), refresh_until: 0 });
    }
    let state = one(&wire.query, "state");
    if !state.is_empty() {
        back.query_pairs_mut().append_pair("state", state);
    }
    Reply::empty(302).header("Location", String::from(back))
}

/// Client id and secret come as Basic, nowhere else.
fn knows_client(app: &PipedriveApp, wire: &Wire) -> bool {
    let sent = wire.authorization.as_deref().and_then(|header| {
        let (scheme, text) = header.split_once(' ')?;
        let bytes = scheme.eq_ignore_ascii_case("basic").then(|| STANDARD.decode(text.trim()).ok())??;
        String::from_utf8(bytes).ok()
    });
    sent == Some(format!("{}:{}", app.client_id, app.client_secret))
}

fn token(drive: &mut Drive, wire: &Wire, now: Millis) -> Reply {
    let server = &mut drive.oauth;
    if !knows_client(&server.app, wire) {
        return refusal(401, "invalid_client", "client id and secret are wrong or not sent as Basic");
    }
    let form: Vec<(String, String)> = url::form_urlencoded::parse(&wire.body).into_owned().collect();
    let redirected = one(&form, "redirect_uri") == server.app.redirect_url;
    let (code, refresh) = (one(&form, "code"), one(&form, "refresh_token"));
    let found = match one(&form, "grant_type") {
        "authorization_code" => server.consents.iter().position(|consent| {
            let fresh = consent.refresh.is_empty() && consent.code_until > now;
            fresh && redirected && consent.code == code
        }),
        "refresh_token" => server.consents.iter().position(|consent| {
            !refresh.is_empty() && consent.refresh == refresh && consent.refresh_until > now
        }),
        _ => return refusal(400, "unsupported_grant_type", "the grant type is not known"),
    };
    match found {
        Some(at) => issue(drive, at, now),
        None => refusal(400, "invalid_grant", "the code or refresh token is wrong, spent or too old"),
    }
}

fn issue(drive: &mut Drive, at: usize, now: Millis) -> Reply {
    let app = drive.oauth.app.clone();
    let consent = &mut drive.oauth.consents[at];
    if consent.refresh.is_empty() || app.rotates {
        consent.refresh = secret();
    }
    consent.refresh_until = now + REFRESH_LIFE;
    let (user, refresh, access) = (consent.user, consent.refresh.clone(), secret());
    let life = i64::try_from(app.access_seconds.saturating_mul(1_000)).unwrap_or(i64::MAX);
    // The limits count by user, so each consent keeps its number.
    let number = u16::try_from(1_000 + at).unwrap_or(u16::MAX);
    let until = Some(now.saturating_add(life));
    let given_out = |token: &Token| token.until.is_some();
    if drive.tokens.iter().filter(|token| given_out(token)).count() >= REMEMBERED
        && let Some(oldest) = drive.tokens.iter().position(given_out)
    {
        drive.tokens.remove(oldest);
    }
    let granted = Some(app.scope.split(',').map(str::to_owned).collect());
    let token = access.clone();
    drive.tokens.push(Token { number, token, user, oauth: true, expired: false, granted, until });
    let body = json!({"access_token": access, "token_type": "Bearer", "refresh_token": refresh, "scope": app.scope,
        "expires_in": app.access_seconds, "api_domain": app.api_domain});
    Reply::json(200, &body)
}
