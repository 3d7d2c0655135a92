//! The authorization server of the account: codes, tokens, families of refresh tokens.
//!
//! Sources: API-FACTS HubSpot (Auth); the shapes of errors and of introspection from the public threads
//! usertour/usertour#490 (dated endpoints keep `error` beside `status`; introspection answers 200 with `active: false`)
//! and airbytehq/airbyte#79592 (`BAD_REFRESH_TOKEN`). Rotation, and revoking the whole family when a spent token comes
//! back, are RFC 9700's; HubSpot itself seems to keep refresh tokens.

use std::collections::HashMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::state::{Grant, Hub};
use crate::clock::Millis;

/// The registered app and how its authorization server behaves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OAuthApp {
    /// The app's id.
    pub client_id: String,
    /// The app's secret.
    pub client_secret: String,
    /// Where the consent page may send the browser back to; compared as they are.
    pub redirect_urls: Vec<String>,
    /// The account of whoever consents next.
    pub account: u64,
    /// How long an access token is good.
    pub access_seconds: u64,
    /// Whether each refresh brings a new refresh token; a spent one that comes back revokes its whole family.
    pub rotates: bool,
    /// Whether codes are only given out with PKCE.
    pub requires_pkce: bool,
    /// Whether token answers say which account and scopes they are for; introspection always does.
    pub names_account: bool,
    /// Whether whoever is asked refuses.
    pub denies: bool,
    /// Scopes that are asked for and not granted.
    pub withheld_scopes: Vec<String>,
}

impl Default for OAuthApp {
    fn default() -> Self {
        Self {
            client_id: "sandbox-app".to_owned(),
            client_secret: "sandbox-app-secret".to_owned(),
            redirect_urls: ["127.0.0.1", "localhost"]
                .map(|host| format!("http://{host}:8471/callback"))
                .into(),
            account: 4_711,
            access_seconds: 1_800,
            rotates: false,
            requires_pkce: true,
            names_account: true,
            denies: false,
            withheld_scopes: Vec::new(),
        }
    }
}

/// What the authorization server has done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct OAuthCounts {
    /// Codes exchanged for tokens.
    pub exchanges: u64,
    /// Refresh tokens exchanged for tokens.
    pub refreshes: u64,
    /// Calls of the token endpoint that got no token.
    pub refused: u64,
    /// Of these, with a refresh token that was spent already.
    pub reused: u64,
    /// Families that are revoked.
    pub revoked: u64,
}

/// Access tokens that are remembered, so that an expired one is told from an unknown one.
const REMEMBERED: usize = 64;

/// A code on its way back through the browser.
#[derive(Debug)]
pub(crate) struct Ticket {
    pub(crate) redirect: String,
    pub(crate) challenge: Option<String>,
    pub(crate) scopes: Vec<String>,
    pub(crate) until: Millis,
    pub(crate) account: u64,
    /// The family that was made of it: a code that comes back revokes it (RFC 6749, 4.1.2).
    pub(crate) family: Option<usize>,
}

/// Everything that was granted by one consent.
#[derive(Debug)]
pub(crate) struct Family {
    pub(crate) scopes: Vec<String>,
    pub(crate) account: u64,
    refresh: String,
    revoked: bool,
}

/// The authorization server.
#[derive(Debug, Default)]
pub(crate) struct OAuthServer {
    pub(crate) app: OAuthApp,
    codes: HashMap<String, Ticket>,
    families: Vec<Family>,
    /// Every refresh token ever given out, with its family.
    refresh: HashMap<String, usize>,
    /// Every secret ever given out, for tests that look for leaks.
    secrets: Vec<String>,
    pub(crate) counts: OAuthCounts,
}

/// New tokens.
#[derive(Debug)]
pub(crate) struct Issued {
    pub(crate) access: String,
    pub(crate) refresh: String,
    pub(crate) account: u64,
    pub(crate) scopes: Vec<String>,
}

/// Why there is no token, in HubSpot's and RFC 6749's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    Client,
    Secret,
    Code,
    Redirect,
    Verifier,
    Refresh,
    GrantType,
}

