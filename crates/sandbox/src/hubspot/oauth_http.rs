//! The consent page and the token endpoints as they are reached over HTTP.

use serde_json::{Value, json};
use url::Url;

use super::call::Reply;
use super::oauth::{Issued, Refused, Ticket};
use super::state::Hub;
use crate::clock::Millis;
use crate::serve::Wire;

/// How long a consent page's code is good.
const CODE_LIFE: Millis = 60_000;

/// Whether the path belongs to the authorization server.
pub(crate) fn serves(path: &str) -> bool {
    path.starts_with("/oauth/")
}

/// Answers a call of the authorization server.
pub(crate) fn answer(hub: &mut Hub, wire: &Wire, now: Millis) -> Reply {
    let segments = wire.segments();
    let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
    match (wire.method.as_str(), segments.as_slice()) {
        ("GET", ["oauth", "authorize"]) => authorize(hub, wire, now),
        ("POST", ["oauth", version @ ("v1" | "v3" | "2026-03" | "2026-09"), "token"]) => {
            token(hub, wire, now, *version == "v1")
        }
        ("POST", ["oauth", "v3", "introspect"] | ["oauth", "2026-03" | "2026-09", "token", "introspect"]) => {
            introspect(hub, wire, now)
        }
        _ => Reply::json(404, &json!({ "status": "error", "message": "resource not found" })),
    }
}

/// Whoever is asked consents, or refuses, at once. What is wrong with the app is shown on the page and never sent back to
/// an address that nobody registered.
fn authorize(hub: &mut Hub, wire: &Wire, now: Millis) -> Reply {
    let one = |key: &str| one(&wire.query, key);
    let app = &hub.oauth.app;
    let redirect = one("redirect_uri").unwrap_or_default();
    if one("client_id") != Some(&app.client_id) {
        return Reply::html(400, "This app is not known");
    }
    if !app.redirect_urls.iter().any(|registered| registered == redirect) {
        return Reply::html(400, "The redirect URL does not match the app's settings");
    }
    let Ok(mut back) = Url::parse(redirect) else { return Reply::html(400, "The redirect URL is no URL") };
    let challenge = one("code_challenge").map(str::to_owned);
    let plain = challenge.is_some() && one("code_challenge_method") != Some("S256");
    if plain
        || (app.requires_pkce && challenge.is_none())
        || one("response_type").is_some_and(|kind| kind != "code")
    {
        return Reply::html(400, "The request is not one that this app may make");
    }
    let asked = one("scope").unwrap_or_default().split(' ').filter(|scope| !scope.is_empty());
    let scopes: Vec<String> = asked
        .filter(|scope| !app.withheld_scopes.iter().any(|held| held == scope))
        .map(str::to_owned)
        .collect();
    if scopes.is_empty() {
        return Reply::html(400, "The app asks for no scopes");
    }
    if app.denies {
        back.query_pairs_mut().append_pair("error", "access_denied");
    } else {
        let ticket = Ticket {
            redirect: redirect.to_owned(),
            challenge,
            scopes,
            until: now + CODE_LIFE,
            account: app.account,
            family: None,
        };
        let code = hub.oauth.code(ticket);
        back.query_pairs_mut().append_pair("code", &code);
    }
    if let Some(state) = one("state") {
        back.query_pairs_mut().append_pair("state", state);
    }
    Reply::empty(302).header("Location", String::from(back))
}

fn token(hub: &mut Hub, wire: &Wire, now: Millis, legacy: bool) -> Reply {
    let form = form(wire);
    let issued = check_client(hub, &form).and_then(|()| match one(&form, "grant_type") {
        Some("authorization_code") => {
            let field = |key| one(&form, key).unwrap_or_default();
            hub.exchange_code(field("code"), field("redirect_uri"), one(&form, "code_verifier"), now)
        }
        Some("refresh_token") => hub.exchange_refresh(one(&form, "refresh_token").unwrap_or_default(), now),
        _ => Err(Refused::GrantType),
    });
    match issued {
        Ok(issued) => Reply::json(200, &granted(hub, issued)),
        Err(refused) => {
            hub.oauth.counts.refused += 1;
            refusal(refused, legacy)
        }
    }
}

fn granted(hub: &Hub, issued: Issued) -> Value {
    let app = &hub.oauth.app;
    let mut body = json!({ "token_type": "bearer", "access_token": issued.access, "refresh_token": issued.refresh,
        "expires_in": app.access_seconds });
    if app.names_account {
        body["hub_id"] = issued.account.into();
        body["scopes"] = issued.scopes.into();
    }
    body
}

fn introspect(hub: &mut Hub, wire: &Wire, now: Millis) -> Reply {
    let form = form(wire);
    if let Err(refused) = check_client(hub, &form) {
        return refusal(refused, false);
    }
    let token = one(&form, "token").unwrap_or_default();
    let grant = hub.grants.iter().find(|grant| grant.token == token && !grant.is_over(now));
    let family = grant.and_then(|grant| grant.family).filter(|family| !hub.oauth.is_revoked(*family));
    let Some(family) = family else { return Reply::json(200, &json!({ "active": false })) };
    let family = hub.oauth.family(family);
    Reply::json(
        200,
        &json!({ "active": true, "token_type": "bearer", "client_id": hub.oauth.app.client_id,
            "hub_id": family.account, "scope": family.scopes.join(" ") }),
    )
}

fn check_client(hub: &Hub, form: &[(String, String)]) -> Result<(), Refused> {
    let app = &hub.oauth.app;
    if one(form, "client_id") != Some(&app.client_id) {
        return Err(Refused::Client);
    }
    if one(form, "client_secret") == Some(&app.client_secret) { Ok(()) } else { Err(Refused::Secret) }
}

/// HubSpot's own `status`, and beside it RFC 6749's `error` where the version of the endpoint has it.
fn refusal(refused: Refused, legacy: bool) -> Reply {
    let (status, error, message) = match refused {
        Refused::Client => ("BAD_CLIENT_ID", "invalid_client", "missing or unknown client id"),
        Refused::Secret => ("BAD_CLIENT_SECRET", "invalid_client", "missing or invalid client secret"),
        Refused::Code => ("BAD_AUTH_CODE", "invalid_grant", "missing or unknown auth code"),
        Refused::Redirect => (
            "MISMATCH_REDIRECT_URI_AUTH_CODE",
            "invalid_grant",
            "redirect uri does not match the one that the code was made for",
        ),
        Refused::Verifier => ("BAD_CODE_VERIFIER", "invalid_grant", "missing or invalid code verifier"),
        Refused::Refresh => ("BAD_REFRESH_TOKEN", "invalid_grant", "missing or invalid refresh token"),
        Refused::GrantType => ("BAD_GRANT_TYPE", "unsupported_grant_type", "missing or unknown grant type"),
    };
    let mut body = json!({ "status": status, "message": message });
    if !legacy {
        body["error"] = error.into();
        body["error_description"] = message.into();
    }
    Reply::json(400, &body)
}

fn form(wire: &Wire) -> Vec<(String, String)> {
    url::form_urlencoded::parse(&wire.body).into_owned().collect()
}

/// The field's value; none if it stands there more than once.
fn one<'a>(pairs: &'a [(String, String)], key: &str) -> Option<&'a str> {
    let mut values = pairs.iter().filter(|(name, _)| name == key).map(|(_, value)| value.as_str());
    let first = values.next();
    first.filter(|_| values.next().is_none())
}
