//! The operator's app at a vendor: where its endpoints are, and the calls to them.

use std::borrow::Cow;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures::future::BoxFuture;
use jiff::{SignedDuration, Timestamp};
use oauth2::basic::{BasicClient, BasicTokenResponse};
use oauth2::{
    AsyncHttpClient, AuthType, AuthUrl, ClientId, ClientSecret, CsrfToken, EndpointMaybeSet, EndpointNotSet,
    EndpointSet, HttpRequest, HttpResponse, IntrospectionUrl, PkceCodeChallenge, RedirectUrl, RefreshToken,
    Scope, TokenResponse as _, TokenUrl,
};
use serde_json::Value;
use url::Url;
use usher_connector::{ClientAuth, Endpoint, Fault, Granted, OAuth, Response, Secret};
use usher_model::TroubleKind;

use super::answer::{self, GrantError, TokenAnswer};
use super::attempt::{Attempt, Code};
use crate::address::{BaseUrl, BaseUrlError};
use crate::vendor::HttpSettings;
use crate::vendor::exchange::{Broken, exchange};

/// A token answer is small; whatever is longer is something else.
const MAX_BODY: usize = 256 * 1024;

/// What an app is made of.
#[derive(Debug, Clone)]
pub struct AppSpec {
    /// How the vendor does it.
    pub oauth: OAuth,
    /// The connection's base URL, behind which some endpoints are.
    pub base_url: BaseUrl,
    /// The app's id.
    pub client_id: String,
    /// The app's secret.
    pub client_secret: Secret,
    /// The consent page, unless at the vendor's usual address.
    pub authorize_url: Option<String>,
    /// The token endpoint, unless at the vendor's usual address.
    pub token_url: Option<String>,
    /// How long one call may take.
    pub timeout: Duration,
}

/// An app that can not be used as configured.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// An address is wrong.
    #[error("the address in `{key}` can not be used")]
    Address {
        /// The key of the setting, or what the address is for.
        key: &'static str,
        /// Why.
        #[source]
        source: BaseUrlError,
    },
    /// The secret is no text.
    #[error("the client secret is no text: copy it again from the vendor")]
    Secret,
    /// There is no client for it.
    #[error("the token endpoint can not be called")]
    Client(#[source] Fault),
}

type Client = BasicClient<EndpointSet, EndpointNotSet, EndpointMaybeSet, EndpointNotSet, EndpointSet>;

/// The operator's app at a vendor. Debug shows no secret.
#[derive(Debug)]
pub struct OAuthApp {
    oauth: OAuth,
    client: Client,
    http: reqwest::Client,
    host: String,
    timeout: Duration,
}

impl OAuthApp {
    /// Checks the addresses and builds the client. Makes no call.
    pub fn new(spec: AppSpec) -> Result<Self, AppError> {
        let authorize = spec.authorize_url.as_deref().unwrap_or(spec.oauth.authorize_url);
        let authorize = url("authorize_url", authorize)?;
        let token = match &spec.token_url {
            Some(text) => url("token_url", text)?,
            None => endpoint(spec.oauth.token, &spec.base_url)?,
        };
        let introspect = spec.oauth.introspect.map(|at| endpoint(at, &spec.base_url)).transpose()?;
        let secret = String::from_utf8(spec.client_secret.expose().trim_ascii().to_vec());
        let settings = HttpSettings {
            request_timeout: spec.timeout,
            connect_timeout: spec.timeout / 3,
            ..HttpSettings::default()
        };
        let home = BaseUrl::parse(token.as_str(), false);
        let home = home.map_err(|source| AppError::Address { key: "token_url", source })?;
        let client = BasicClient::new(ClientId::new(spec.client_id))
            .set_client_secret(ClientSecret::new(secret.map_err(|_| AppError::Secret)?))
            .set_auth_type(match spec.oauth.client_auth {
                ClientAuth::Form => AuthType::RequestBody,
                ClientAuth::Basic => AuthType::BasicAuth,
            })
            .set_auth_uri(AuthUrl::from_url(authorize))
            .set_token_uri(TokenUrl::from_url(token))
            .set_introspection_url_option(introspect.map(IntrospectionUrl::from_url));
        let http = crate::vendor::client(&home, &settings).map_err(AppError::Client)?;
        Ok(Self { oauth: spec.oauth, client, http, host: home.host().to_owned(), timeout: spec.timeout })
    }

    /// Whether a token answer may name that host as the account's API.
    pub(crate) fn allows_host(&self, host: &str) -> bool {
        self.oauth.allows_host(host)
    }

    /// The longest that one call takes.
    pub(crate) fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Begins an attempt to be granted those scopes; the vendor shall come back to `redirect`.
    #[must_use]
    pub fn begin(&self, redirect: &Url, scopes: &[String], now: Timestamp) -> Attempt {
        let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
        let (url, state) = self
            .client
            .authorize_url(|| CsrfToken::new_random_len(32))
            .set_pkce_challenge(challenge)
            .set_redirect_uri(Cow::Owned(RedirectUrl::from_url(redirect.clone())))
            .add_scopes(scopes.iter().cloned().map(Scope::new))
            .url();
        Attempt::new(url, redirect.clone(), state, verifier, now)
    }