impl OAuthServer {
    fn fresh(&mut self, kind: &str) -> String {
        let secret = format!("{kind}-{}", URL_SAFE_NO_PAD.encode(rand::random::<[u8; 24]>()));
        self.secrets.push(secret.clone());
        secret
    }

    /// A code for whoever consented.
    pub(crate) fn code(&mut self, ticket: Ticket) -> String {
        let code = self.fresh("code");
        self.codes.insert(code.clone(), ticket);
        code
    }

    fn revoke(&mut self, family: usize) {
        if !std::mem::replace(&mut self.families[family].revoked, true) {
            self.counts.revoked += 1;
        }
    }

    pub(crate) fn is_revoked(&self, family: usize) -> bool {
        self.families[family].revoked
    }

    pub(crate) fn family(&self, family: usize) -> &Family {
        &self.families[family]
    }

    /// Uninstalls the app: every grant is gone.
    pub(crate) fn revoke_all(&mut self) {
        (0..self.families.len()).for_each(|family| self.revoke(family));
    }

    pub(crate) fn secrets(&self) -> &[String] {
        &self.secrets
    }
}

impl Hub {
    /// Exchanges a code.
    pub(crate) fn exchange_code(
        &mut self,
        code: &str,
        redirect: &str,
        verifier: Option<&str>,
        now: Millis,
    ) -> Result<Issued, Refused> {
        let server = &mut self.oauth;
        let ticket = server.codes.get(code).ok_or(Refused::Code)?;
        if let Some(family) = ticket.family {
            server.revoke(family);
            return Err(Refused::Code);
        }
        if ticket.until <= now {
            return Err(Refused::Code);
        }
        if ticket.redirect != redirect {
            return Err(Refused::Redirect);
        }
        let digest = verifier.map(|verifier| URL_SAFE_NO_PAD.encode(Sha256::digest(verifier)));
        if ticket.challenge != digest {
            return Err(Refused::Verifier);
        }
        let family = server.families.len();
        let (scopes, account) = (ticket.scopes.clone(), ticket.account);
        let refresh = server.fresh("refresh");
        server.refresh.insert(refresh.clone(), family);
        server.families.push(Family { scopes, account, refresh, revoked: false });
        if let Some(ticket) = server.codes.get_mut(code) {
            ticket.family = Some(family);
        }
        server.counts.exchanges += 1;
        Ok(self.issue(family, now))
    }

    /// Exchanges a refresh token.
    pub(crate) fn exchange_refresh(&mut self, refresh: &str, now: Millis) -> Result<Issued, Refused> {
        let server = &mut self.oauth;
        let family = *server.refresh.get(refresh).ok_or(Refused::Refresh)?;
        if server.families[family].revoked {
            return Err(Refused::Refresh);
        }
        if server.families[family].refresh != refresh {
            server.counts.reused += 1;
            server.revoke(family);
            return Err(Refused::Refresh);
        }
        if server.app.rotates {
            let next = server.fresh("refresh");
            server.refresh.insert(next.clone(), family);
            server.families[family].refresh = next;
        }
        server.counts.refreshes += 1;
        Ok(self.issue(family, now))
    }

    fn issue(&mut self, family: usize, now: Millis) -> Issued {
        let access = self.oauth.fresh("access");
        let life = self.oauth.app.access_seconds.saturating_mul(1_000);
        let until = now.saturating_add(i64::try_from(life).unwrap_or(i64::MAX));
        let Family { scopes, account, refresh, .. } = &self.oauth.families[family];
        let issued = Issued { access, refresh: refresh.clone(), account: *account, scopes: scopes.clone() };
        let remembered = self.grants.iter().filter(|grant| grant.family.is_some()).count();
        if remembered >= REMEMBERED
            && let Some(oldest) = self.grants.iter().position(|grant| grant.family.is_some())
        {
            self.grants.remove(oldest);
        }
        self.grants.push(Grant {
            number: u16::try_from(1_000 + family).unwrap_or(u16::MAX),
            token: issued.access.clone(),
            scopes: Some(issued.scopes.clone()),
            expired: false,
            until: Some(until),
            family: Some(family),
        });
        issued
    }
}