    /// Exchanges a code, and asks whose tokens these are if the answer does not say so. A code can be tried once.
    pub async fn exchange(&self, code: Code) -> Result<TokenAnswer, GrantError> {
        let wire = Wire::new(&self.http);
        let redirect = RedirectUrl::from_url(code.redirect);
        let request = self
            .client
            .exchange_code(code.code)
            .set_pkce_verifier(code.verifier)
            .set_redirect_uri(Cow::Owned(redirect));
        let answered = request.request_async(&wire).await.ok();
        let mut answer = self.read(wire.seen(), answered)?;
        if answer.granted.account.is_none() {
            let told = self.introspect(&answer.access).await?;
            answer.granted.account = told.account;
            if answer.granted.scopes.is_empty() {
                answer.granted.scopes = told.scopes;
            }
        }
        Ok(answer)
    }

    /// Spends a refresh token.
    pub(crate) async fn refresh(&self, refresh: &Secret) -> Result<TokenAnswer, GrantError> {
        let wire = Wire::new(&self.http);
        let token = RefreshToken::new(String::from_utf8_lossy(refresh.expose()).into_owned());
        let answered = self.client.exchange_refresh_token(&token).request_async(&wire).await.ok();
        self.read(wire.seen(), answered)
    }

    async fn introspect(&self, access: &Secret) -> Result<Granted, GrantError> {
        let token = oauth2::AccessToken::new(String::from_utf8_lossy(access.expose()).into_owned());
        let Ok(request) = self.client.introspect(&token) else { return Ok(Granted::default()) };
        let wire = Wire::new(&self.http);
        // Read from the wire: what says whose token it is stands in fields of the vendor's own.
        let _ = request.request_async(&wire).await;
        let response = self.received(wire.seen())?;
        let answer: Option<Value> = serde_json::from_slice(&response.body).ok();
        match answer.filter(|answer| response.status == 200 && answer["active"] == Value::Bool(true)) {
            Some(answer) => Ok((self.oauth.read)(&answer)),
            None => Err(answer::refusal(&response, &self.host, self.oauth.dead_grant)),
        }
    }

    fn read(
        &self,
        seen: Option<Result<Response, Broken>>,
        answered: Option<BasicTokenResponse>,
    ) -> Result<TokenAnswer, GrantError> {
        let response = self.received(seen)?;
        let refused = || answer::refusal(&response, &self.host, self.oauth.dead_grant);
        let answered = answered.ok_or_else(refused)?;
        let body: Value = serde_json::from_slice(&response.body).unwrap_or_default();
        let secret = |text: &str| Secret::new(text);
        Ok(TokenAnswer {
            access: secret(answered.access_token().secret()),
            refresh: answered.refresh_token().map(|token| secret(token.secret())),
            lifetime: answered.expires_in().and_then(|lifetime| SignedDuration::try_from(lifetime).ok()),
            granted: (self.oauth.read)(&body),
        })
    }

    fn received(&self, seen: Option<Result<Response, Broken>>) -> Result<Response, GrantError> {
        let outage = |what: &str| GrantError::new(TroubleKind::Outage, format!("{} {what}", self.host));
        match seen {
            Some(Ok(response)) => Ok(response),
            Some(Err(Broken::Unsent(error))) => Err(outage("can not be reached for a token").because(error)),
            Some(Err(Broken::TimedOut(error) | Broken::Cut(error))) => {
                Err(outage("did not give a whole answer when asked for a token").because(error))
            }
            Some(Err(Broken::TooLong { .. })) | None => Err(GrantError::new(
                TroubleKind::Refused,
                format!("{} answers something that is no token; check base_url and token_url", self.host),
            )),
        }
    }
}

fn url(key: &'static str, text: &str) -> Result<Url, AppError> {
    let checked = BaseUrl::parse(text, false).map_err(|source| AppError::Address { key, source })?;
    Ok(checked.url().clone())
}

fn endpoint(at: Endpoint, base: &BaseUrl) -> Result<Url, AppError> {
    match at {
        Endpoint::Url(text) => url("token_url", text),
        Endpoint::Api(path) => {
            base.join(path).ok_or(AppError::Address { key: "token_url", source: BaseUrlError::Scheme })
        }
    }
}

/// Carries one request, and keeps the answer as it came.
struct Wire<'a> {
    http: &'a reqwest::Client,
    seen: Mutex<Option<Result<Response, Broken>>>,
}

/// The answer is in [`Wire::seen`].
#[derive(Debug, thiserror::Error)]
#[error("no answer")]
struct NoAnswer;

impl<'a> Wire<'a> {
    fn new(http: &'a reqwest::Client) -> Self {
        Self { http, seen: Mutex::default() }
    }

    fn seen(self) -> Option<Result<Response, Broken>> {
        self.seen.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    async fn carry(&self, request: HttpRequest) -> Result<HttpResponse, NoAnswer> {
        let request = reqwest::Request::try_from(request).map_err(|_| NoAnswer)?;
        let answer = exchange(self.http, request, MAX_BODY).await;
        let copy = answer.as_ref().map_err(|_| NoAnswer).map(|response| {
            let mut copy = HttpResponse::new(response.body.clone());
            *copy.status_mut() = http::StatusCode::from_u16(response.status).unwrap_or_default();
            *copy.headers_mut() = response.headers.clone();
            copy
        });
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = Some(answer);
        copy
    }
}

impl<'c> AsyncHttpClient<'c> for Wire<'_> {
    type Error = NoAnswer;
    type Future = BoxFuture<'c, Result<HttpResponse, NoAnswer>>;

    fn call(&'c self, request: HttpRequest) -> Self::Future {
        Box::pin(self.carry(request))
    }
}
